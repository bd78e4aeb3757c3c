package compile

import (
	"path"
	"slices"
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
	o.idmap = o.idmap || len(m.UIDMappings) > 0
	switch what := o.unsupported(); {
	case what != "":
		c.fail(c.JSONPath, what+" not supported by this version", "")
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
		if _, inside := c.insideRoot(m); inside {
			continue
		}
		if o := parseOptions(m.Options); o.bind {
			c.at(item("mounts", i))
			c.sources[i] = c.openSource(m, o)
		}
	}
}

// insideRoot says whether a bind source lies inside the root file system, and where
// there. Mounts are made in the config's order: such a source sees what an earlier
// entry mounted over it, and is a path of the container like all others, which no
// link of the image leads out of.
func (c *compiler) insideRoot(m *specs.Mount) (rest string, inside bool) {
	src := c.source(m)
	if c.req.Rootfs == "/" || path.Clean(src) != src {
		return "", false
	}
	if rest, inside = below(c.req.Rootfs, src); !inside {
		return "", false
	}
	return rest, true
}

func (c *compiler) openSource(m *specs.Mount, o *mountOptions) *program.Slot {
	flags := uint64(0)
	if o.rbind {
		flags = unix.AT_RECURSIVE
	}
	src, fd := c.source(m), c.Slot("bind")
	peers := c.peers
	if o.shared() && c.ns.fresh&unix.CLONE_NEWUSER == 0 && path.Join("/", m.Destination) != "/" {
		// The config wants the peer: what is mounted there is to appear on the host,
		// if the root's propagation leaves it shared.
		c.peers = false
	}
	var clone program.StepRef
	if rest, inside := c.insideRoot(m); inside {
		from := c.inRoot("/"+rest, unix.O_PATH, "open "+src+" to bind it").At(c.JSONPath + ".source").FD("source")
		clone = c.cloneTree(&c.Builder, fd, program.From(from), "", flags|unix.AT_EMPTY_PATH, "clone it")
		c.Do(program.CallClose, "close the source", program.From(from))
	} else {
		clone = c.cloneHost(&c.Builder, fd, src, flags, "clone "+src+" to bind it")
	}
	clone.At(c.JSONPath+".source").Say(unix.EINVAL, "", "a mount below it may be unbindable")
	c.peers = peers
	return fd
}

func (c *compiler) bindMount(i int, m *specs.Mount, dest string, o *mountOptions) {
	if len(o.data) > 0 {
		c.fail(c.JSONPath+".options", "bind mounts cannot have any filesystem-specific options applied", strings.Join(o.data, ","))
		return
	}
	rest, inProc := below("/proc", dest)
	if inProc && rest != "" && !slices.Contains(procFiles[:], rest) {
		c.fail(c.JSONPath+".destination", `"`+dest+`" cannot be mounted because it is inside /proc`, "of files there these can be: "+strings.Join(procFiles[:], ", "))
		return
	}
	l := c.take()
	if l.fd = c.sources[i]; l.fd == nil {
		l.fd = c.openSource(m, o)
	}
	if inProc && rest == "" {
		c.isProcfs(l.fd)
	}
	c.flags(l.fd, dest, o)
	c.attach(l)
}

// procFiles are the files of /proc over which others may be bound: those that lxcfs
// and its like make up. All else there is the kernel's word, on which programs in
// the container rely that drop privileges by it (CVE-2019-16884).
var procFiles = [...]string{
	"cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime",
	"sys/crypto/fips_enabled", "sys/kernel/ns_last_pid",
}

// below says whether p lies in dest, and where there; "" is dest itself.
func below(dest, p string) (rest string, ok bool) {
	if p == dest {
		return "", true
	}
	return strings.CutPrefix(p, dest+"/")
}

// isProcfs checks that what is to be bound at /proc is a procfs.
func (c *compiler) isProcfs(fd *program.Slot) {
	c.isFS(fd, unix.PROC_SUPER_MAGIC, unix.EINVAL, "what is to be /proc", "a procfs").
		Say(0, `"/proc" cannot be mounted because it is not of type proc`, "a volume of the image there would stand for the kernel's word")
}

