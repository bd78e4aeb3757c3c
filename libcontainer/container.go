package libcontainer

import (
	"context"

	"golang.org/x/sys/unix"

	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// Container is one container: this very one, also when another has its id by now. A
// handle is for one goroutine at a time; different handles may be used at once.
type Container struct {
	rt  *Runtime
	id  string
	dir *state.Dir
	// made is what this process has of a container that it created, nil for one that
	// was opened.
	made  *creation
	waits bool // it is attached and waits for Start
}

// Open opens a container that exists.
func (r *Runtime) Open(id string) (*Container, error) {
	d, err := r.store().Get(id, state.Unlocked)
	if err != nil {
		return nil, err
	}
	return &Container{rt: r, id: id, dir: d}, nil
}

// ID is the container's id.
func (c *Container) ID() string { return c.id }

// Close gives back what the handle holds. The container lives on, unless it is
// attached and was never started: then it is undone.
func (c *Container) Close() {
	if c.waits {
		c.waits = false
		_ = c.made.undo(nil)
	}
	if c.made != nil {
		c.made.close()
		c.made = nil
	}
	c.dir.Close()
}

// lock takes the lock that a command needs, and returns what gives it back.
func (c *Container) lock(cmd command) (unlock func(), err error) {
	if err := c.dir.Lock(locks[cmd]); err != nil {
		return nil, err
	}
	return func() { _ = c.dir.Unlock() }, nil
}

// Process is the container's process, for whoever created the container; nil where it
// was opened.
func (c *Container) Process() *Process {
	if c.made == nil {
		return nil
	}
	return c.made.Process
}

// Wait waits for the end of the container's process. For a container that this process
// created it reaps it and returns its exit status, see Process. Of any other container's
// process the kernel tells nobody but its parent: the status is -1.
func (c *Container) Wait(ctx context.Context) (int, error) {
	if c.made != nil {
		return c.made.Wait(ctx)
	}
	rec, err := c.record(cmdWait)
	if err != nil {
		return -1, err
	}
	p, err := state.OpenProcess(rec.PID, rec.StartTime)
	if err == state.ErrGone {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	defer p.Close()
	return -1, sys.Await(ctx, p.FD(), unix.POLLIN)
}

// record takes the lock of a command that needs none for long, and reads the record.
func (c *Container) record(cmd command) (*state.Record, error) {
	unlock, err := c.lock(cmd)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return c.dir.Record()
}
