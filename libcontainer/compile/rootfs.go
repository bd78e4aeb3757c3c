package compile

import (
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// rootfs makes the root file system a mount of its own, and opens it. From here
// on every path of the container is resolved below that descriptor.
func (c *compiler) rootfs() {
	if !c.ns.has(unix.CLONE_NEWNS) {
		c.at("root.path")
		c.root = c.Do(program.CallOpenat, "open the root file system", program.AtCwd, program.Path("."),
			program.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), program.Int(0)).FD("root")
		return
	}
	c.rootPropagation()
	if c.clonesInside() {
		c.openNull()
	}
	c.at("root.path")
	c.root = c.Do(program.CallOpenTree, "clone the tree of the root file system", program.AtCwd, program.Path("."),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)).FD("root")
	if c.peers && c.linux().RootfsPropagation != "rshared" {
		c.setattr(c.root, mountAttr{propagation: unix.MS_SLAVE}, true, "keep what is mounted below it from the host")
	}
	c.Do(program.CallMoveMount, "make the root file system a mount", program.From(c.root), program.Path(""),
		program.AtCwd, program.Path("."), program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// pivot leaves the host's file systems.
func (c *compiler) pivot() {
	c.at("root.path")
	var old *program.Slot
	word := c.linux().RootfsPropagation
	if word != "" && c.ns.has(unix.CLONE_NEWNS) && !c.req.NoPivot {
		old = c.Do(program.CallOpenat, "open the old root", program.AtCwd, program.Path("/"),
			program.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), program.Int(0)).FD("oldroot")
	}
	c.Do(program.CallFchdir, "go to the new root", program.From(c.root))
	switch {
	case !c.ns.has(unix.CLONE_NEWNS):
		c.Do(program.CallChroot, "make it the root", program.Path("."))
	case c.req.NoPivot:
		// On a ramdisk there is no root to pivot from.
		c.coverProc()
		if c.peers {
			c.mountFlags("/", unix.MS_PRIVATE, "keep the move from the host")
		}
		c.Do(program.CallMount, "move the new root over the old one",
			program.Path("."), program.Path("/"), program.Int(0), program.Uint(unix.MS_MOVE), program.Int(0)).
			Say(unix.EINVAL, "", "the parent of the root file system's mount must not be shared")
		c.Do(program.CallChroot, "make it the root", program.Path("."))
	default:
		c.Do(program.CallPivotRoot, "make it the root, the old one above it", program.Path("."), program.Path(".")).
			Say(unix.EINVAL, "", "on a ramdisk use --no-pivot")
		if old != nil {
			// All words but the default's leave shared mounts somewhere in the old
			// tree, and a umount of them would spread to the host. By the old root's
			// descriptor: mount(2) of "." would be about the new one, only umount2(2)
			// climbs what is stacked there.
			c.Do(program.CallFchdir, "go to the old root", program.From(old))
			c.mountFlags(".", unix.MS_SLAVE|unix.MS_REC, "keep the unmounting from the host")
			c.Do(program.CallClose, "close the old root", program.From(old))
		}
		c.Do(program.CallUmount2, "let go of the old root", program.Path("."), program.Int(unix.MNT_DETACH))
	}
	c.Do(program.CallChdir, "go to /", program.Path("/"))
}

// coverProc covers what the host has of procfs and sysfs. Without pivot_root they
// stay in the mount namespace, below the new root. The container can not walk there;
// but the kernel lets root of a user namespace inside mount a procfs, one without the
// container's masks, where it finds one that nothing covers (mount_too_revealing). A
// cover does it also where unmounting is refused, as of what a user namespace locks.
func (c *compiler) coverProc() {
	const locked = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	for _, p := range c.req.ProcMounts {
		place := c.Do(program.CallOpenat, "open the host's "+p+" to cover it", program.AtCwd, program.Path(p),
			program.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), program.Int(0)).FD("place")
		c.setattr(place, mountAttr{propagation: unix.MS_PRIVATE}, false, "keep the cover from the host")
		cover := c.tmpfs("nr_inodes=1", locked, "the host's "+p)
		c.attachOver(cover, place, p)
		c.Do(program.CallClose, "close the cover", program.From(cover))
		c.Do(program.CallClose, "close the place", program.From(place))
	}
}

