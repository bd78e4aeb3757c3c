// Package foreground runs a container in the foreground of the calling process, which
// is then the container's for good: it catches all signals and passes them on, it is
// the reaper of the container's orphans, and its terminal is the container's. That is
// why this stands beside the library and not in it: a program with more to do than one
// container must not be treated so.
package foreground

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/console"
	"berth/libcontainer/fault"
)

// Options is what a run is told beyond a create.
type Options struct {
	libcontainer.CreateOptions
	// Keep leaves the stopped container there.
	Keep bool
	// NoSubreaper lets orphans of the container go to init.
	NoSubreaper bool
	// Running, where not nil, is called when the process runs and gets the signals:
	// the context means nothing any more.
	Running func()
}

// Run is create and start in one, without a start FIFO between them. It returns the
// exit status of the process, 128 and the signal's number when one ended it.
func Run(ctx context.Context, rt *libcontainer.Runtime, id string, o *Options) (int, error) {
	if !o.NoSubreaper {
		// Orphans of the container come to us, so that none outlives it unseen.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return -1, &fault.Error{Msg: "cannot become a subreaper", Call: "prctl(PR_SET_CHILD_SUBREAPER)", Err: err}
		}
	}
	// From before the child is born, or a signal that comes early is lost.
	fwd := newForwarder()
	opt := o.CreateOptions
	opt.Attached, opt.Foreground = true, true
	c, err := rt.Create(ctx, id, &opt)
	if err != nil {
		return -1, err
	}
	defer c.Close()
	status, err := stay(ctx, fwd, c, c.Process(), o.Running)
	if err != nil || o.Keep {
		return status, err
	}
	if err := c.Delete(context.Background(), false); err != nil && !errors.Is(err, libcontainer.ErrNotExist) {
		// The process's own status is what the caller waits for.
		rt.Log.Warn("the container has ended and could not be deleted: " + err.Error())
	}
	return status, nil
}

// Exec runs a process in a container, and returns its exit status as Run does. running
// is as in Options.
func Exec(ctx context.Context, c *libcontainer.Container, o *libcontainer.ExecOptions, running func()) (int, error) {
	fwd := newForwarder()
	opt := *o
	opt.Foreground = true
	e, err := c.Exec(ctx, &opt)
	if err != nil {
		return -1, err
	}
	defer e.Close()
	return stay(ctx, fwd, e, e.Process, running)
}

// starter is what waits to be started.
type starter interface {
	Start(ctx context.Context) error
}

// stay starts what waits, and stays with its process until that ends.
func stay(ctx context.Context, fwd *forwarder, s starter, p *libcontainer.Process, running func()) (int, error) {
	var term *console.Terminal
	if master := p.TakeTerminal(); master != nil {
		var err error
		if term, err = console.Foreground(master, os.Stdin, os.Stdout); err != nil {
			return -1, err
		}
		defer term.Close()
	}
	fwd.ready()
	if err := s.Start(ctx); err != nil {
		return -1, err
	}
	if running != nil {
		running()
	}
	return fwd.wait(p, term)
}
