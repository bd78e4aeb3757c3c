package compile

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// mounts attaches what config.json lists, in that order. Each is made detached,
// gets its flags and propagation while nobody can reach it, and is attached last,
// by descriptor: nothing is opened twice, so nothing can be swapped between.
func (c *compiler) mounts() {
	if len(c.spec.Mounts) > 0 && !c.ns.has(unix.CLONE_NEWNS) {
		c.fail("mounts", "mounts need a mount namespace: without one they would be made on the host", "")
		return
	}
	for i := range c.spec.Mounts {
		c.at(item("mounts", i))
		c.mount(i, &c.spec.Mounts[i])
	}
}

func (c *compiler) mount(i int, m *specs.Mount) {
	o := parseOptions(m.Options)
	dest := path.Join("/", m.Destination)
	switch {
	case o.idmap || o.ridmap || len(m.UIDMappings) > 0:
		c.fail(c.Path, "id-mapped mounts are not supported by this version", "")
	case o.copyUp:
		c.fail(c.Path, "the mount option tmpcopyup is not supported by this version", "")
	case o.remount:
		c.remount(dest, o)
	case o.bind:
		c.bindMount(i, m, dest, o)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		c.cgroupMount(m, dest, o)
	default:
		c.fileSystem(m, dest, o)
	}
}

// remount changes the flags of what is mounted at dest.
func (c *compiler) remount(dest string, o *mountOptions) {
	fd := c.inRoot(dest, unix.O_PATH, "open "+dest).FD("mount")
	c.flags(fd, dest, o)
	c.spread(fd, dest, o.propagations)
	c.Do(program.CallClose, "close it", program.From(fd))
}

// source is where a bind mount comes from: relative ones are below the bundle.
func (c *compiler) source(m *specs.Mount) string {
	if path.IsAbs(m.Source) {
		return m.Source
	}
	return path.Join(c.req.Bundle, m.Source)
}

// openSources clones bind sources while the child has the runtime's rights:
// root of the user namespace may not be able to walk to them.
func (c *compiler) openSources() {
	c.sources = make(map[int]*program.Slot)
	for i := range c.spec.Mounts {
		m := &c.spec.Mounts[i]
		if o := parseOptions(m.Options); o.bind {
			c.at(item("mounts", i))
			c.sources[i] = c.openSource(m, o)
		}
	}
}

func (c *compiler) openSource(m *specs.Mount, o *mountOptions) *program.Slot {
	flags := uint64(0)
	if o.rbind {
		flags = unix.AT_RECURSIVE
	}
	src, fd := c.source(m), c.Slot("bind")
	peers := c.peers
	if o.shared() && c.ns.fresh&unix.CLONE_NEWUSER == 0 {
		// The config wants the peer: what is mounted there is to appear on the host,
		// if the root's propagation leaves it shared.
		c.peers = false
	}
	c.cloneHost(&c.Builder, fd, src, flags, "clone "+src+" to bind it").
		At(c.Path+".source").
		Say(unix.EINVAL, "", "a mount below it may be unbindable")
	c.peers = peers
	return fd
}

func (c *compiler) bindMount(i int, m *specs.Mount, dest string, o *mountOptions) {
	if len(o.data) > 0 {
		c.fail(c.Path+".options", "bind mounts cannot have any filesystem-specific options applied", strings.Join(o.data, ","))
		return
	}
	fd := c.sources[i]
	if fd == nil {
		fd = c.openSource(m, o)
	}
	c.flags(fd, dest, o)
	c.attach(fd, target{dest: dest, spread: o.propagations, keep: dest == "/dev/pts"})
}

