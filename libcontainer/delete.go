package libcontainer

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// most bounds all that one command waits for: the ends of killed processes and of
// what they keep busy.
const most = 10 * time.Second

// patience is for one undo or delete.
func (r *Runtime) patience(ctx context.Context) *sys.Patience {
	return sys.NewPatience(ctx, most, func(what string) { r.Log.Warn("still waiting for " + what) })
}

// kinds are the kinds of entry that a journal can have, each from the package that
// owns the effect.
var kinds = []state.Kind{
	state.ProcessKind,
	hookKind,
	{Name: cgroups.KindName, Undo: cgroups.Undo},
	{Name: cgroups.KindScope, Undo: cgroups.UndoScope},
}

// undoKinds are kinds, with the poststop hooks of one container, and with a point after
// each entry.
func (r *Runtime) undoKinds(ctx context.Context, d *state.Dir, j *state.Journal) []state.Kind {
	all := append(slices.Clone(kinds), r.poststopKind(ctx, d, j))
	if r.Inject == nil {
		return all
	}
	for i := range all {
		undo := all[i].Undo
		all[i].Undo = func(p *sys.Patience, args []string) error {
			defer r.point()
			return undo(p, args)
		}
	}
	return all
}

// Delete removes a stopped container: what is left of its processes, what the
// journal has, from its end, and its directory. A created one is killed first,
// as runc does although the spec has it an error: engines rely on it. With force
// a running one is too. When ctx ends, so does all waiting; what is not undone by then
// another delete can undo.
func (c *Container) Delete(ctx context.Context, force bool) error {
	if c.waits {
		c.waits = false
		return c.made.undo(nil)
	}
	patience := c.rt.patience(ctx)
	if force {
		if err := c.rt.killFirst(c.dir, patience); err != nil {
			return err
		}
	}
	unlock, err := c.lock(cmdDelete)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.rt.destroy(ctx, c.dir, force, patience); err != nil {
		return err
	}
	if c.made != nil && c.made.machine.Pid != 0 {
		_, _ = c.made.reap()
	}
	return nil
}

// killFirst ends what keeps another command waiting: a create or start that
// hangs holds the lock, and ends when its child does. The child may be stopped,
// frozen, or be cloned only now by a intermediate that the record still names, so this
// is repeated, but not for ever.
func (r *Runtime) killFirst(d *state.Dir, patience *sys.Patience) error {
	for {
		rec, err := d.Record()
		if err == nil {
			if p, err := state.OpenProcess(rec.PID, rec.StartTime); err == nil {
				_ = p.Signal(unix.SIGKILL)
				p.Close()
			}
		}
		killHooks(d)
		busy, err := d.Busy()
		if err != nil || !busy {
			return err
		}
		if rec != nil {
			// What is frozen does not die before it is thawed.
			if h, err := openCgroups(rec); err == nil && h != nil {
				killCgroup(h)
				h.Close()
			}
		}
		if err := patience.Sleep(2*time.Millisecond, "another command that is at work on container "+d.ID()); err != nil {
			return &fault.Error{Msg: "cannot delete container " + d.ID(), Err: err, Hint: "kill that command first: see /proc/locks for who holds " + d.Path()}
		}
	}
}

// openCgroups opens the cgroups of a container; nil where it has none of its own.
func openCgroups(rec *state.Record) (cgroups.Handle, error) {
	if len(rec.Cgroups) == 0 {
		return nil, nil
	}
	return cgroups.Open(rec.Cgroups, rec.Mark)
}

// killCgroup kills all that is in the cgroups, as far as can be.
func killCgroup(h cgroups.Handle) {
	if h != nil {
		_ = h.Kill(unix.SIGKILL)
	}
}

func (r *Runtime) destroy(ctx context.Context, d *state.Dir, force bool, patience *sys.Patience) error {
	rec, err := d.Record()
	switch {
	case errors.Is(err, state.ErrNoRecord):
		// Create was killed before it knew more than the journal does.
		rec = nil
	case err != nil && !force:
		return err
	case err != nil:
		rec = nil
	}
	if rec != nil {
		if err := r.end(d, rec, force, patience); err != nil {
			return err
		}
	}
	j, err := d.Journal()
	if err != nil {
		return err
	}
	defer j.Close()
	r.point()
	if err := j.Undo(patience, r.undoKinds(ctx, d, j)); err != nil {
		return err
	}
	r.point()
	return d.Remove()
}

// end sees to it that no process of the container lives.
func (r *Runtime) end(d *state.Dir, rec *state.Record, force bool, patience *sys.Patience) error {
	status, p, err := d.Probe(rec)
	if err != nil {
		return err
	}
	if p != nil {
		defer p.Close()
	}
	if status == state.Running && !force {
		return conditioned{fault.New("cannot delete container " + rec.ID + " that is not stopped: " + status.String()), ErrRunning}
	}
	if p != nil {
		if err := p.Signal(unix.SIGKILL); err != nil && err != state.ErrGone {
			return fault.Wrap("cannot kill the container's process", err)
		}
	}
	h, err := openCgroups(rec)
	if err != nil {
		return err
	}
	if h != nil {
		defer h.Close()
		// Without a pid namespace of its own the others live on.
		if !rec.PrivatePID || force || status == state.Created {
			if err := h.Kill(unix.SIGKILL); err != nil {
				return err
			}
		}
	}
	r.point()
	if p == nil {
		return nil
	}
	if err := p.Wait(patience); err != nil {
		return &fault.Error{Msg: "the container's process does not die", Err: err, Hint: "is it in an uninterruptible sleep (ps: state D)?"}
	}
	return nil
}
