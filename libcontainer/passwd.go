package libcontainer

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// maxPasswd bounds what is read of a container's /etc/passwd: the file is the
// image's, and may be anything.
const maxPasswd = 1 << 20

// filePatience bounds the wait for a file of the container. It may lie on a file
// system whose server is gone, and no timeout of ours reaches into open(2).
const filePatience = 2 * time.Second

// homeOf looks the home directory of uid up in the /etc/passwd of the container
// whose init is pid; empty when there is no entry, or one of more than limit bytes.
func homeOf(pid int, uid uint32, limit int) (string, error) {
	text, err := containerFile(pid, "etc/passwd")
	return homeIn(text, uid, limit), err
}

// containerFile reads a small file of the container whose init is pid; empty when
// there is none. Where the file system does not answer that is an error, and the
// thread that asks it is left behind until it does, or until the runtime ends.
func containerFile(pid int, name string) (string, error) {
	found := make(chan string, 1)
	go func() { found <- readContainerFile(pid, name) }()
	timer := time.NewTimer(filePatience)
	defer timer.Stop()
	select {
	case text := <-found:
		return text, nil
	case <-timer.C:
		return "", &fault.Error{Msg: "the file system of the container's /" + name + " does not answer", Errno: unix.ETIMEDOUT}
	}
}

// readContainerFile resolves the path below the container's root, and reads only a
// regular file.
func readContainerFile(pid int, name string) string {
	root, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(root)
	// First without opening it: to open a device does things, to a tape for one.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	path, err := unix.Openat2(root, name, &how)
	for tries := 0; err == unix.EAGAIN && tries < 1000; tries++ {
		// Something on the host was renamed or mounted just now, see openat2(2).
		path, err = unix.Openat2(root, name, &how)
	}
	if err != nil {
		return ""
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if unix.Fstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxPasswd {
		return ""
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(path), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	buf := make([]byte, st.Size)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// homeIn finds uid in the text of a passwd file (passwd(5)).
func homeIn(passwd string, uid uint32, limit int) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range strings.SplitSeq(passwd, "\n") {
		f := strings.Split(line, ":")
		if len(f) >= 6 && f[2] == want && len(f[5]) <= limit && strings.HasPrefix(f[5], "/") {
			return f[5]
		}
	}
	return ""
}
