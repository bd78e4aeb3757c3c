package compile

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// hiddenPaths masks and write-protects what the config lists. What is not there is
// passed over: lists name files that only some kernels have.
//
// What makes a path read-only is a clone of all that is there, laid over it: so masks
// come first, and a path before those that it lies below, and the clone has them too.
// The other way around they would end up under it.
func (c *compiler) hiddenPaths() {
	l := c.linux()
	c.maskedPaths(l.MaskedPaths)
	order := make([]int, len(l.ReadonlyPaths))
	for i := range order {
		order[i] = i
	}
	depth := func(i int) int { return strings.Count(path.Clean(l.ReadonlyPaths[i]), "/") }
	slices.SortStableFunc(order, func(a, b int) int { return depth(b) - depth(a) })
	for _, i := range order {
		c.at(item("linux.readonlyPaths", i))
		c.readonlyPath(l.ReadonlyPaths[i])
	}
}

func (c *compiler) maskedPaths(list []string) {
	if len(list) == 0 {
		return
	}
	c.at("linux.maskedPaths")
	// One empty tmpfs covers all directories: each would be a superblock to
	// make and to reap.
	empty := c.tmpfs("nr_inodes=1", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "masked directories")
	dirs, files := c.newMask(empty), c.newMask(c.null)
	seen := make(map[string]bool, len(list))
	for i, p := range list {
		if seen[path.Clean(p)] {
			continue // one cover is enough
		}
		seen[path.Clean(p)] = true
		c.at(item("linux.maskedPaths", i))
		if slices.Contains(list[:i], p) {
			continue
		}
		if path.Clean(p) == "/" {
			c.fail(c.JSONPath, "the root cannot be masked", "what would cover it is not seen: the process is below it")
			continue
		}
		c.maskPath(p, dirs, files)
	}
	c.at("linux.maskedPaths")
	c.Do(program.CallClose, "close the empty tmpfs", program.From(empty))
	c.Do(program.CallClose, "close the host's /dev/null", program.From(c.null))
}

// inMount opens a path to be hidden, through the mount that it lies in.
func (c *compiler) inMount(p string, flags uint64, why string) program.StepRef {
	l, rest := c.stack.holder(p)
	if l == nil || rest == "" || l.dest == "/" {
		return c.inRoot(p, flags, why)
	}
	return c.Do(program.CallOpenat2, why, program.From(l.fd), program.Path(rest), program.Ptr(openHow(flags, unix.RESOLVE_IN_ROOT)), program.Int(24))
}

// readonlyPath binds a path to itself, read-only. What is mounted below it comes
// along as it is: a tmpfs of the config at /data/dir is not meant by /data.
func (c *compiler) readonlyPath(p string) {
	if path.Clean(p) == "/" {
		// A mount over / would not be seen: the process is below it.
		c.setattr(c.root, mountAttr{set: unix.MOUNT_ATTR_RDONLY}, false, "make the root read-only")
		return
	}
	end := c.Label()
	to := c.inMount(p, unix.O_PATH, "open "+p+" to write-protect it").On(unix.ENOENT, end).On(unix.ENOTDIR, end).FD("target")
	fd := c.Do(program.CallOpenTree, "clone it", program.From(to), program.Path(""),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)).FD("mount")
	c.setattr(fd, mountAttr{set: unix.MOUNT_ATTR_RDONLY}, false, "make it read-only")
	c.attachOver(fd, to, p)
	c.Do(program.CallClose, "close the mount", program.From(fd))
	c.Do(program.CallClose, "close "+p, program.From(to))
	c.Here(end)
}

// maskPath covers a directory with the empty tmpfs and a file with /dev/null:
// clones of descriptors that were verified, never of a name (CVE-2025-31133).
func (c *compiler) maskPath(p string, empty, null mask) {
	file, end := c.Label(), c.Label()
	to := c.inMount(p, unix.O_PATH|unix.O_DIRECTORY, "open "+p+" to mask it").
		On(unix.ENOENT, end).On(unix.ENOTDIR, file).FD("target")
	c.mask(empty, to, p)
	c.Jump(end, "go on")
	c.Here(file)
	// ENOTDIR may also be about a directory on the way: then nothing is there.
	c.inMount(p, unix.O_PATH, "open "+p+", which is a file").On(unix.ENOENT, end).On(unix.ENOTDIR, end).Into(to)
	c.mask(null, to, p)
	c.Here(end)
}

// mask is what masked paths are covered with. It goes to the first path itself;
// the next ones get clones of it: before Linux 6.15 a mount that is not attached
// yet can not be cloned, and one that is never attached costs an RCU grace period
// when it is closed.
type mask struct{ mount, used *program.Slot }

// newMask takes a detached mount as a mask.
func (c *compiler) newMask(mount *program.Slot) mask {
	used := c.Slot(mount.Name + "-used")
	c.Set(used, program.Int(0), "note that "+mount.Name+" covers nothing yet")
	return mask{mount, used}
}

// mask covers a path.
func (c *compiler) mask(with mask, to *program.Slot, p string) {
	clone, done := c.Label(), c.Label()
	c.Expect(program.From(with.used), ^uint64(0), 0, unix.EBUSY, "see whether what masks is in its place already").On(unix.EBUSY, clone)
	c.attachOver(with.mount, to, p)
	c.Set(with.used, program.Int(1), "note that it does")
	c.Jump(done, "go on")
	c.Here(clone)
	fd := c.Do(program.CallOpenTree, "clone what masks", program.From(with.mount), program.Path(""),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)).FD("cover")
	c.attachOver(fd, to, p)
	c.Do(program.CallClose, "close the clone", program.From(fd))
	c.Here(done)
	c.Do(program.CallClose, "close "+p, program.From(to))
}

func (c *compiler) attachOver(fd, to *program.Slot, p string) {
	c.Do(program.CallMoveMount, "attach it over "+p, program.From(fd), program.Path(""), program.From(to), program.Path(""),
		program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}
