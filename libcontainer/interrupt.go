package libcontainer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/state"
)

// interruption makes a create end, and undo itself, when its context does. A create
// that waits does so for its child; so the child is killed, and all else follows
// from its end.
type interruption struct {
	ctx  context.Context
	stop func() bool // listens no more
	done chan struct{}

	mu     sync.Mutex
	child  int           // a pidfd of our own, -1 for none
	record *state.Record // for the child's cgroups; nil before it has any
}

// watch begins to listen.
func watch(ctx context.Context) *interruption {
	w := &interruption{ctx: ctx, child: -1, done: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, w.kill)
	return w
}

// kill kills the child until it has ended. A parent of its cgroup may be frozen just
// now, and what is frozen ends only by the cgroup.
func (w *interruption) kill() {
	const often = 20 * time.Millisecond
	for wait := time.NewTimer(0); ; wait.Reset(often) {
		select {
		case <-w.done:
			return
		case <-wait.C:
		}
		w.mu.Lock()
		if w.child >= 0 {
			_ = unix.PidfdSendSignal(w.child, unix.SIGKILL, nil, 0)
		}
		if w.record != nil {
			if h, err := openCgroups(w.record); err == nil && h != nil {
				killCgroup(h)
				h.Close()
			}
		}
		w.mu.Unlock()
	}
}

// follow names the child from now on, and the record that names its cgroups. The
// pidfd is copied: its owner may close it while the context ends.
func (w *interruption) follow(pidfd int, rec *state.Record) {
	fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.child >= 0 {
		unix.Close(w.child)
	}
	w.child, w.record = fd, rec
}

// enters names the record before the child is there. One that is born into a v2 cgroup
// that a parent freezes at that moment does not get to its execve, for which the
// fork(2) of the Go runtime waits.
func (w *interruption) enters(rec *state.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = rec
}

// err is why the context ended, if it did.
func (w *interruption) err() error {
	if w == nil || w.ctx.Err() == nil {
		return nil
	}
	return context.Cause(w.ctx)
}

// end listens no more, and says whether there was an interruption until now.
func (w *interruption) end() error {
	if w == nil {
		return nil
	}
	err := w.err()
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.done:
	default:
		close(w.done)
	}
	if w.child >= 0 {
		unix.Close(w.child)
	}
	w.child, w.record = -1, nil
	return err
}
