// Package console deals with the runtime's end of a container's terminal: the
// pty's master goes to whoever listens on the console socket, or, in the
// foreground, is joined to the caller's own terminal.
package console

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"berth/libcontainer/fault"
	"berth/libcontainer/unixsocket"
)

// Send hands a pty's master to the process that listens on a unix socket: one
// message with the descriptor, its name as payload, as engines expect it.
func Send(socket string, master int) error {
	return sendFD(socket, master, "/dev/ptmx", "console socket", "terminal")
}

// SendPidFD hands a process's pidfd to the process that listens on a unix socket;
// the payload tells an init from a process that joins.
func SendPidFD(socket string, pidfd int, payload string) error {
	return sendFD(socket, pidfd, payload, "pidfd socket", "pidfd")
}

func sendFD(socket string, fd int, payload, name, what string) error {
	conn, err := unixsocket.Connect(socket, unix.SOCK_STREAM)
	if err != nil {
		return &fault.Error{Msg: "cannot reach the " + name, Call: "connect " + socket, Err: err}
	}
	defer unix.Close(conn)
	if err := unix.Sendmsg(conn, []byte(payload), unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL); err != nil {
		return &fault.Error{Msg: "cannot send the " + what + " to the " + name, Call: "sendmsg " + socket, Err: err}
	}
	return nil
}

// Terminal joins a pty's master to the caller's terminal. A nil one is none.
type Terminal struct {
	master *os.File
	in     *os.File
	saved  *term.State // nil where the input is no terminal
	output chan struct{}
	once   sync.Once
}

// Foreground joins master, which it takes over, to an input and an output: the
// caller's terminal becomes raw, what is typed goes to the container, what it prints
// comes out. Close puts everything back.
func Foreground(master, in, out *os.File) (*Terminal, error) {
	t := &Terminal{master: master, in: in, output: make(chan struct{})}
	// Whoever reads the output gets what was printed: a line ends in LF. Where a
	// terminal stands at the end of it, that one makes CR LF of it (makeRaw).
	if err := t.control(func(fd int) error { return setOutputFlags(fd, 0, unix.ONLCR) }); err != nil {
		t.master.Close()
		return nil, &fault.Error{Msg: "cannot use the container's terminal", Call: "ioctl(TCSETS)", Err: err}
	}
	if fd := int(in.Fd()); term.IsTerminal(fd) {
		saved, err := term.MakeRaw(fd)
		if err == nil {
			t.saved = saved
			// Raw mode is about input; output is still for a terminal.
			err = setOutputFlags(fd, unix.OPOST, 0)
		}
		if err != nil {
			t.restore()
			t.master.Close()
			return nil, fault.Wrap("cannot make the terminal raw", err)
		}
	}
	t.Resize()
	go func() {
		defer close(t.output)
		// EIO is how a pty says that its other end is closed.
		_, _ = io.Copy(out, t.master)
	}()
	go func() { _, _ = io.Copy(t.master, in) }()
	return t, nil
}

// control calls f with the pty's descriptor, and leaves it to the runtime's poller.
func (t *Terminal) control(f func(fd int) error) error {
	conn, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// Resize gives the pty the size of the caller's terminal.
func (t *Terminal) Resize() {
	if t == nil {
		return
	}
	ws, err := unix.IoctlGetWinsize(int(t.in.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	_ = t.control(func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, ws) })
}

// drain bounds the wait for output after the container's process has ended: a
// process that it left behind may hold the terminal open for ever.
const drain = time.Second

// Close waits for what the container has still printed, and restores the
// caller's terminal. Later calls do nothing.
func (t *Terminal) Close() {
	if t == nil {
		return
	}
	t.once.Do(func() {
		select {
		case <-t.output:
		case <-time.After(drain):
		}
		t.master.Close()
		t.restore()
	})
}

func (t *Terminal) restore() {
	if t.saved != nil {
		_ = term.Restore(int(t.in.Fd()), t.saved)
	}
}

// setOutputFlags sets and clears output modes of a terminal (termios(3)). On a
// pty's master they are those of its other end.
func setOutputFlags(fd int, set, clr uint32) error {
	tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	tio.Oflag = tio.Oflag&^clr | set
	return unix.IoctlSetTermios(fd, unix.TCSETS, tio)
}