// readonlyRoot comes after everything that is made in the root file system. The
// flags that the mount already has stay: a locked one could not be cleared.
func (c *compiler) readonlyRoot() {
	if c.spec.Root == nil || !c.spec.Root.Readonly || !c.ns.has(unix.CLONE_NEWNS) {
		return
	}
	c.at("root.readonly")
	c.setattr(c.root, mountAttr{set: unix.MOUNT_ATTR_RDONLY}, false, "make the root read-only")
}

// mountAttr is what mount_setattr(2) changes.
type mountAttr struct{ set, clr, propagation uint64 }

func (c *compiler) setattr(fd *program.Slot, a mountAttr, recursive bool, why string) program.StepRef {
	return setattr(&c.Builder, fd, a, recursive, why)
}

func setattr(b *program.Builder, fd *program.Slot, a mountAttr, recursive bool, why string) program.StepRef {
	flags := uint64(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return b.Do(program.CallMountSetattr, why, program.From(fd), program.Path(""), program.Uint(flags),
		program.Ptr(program.MountAttr(a.set, a.clr, a.propagation)), program.Int(32))
}

// inRoot opens a path of the container: openat2 with RESOLVE_IN_ROOT, which
// treats the root descriptor as "/" for "..", absolute paths and symlinks, and
// refuses magic links. It is the only way in which a path of the container is
// ever resolved (CVE-2021-30465, CVE-2024-45310).
func (c *compiler) inRoot(p string, flags uint64, why string) program.StepRef {
	return c.Do(program.CallOpenat2, why, program.From(c.root), program.Path(p), program.Ptr(openHow(flags, unix.RESOLVE_IN_ROOT)), program.Int(24))
}

func openHow(flags, resolve uint64) *program.Data {
	return program.OpenHow(flags|unix.O_CLOEXEC, resolve)
}

// makeLast adds the steps that make the last element of a path in its directory.
type makeLast func(b *program.Builder, parent *program.Slot, name string)

// pathSteps adds the steps that make a path below a directory that is open: each
// directory on the way, and the last element. They use fd for those on the way.
func (c *compiler) pathSteps(b *program.Builder, root, fd *program.Slot, p string, last makeLast) {
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	for i, name := range parts {
		if name == "." || name == ".." {
			continue // there always: the kernel walks them, as it will after the repair
		}
		parent, dir := root, strings.Join(parts[:i], "/")
		if i > 0 {
			parent = fd
			b.Do(program.CallOpenat2, "open "+dir, program.From(root), program.Path(dir),
				program.Ptr(openHow(unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_IN_ROOT)), program.Int(24)).Into(fd)
		}
		if i < len(parts)-1 {
			makeDirectory(b, parent, name)
		} else {
			last(b, parent, name)
		}
		if i > 0 {
			b.Do(program.CallClose, "close "+dir, program.From(fd))
		}
	}
}

func makeDirectory(b *program.Builder, parent *program.Slot, name string) {
	b.Do(program.CallMkdirat, "make the directory "+name, program.From(parent), program.Path(name), program.Int(0o755)).Ignore(unix.EEXIST)
}

// makePath is a fixup for a path of the container that is not there, or that is
// a symbolic link to what is not. It sets made, where that is not nil.
func (c *compiler) makePath(p, why string, last makeLast, made *program.Slot) program.Fixup {
	dir := c.Slot("dir")
	phase, json, root := c.Phase, c.JSONPath, c.root
	steps := func(p string) []program.Step {
		b := &program.Builder{Phase: phase, JSONPath: json}
		c.pathSteps(b, root, dir, p, last)
		if made != nil {
			b.Set(made, program.Int(1), "note that it was made")
		}
		return b.Steps()
	}
	return program.Fixup{
		On: []unix.Errno{unix.ENOENT}, Why: why, Steps: steps(p), Then: program.Retry,
		Links: &program.Links{Root: c.root, Dir: dir, Path: p, Steps: steps},
	}
}

// makeDir is the fixup for a missing directory.
func (c *compiler) makeDir(p string) program.Fixup {
	return c.makePath(p, "make the missing directory", makeDirectory, nil)
}
