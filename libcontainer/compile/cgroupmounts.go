package compile

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// cgroupMount shows the container its cgroups. With v2 alone that is one mount;
// with v1 hierarchies a tmpfs with a directory for each, as on the host: in a
// cgroup namespace a mount of the hierarchy, rooted where the container is, else
// a bind of the container's own directory.
func (c *compiler) cgroupMount(m *specs.Mount, dest string, o *mountOptions) {
	if c.host.Cgroup.Mode == host.NoCgroup {
		c.fail(c.JSONPath, "cannot mount cgroups: the host has none mounted", "")
		return
	}
	if c.host.Cgroup.Mode == host.Unified || m.Type == "cgroup2" {
		c.cgroup2Mount(m, dest, o)
		return
	}
	if len(o.data) > 0 {
		c.fail(c.JSONPath+".options", "a cgroup mount takes no options of the file system", strings.Join(o.data, ","))
		return
	}
	// Each is a mount of its own, with nothing below it: a recursive flag is a flag.
	o.set, o.clr = o.set&^o.recClr|o.recSet, o.clr&^o.recSet|o.recClr
	l := c.take()
	set := o.set
	if l.late {
		set &^= unix.MOUNT_ATTR_RDONLY
	}
	l.fd = c.tmpfs("mode=755", set, "the cgroup hierarchies' directory")
	c.attach(l)
	for _, h := range c.req.Cgroups {
		if h.V2 {
			continue
		}
		c.hierarchy(&h, l, o)
	}
}

// tmpfs makes a detached tmpfs with one option.
func (c *compiler) tmpfs(option string, attr uint64, what string) *program.Slot {
	fs := c.newFS("tmpfs", "open a tmpfs for "+what)
	key, value, _ := strings.Cut(option, "=")
	c.parameter(fs.fd, "source", "tmpfs", true)
	c.parameter(fs.fd, key, value, true)
	c.createFS(fs, "create the tmpfs")
	fd := c.mountFS(fs, attr, "make it a mount").FD("tmpfs")
	c.closeFS(fs)
	return fd
}

// hierarchy mounts one v1 hierarchy below dest, and links its controllers to it
// where several share it (cpu -> cpu,cpuacct).
func (c *compiler) hierarchy(h *CgroupDir, parent *layer, o *mountOptions) {
	name := path.Base(h.Mount)
	l := c.take()
	var fd *program.Slot
	if c.ns.fresh&unix.CLONE_NEWCGROUP != 0 {
		fs := c.newFS("cgroup", "open the cgroup hierarchy "+name)
		c.parameter(fs.fd, "source", "cgroup", true)
		for _, ctl := range h.Controllers {
			key, value, has := strings.Cut(ctl, "=")
			if has {
				// A named hierarchy without controllers.
				c.parameter(fs.fd, "none", "", false)
			}
			c.parameter(fs.fd, key, value, has)
		}
		c.createFS(fs, "create it")
		fd = c.mountFS(fs, o.set, "make it a mount").FD("mount")
		c.closeFS(fs)
	} else {
		fd = c.Slot("mount")
		c.cloneHost(&c.Builder, fd, h.Path, unix.AT_RECURSIVE, "clone the container's directory in the hierarchy "+name)
		c.setattr(fd, mountAttr{set: o.set, clr: o.clr}, false, "set the flags of "+l.dest)
	}
	l.fd = fd
	c.attach(l)
	if len(h.Controllers) < 2 {
		return
	}
	for _, ctl := range h.Controllers {
		if ctl != name {
			c.Do(program.CallSymlinkat, "link "+ctl+" to "+name, program.Path(name), program.From(parent.fd), program.Path(ctl)).Ignore(unix.EEXIST)
		}
	}
}

// cgroup2Mount mounts the v2 hierarchy. Without a cgroup namespace the
// container's own directory is bound, so that it does not see the whole host's.
func (c *compiler) cgroup2Mount(m *specs.Mount, dest string, o *mountOptions) {
	for _, h := range c.req.Cgroups {
		if !h.V2 || c.ns.fresh&unix.CLONE_NEWCGROUP != 0 {
			continue
		}
		l := c.take()
		l.fd = c.Slot("mount")
		c.cloneHost(&c.Builder, l.fd, h.Path, unix.AT_RECURSIVE, "clone the container's cgroup directory")
		c.flags(l.fd, dest, o)
		c.attach(l)
		return
	}
	v2 := *m
	v2.Type = "cgroup2"
	c.fileSystem(&v2, dest, o)
}
