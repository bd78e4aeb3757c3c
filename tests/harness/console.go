package harness

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// ConsoleSink listens on a console socket and drops the terminals that come.
func ConsoleSink(t testing.TB) string {
	t.Helper()
	return console(t, func(fd int) { unix.Close(fd) })
}

// Console listens on a console socket and gives each terminal that comes to the
// channel; the receiver closes it.
func Console(t testing.TB) (path string, masters <-chan *os.File) {
	t.Helper()
	ch := make(chan *os.File, 16)
	return console(t, func(fd int) { ch <- os.NewFile(uintptr(fd), "master") }), ch
}

func console(t testing.TB, take func(fd int)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bt-con-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			receive(c.(*net.UnixConn), take)
		}
	}()
	return path
}

func receive(c *net.UnixConn, take func(fd int)) {
	defer c.Close()
	buf, oob := make([]byte, 512), make([]byte, 128)
	for {
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 && oobn == 0 {
			return
		}
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return
		}
		for i := range msgs {
			fds, err := unix.ParseUnixRights(&msgs[i])
			if err != nil {
				continue
			}
			for _, fd := range fds {
				take(fd)
			}
		}
	}
}
