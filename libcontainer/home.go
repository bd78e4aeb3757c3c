package libcontainer

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPasswd bounds what is read of a container's /etc/passwd: the file is the
// image's, and may be anything.
const maxPasswd = 1 << 20

// homeOf looks the home directory of uid up in the /etc/passwd of the container
// whose init is pid; empty when there is no entry, or one of more than limit bytes.
// The path is resolved below the container's root, and only a regular file is read.
func homeOf(pid int, uid uint32, limit int) string {
	root, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(root)
	// First without opening it: to open a device does things, to a tape for one.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	path, err := unix.Openat2(root, "etc/passwd", &how)
	for tries := 0; err == unix.EAGAIN && tries < 1000; tries++ {
		// Something on the host was renamed or mounted just now, see openat2(2).
		path, err = unix.Openat2(root, "etc/passwd", &how)
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
	return homeIn(string(buf[:n]), uid, limit)
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
