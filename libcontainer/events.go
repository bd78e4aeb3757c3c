package libcontainer

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// Event is one thing that happens to a container.
type Event struct {
	// Stats is what has been counted by now; nil when the event is that memory ran out.
	Stats *cgroups.Stats
}

// Stats is what the kernel has counted for a container that has not ended.
func (c *Container) Stats() (*cgroups.Stats, error) {
	w, err := c.watched()
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.Stats()
}

// Events calls tell with the container's stats each time that interval has gone by, and
// whenever memory runs out, until the container's process has ended, the context has, or
// tell fails.
func (c *Container) Events(ctx context.Context, interval time.Duration, tell func(*Event) error) error {
	w, err := c.watched()
	if err != nil {
		return err
	}
	defer w.close()
	oom, err := w.WatchOOM()
	if err != nil {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(w.process.FD()), Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}}
	if oom != nil {
		defer oom.Close()
		fds[1].Fd = int32(oom.FD())
	}
	for next := time.Now().Add(interval); ; {
		told, err := sys.AwaitAny(ctx, fds, max(time.Until(next), 0))
		if err != nil {
			return err
		}
		// The kernel says that memory ran out before it kills for it.
		if fds[1].Revents != 0 {
			ran, err := oom.Happened()
			if err == nil && ran {
				err = tell(&Event{})
			}
			if err != nil {
				return err
			}
		}
		switch {
		case fds[0].Revents != 0:
			return nil
		case told:
			continue
		}
		stats, err := w.Stats()
		if err != nil {
			// The cgroups of a process that has just ended may be gone already.
			if _, perr := sys.AwaitAny(ctx, fds, 0); perr == nil && fds[0].Revents != 0 {
				continue
			}
			return err
		}
		if err := tell(&Event{Stats: stats}); err != nil {
			return err
		}
		next = next.Add(interval)
		if now := time.Now(); next.Before(now) {
			next = now
		}
	}
}

// watched is a container's cgroups and process.
type watched struct {
	cgroups.Handle
	process *state.Process
}

func (c *Container) watched() (*watched, error) {
	rec, err := c.record(cmdEvents)
	if err != nil {
		return nil, err
	}
	status, p, err := c.dir.Probe(rec)
	if err != nil {
		return nil, err
	}
	w := &watched{process: p}
	if !alive(status) {
		err = conditioned{fault.New("container with id " + c.id + " is not running"), ErrNotRunning}
	} else {
		w.Handle, err = ownCgroups(rec)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *watched) close() {
	if w.Handle != nil {
		w.Close()
	}
	if w.process != nil {
		w.process.Close()
	}
}