// fileSystem mounts one that the kernel makes.
func (c *compiler) fileSystem(m *specs.Mount, dest string, o *mountOptions) {
	fd := c.Slot("mount")
	fs := c.newFS(m.Type, "open a "+m.Type+" file system")
	fs.opened.Say(unix.ENODEV, "", "the kernel does not know the file system "+m.Type)
	c.parameters(fs.fd, m, o)
	create := c.createFS(fs, "create the "+m.Type).Say(0, "cannot mount "+m.Type+" to "+dest, "")
	made := c.mountFS(fs, o.set, "make it a mount").Into(fd).Say(0, "cannot mount "+m.Type+" to "+dest, "")
	c.closeFS(fs)
	if (m.Type == "sysfs" || m.Type == "proc") && c.inUserNS() {
		// Root of a user namespace may mount these only where he owns the network
		// or pid namespace (sysfs says so at fsopen, proc when it is created), and
		// where he sees the host's without cover (which fsmount looks at). In a
		// joined mount namespace "the host's" is what is mounted there, which the
		// container shares anyway.
		refused, done := c.Label(), c.Label()
		for _, step := range []program.StepRef{fs.opened, create, made} {
			step.On(unix.EPERM, refused)
		}
		c.recursiveFlags(fd, dest, o)
		c.Jump(done, "go on")
		c.Here(refused)
		c.hostsInstead(m, fd, dest, o)
		c.Here(done)
	} else {
		c.recursiveFlags(fd, dest, o)
	}
	c.attach(fd, target{dest: dest, dir: true, fresh: m.Type == "tmpfs", spread: o.propagations, keep: m.Type == "devpts"})
}

// fsContext is a file system that the kernel makes anew: a context is opened, is
// given its parameters, creates the superblock, and makes of it a mount that is
// attached nowhere yet (fsopen(2)).
type fsContext struct {
	fd     *program.Slot
	opened program.StepRef
}

func (c *compiler) newFS(typ, why string) fsContext {
	r := c.Do(program.CallFsopen, why, program.Path(typ), program.Uint(unix.FSOPEN_CLOEXEC))
	return fsContext{r.FD("fs"), r}
}

func (c *compiler) createFS(fs fsContext, why string) program.StepRef {
	return c.Do(program.CallFsconfig, why, program.From(fs.fd), program.Int(unix.FSCONFIG_CMD_CREATE), program.Int(0), program.Int(0), program.Int(0))
}

func (c *compiler) mountFS(fs fsContext, attr uint64, why string) program.StepRef {
	return c.Do(program.CallFsmount, why, program.From(fs.fd), program.Uint(unix.FSMOUNT_CLOEXEC), program.Uint(attr))
}

func (c *compiler) closeFS(fs fsContext) {
	c.Do(program.CallClose, "close the file system's context", program.From(fs.fd))
}

// inUserNS says whether the container is in another user namespace than the
// host's first.
func (c *compiler) inUserNS() bool { return c.ns.has(unix.CLONE_NEWUSER) || c.host.UserNS }

// parameters configures a file system: its source, flags and data options.
func (c *compiler) parameters(fs *program.Slot, m *specs.Mount, o *mountOptions) {
	if m.Source != "" {
		c.parameter(fs, "source", m.Source, true)
	}
	for _, word := range o.super {
		step := c.parameter(fs, word, "", false)
		switch word {
		case "iversion", "noiversion", "mand", "nomand":
			// mount(2) took these for any file system, where they mostly meant
			// nothing; fsconfig(2) leaves them to the few that know them.
			step.Ignore(unix.EINVAL)
		}
	}
	if o.readonly && !sharedSuper(m.Type) {
		c.parameter(fs, "ro", "", false)
	}
	for _, opt := range o.data {
		key, value, has := strings.Cut(opt, "=")
		c.parameter(fs, key, value, has)
	}
}

// sharedSuper says whether other mounts may share the superblock, so that
// read-only is the mount's alone.
func sharedSuper(typ string) bool {
	switch typ {
	case "proc", "sysfs", "mqueue", "devpts", "tmpfs", "cgroup", "cgroup2":
		return true
	}
	return false
}

