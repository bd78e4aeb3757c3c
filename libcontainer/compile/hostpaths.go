package compile

import (
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// hostPaths are the files of the host that the program may name, as config and
// request have them. Verify holds the steps against it: so it is read off the config
// once more, and not noted where the steps are made.
func (c *compiler) hostPaths() program.Host {
	h := program.Host{Root: c.req.Rootfs, Cgroups: c.req.CgroupEntry}
	h.SharedRoot = c.linux().RootfsPropagation == "rshared"
	for i := range c.spec.Mounts {
		m := &c.spec.Mounts[i]
		if o := parseOptions(m.Options); o.bind && o.shared() && c.ns.fresh&unix.CLONE_NEWUSER == 0 {
			h.Shared = append(h.Shared, c.source(m))
		}
		h.Sources = append(h.Sources, c.hostSources(m)...)
	}
	if c.req.NoPivot {
		h.Covered = c.req.ProcMounts
	}
	l := c.linux()
	for i := range l.Namespaces {
		if p := l.Namespaces[i].Path; p != "" {
			h.Namespaces = append(h.Namespaces, p)
		}
	}
	for i := range defaultNodes {
		h.Devices = append(h.Devices, defaultNodes[i].path)
	}
	for i := range l.Devices {
		h.Devices = append(h.Devices, path.Clean(l.Devices[i].Path))
	}
	return h
}

// hostSources are what one entry of mounts may clone.
func (c *compiler) hostSources(m *specs.Mount) []string {
	switch o := parseOptions(m.Options); {
	case o.bind:
		return []string{c.source(m)}
	case m.Type == "proc":
		return []string{"/proc"}
	case m.Type == "sysfs":
		return []string{"/sys"}
	case m.Type == "cgroup" || m.Type == "cgroup2":
		dirs := make([]string, len(c.req.Cgroups))
		for i := range c.req.Cgroups {
			dirs[i] = c.req.Cgroups[i].Path
		}
		return dirs
	}
	return nil
}