// isFS checks the type of the file system that fd is on (statfs(2)).
func (c *compiler) isFS(fd *program.Slot, magic uint64, no unix.Errno, what, typ string) program.StepRef {
	statfs := program.Buffer(120, "statfs")
	c.Do(program.CallFstatfs, "look at what "+what+" is", program.From(fd), program.Ptr(statfs))
	got := &program.Slot{Name: "statfs.type", Home: statfs, Inherited: -1}
	return c.Expect(program.From(got), ^uint64(0), magic, no, "see that "+what+" is "+typ)
}

// fileSystem mounts one that the kernel makes.
func (c *compiler) fileSystem(m *specs.Mount, dest string, o *mountOptions) {
	l, fd := c.take(), c.Slot("mount")
	l.fd = fd
	if l.late {
		o.set &^= unix.MOUNT_ATTR_RDONLY
		o.recSet &^= unix.MOUNT_ATTR_RDONLY
	}
	fs := c.newFS(m.Type, "open a "+m.Type+" file system")
	fs.opened.Say(unix.ENODEV, "", "the kernel does not know the file system "+m.Type)
	c.parameters(fs.fd, m, o)
	var to *program.Slot
	if l.fresh && !o.has("mode") {
		to = c.keepMode(fs.fd, l)
	}
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
	if to == nil {
		c.attach(l)
	} else {
		c.attachTo(l, to)
	}
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
	const ro = unix.MOUNT_ATTR_RDONLY
	switch {
	case m.Type == "sysfs":
		c.setattr(fd, mountAttr{set: ro}, true, "make all of it read-only")
	case c.ns.fresh&unix.CLONE_NEWNS != 0:
		c.setattr(fd, mountAttr{set: ro}, true, "make all of it read-only")
		// EPERM: the host's is read-only itself, which is locked in a new namespace. In
		// a joined one it is not, and nothing there is more the host's than before.
		c.setattr(fd, mountAttr{clr: ro}, false, "make /proc itself writable").Ignore(unix.EPERM)
	}
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

// attach puts a detached mount to its place.
func (c *compiler) attach(l *layer) {
	to := c.openMountPoint(l, mountPoint(c, l.fd, l.dir), nil)
	c.attachTo(l, to)
}

// openMountPoint opens the place of a mount, and makes it where it is missing.
// When it did, it sets made, if that is wanted.
func (c *compiler) openMountPoint(l *layer, last makeLast, made *program.Slot) *program.Slot {
	const why = "open the mount point "
	if l.in != nil && l.in.fresh && l.rest != "" && made == nil {
		// Known not to be there: made at once, the child need not stop and ask.
		c.pathSteps(&c.Builder, l.in.fd, c.Slot("dir"), l.rest, last)
	}
	flags := uint64(unix.O_PATH)
	if l.fs == "proc" || l.fs == "sysfs" {
		// What an image puts there must not lead elsewhere (CVE-2019-19921).
		flags |= unix.O_DIRECTORY | unix.O_NOFOLLOW
	}
	open := c.inRoot(l.dest, flags, why+l.dest).Fixup(c.makePath(l.dest, "make the missing mount point", last, made))
	if flags&unix.O_NOFOLLOW != 0 {
		open.Say(unix.ENOTDIR, `filesystem "`+l.fs+`" must be mounted on ordinary directory`, l.dest+" is a symbolic link or a file")
	}
	return open.FD("target")
}

// attachTo puts a detached mount to its open place.
func (c *compiler) attachTo(l *layer, to *program.Slot) {
	c.Do(program.CallMoveMount, "attach the mount to "+l.dest, program.From(l.fd), program.Path(""), program.From(to), program.Path(""),
		program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)).
		// The kernel says EINVAL; engines look for the words of ENOTDIR.
		Say(unix.EINVAL, "cannot attach the mount to "+l.dest+": one is a directory, the other is not a directory", "are you trying to mount a directory onto a file (or vice-versa)?")
	c.Do(program.CallClose, "close the mount point", program.From(to))
	if l.dest == "/" {
		// From here on this is the root. How it spreads is said when it has become so:
		// pivot_root takes no shared one.
		c.Do(program.CallClose, "close the root that is covered", program.From(c.root))
		c.root, c.rootLayer = l.fd, l
		return
	}
	c.spread(l.fd, l.dest, l.spread)
	if l == c.ptsLayer() {
		c.pts = l.fd
	}
	if !l.held {
		c.Do(program.CallClose, "close the mount", program.From(l.fd))
	}
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