func (c *compiler) parameter(fs *program.Slot, key, value string, has bool) program.StepRef {
	cmd, val, why := unix.FSCONFIG_SET_FLAG, program.Int(0), "set "+key
	if has {
		cmd, val, why = unix.FSCONFIG_SET_STRING, program.Path(value), "set "+key+"="+value
	}
	return c.Do(program.CallFsconfig, why, program.From(fs), program.Int(cmd), program.Path(key), val, program.Int(0)).
		Say(unix.EINVAL, "", "the file system does not take this option")
}

// hostsInstead takes the host's /sys or /proc, since a new one was refused. What
// the container asked for would have been its own, with nothing mounted below; the
// host's has the cgroups below /sys, some of them the container's root's to write
// (CVE-2023-25809). So /sys is read-only with all below it, whatever the options
// say, and /proc all below it: itself is written to by every process for its own sake.
func (c *compiler) hostsInstead(m *specs.Mount, fd *program.Slot, dest string, o *mountOptions) {
	src := "/sys"
	if m.Type == "proc" {
		src = "/proc"
	}
	c.cloneHost(&c.Builder, fd, src, unix.AT_RECURSIVE, "clone the host's "+src+" instead")
	c.setattr(fd, mountAttr{set: unix.MOUNT_ATTR_RDONLY}, true, "make all of it read-only")
	if m.Type == "proc" {
		// EPERM: the host's is read-only itself, and locked.
		c.setattr(fd, mountAttr{clr: unix.MOUNT_ATTR_RDONLY}, false, "make /proc itself writable").Ignore(unix.EPERM)
	}
	const ro = unix.MOUNT_ATTR_RDONLY
	c.flags(fd, dest, &mountOptions{set: o.set, clr: o.clr &^ ro, recSet: o.recSet, recClr: o.recClr &^ ro})
}

// flags changes a mount while it is detached.
func (c *compiler) flags(fd *program.Slot, dest string, o *mountOptions) {
	if o.set|o.clr != 0 {
		c.setattr(fd, mountAttr{set: o.set, clr: o.clr}, false, "set the flags of "+dest).
			Say(unix.EPERM, "", "a flag of the source is locked and may not be cleared here")
	}
	c.recursiveFlags(fd, dest, o)
}

func (c *compiler) recursiveFlags(fd *program.Slot, dest string, o *mountOptions) {
	if o.recSet|o.recClr != 0 {
		c.setattr(fd, mountAttr{set: o.recSet, clr: o.recClr}, true, "set the flags of "+dest+" and all below it")
	}
}

// target is the place of a mount.
type target struct {
	dest string
	// dir says that what is mounted is a directory for sure.
	dir bool
	// fresh says that it is a new and empty file system, so that nothing below
	// dest is there yet.
	fresh bool
	// spread are the propagations that the options ask for: MS_* with MS_REC.
	spread []uint64
	// keep leaves the descriptor open: through the devpts' the console is opened.
	keep bool
	// fd is the mount, held open where something is made or hidden below it.
	fd *program.Slot
}

// attach puts a detached mount to its place.
func (c *compiler) attach(fd *program.Slot, t target) {
	last := mountPoint(c, fd, t.dir)
	if base, ok := c.freshAbove(t.dest); ok {
		// Known not to be there: made at once, the child need not stop and ask.
		c.pathSteps(&c.Builder, c.Slot("dir"), base, t.dest, last)
	}
	to := c.inRoot(t.dest, unix.O_PATH, "open the mount point "+t.dest).
		Fixup(c.makePath(t.dest, "make the missing mount point", last)).FD("target")
	c.Do(program.CallMoveMount, "attach the mount to "+t.dest, program.From(fd), program.Path(""), program.From(to), program.Path(""),
		program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)).
		// The kernel says EINVAL; engines look for the words of ENOTDIR.
		Say(unix.EINVAL, "cannot attach the mount to "+t.dest+": one is a directory, the other is not a directory", "are you trying to mount a directory onto a file (or vice-versa)?")
	c.Do(program.CallClose, "close the mount point", program.From(to))
	c.spread(fd, t.dest, t.spread)
	if c.needed(t.dest) {
		t.fd = fd
	}
	c.mounted = append(c.mounted, t)
	if t.keep && c.process != nil && c.process.Terminal {
		c.pts = fd
		return
	}
	if t.fd == nil {
		c.Do(program.CallClose, "close the mount", program.From(fd))
	}
}

