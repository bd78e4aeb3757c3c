package libcontainer

import (
	"berth/libcontainer/cgroups"
	"berth/libcontainer/state"
)

// Processes lists the pids of all processes in the container's cgroup and below it, as
// the caller's pid namespace has them; none when it has stopped.
func (c *Container) Processes() (pids []int, err error) {
	err = c.onCgroups(cmdPS, func(h cgroups.Handle, _ state.Status) (err error) {
		pids, err = h.Procs()
		return err
	})
	return pids, err
}
