package libcontainer

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/program"
	"berth/libcontainer/sys"
)

// Process is a child of the calling process in a container: the container's own, of
// whoever created it, or one that joined it.
type Process struct {
	machine *program.Machine
	master  int // the pty's master, -1 until the child has sent it
	exited  bool
	status  int
}

// Pid is the process's pid, 0 when it has been reaped.
func (p *Process) Pid() int {
	if p.exited {
		return 0
	}
	return p.machine.Pid
}

// TakeTerminal hands the master of the process's terminal over to the caller; nil where
// it has none, or it went to a console socket.
func (p *Process) TakeTerminal() *os.File {
	if p.master < 0 {
		return nil
	}
	fd := p.master
	p.master = -1
	_ = unix.SetNonblock(fd, true) // for the runtime's poller
	return os.NewFile(uintptr(fd), "pty")
}

// Signal sends a signal to the process, by its pidfd. It may be called while another
// method is at work.
func (p *Process) Signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(p.machine.PidFD, sig, nil, 0)
	if err == unix.ESRCH {
		return ErrNotRunning
	}
	if err != nil {
		return fault.Wrap("cannot send a signal to the process", err)
	}
	return nil
}

// Wait waits for the end of the process, reaps it and returns its exit status, or 128
// and the number of the signal that ended it.
func (p *Process) Wait(ctx context.Context) (int, error) {
	if p.exited {
		return p.status, nil
	}
	if err := sys.Await(ctx, p.machine.PidFD, unix.POLLIN); err != nil {
		return -1, err
	}
	return p.reap()
}

// reap takes the exit status of a process that has ended.
func (p *Process) reap() (int, error) {
	if p.exited {
		return p.status, nil
	}
	var ws unix.WaitStatus
	if _, err := sys.Retry(func() (int, error) { return unix.Wait4(p.machine.Pid, &ws, 0, nil) }); err != nil {
		return -1, fault.Wrap("cannot learn the exit status of the process", err)
	}
	p.Exited(ws)
	return p.status, nil
}

// Exited tells of the end of the process, for a caller that reaps all its children, as
// a subreaper has to.
func (p *Process) Exited(ws unix.WaitStatus) {
	p.exited, p.status = true, ws.ExitStatus()
	if ws.Signaled() {
		p.status = 128 + int(ws.Signal())
	}
	p.machine.Pid = 0 // another process may get it
}
