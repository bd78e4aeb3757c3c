package libcontainer

import (
	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

// Pause stops all processes of a container, also of one that was not started yet, and
// returns when they stand still.
func (c *Container) Pause() error {
	unlock, err := c.lock(cmdPause)
	if err != nil {
		return err
	}
	defer unlock()
	h, status, err := c.cgroups()
	if err != nil {
		return err
	}
	defer h.Close()
	switch {
	case !alive(status):
		return ErrNotRunning
	case frozen(h):
		return conditioned{fault.New(ErrNotRunning.Error() + ": it is " + statusPaused + " already"), ErrNotRunning}
	}
	return h.Freeze()
}

// Resume lets the processes of a paused container go on.
func (c *Container) Resume() error {
	unlock, err := c.lock(cmdResume)
	if err != nil {
		return err
	}
	defer unlock()
	h, status, err := c.cgroups()
	if err != nil {
		return err
	}
	defer h.Close()
	if !alive(status) || !frozen(h) {
		return ErrNotPaused
	}
	return h.Thaw()
}

// cgroups opens the container's cgroups, and says where it is in its life as far as its
// process tells.
func (c *Container) cgroups() (cgroups.Handle, state.Status, error) {
	rec, err := c.dir.Record()
	if err != nil {
		return nil, state.Stopped, err
	}
	status, err := c.dir.Status(rec)
	if err != nil {
		return nil, status, err
	}
	h, err := openCgroups(rec)
	if err == nil && h == nil {
		err = errNoCgroups
	}
	return h, status, err
}

// alive says whether the container has a process that can be worked with.
func alive(s state.Status) bool { return s == state.Running || s == state.Created }

// frozen says whether the processes in the cgroups are stopped; where that can not be
// known they are not.
func frozen(h cgroups.Handle) bool {
	frozen, err := h.Frozen()
	return err == nil && frozen
}
