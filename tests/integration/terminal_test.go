package integration

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// terminal asks for one, of the given size if any.
func terminal(size ...uint) change {
	return process(func(p *specs.Process) {
		p.Terminal = true
		if len(size) == 2 {
			p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
		}
	})
}

// consoleSocket listens as an engine does, and hands over the pty's master.
type consoleSocket struct {
	path string
	l    *net.UnixListener
}

func newConsoleSocket(t *testing.T) *consoleSocket {
	t.Helper()
	// A short path: the kernel takes 107 bytes.
	dir, err := os.MkdirTemp("", "btc")
	if err != nil {
		t.Fatal(err)
	}
	s := &consoleSocket{path: filepath.Join(dir, "s")}
	if s.l, err = net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.l.Close()
		os.RemoveAll(dir)
	})
	return s
}

// master waits for the descriptor; it checks that just one comes, and the end of
// the connection behind it.
func (s *consoleSocket) master(t *testing.T) *os.File {
	t.Helper()
	_ = s.l.SetDeadline(time.Now().Add(patience))
	c, err := s.l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d messages with %q (%v)", len(msgs), buf[:n], err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors (%v)", len(fds), err)
	}
	if n == 0 {
		t.Error("the message has no payload: some engines want one")
	}
	if n, err := c.Read(buf); n != 0 || err == nil {
		t.Errorf("more on the console socket: %q", buf[:n])
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "master")
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll reads a pty until its other end is closed, or the text that ends it.
func readAll(t *testing.T, f *os.File, until string) string {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(patience))
	var out bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		out.Write(buf[:n])
		if until != "" && strings.Contains(out.String(), until) {
			return out.String()
		}
		if err != nil {
			if os.IsTimeout(err) || until != "" {
				t.Fatalf("waited in vain for %q: %v\n%s", until, err, out.String())
			}
			return out.String()
		}
	}
}

const lookAtTerminal = `tty; for fd in 0 1 2; do [ -t $fd ] && echo fd $fd is one; done; stty size
	stat -c '%F %t:%T %a' /dev/console; echo through > /dev/console; echo to the controlling one > /dev/tty
	cut -d' ' -f6,7 /proc/self/stat; ls -l /proc/self/fd/0 | sed 's/.*-> //'`

