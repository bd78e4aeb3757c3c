package libcontainer

import (
	"context"

	"golang.org/x/sys/unix"

	"berth/libcontainer/console"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

// Run is create and start in one, without a start FIFO between them. In the foreground
// it stays: it forwards signals and the terminal, reaps, and returns the exit
// status of the process, 128 and the signal's number when one ended it.
func (r *Runtime) Run(ctx context.Context, id string, o *RunOptions) (int, error) {
	if !o.Detach && !o.NoSubreaper {
		// Orphans of the container come to us, so that none outlives it unseen.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return -1, &fault.Error{Msg: "cannot become a subreaper", Call: "prctl(PR_SET_CHILD_SUBREAPER)", Err: err}
		}
	}
	c, err := r.begin(id, &o.CreateOptions, false, o.Detach)
	if err != nil {
		return -1, err
	}
	defer c.close()
	return c.run(ctx, o)
}

func (c *creation) run(ctx context.Context, o *RunOptions) (int, error) {
	p := c.plan.Bundle.Spec.Process
	if p == nil {
		return -1, errNoProcess
	}
	// From before the child is born, or one that comes early is lost.
	var fwd *forwarder
	if !o.Detach {
		fwd = newForwarder()
	}
	if err := c.build(ctx); err != nil {
		return -1, c.undo(err)
	}
	var term *console.Terminal
	if p.Terminal && !o.Detach {
		master := c.master
		c.master = -1 // Foreground closes it, also when it fails
		var err error
		if term, err = console.Foreground(master); err != nil {
			return -1, c.undo(err)
		}
		defer term.Close()
	}
	if fwd != nil {
		fwd.ready()
	}
	var err error
	if c.proxy, err = c.rt.listen(c.record); err != nil {
		return -1, c.undo(err)
	}
	if err := c.handOver(); err != nil {
		// The child that failed still waits for word, and holds its terminal open:
		// without it Close need not wait for more output.
		c.machine.Kill()
		if term != nil {
			term.Close()
		}
		return -1, c.undo(err)
	}
	if o.Running != nil && !o.Detach {
		o.Running()
	}
	if err := c.dir.Unlock(); err != nil {
		return -1, err
	}
	c.listenToProcess(o.Detach)
	if o.Detach {
		return 0, nil
	}
	status := fwd.wait(c.machine.Pid, c.machine.PidFD, term)
	if term != nil {
		term.Close()
	}
	c.machine.Pid = 0
	if o.Keep {
		return status, nil
	}
	if err := c.clearAway(); err != nil {
		// The process's own status is what the caller waits for.
		c.rt.Log.Warn("the container has ended and could not be deleted: " + err.Error())
	}
	return status, nil
}

// clearAway deletes the container that has ended: by its own directory and not by
// its id, since another command may have deleted it, and made a new one of that
// id, meanwhile.
func (c *creation) clearAway() error {
	err := c.dir.Lock(state.Exclusive)
	if err == state.ErrNotExist {
		return nil
	}
	if err != nil {
		return err
	}
	return c.rt.destroy(c.dir, false, c.rt.patience(context.Background()))
}
