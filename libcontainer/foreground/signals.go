package foreground

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/console"
	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// forwarder passes the runtime's signals on to the container's process while it
// runs in the foreground.
type forwarder struct {
	ch  chan os.Signal
	all chan struct{} // closed when all signals are caught
}

// newForwarder catches signals from now on: those that people and engines send at
// once, the others while the container is made, since to catch one costs two
// hand-overs between threads, and there are sixty of them. They are never let go:
// the caller's process ends with the container.
func newForwarder() *forwarder {
	f := &forwarder{ch: make(chan os.Signal, 128), all: make(chan struct{})}
	signal.Notify(f.ch, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	go func() {
		signal.Notify(f.ch, forwarded()...)
		close(f.all)
	}()
	return f
}

// forwarded are all signals but two. In the background of a shell SIGTTIN and
// SIGTTOU have to stop us: where they are caught the kernel makes the read or ioctl
// again that the terminal refused, and sends the next one, for ever. To catch them
// and let them go would not do, package os/signal leaves its handler there.
func forwarded() []os.Signal {
	const last = 64 // SIGRTMAX
	all := make([]os.Signal, 0, last)
	for s := unix.Signal(1); s <= last; s++ {
		if s != unix.SIGTTIN && s != unix.SIGTTOU {
			all = append(all, s)
		}
	}
	return all
}

// ready waits until no signal can be lost any more.
func (f *forwarder) ready() { <-f.all }

// wait forwards and reaps until the process ends.
func (f *forwarder) wait(p *libcontainer.Process, term *console.Terminal) (int, error) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		f.loop(p, term, done)
	}()
	defer func() { close(done); <-ended }()
	pid := p.Pid()
	for {
		var ws unix.WaitStatus
		got, err := sys.Retry(func() (int, error) { return unix.Wait4(-1, &ws, 0, nil) })
		switch {
		case err != nil:
			return -1, fault.Wrap("cannot learn the exit status of the container's process", err)
		case got == pid && (ws.Exited() || ws.Signaled()):
			// Any other is an orphan of the container, reaped as its subreaper.
			p.Exited(ws)
			return p.Wait(context.Background())
		}
	}
}

func (f *forwarder) loop(p *libcontainer.Process, term *console.Terminal, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case s := <-f.ch:
			switch s {
			case unix.SIGCHLD, unix.SIGURG:
				// SIGURG is the Go scheduler's own, SIGCHLD about our children.
			case unix.SIGPIPE:
			case unix.SIGWINCH:
				term.Resize()
			default:
				if n, ok := s.(unix.Signal); ok {
					_ = p.Signal(n)
				}
			}
		}
	}
}