// rows: PRO-2 PRO-4 FS-11 LIF-7
func TestConsoleSocket(t *testing.T) {
	for _, user := range []bool{false, true} {
		c := on(terminal(33, 99), harness.Shell(lookAtTerminal))
		name := "as root"
		if user {
			name = "in a user namespace"
			c = append(c, harness.UserNamespace, uid(1000), func(s *specs.Spec) { s.Linux.GIDMappings[0].ContainerID = 0 })
		}
		t.Run(name, func(t *testing.T) {
			s := newConsoleSocket(t)
			ct := newContainer(t, c...)
			done := make(chan *os.File, 1)
			go func() { done <- s.master(t) }()
			ct.create("--console-socket", s.path)
			m := <-done
			ct.Must("start", ct.id)
			out := strings.ReplaceAll(readAll(t, m, ""), "\r\n", "\n")
			for _, want := range []string{
				"/dev/pts/0\n", "fd 0 is one\nfd 1 is one\nfd 2 is one\n", "33 99\n", "character special file 88:0",
				"through\n", "to the controlling one\n", "1 34816\n", "/dev/pts/0\n",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
			ct.awaitStatus("stopped")
		})
	}
}

// rows: PRO-2
func TestConsoleSocketBySignalsAndInput(t *testing.T) {
	s := newConsoleSocket(t)
	c := newContainer(t, terminal(), harness.Shell("trap 'echo got winch; stty size' WINCH; trap 'echo got int; exit 3' INT; echo ready; while :; do usleep 5000; done"))
	done := make(chan *os.File, 1)
	go func() { done <- s.master(t) }()
	c.detached("--console-socket", s.path)
	m := <-done
	readAll(t, m, "ready")
	if err := setWinsize(m, 11, 22); err != nil {
		t.Fatal(err)
	}
	readAll(t, m, "11 22")
	// ^C at the master is SIGINT for the foreground process group, that is for
	// whoever has the controlling terminal.
	if _, err := m.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	readAll(t, m, "got int")
	c.awaitStatus("stopped")
}

func setWinsize(f *os.File, rows, cols uint16) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// rows: PRO-2
func TestTerminalErrors(t *testing.T) {
	c := newContainer(t, terminal())
	c.fails("cannot allocate tty if [a-z]* will detach without setting console socket", "create", "--bundle", c.bundle, c.id)
	c.fails("cannot allocate tty if [a-z]* will detach without setting console socket", "run", "-d", "--bundle", c.bundle, c.id)
	c.fails("cannot use console socket if [a-z]* will not detach or allocate tty", "run", "--console-socket", "/nonexistent", "--bundle", c.bundle, c.id)
	c.fails("/nonexistent/socket.*no such file or directory|no such file or directory", "create", "--console-socket", "/nonexistent/socket", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
	if harness.Berth() {
		c.fails("cannot allocate tty if berth will detach", "create", "--bundle", c.bundle, c.id)
	}
	plain := newContainer(t)
	plain.fails("cannot use console socket if [a-z]* will not detach or allocate tty", "create", "--console-socket", "/nonexistent", "--bundle", plain.bundle, plain.id)
	one(t, scenario{name: "consoleSize", rows: "PRO-4", change: on(terminal(70000, 1)), code: 1, err: "65535", old: "not checked"})
	one(t, scenario{name: "no devpts", change: on(terminal(), func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev/pts") }), code: 1, err: "/dev/pts|ptmx", old: "wants a terminal outside first"})
}

// CVE-2025-52565: what the image has at /dev/console must not be followed.
//
// rows: FS-11
func TestConsoleIsNoLink(t *testing.T) {
	s := newConsoleSocket(t)
	go func() {
		if c, err := s.l.Accept(); err == nil {
			c.Close()
		}
	}()
	c := newContainer(t, terminal(), func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev") })
	symlink("/etc/passwd", "dev/console")(t, c.bundle)
	res := c.Do("create", "--console-socket", s.path, "--bundle", c.bundle, c.id)
	if res.Code == 0 {
		t.Error("a symbolic link at /dev/console was accepted")
	}
	c.NothingLeft(c.id)
}

// pty is a terminal of the test, as a person's.
type pty struct{ master, slave *os.File }

func newPTY(t *testing.T) *pty {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{master: m}
	conn, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var slave int
	var errno unix.Errno
	_ = conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, _, e := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
			slave, errno = int(n), e
		}
	})
	if err != nil || errno != 0 {
		t.Fatal(err, errno)
	}
	p.slave = os.NewFile(uintptr(slave), "slave")
	t.Cleanup(func() {
		p.slave.Close()
		p.master.Close()
	})
	return p
}

func (p *pty) mode(t *testing.T) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// run starts the runtime on the pty, in a session of its own as a shell would.
func (p *pty) run(t *testing.T, c *container) (*exec.Cmd, *screen) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := c.Command(ctx, "run", "--bundle", c.bundle, c.id)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &screen{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := p.master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return cmd, s
}

// screen is what was printed.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// rows: PRO-2 PRO-4
func TestTerminalInTheForeground(t *testing.T) {
	const script = `trap 'stty size' WINCH; tty; stty size; echo ready
		while :; do read -t 1 line && break; done; echo "read $line"; exit 7`
	p := newPTY(t)
	if err := setWinsize(p.master, 20, 70); err != nil {
		t.Fatal(err)
	}
	before := p.mode(t)
	c := newContainer(t, terminal(), harness.Shell(script))
	cmd, screen := p.run(t, c)
	await(t, "the container to be ready", func() bool { return screen.has("ready") })
	if !screen.has("/dev/pts/0") || !screen.has("20 70") {
		t.Errorf("the screen shows\n%s", screen.text.String())
	}
	if m := p.mode(t); m.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Errorf("the caller's terminal is not raw: %x", m.Lflag)
	}
	if err := setWinsize(p.master, 30, 90); err != nil {
		t.Fatal(err)
	}
	await(t, "the new size in the container", func() bool { return screen.has("30 90") })
	if _, err := p.master.Write([]byte("words\r")); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
	await(t, "the last words", func() bool { return screen.has("read words") })
	if after := p.mode(t); after != before {
		t.Errorf("the terminal is not as it was:\n%+v\n%+v", before, after)
	}
}

// rows: PRO-2
func TestTerminalIsRestored(t *testing.T) {
	for _, s := range []struct {
		name string
		end  func(c *container, cmd *exec.Cmd)
		code int
	}{
		{"container killed", func(c *container, _ *exec.Cmd) { c.Must("kill", c.id, "KILL") }, 137},
		{"container deleted", func(c *container, _ *exec.Cmd) { c.Must("delete", "--force", c.id) }, 137},
		{"SIGTERM", func(_ *container, cmd *exec.Cmd) { _ = cmd.Process.Signal(unix.SIGTERM) }, 9},
		{"SIGHUP", func(_ *container, cmd *exec.Cmd) { _ = cmd.Process.Signal(unix.SIGHUP) }, 9},
	} {
		t.Run(s.name, func(t *testing.T) {
			p := newPTY(t)
			before := p.mode(t)
			c := newContainer(t, terminal(), harness.Shell("trap 'exit 9' TERM HUP; echo ready; while :; do usleep 5000; done"))
			cmd, screen := p.run(t, c)
			await(t, "the container to be ready", func() bool { return screen.has("ready") })
			s.end(c, cmd)
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != s.code {
				t.Errorf("exit status %d, want %d\n%s", got, s.code, screen.text.String())
			}
			if after := p.mode(t); after != before {
				t.Errorf("the terminal is not as it was:\n%+v\n%+v", before, after)
			}
		})
	}
	t.Run("error at start", func(t *testing.T) {
		p := newPTY(t)
		before := p.mode(t)
		c := newContainer(t, terminal(), harness.Args("/nosuch"))
		cmd, screen := p.run(t, c)
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 1 {
			t.Errorf("exit status %d, want 1\n%s", got, screen.text.String())
		}
		if after := p.mode(t); after != before {
			t.Errorf("the terminal is not as it was:\n%+v\n%+v", before, after)
		}
	})
}

// With a terminal in the config and none outside, what is printed still comes out.
//
// rows: PRO-2
func TestTerminalWithoutOneOutside(t *testing.T) {
	skipOld(t, "wants a terminal outside")
	c := newContainer(t, terminal(), harness.Shell("[ -t 1 ] && echo inside; seq 2000 | tail -1; seq 2000"))
	res := c.Via(shell(`"$@" </dev/null | tail -n 1`), "run", "--bundle", c.bundle, c.id)
	if strings.TrimSpace(res.Stdout) != "2000" {
		t.Errorf("the last line is %q, want all of the output\n%s", res.Stdout, res.Stderr)
	}
}

// Whoever reads the output of a foreground container gets the lines as they were
// printed: what a terminal makes of LF is for a terminal.
//
// rows: PRO-2
func TestTerminalLeavesLineEnds(t *testing.T) {
	skipOld(t, "wants a terminal outside")
	c := newContainer(t, terminal(), harness.Shell("printf 'one\\ntwo\\n'"))
	if res := c.Via(shell(`"$@" </dev/null | cat`), "run", "--bundle", c.bundle, c.id); res.Stdout != "one\ntwo\n" {
		t.Errorf("%q\n%s", res.Stdout, res.Stderr)
	}
}

// At a terminal a line still begins at its left edge.
//
// rows: PRO-2
func TestTerminalOutsideStillEndsLines(t *testing.T) {
	p := newPTY(t)
	c := newContainer(t, terminal(), harness.Shell("printf 'one\\ntwo\\n'"))
	cmd, screen := p.run(t, c)
	_ = cmd.Wait()
	await(t, "the output", func() bool { return screen.has("two") })
	if !screen.has("one\r\ntwo\r\n") {
		t.Errorf("%q", screen.text.String())
	}
}

// The kernel's address of a socket has room for 108 bytes; a path has more.
//
// rows: PRO-2
func TestConsoleSocketFarDown(t *testing.T) {
	skipOld(t, "cannot connect")
	socket, masters := harness.Console(t)
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 200))
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	far := filepath.Join(deep, "socket")
	if err := os.Symlink(socket, far); err != nil {
		t.Fatal(err)
	}
	c := newContainer(t, terminal(), harness.Shell("echo here; sleep 1000"))
	c.detached("--console-socket", far)
	m := <-masters
	defer m.Close()
	readAll(t, m, "here")
	c.fails("connect "+far+".*: no such file or directory", "create", "--console-socket", far+"er", "--bundle", c.bundle, c.id+"-2")
}

