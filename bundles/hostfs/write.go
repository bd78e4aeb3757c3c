package hostfs

import (
	"io"
	"os"

	"berth/libcontainer/fault"
	"golang.org/x/sys/unix"
)

// write makes the planned tree in dir.
func (b *builder) write(dir string, owner int) (*Report, error) {
	made, err := emptyDir(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap("can't open "+dir, err)
	}
	defer root.Close()
	if err = b.fill(root, owner); err != nil {
		clearDir(root)
		if made {
			os.Remove(dir)
		}
		return nil, err
	}
	rep := b.rep
	rep.Rootfs = dir
	return &rep, nil
}

// emptyDir makes dir, or finds it empty; made says which.
func emptyDir(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o755)
	if err == nil {
		// Whatever the umask is: a container's root may be another user.
		return true, os.Chmod(dir, 0o755)
	}
	if !os.IsExist(err) {
		return false, fault.Wrap("can't make the root filesystem", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return false, fault.Wrap("can't make the root filesystem", err)
	}
	if len(names) > 0 {
		return false, &fault.Error{Msg: "can't make the root filesystem: " + dir + " is not empty", Errno: unix.ENOTEMPTY}
	}
	return false, nil
}

// clearDir removes all that a failed build left.
func clearDir(root *os.Root) {
	d, err := root.Open(".")
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		root.RemoveAll(n)
	}
}

// fill writes the nodes. The paths hold no link by construction; os.Root makes
// sure of it, so that not even a faulty plan could write outside of dir.
func (b *builder) fill(root *os.Root, owner int) error {
	nodes := b.tree.sorted()
	for _, n := range nodes {
		name := n.path[1:]
		var err error
		switch n.mode & unix.S_IFMT {
		case unix.S_IFDIR:
			err = root.Mkdir(name, 0o700)
		case unix.S_IFLNK:
			err = root.Symlink(n.target, name)
		default:
			err = b.file(root, name, n)
		}
		if err == nil && owner != 0 {
			err = root.Lchown(name, owner, owner)
		}
		if err != nil {
			return fault.Wrap("can't make "+n.path+" in the root filesystem", err)
		}
	}
	// Modes of directories last: one without the write bit could not be filled by a user.
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		if n.mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		mode := os.FileMode(n.mode & 0o777)
		if n.mode&unix.S_ISVTX != 0 {
			mode |= os.ModeSticky
		}
		if err := root.Chmod(n.path[1:], mode); err != nil {
			return fault.Wrap("can't make "+n.path+" in the root filesystem", err)
		}
	}
	if owner != 0 {
		return root.Lchown(".", owner, owner)
	}
	return nil
}

// file writes one file: a copy, never a hard link, so that the container can't
// reach the host's file whatever it does to its own.
func (b *builder) file(root *os.Root, name string, n *node) error {
	dst, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if n.from == nil {
		_, err = dst.WriteString(n.content)
	} else {
		err = b.copy(dst, n)
	}
	if err == nil {
		err = dst.Chmod(os.FileMode(n.mode & 0o777))
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	return err
}

// copy copies a file of the host that must still be the one that was planned
// with, else its libraries were those of another program.
func (b *builder) copy(dst *os.File, n *node) error {
	src, err := b.host.open(n.path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := unchanged(src, n); err != nil {
		return err
	}
	// A clone shares the blocks until one side writes: btrfs, XFS, bcachefs.
	// Elsewhere io.Copy uses copy_file_range(2).
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
		if _, err := io.Copy(dst, src); err != nil {
			return err
		}
	}
	return unchanged(src, n)
}

func unchanged(src *os.File, n *node) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if stampOf(&st) != n.from.stamp {
		return &fault.Error{Msg: n.path + " changed while it was copied", Hint: "a package is being installed? try again"}
	}
	return nil
}
