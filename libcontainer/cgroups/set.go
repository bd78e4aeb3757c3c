package cgroups

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// Set writes the limits in r. The kernel judges values that depend on those in
// force; a cgroup keeps what was written before the first failure.
func (h *handle) Set(r *specs.LinuxResources) error {
	var l limits
	if len(r.Devices) > 0 {
		if err := l.devices(r.Devices); err != nil {
			return err
		}
	}
	if err := l.collect(r); err != nil {
		return err
	}
	if err := h.checkUsage(r.Memory); err != nil {
		return err
	}
	for i := 0; i < len(l.writes); {
		w := &l.writes[i]
		c := find(h.cgroups, w.controller)
		if c == nil {
			return missing(w)
		}
		if _, err := h.open(c); err != nil {
			return cannotOpen(c, err)
		}
		n := i
		var actions []action
		for ; n < len(l.writes) && l.writes[n].controller == w.controller; n++ {
			actions = append(actions, l.writes[n].action(c))
		}
		err := writeAll(actions)
		c.closeFile()
		if err != nil {
			return err
		}
		i = n
	}
	return nil
}

// checkUsage does what memory.checkBeforeUpdate asks for: to refuse a limit below
// what is in use, which the kernel would reclaim or kill for.
func (h *handle) checkUsage(mem *specs.LinuxMemory) error {
	if mem == nil || !value(mem.CheckBeforeUpdate) || value(mem.Limit) <= 0 {
		return nil
	}
	c := find(h.cgroups, "memory")
	if c == nil {
		return nil // Set will say so
	}
	fd, err := h.open(c)
	if err != nil {
		return cannotOpen(c, err)
	}
	usage, err := readNumber(fd, "memory.usage_in_bytes")
	if err != nil {
		return fault.Wrap("cannot read "+c.dir()+"/memory.usage_in_bytes", err)
	}
	if *mem.Limit < usage {
		return wrong("memory.limit", "the new limit, "+itoa(*mem.Limit)+", is less than the memory in use, "+itoa(usage))
	}
	return nil
}
