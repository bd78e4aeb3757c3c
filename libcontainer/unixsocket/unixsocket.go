// Package unixsocket connects and binds unix sockets by paths of any length. The
// kernel's address has room for 108 bytes (unix(7)), and engines keep their sockets
// deep below. Package net, which could not do it either, is dear at start.
package unixsocket

import (
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/sys"
)

// most is how many bytes of a path fit into an address, with its NUL.
const most = len(unix.RawSockaddrUnix{}.Path) - 1

// Connect makes a socket of that type (SOCK_STREAM, SOCK_DGRAM) and connects it.
// A name that begins with @ is in the abstract namespace. The errors are errnos.
func Connect(path string, typ int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	name := path
	if len(name) > most && name[0] != '@' {
		file, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		defer unix.Close(file)
		name = self(file)
	}
	if _, err = sys.Retry(func() (int, error) { return 0, unix.Connect(fd, &unix.SockaddrUnix{Name: name}) }); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Bind makes a socket of that type at a path where there is none yet.
func Bind(path string, typ int) (fd int, err error) {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err = unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: self(dir) + "/" + filepath.Base(path)}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func self(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
