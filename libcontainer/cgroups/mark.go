package cgroups

import (
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// A container owns its cgroup when the cgroup carries its mark, an extended
// attribute. To set it where there is none (XATTR_CREATE) is atomic, so it decides
// between all that want the cgroup at the same time: two creates, and the delete of
// one that was killed. It lives and goes with the cgroup, is seen by runtimes with
// any state directory, and needs no lock that a user could hold for ever, as flock(2)
// on a directory that everybody can open would.
//
// The sticky bit says that a runtime of ours made the directory. It is set by mkdir(2)
// itself, so no crash can come between the making and it. What has it is removed by
// the last one to leave; what lacks it was there before, and stays. On a cgroup the
// bit has no other effect: only its owner and root may remove what is in it anyway.
//
// Linux has user.* attributes on cgroups since 5.7, and trusted.* always. Only with
// rights that a container does not have can trusted.* be written: else one that is
// given its own cgroup could disown it, and delete would leave it running.
const (
	trustedMark = "trusted.berth.container"
	userMark    = "user.berth.container"
)

// dirMode is the mode of what we make, see above.
const dirMode = 0o755 | unix.S_ISVTX

// ours says whether one of our runtimes made the directory name in dir.
func ours(dir int, name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	return st.Mode&unix.S_ISVTX != 0, nil
}

// claim marks the cgroup at fd. It answers EEXIST when another container's mark is
// there.
func claim(fd int, mark string) error {
	err := unix.Fsetxattr(fd, trustedMark, []byte(mark), unix.XATTR_CREATE)
	if err == unix.EPERM {
		err = unix.Fsetxattr(fd, userMark, []byte(mark), unix.XATTR_CREATE)
	}
	if err != unix.EEXIST {
		return err
	}
	if now, rerr := markOf(fd); rerr == nil && now == mark {
		return nil
	}
	return err
}

// disclaim takes the mark away again.
func disclaim(fd int) error {
	err := unix.Fremovexattr(fd, trustedMark)
	if err == unix.EPERM || err == unix.ENODATA {
		err = unix.Fremovexattr(fd, userMark)
	}
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// markOf reads the mark of the cgroup at fd; empty when it has none.
func markOf(fd int) (string, error) {
	return readMark(func(name string, buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
}

// markAt reads the mark of the cgroup at path.
func markAt(path string) (string, error) {
	return readMark(func(name string, buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
}

func readMark(get func(name string, buf []byte) (int, error)) (string, error) {
	buf := make([]byte, unix.PathMax)
	for _, name := range [...]string{trustedMark, userMark} {
		n, err := sys.Retry(func() (int, error) { return get(name, buf) })
		switch err {
		case nil:
			return string(buf[:n]), nil
		case unix.ENODATA, unix.EOPNOTSUPP:
		default:
			return "", err
		}
	}
	return "", nil
}

// owned is the error for a cgroup that is another container's.
func owned(fd int, dir string) error {
	e := &fault.Error{
		Msg: "container's cgroup is not empty: it is another container's", JSONPath: "linux.cgroupsPath", Call: dir, Errno: unix.EEXIST,
		Hint: "it is being made or removed at this moment",
	}
	if mark, err := markOf(fd); err == nil && mark != "" {
		at, _, _ := strings.Cut(mark, "@")
		e.Hint = "the container's state is in " + at + "; if that is gone, remove the cgroup with rmdir"
	}
	return e
}
