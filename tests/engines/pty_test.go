package engines

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is a terminal whose other end a command runs on.
type screen struct {
	t      testing.TB
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	text   strings.Builder
	closed chan bool
}

// onTerminal starts a command on a new terminal of 77 columns and 33 rows, as a
// session leader whose controlling terminal it is.
func onTerminal(t testing.TB, c command) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	s := &screen{t: t, master: master, closed: make(chan bool)}
	t.Cleanup(func() {
		if s.cmd != nil && s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = children.wait(s.cmd)
		}
		master.Close()
	})
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if errno != 0 {
		t.Fatal(errno)
	}
	other := os.NewFile(slave, "slave")
	s.resize(77, 33)
	s.cmd = c.cmd()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = other, other, other
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, children.start(s.cmd))
	other.Close()
	go func() {
		defer close(s.closed)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return // EIO: nobody has the other end any more
			}
		}
	}()
	return s
}

func (s *screen) resize(cols, rows uint16) {
	s.t.Helper()
	must(s.t, unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows}))
}

func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// types types a line.
func (s *screen) types(line string) {
	s.t.Helper()
	_, err := s.master.WriteString(line + "\n")
	must(s.t, err)
}

// awaits waits until something is shown.
func (s *screen) awaits(text string) {
	s.t.Helper()
	for end := time.Now().Add(settle); !strings.Contains(s.shown(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			_ = s.cmd.Process.Kill()
			s.t.Fatalf("%q is not shown: %q", text, s.shown())
		}
	}
}

// ends waits for the command and returns its exit code.
func (s *screen) ends() int {
	s.t.Helper()
	hung := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	code := exitCode(s.cmd, children.wait(s.cmd))
	if !hung.Stop() {
		s.t.Fatalf("%v: not done: %q", s.cmd.Args, s.shown())
	}
	return code
}
