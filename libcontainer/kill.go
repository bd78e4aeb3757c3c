package libcontainer

import (
	"golang.org/x/sys/unix"

	"berth/libcontainer/state"
)

// Kill sends a signal to the container's process, by pidfd; with all, or where
// the container shares its pid namespace, to every process in its cgroup.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	rec, err := c.record(cmdKill)
	if err != nil {
		return err
	}
	h, err := openCgroups(rec)
	if err != nil {
		return err
	}
	if h != nil {
		defer h.Close()
		if all || !rec.PrivatePID && sig == unix.SIGKILL {
			// Also when the first process is gone: others may have outlived it.
			return h.Kill(sig)
		}
	}
	p, err := state.OpenProcess(rec.PID, rec.StartTime)
	if err == nil {
		defer p.Close()
		err = p.Signal(sig)
	}
	if err == state.ErrGone {
		return ErrNotRunning
	}
	if err != nil || h == nil || sig != unix.SIGKILL {
		return err
	}
	if frozen, err := h.Frozen(); err != nil || !frozen {
		return err
	}
	// What is frozen does not die before it is thawed.
	return h.Kill(sig)
}
