package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/unixsocket"
)

func TestFit(t *testing.T) {
	for in, want := range map[string]struct {
		words string
		ready bool
	}{
		"READY=1":                            {"READY=1\n", true},
		"READY=1\nSTATUS=up\nMAINPID=7\n":    {"READY=1\nSTATUS=up\n", true},
		"STATUS=on its way":                  {"STATUS=on its way\n", false},
		"EXTEND_TIMEOUT_USEC=5\nREADY=0":     {"EXTEND_TIMEOUT_USEC=5\nREADY=0\n", false},
		"MAINPID=1":                          {"", false},
		"BARRIER=1":                          {"", false},
		"FDSTORE=1\nFDNAME=x\nSTATUS=stored": {"STATUS=stored\n", false},
		"":                                   {"", false},
		"no word\n\n":                        {"", false},
	} {
		if words, ready := fit(in); words != want.words || ready != want.ready {
			t.Errorf("%q: %q, %v", in, words, ready)
		}
	}
}

// host is a socket that keeps what comes, and answers barriers when asked to.
type host struct {
	path string
	fd   int
}

func newHost(t *testing.T, path string) *host {
	t.Helper()
	var fd int
	var err error
	if path[0] == '@' {
		if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		}
	} else {
		fd, err = unixsocket.Bind(path, unix.SOCK_DGRAM)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &host{path, fd}
}

// next is the next message; a descriptor that comes with it is returned open.
func (h *host) next(t *testing.T) (string, int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 10000); n != 1 {
		t.Fatalf("no message: %v", err)
	}
	buf, oob := make([]byte, 4096), make([]byte, 64)
	n, oobn, _, _, err := unix.Recvmsg(h.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(msgs) == 1 {
		if rights, err := unix.ParseUnixRights(&msgs[0]); err == nil && len(rights) == 1 {
			fd = rights[0]
		}
	}
	return string(buf[:n]), fd
}

// say is what a container does.
func say(t *testing.T, dir, words string) {
	t.Helper()
	fd, err := unixsocket.Connect(filepath.Join(dir, Name), unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(words)); err != nil {
		t.Fatal(err)
	}
}

// process is a pidfd of this test, which lives as long as is needed.
func process(t *testing.T) int {
	t.Helper()
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestReady(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 150))
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(deep, "host"), "@berth-notify-test-" + filepath.Base(t.TempDir())} {
		dir := t.TempDir()
		h := newHost(t, path)
		p, err := Listen(dir, h.path)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		done := make(chan error, 1)
		self := process(t)
		go func() { done <- p.Ready(self, 4242) }()
		say(t, dir, "STATUS=soon")
		say(t, dir, "MAINPID=1")
		say(t, dir, "READY=1\nMAINPID=1")
		for _, want := range []string{"STATUS=soon\n", "READY=1\n", "MAINPID=4242\n"} {
			if got, _ := h.next(t); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		got, pipe := h.next(t)
		if got != "BARRIER=1" || pipe < 0 {
			t.Fatalf("%q with descriptor %d", got, pipe)
		}
		select {
		case err := <-done:
			t.Errorf("did not wait for the answer: %v", err)
		case <-time.After(30 * time.Millisecond):
		}
		unix.Close(pipe)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A process that ends without a word is waited for no longer.
func TestProcessEnds(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, filepath.Join(dir, "host"))
	p, err := Listen(dir, h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	child, err := os.StartProcess("/bin/sleep", []string{"sleep", "0.05"}, &os.ProcAttr{})
	if err != nil {
		t.Skip(err)
	}
	pidfd, err := unix.PidfdOpen(child.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	say(t, dir, "STATUS=last words")
	if err := p.Ready(pidfd, 1); err != nil {
		t.Error(err)
	}
	if got, _ := h.next(t); got != "STATUS=last words\n" {
		t.Errorf("%q", got)
	}
	_, _ = child.Wait()
}

func TestNobodyListens(t *testing.T) {
	dir := t.TempDir()
	p, err := Listen(dir, filepath.Join(dir, "absent"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	say(t, dir, "READY=1")
	if err := p.Ready(process(t), 1); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("%v", err)
	}
	if _, err := Listen(filepath.Join(dir, "no", "dir"), "x"); err == nil {
		t.Error("listens in a directory that is not there")
	}
}