// needed says whether something is made or hidden below a mount later. It is
// then reached through the mount's own descriptor: its mount point may lie, by a
// link of the image, in a volume where others can put something else in its
// place, and a procfs without its masks is the host (CVE-2019-19921).
func (c *compiler) needed(dest string) bool {
	l := c.linux()
	for _, list := range [...][]string{l.MaskedPaths, l.ReadonlyPaths} {
		for _, p := range list {
			if dest != "/" && strings.HasPrefix(p, dest+"/") {
				return true
			}
		}
	}
	return dest == "/dev"
}

// mountAbove returns the mount of config.json that a path lies below, and the
// rest of the path; nil where there is none, or none that is held open.
func (c *compiler) mountAbove(p string) (fd *program.Slot, rest string) {
	if path.Clean(p) != p {
		return nil, "" // who knows where dots lead to from a link
	}
	for i := range c.mounted {
		t := &c.mounted[i]
		if below, ok := strings.CutPrefix(p, t.dest+"/"); ok && t.dest != "/" {
			fd, rest = t.fd, below // a later one lies over an earlier one
		}
	}
	return fd, rest
}

// freshAbove says whether dest lies in a file system that was mounted empty by an
// earlier entry, and where that is.
func (c *compiler) freshAbove(dest string) (base string, ok bool) {
	for _, t := range c.mounted {
		switch {
		case t.dest == dest:
			base, ok = "", false // mounted over before: it is there
		case strings.HasPrefix(dest, strings.TrimSuffix(t.dest, "/")+"/"):
			base, ok = t.dest, t.fresh // a later one lies over an earlier one
		}
	}
	return base, ok
}

// mountPoint makes a mount point: a directory, or an empty file when what is to
// be mounted is not a directory.
func mountPoint(c *compiler, fd *program.Slot, dir bool) makeLast {
	if dir {
		return makeDirectory
	}
	mode := c.statMode() // one slot, which is in the image: see program.Links
	return func(b *program.Builder, parent *program.Slot, name string) {
		file, done := b.Label(), b.Label()
		b.Do(program.CallStatx, "look at what is to be mounted", program.From(fd), program.Path(""),
			program.Int(unix.AT_EMPTY_PATH), program.Uint(unix.STATX_TYPE), program.Ptr(c.stat))
		b.Expect(program.From(mode), unix.S_IFMT<<modeShift, unix.S_IFDIR<<modeShift, unix.ENOTDIR, "see whether it is a directory").
			On(unix.ENOTDIR, file)
		makeDirectory(b, parent, name)
		b.Jump(done, "go on")
		b.Here(file)
		b.Do(program.CallMknodat, "make the file "+name, program.From(parent), program.Path(name), program.Int(unix.S_IFREG|0o755), program.Int(0)).Ignore(unix.EEXIST)
		b.Here(done)
	}
}

// makeCwd makes the working directory when the root file system lacks it, as
// runc does: images name directories that they do not contain.
func (c *compiler) makeCwd() {
	if c.process == nil || path.Clean(c.process.Cwd) == "/" {
		return
	}
	c.atProcess("cwd")
	fd := c.inRoot(c.process.Cwd, unix.O_PATH, "see that the working directory is there").
		Fixup(c.makeDir(c.process.Cwd)).FD("cwd")
	c.Do(program.CallClose, "close it", program.From(fd))
}
