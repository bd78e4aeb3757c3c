package compile

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// propagation are the words for it, in rootfsPropagation and in mount options.
func propagation(word string) (flag uint64, recursive, ok bool) {
	if w, r := strings.CutPrefix(word, "r"); r {
		word, recursive = w, true
	}
	switch word {
	case "private":
		flag = unix.MS_PRIVATE
	case "shared":
		flag = unix.MS_SHARED
	case "slave":
		flag = unix.MS_SLAVE
	case "unbindable":
		flag = unix.MS_UNBINDABLE
	default:
		return 0, false, false
	}
	return flag, recursive, true
}

// rootPropagation keeps what the container mounts from the host, as far as the
// config does not ask for the opposite.
func (c *compiler) rootPropagation() {
	flag, rec := uint64(unix.MS_SLAVE), true
	if word := c.linux().RootfsPropagation; word != "" {
		c.at("linux.rootfsPropagation")
		flag, rec, _ = propagation(word)
	} else {
		c.at("root.path")
	}
	if flag == unix.MS_UNBINDABLE {
		// The root file system is about to be cloned; pivot makes it unbindable.
		flag = unix.MS_PRIVATE
	}
	all := uint64(0)
	if rec {
		all = unix.MS_REC
	}
	c.mountFlags("/", flag|all, "keep mounts of the container from spreading to the host")
	c.peers = flag == unix.MS_SHARED || !rec
	if !c.peers {
		return
	}
	// pivot_root refuses a root that is shared or whose parent is (pivot_root(2)),
	// and what is attached to a shared mount appears on the host.
	if flag == unix.MS_SHARED {
		flag = unix.MS_PRIVATE
	}
	c.rootfsParent(flag)
	if c.ns.fresh&unix.CLONE_NEWNS != 0 && c.ns.has(unix.CLONE_NEWUSER) {
		// In a mount namespace that belongs to another user namespace all mounts are
		// slaves of the host's from the beginning (mount_namespaces(7)).
		c.peers = false
	}
}

// rootfsParent changes the propagation of the mount that holds the root file
// system: the first ancestor that is a mount point. The others answer EINVAL.
func (c *compiler) rootfsParent(flag uint64) {
	done := c.Label()
	for dir := c.req.Rootfs; ; dir = path.Dir(dir) {
		next := c.Label()
		c.mountFlags(dir, flag, "make the mount that holds the root file system one that is not shared").On(unix.EINVAL, next)
		if dir == "/" {
			c.Here(next)
			break
		}
		c.Jump(done, "go on: that was the mount")
		c.Here(next)
	}
	c.Here(done)
}

func (c *compiler) mountFlags(target string, flags uint64, why string) program.StepRef {
	return c.Do(program.CallMount, why, program.Int(0), program.Path(target), program.Int(0), program.Uint(flags), program.Int(0))
}

// cloneHost clones something of the host's to fd: src alone, or the tree of mounts
// below it. A clone of a shared mount is its peer: what is mounted below it later,
// be it a mask, appears on the host. So where that can be, it becomes a slave with
// all below it at once, while it is attached nowhere.
func (c *compiler) cloneHost(b *program.Builder, fd *program.Slot, src string, flags uint64, why string) program.StepRef {
	return c.cloneTree(b, fd, program.AtCwd, src, flags, why)
}

func (c *compiler) cloneTree(b *program.Builder, fd *program.Slot, dir program.Arg, src string, flags uint64, why string) program.StepRef {
	step := b.Do(program.CallOpenTree, why, dir, program.Path(src),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)).Into(fd)
	if c.peers {
		setattr(b, fd, mountAttr{propagation: unix.MS_SLAVE}, flags&unix.AT_RECURSIVE != 0, "keep what is mounted below it from the host")
	}
	return step
}

// spread sets how a mount propagates. It comes after the mount is attached: what
// is attached to a shared mount becomes shared.
func (c *compiler) spread(fd *program.Slot, dest string, words []uint64) {
	for _, p := range words {
		c.setattr(fd, mountAttr{propagation: p &^ unix.MS_REC}, p&unix.MS_REC != 0, "set the propagation of "+dest)
	}
}

// finalPropagation gives the root the propagation that the config asks for. It
// comes after all mounts: an unbindable tree can not be cloned any more.
func (c *compiler) finalPropagation() {
	if l := c.rootLayer; l != nil {
		c.at(item("mounts", l.entry))
		c.spread(c.root, "/", l.spread)
	}
	word := c.linux().RootfsPropagation
	if word == "" || !c.ns.has(unix.CLONE_NEWNS) {
		return
	}
	c.at("linux.rootfsPropagation")
	flag, rec, _ := propagation(word)
	if rec && (flag == unix.MS_SHARED || flag == unix.MS_UNBINDABLE) {
		flag |= unix.MS_REC
	}
	// rprivate and rslave have been so from the beginning (rootPropagation), for all
	// mounts but those of which the config itself says something else since.
	c.mountFlags("/", flag, "set the propagation of the root")
}
