package cli

import (
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"

	"berth/bundles"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

var (
	optSpecBundle   = option{name: "bundle", short: "b", usage: "write to `DIR` (default: the working directory)"}
	optSpecRootless = option{name: "rootless", kind: toggle, usage: "write a config for a user who is not root"}
)

var specCommand = command{
	name:  "spec",
	usage: "write a config.json to begin with",
	about: `Writes a config.json that runs a shell on a terminal, for a root file system in
the directory rootfs beside it. There must be no config.json yet. With --rootless
the container gets a user namespace in which the caller is root.`,
	options: []*option{&optSpecBundle, &optSpecRootless},
	run: func(c *call) (int, error) {
		facts, err := host.Gather()
		if err != nil {
			return 1, err
		}
		starter, err := starterSpec(c.on(&optSpecRootless), facts.Cgroup.Mode == host.Unified, os.Geteuid(), os.Getegid())
		if err != nil {
			return 1, err
		}
		text, err := bundles.Encode(starter)
		if err != nil {
			return 1, err
		}
		name := filepath.Join(c.text(&optSpecBundle), "config.json")
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if os.IsExist(err) {
			return 1, fault.New("File config.json exists. Remove it first")
		}
		if err != nil {
			return 1, fault.Wrap("cannot write config.json", err)
		}
		_, err = f.Write(text)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(name)
			return 1, fault.Wrap("cannot write config.json", err)
		}
		return 0, nil
	},
}

// starterSpec is the default config of runtime-tools' generator, brought to what
// those expect who know `runc spec`: a shell on a terminal, a read-only root, no
// HOME (it is looked up in the image), the cgroup mount, masked and read-only
// paths; a cgroup namespace where cgroup v2 is all there is, as there runc has one.
// The generator's system call filter is dropped: this version refuses
// linux.seccomp, and runc's own default has none.
func starterSpec(rootless, unified bool, uid, gid int) (*specs.Spec, error) {
	g, err := generate.New("linux")
	if err != nil {
		return nil, fault.Wrap("cannot make the default config", err)
	}
	s := g.Config
	ours := bundles.Default(bundles.Options{Facts: &host.Facts{CgroupNS: unified}})
	s.Hostname = "berth"
	s.Root.Readonly = true
	s.Process.Terminal = true
	s.Process.NoNewPrivileges = true
	// Three are enough to begin with; the generator has Docker's fourteen, and
	// ambient ones on top.
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.Mounts = ours.Mounts
	s.Linux.Seccomp = nil
	s.Linux.Namespaces = ours.Linux.Namespaces
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = ours.Linux.MaskedPaths, ours.Linux.ReadonlyPaths
	if rootless {
		user := bundles.Default(bundles.Options{Facts: &host.Facts{CgroupNS: unified, EUID: 1, EGID: 1}})
		s.Mounts, s.Linux.Namespaces = user.Mounts, user.Linux.Namespaces
		// Without a cgroup there is nothing to limit.
		s.Linux.Resources = nil
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(uid), Size: 1}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(gid), Size: 1}}
	}
	return s, nil
}
