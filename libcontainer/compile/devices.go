package compile

import (
	"encoding/binary"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// node is a device node to be made.
type node struct {
	path         string
	mode         uint32 // with S_IF*
	major, minor uint32
	uid, gid     uint32
}

// defaultNodes are supplied always (runtime-spec config-linux.md, Default Devices).
var defaultNodes = [...]node{
	{path: "/dev/null", mode: unix.S_IFCHR | 0o666, major: 1, minor: 3},
	{path: "/dev/zero", mode: unix.S_IFCHR | 0o666, major: 1, minor: 5},
	{path: "/dev/full", mode: unix.S_IFCHR | 0o666, major: 1, minor: 7},
	{path: "/dev/random", mode: unix.S_IFCHR | 0o666, major: 1, minor: 8},
	{path: "/dev/urandom", mode: unix.S_IFCHR | 0o666, major: 1, minor: 9},
	{path: "/dev/tty", mode: unix.S_IFCHR | 0o666, major: 5, minor: 0},
}

// devices fills /dev.
func (c *compiler) devices() {
	if !c.ownDev() {
		return
	}
	c.at("")
	if dev := c.stack.top("/dev"); dev != nil {
		c.dev = dev.fd
	} else {
		c.dev = c.inRoot("/dev", unix.O_PATH|unix.O_DIRECTORY, "open /dev").Fixup(c.makeDir("/dev")).FD("dev")
	}
	for _, n := range defaultNodes {
		if !c.configured(n.path) {
			c.node(c.dev, &n)
		}
	}
	for i := range c.linux().Devices {
		c.device(i, &c.linux().Devices[i])
	}
	c.at("")
	c.links()
}

// configured says whether config.json itself lists the device.
func (c *compiler) configured(p string) bool {
	for i := range c.linux().Devices {
		if path.Clean(c.linux().Devices[i].Path) == p {
			return true
		}
	}
	return false
}

func (c *compiler) device(i int, d *specs.LinuxDevice) {
	c.at(item("linux.devices", i))
	n := node{path: path.Clean(d.Path), major: uint32(d.Major), minor: uint32(d.Minor)}
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(*d.FileMode) & 0o7777
	}
	switch d.Type {
	case "c", "u":
		n.mode = unix.S_IFCHR | mode
	case "b":
		n.mode = unix.S_IFBLK | mode
	case "p":
		n.mode, n.major, n.minor = unix.S_IFIFO|mode, 0, 0
	default:
		c.fail(c.JSONPath+".type", "invalid device type: "+d.Type, "")
		return
	}
	if d.UID != nil {
		n.uid = *d.UID
	}
	if d.GID != nil {
		n.gid = *d.GID
	}
	dir := path.Dir(n.path)
	if dir == "/dev" {
		c.node(c.dev, &n)
		return
	}
	fd := c.inRoot(dir, unix.O_PATH|unix.O_DIRECTORY, "open "+dir).Fixup(c.makeDir(dir)).FD("dir")
	c.node(fd, &n)
	c.Do(program.CallClose, "close "+dir, program.From(fd))
}

// node makes one node in the open directory. In a user namespace mknod of a
// device is forbidden, and the host's node is bound instead.
func (c *compiler) node(dir *program.Slot, n *node) {
	name := path.Base(n.path)
	// Without a mount namespace a node that is bound would be bound on the host.
	binds := c.ns.has(unix.CLONE_NEWNS)
	if binds && c.inUserNS() && n.mode&unix.S_IFMT != unix.S_IFIFO {
		c.bindNode(&c.Builder, dir, n)
		return
	}
	dev := unix.Mkdev(n.major, n.minor)
	made := c.Do(program.CallMknodat, "make "+n.path, program.From(dir), program.Path(name), program.Uint(uint64(n.mode)), program.Uint(dev)).
		Fixup(c.sameNode(dir, n))
	if binds {
		made.Fixup(c.boundNode(dir, n))
	}
	if n.uid != 0 || n.gid != 0 {
		c.Do(program.CallFchownat, "give "+n.path+" its owner", program.From(dir), program.Path(name),
			program.Uint(uint64(n.uid)), program.Uint(uint64(n.gid)), program.Int(unix.AT_SYMLINK_NOFOLLOW))
	}
}

// sameNode is the fixup for a node that is there already, which is right if it is
// the same device: a root file system may bring its own /dev.
func (c *compiler) sameNode(dir *program.Slot, n *node) program.Fixup {
	b := &program.Builder{Phase: c.Phase, JSONPath: c.JSONPath}
	b.Do(program.CallStatx, "look at what is there", program.From(dir), program.Path(path.Base(n.path)),
		program.Int(unix.AT_SYMLINK_NOFOLLOW), program.Uint(unix.STATX_TYPE), program.Ptr(c.stat))
	b.Expect(program.From(c.statMode()), unix.S_IFMT<<modeShift, uint64(n.mode&unix.S_IFMT)<<modeShift, unix.EEXIST, "find a device of the same type there")
	b.Expect(program.From(c.statRdev()), ^uint64(0), uint64(n.major)|uint64(n.minor)<<32, unix.EEXIST, "find the same device there")
	return program.Fixup{On: []unix.Errno{unix.EEXIST}, Why: "see whether the right device is there already", Steps: b.Steps(), Then: program.Next}
}

