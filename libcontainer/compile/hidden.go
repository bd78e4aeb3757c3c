package compile

import (
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// hiddenPaths write-protects and masks what the config lists. What is not there
// is passed over: lists name files that only some kernels have.
func (c *compiler) hiddenPaths() {
	l := c.linux()
	for i, p := range l.ReadonlyPaths {
		c.at(item("linux.readonlyPaths", i))
		c.readonlyPath(p)
	}
	if len(l.MaskedPaths) == 0 {
		return
	}
	c.at("linux.maskedPaths")
	// One empty tmpfs covers all directories: each would be a superblock to
	// make and to reap.
	empty := c.tmpfs("nr_inodes=1", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "masked directories")
	for i, p := range l.MaskedPaths {
		c.at(item("linux.maskedPaths", i))
		c.maskPath(p, empty)
	}
	c.at("linux.maskedPaths")
	c.Do(program.CallClose, "close the empty tmpfs", program.From(empty))
	c.Do(program.CallClose, "close the host's /dev/null", program.From(c.null))
}

// readonlyPath binds a path to itself, read-only, with all below it.
func (c *compiler) readonlyPath(p string) {
	end := c.Label()
	to := c.inRoot(p, unix.O_PATH, "open "+p+" to write-protect it").On(unix.ENOENT, end).On(unix.ENOTDIR, end).FD("target")
	fd := c.Do(program.CallOpenTree, "clone it", program.From(to), program.Path(""),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)).FD("mount")
	c.setattr(fd, mountAttr{set: unix.MOUNT_ATTR_RDONLY}, true, "make it read-only")
	c.cover(fd, to, "attach it over "+p)
	c.Do(program.CallClose, "close the mount", program.From(fd))
	c.Do(program.CallClose, "close "+p, program.From(to))
	c.Here(end)
}

// maskPath covers a directory with the empty tmpfs and a file with /dev/null:
// clones of descriptors that were verified, never of a name (CVE-2025-31133).
func (c *compiler) maskPath(p string, empty *program.Slot) {
	file, end := c.Label(), c.Label()
	to := c.inRoot(p, unix.O_PATH|unix.O_DIRECTORY, "open "+p+" to mask it").
		On(unix.ENOENT, end).On(unix.ENOTDIR, file).FD("target")
	c.mask(empty, to, p)
	c.Jump(end, "go on")
	c.Here(file)
	// ENOTDIR may also be about a directory on the way: then nothing is there.
	c.inRoot(p, unix.O_PATH, "open "+p+", which is a file").On(unix.ENOENT, end).On(unix.ENOTDIR, end).Into(to)
	c.mask(c.null, to, p)
	c.Here(end)
}

// mask covers a path with a clone. Before Linux 6.15 a mount that is not attached
// yet cannot be cloned (EINVAL): then the cover itself goes there, and the next
// ones are cloned from it.
func (c *compiler) mask(with, to *program.Slot, p string) {
	direct, done := c.Label(), c.Label()
	fd := c.Do(program.CallOpenTree, "clone the cover", program.From(with), program.Path(""),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)).On(unix.EINVAL, direct).FD("cover")
	c.cover(fd, to, "attach it over "+p)
	c.Do(program.CallClose, "close the cover", program.From(fd))
	c.Jump(done, "go on")
	c.Here(direct)
	c.cover(with, to, "attach the cover itself over "+p)
	c.Here(done)
	c.Do(program.CallClose, "close "+p, program.From(to))
}

func (c *compiler) cover(fd, to *program.Slot, why string) {
	c.Do(program.CallMoveMount, why, program.From(fd), program.Path(""), program.From(to), program.Path(""),
		program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}
