package libcontainer

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

// patience bounds the wait for killed processes to be gone.
const patience = 10 * time.Second

// Delete removes a stopped container: what is left of its processes, what the
// journal has, from its end, and its directory. A created one is killed first,
// as runc does although the spec has it an error: engines rely on it. With force
// a running one is too, and one that does not exist is no error.
func (r *Runtime) Delete(id string, force bool) error {
	if err := state.CheckID(id); err != nil {
		return err
	}
	d, err := r.open(id, state.Unlocked)
	if err != nil {
		if force && errors.Is(err, state.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.Close()
	if force {
		err = r.killFirst(d)
	}
	if err == nil {
		err = d.Lock(state.Exclusive)
	}
	if err != nil {
		if force && errors.Is(err, state.ErrNotExist) {
			return nil
		}
		return err
	}
	return r.destroy(d, force)
}

// killFirst ends what keeps another command waiting: a create or start that
// hangs holds the lock, and ends when its child does. The child may be stopped,
// frozen, or be cloned only now by a intermediate that the record still names, so this
// is repeated, but not for ever.
func (r *Runtime) killFirst(d *state.Dir) error {
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		rec, err := d.Record()
		if err == nil {
			if p, err := state.OpenProcess(rec.PID, rec.StartTime); err == nil {
				_ = p.Signal(unix.SIGKILL)
				p.Close()
			}
		}
		busy, err := d.Busy()
		if err != nil || !busy {
			return err
		}
		if rec != nil && len(rec.Cgroups) > 0 {
			// What is frozen does not die before it is thawed.
			if m, err := cgroups.FromPaths(rec.Cgroups); err == nil {
				_ = m.Kill(unix.SIGKILL)
			}
		}
		if time.Now().After(end) {
			return &fault.Error{Msg: "cannot delete container " + d.ID() + ": another command is at work on it", Hint: "kill that first: see /proc/locks for who holds " + d.Path()}
		}
	}
}

func (r *Runtime) destroy(d *state.Dir, force bool) error {
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
		if err := r.end(d, rec, force); err != nil {
			return err
		}
	}
	j, err := d.Journal()
	if err != nil {
		return err
	}
	defer j.Close()
	if err := j.Undo(undoEntry); err != nil {
		return err
	}
	return d.Remove()
}

// end sees to it that no process of the container lives.
func (r *Runtime) end(d *state.Dir, rec *state.Record, force bool) error {
	status, p, err := d.Probe(rec)
	if err != nil {
		return err
	}
	if p != nil {
		defer p.Close()
	}
	if status == state.Running && !force {
		return fault.New("cannot delete container " + rec.ID + " that is not stopped: " + status.String())
	}
	if p != nil {
		if err := p.Signal(unix.SIGKILL); err != nil && err != state.ErrGone {
			return fault.Wrap("cannot kill the container's process", err)
		}
	}
	if len(rec.Cgroups) > 0 {
		// Without a pid namespace of its own the others live on.
		m, err := cgroups.FromPaths(rec.Cgroups)
		if err != nil {
			return err
		}
		if !rec.PrivatePID || force {
			if err := m.Kill(unix.SIGKILL); err != nil {
				return err
			}
		}
	}
	if p == nil {
		return nil
	}
	gone, err := p.Wait(patience)
	if err == nil && !gone {
		err = &fault.Error{Msg: "the container's process does not die", Hint: "is it in an uninterruptible sleep (ps: state D)?"}
	}
	return err
}

// undoEntry undoes one entry of a journal.
func undoEntry(e state.Entry) error {
	if e.Kind != state.KindCgroup {
		return state.UndoBasic(e)
	}
	if len(e.Args) != 2 {
		return fault.New("the journal's entry for a cgroup is broken")
	}
	return cgroups.RemoveDir(cgroups.Dir{Path: e.Args[0], Leaf: e.Args[1] == "leaf"}, patience)
}