func (c *compiler) boundNode(dir *program.Slot, n *node) program.Fixup {
	b := &program.Builder{Phase: c.Phase, JSONPath: c.JSONPath}
	c.bindNode(b, dir, n)
	return program.Fixup{On: []unix.Errno{unix.EPERM}, Why: "bind the host's device instead", Steps: b.Steps(), Then: program.Next}
}

// bindNode binds the host's node of that path, after a look that it is that device.
func (c *compiler) bindNode(b *program.Builder, dir *program.Slot, n *node) {
	name := path.Base(n.path)
	b.Do(program.CallMknodat, "make a file to bind "+n.path+" to", program.From(dir), program.Path(name),
		program.Int(unix.S_IFREG|0o644), program.Int(0)).Ignore(unix.EEXIST)
	src := b.Do(program.CallOpenTree, "clone the host's "+n.path, program.AtCwd, program.Path(n.path),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).FD("node")
	// The node stays the host's: who owns it inside may use the device, but not
	// change its owner, mode or times; and nothing mounted over it appears there.
	setattr(b, src, mountAttr{set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, propagation: unix.MS_PRIVATE}, false, "make it read-only, and private")
	b.Do(program.CallStatx, "look at it", program.From(src), program.Path(""),
		program.Int(unix.AT_EMPTY_PATH), program.Uint(unix.STATX_TYPE), program.Ptr(c.stat))
	b.Expect(program.From(c.statMode()), unix.S_IFMT<<modeShift, uint64(n.mode&unix.S_IFMT)<<modeShift, unix.ENODEV, "see that the host's "+n.path+" is a device of the type that was asked for")
	b.Expect(program.From(c.statRdev()), ^uint64(0), uint64(n.major)|uint64(n.minor)<<32, unix.ENODEV, "see that the host's "+n.path+" is the device that was asked for")
	to := b.Do(program.CallOpenat2, "open the file to bind to", program.From(dir), program.Path(name),
		program.Ptr(openHow(unix.O_PATH, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)), program.Int(24)).FD("target")
	b.Do(program.CallMoveMount, "attach the device", program.From(src), program.Path(""), program.From(to), program.Path(""),
		program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	b.Do(program.CallClose, "close it", program.From(to))
	b.Do(program.CallClose, "close the device", program.From(src))
}

// links makes the symbolic links of /dev (runtime-spec runtime-linux.md, Dev
// symbolic links), if there is a /proc for them to point to.
func (c *compiler) links() {
	proc := false
	for i := range c.spec.Mounts {
		proc = proc || path.Join("/", c.spec.Mounts[i].Destination) == "/proc"
	}
	if proc {
		for _, l := range [...][2]string{
			{"fd", "/proc/self/fd"},
			{"stdin", "/proc/self/fd/0"},
			{"stdout", "/proc/self/fd/1"},
			{"stderr", "/proc/self/fd/2"},
		} {
			c.link(l[0], l[1]).Ignore(unix.EEXIST)
		}
	}
	c.link("ptmx", "pts/ptmx").Fixup(c.otherPtmx())
}

// otherPtmx is the fixup for a /dev/ptmx that is there already. A link to the
// container's devpts is left alone, as the root may be read-only; all else goes: an
// old node would be the host's multiplexer.
func (c *compiler) otherPtmx() program.Fixup {
	b := &program.Builder{Phase: c.Phase, JSONPath: c.JSONPath}
	fd, n := b.Slot("ptmx"), b.Slot("length")
	other, done := b.Label(), b.Label()
	b.Do(program.CallOpenat, "open the ptmx that is there", program.From(c.dev), program.Path("ptmx"),
		program.Int(unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC), program.Int(0)).Into(fd)
	text := program.Buffer(64, "target")
	b.Do(program.CallReadlinkat, "ask where it leads to", program.From(fd), program.Path(""), program.Ptr(text), program.Int(64)).
		Into(n).On(unix.ENOENT, other).On(unix.EINVAL, other)
	const right = "pts/ptmx" // just eight bytes, as a slot
	b.Expect(program.From(n), ^uint64(0), uint64(len(right)), unix.EEXIST, "see that it is as long as "+right).On(unix.EEXIST, other)
	b.Expect(program.From(&program.Slot{Name: "target", Home: text, Inherited: -1}), ^uint64(0), binary.LittleEndian.Uint64([]byte(right)),
		unix.EEXIST, "see that it leads to "+right).On(unix.EEXIST, other)
	b.Jump(done, "leave it")
	b.Here(other)
	b.Do(program.CallUnlinkat, "remove the ptmx that is there", program.From(c.dev), program.Path("ptmx"), program.Int(0))
	b.Do(program.CallSymlinkat, "link /dev/ptmx to pts/ptmx", program.Path("pts/ptmx"), program.From(c.dev), program.Path("ptmx"))
	b.Here(done)
	b.Do(program.CallClose, "close it", program.From(fd))
	return program.Fixup{On: []unix.Errno{unix.EEXIST}, Why: "see whether the ptmx that is there is right", Steps: b.Steps(), Then: program.Next}
}

func (c *compiler) link(name, target string) program.StepRef {
	return c.Do(program.CallSymlinkat, "link /dev/"+name+" to "+strings.TrimPrefix(target, "/dev/"),
		program.Path(target), program.From(c.dev), program.Path(name))
}
