package libcontainer

import (
	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

// Pause stops all processes of a container, also of one that was not started yet, and
// returns when they stand still.
func (c *Container) Pause() error {
	return c.onCgroups(cmdPause, func(h cgroups.Handle, status state.Status) error {
		switch {
		case !alive(status):
			return ErrNotRunning
		case frozen(h):
			return conditioned{fault.New(ErrNotRunning.Error() + ": it is " + statusPaused + " already"), ErrNotRunning}
		}
		return h.Freeze()
	})
}

// Resume lets the processes of a paused container go on.
func (c *Container) Resume() error {
	return c.onCgroups(cmdResume, func(h cgroups.Handle, status state.Status) error {
		if !alive(status) || !frozen(h) {
			return ErrNotPaused
		}
		return h.Thaw()
	})
}

// onCgroups does what a command does to the container's cgroups, under its lock. The
// status says where the container is in its life as far as its process tells.
func (c *Container) onCgroups(cmd command, do func(cgroups.Handle, state.Status) error) error {
	unlock, err := c.lock(cmd)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := c.dir.Record()
	if err != nil {
		return err
	}
	status, err := c.dir.Status(rec)
	if err != nil {
		return err
	}
	h, err := ownCgroups(rec)
	if err != nil {
		return err
	}
	defer h.Close()
	return do(h, status)
}

// ownCgroups opens the cgroups of a container that has to have some.
func ownCgroups(rec *state.Record) (cgroups.Handle, error) {
	h, err := openCgroups(rec)
	if err == nil && h == nil {
		err = errNoCgroups
	}
	return h, err
}

// alive says whether the container has a process that can be worked with.
func alive(s state.Status) bool { return s == state.Running || s == state.Created }

// frozen says whether the processes in the cgroups are stopped; where that can not be
// known they are not.
func frozen(h cgroups.Handle) bool {
	frozen, err := h.Frozen()
	return err == nil && frozen
}
