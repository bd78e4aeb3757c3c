package libcontainer

import (
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/fault"
)

// openJoins opens the namespaces that a config names by path, for the child to be
// born with: what was looked at here is what it joins, whoever swaps the path.
func openJoins(joins []compile.Join) (fds []int, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
			fds = nil
		}
	}()
	for i := range joins {
		j := &joins[i]
		fd, err := openNamespace(j.File)
		if err != nil {
			return fds, &fault.Error{
				Msg: "cannot open the " + j.Word + " namespace to join", JSONPath: j.JSONPath, Call: "open " + j.File, Err: err,
			}
		}
		fds = append(fds, fd)
		if typ, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || uintptr(typ) != j.Type {
			return fds, &fault.Error{
				Msg: "cannot join the " + j.Word + " namespace", JSONPath: j.JSONPath, Errno: unix.EINVAL,
				Hint: j.File + " is not a " + j.Word + " namespace",
			}
		}
		if err := notOurs(j, fd); err != nil {
			return fds, err
		}
	}
	return fds, nil
}

// openNamespace opens a file of nsfs. It is looked at first: to open a FIFO may
// hang, and to open a device may do things.
func openNamespace(file string) (int, error) {
	path, err := unix.Open(file, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(path)
	var st unix.Statfs_t
	if err := unix.Fstatfs(path, &st); err != nil {
		return -1, err
	}
	if st.Type != unix.NSFS_MAGIC {
		return -1, unix.EINVAL
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// notOurs refuses two namespaces of the runtime's own: in its mount namespace
// pivot_root would turn the host over, and its user namespace a process can not
// join again (setns(2)).
func notOurs(j *compile.Join, fd int) error {
	var msg string
	var own string
	switch j.Type {
	case unix.CLONE_NEWNS:
		own, msg = "mnt", "the mount namespace to join is the runtime's own: pivot_root would turn the host over"
	case unix.CLONE_NEWUSER:
		own, msg = "user", "the user namespace to join is the runtime's own, which cannot be joined again"
	default:
		return nil
	}
	var a, b unix.Stat_t
	if unix.Stat("/proc/self/ns/"+own, &a) != nil || unix.Fstat(fd, &b) != nil || a.Dev != b.Dev || a.Ino != b.Ino {
		return nil
	}
	return fault.At(j.JSONPath, msg)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
