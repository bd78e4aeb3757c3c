package libcontainer

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// interruption makes a create end, and undo itself, when the caller is told to
// stop (Runtime.Interrupt). A create that waits does so for its child; so the
// child is killed, and all else follows from its end.
type interruption struct {
	mu    sync.Mutex
	child int // a pidfd of our own, -1 for none
	sig   os.Signal
	done  chan struct{}
}

// watch begins to listen.
func watch(ch <-chan os.Signal) *interruption {
	w := &interruption{child: -1, done: make(chan struct{})}
	go func() {
		select {
		case s := <-ch:
			w.mu.Lock()
			w.sig = s
			w.kill()
			w.mu.Unlock()
		case <-w.done:
		}
	}()
	return w
}

// kill ends the child, if there is one; the lock is held.
func (w *interruption) kill() {
	if w.child >= 0 {
		_ = unix.PidfdSendSignal(w.child, unix.SIGKILL, nil, 0)
	}
}

// follow names the child from now on. The pidfd is copied: its owner may close it
// while a signal comes.
func (w *interruption) follow(pidfd int) {
	if w == nil {
		return
	}
	fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.child >= 0 {
		unix.Close(w.child)
	}
	w.child = fd
	if w.sig != nil {
		w.kill() // the signal came first
	}
}

// err is the interruption, if there was one.
func (w *interruption) err() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sig == nil {
		return nil
	}
	name := w.sig.String()
	if s, ok := w.sig.(unix.Signal); ok && unix.SignalName(s) != "" {
		name = unix.SignalName(s)
	}
	return fault.New("interrupted by " + name)
}

// stop listens no more, and says whether there was an interruption until now.
func (w *interruption) stop() error {
	if w == nil {
		return nil
	}
	err := w.err()
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.done:
	default:
		close(w.done)
	}
	if w.child >= 0 {
		unix.Close(w.child)
		w.child = -1
	}
	return err
}