// A pidfd of the first process goes to whoever listens on that socket.
func TestPidFDSocket(t *testing.T) {
	skipOld(t, "came with 1.2")
	for _, way := range []string{"create", "run --detach"} {
		t.Run(way, func(t *testing.T) {
			socket, fds := harness.Console(t)
			c := newContainer(t, harness.Args("/bin/sleep", "1000"))
			c.Must(append(strings.Fields(way), "--pidfd-socket", socket, "--bundle", c.bundle, c.id)...)
			f := <-fds
			defer f.Close()
			info := harness.ReadFile(t, "/proc/self/fdinfo/"+strconv.Itoa(int(f.Fd())))
			if want := "Pid:\t" + strconv.Itoa(c.State(c.id).Pid) + "\n"; !strings.Contains(info, want) {
				t.Errorf("%q is not in\n%s", want, info)
			}
			if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
				t.Fatal(err)
			}
			c.awaitStatus("stopped")
		})
	}
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.fails("cannot reach the pidfd socket: connect /nosuch: no such file", "create", "--pidfd-socket", "/nosuch", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
}

// What an image calls /dev/pts/ptmx is not opened to see what it is: that may
// start a tape, or a process that waits at a FIFO.
//
// rows: PRO-2
func TestTerminalOfTheImage(t *testing.T) {
	skipOld(t, "wants a terminal outside")
	noPts := func(s *specs.Spec) { s.Mounts = without(without(s.Mounts, "/dev/pts"), "/dev") }
	c := newContainer(t, terminal(), noPts)
	fifo := filepath.Join(c.bundle, "rootfs/dev/pts/ptmx")
	if err := os.MkdirAll(filepath.Dir(fifo), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		if f, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil {
			f.Close()
		}
	}()
	time.Sleep(20 * time.Millisecond)
	c.fails("/dev/pts is no devpts", "run", "--bundle", c.bundle, c.id)
	select {
	case <-opened:
		t.Error("the FIFO was opened")
	default:
	}
	f, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0) // lets the other one go
	if err != nil {
		t.Fatal(err)
	}
	<-opened
	f.Close()

	one(t, scenario{
		name: "bound devpts", rows: "PRO-2",
		change: on(terminal(), noPts, harness.Shell("tty"), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev/pts", Type: "bind", Source: "/dev/pts", Options: []string{"bind"}})
		}), match: []string{"^/dev/pts/[0-9]+"},
	})
}
