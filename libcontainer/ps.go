package libcontainer

// Processes lists the pids of all processes in the container's cgroup and below it, as
// the caller's pid namespace has them; none when it has stopped.
func (c *Container) Processes() ([]int, error) {
	unlock, err := c.lock(cmdPS)
	if err != nil {
		return nil, err
	}
	defer unlock()
	h, _, err := c.cgroups()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.Procs()
}
