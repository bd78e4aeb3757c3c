package cgroups

import (
	"errors"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups/devfilter"
	"berth/libcontainer/fault"
)

// Set writes the limits in r.
func (h *handle) Set(r *specs.LinuxResources) (warnings []string, err error) {
	c, err := h.change(r)
	if err != nil {
		return nil, err
	}
	return c.carryOut(h)
}

// limitChange is a change of limits that is checked, as far as can be without making it.
type limitChange struct {
	limits
	filter *devfilter.Rules // nil for none
	lists  [][]action
}

// change says what it takes to have the limits in r. What the kernel refuses by those in force, by a parent or
// by what is in use, only the writing shows; what was written before it gets its old
// value again.
func (h *handle) change(r *specs.LinuxResources) (c *limitChange, err error) {
	c = &limitChange{limits: limits{on2: h.on2, inForce: h.inForce2}}
	switch {
	case len(r.Devices) == 0:
	case h.unified():
		if c.filter, err = devfilter.New(r.Devices); err != nil {
			return nil, err
		}
	default:
		if err := c.devices(r.Devices); err != nil {
			return nil, err
		}
	}
	if err := c.collect(r); err != nil {
		return nil, err
	}
	if err := h.checkUsage(&c.limits, r.Memory); err != nil {
		return nil, err
	}
	c.lists, err = h.actions(c.writes)
	return c, err
}

// before are the actions that would put back what the change replaces.
func (c *limitChange) before() [][]action {
	var lists [][]action
	for _, actions := range c.lists {
		lists = append(lists, inForce(actions))
	}
	return lists
}

// carryOut writes the change.
func (c *limitChange) carryOut(h *handle) (warnings []string, err error) {
	var before [][]action
	for _, actions := range c.lists {
		before = append(before, inForce(actions))
		err := writeAll(actions)
		actions[0].cgroup.closeFile()
		if err == nil {
			continue
		}
		if rerr := putBack(before); rerr != nil {
			err = &fault.Error{Msg: "the limits are changed in part, since what was in force can not be put back: " + rerr.Error(), Err: err}
		}
		return nil, err
	}
	// Last, since it is replaced at once and does not fail for what is in force.
	if c.filter != nil {
		cg := h.cgroups[0]
		if _, err := h.open(cg); err != nil {
			return nil, cannotOpen(cg, err)
		}
		if err := filterDevices(c.filter, cg, resources+"devices"); err != nil {
			return nil, errors.Join(err, putBack(before))
		}
	}
	return c.warnings, nil
}

// unified says whether the container is in the v2 hierarchy alone.
func (h *handle) unified() bool { return len(h.cgroups) == 1 && h.cgroups[0].v2() }

// on2 is as limits has it.
func (h *handle) on2(controller string) bool { return h.unified() || onlyOn2(h.cgroups, controller) }

// inForce2 reads a file of the v2 cgroup.
func (h *handle) inForce2(file string) string {
	for _, c := range h.cgroups {
		if !c.v2() {
			continue
		}
		if fd, err := h.open(c); err == nil {
			text, _ := readFile(fd, file)
			return strings.TrimSpace(text)
		}
	}
	return ""
}

// actions makes lists of actions of writes, each on one cgroup, which is open then.
func (h *handle) actions(writes []write) ([][]action, error) {
	var lists [][]action
	for i := range writes {
		w := &writes[i]
		c := find(h.cgroups, w.controller)
		if c == nil && h.unified() {
			return nil, missing2(w, h.cgroups[0].offers, h.cgroups[0].mount)
		}
		if c == nil {
			return nil, missing(w)
		}
		if _, err := h.open(c); err != nil {
			return nil, cannotOpen(c, err)
		}
		if n := len(lists); n > 0 && lists[n-1][0].cgroup == c {
			lists[n-1] = append(lists[n-1], w.action(c))
		} else {
			lists = append(lists, []action{w.action(c)})
		}
	}
	return lists, nil
}

// inForce are the actions that would write what the files of actions hold now. Those
// that can not be read have none.
func inForce(actions []action) []action {
	var list []action
	for i := range actions {
		a := actions[i]
		text, err := readFile(a.cgroup.fd, a.file)
		if err == unix.ENOENT && a.alt != "" {
			a.file, a.alt, a.Data = a.alt, "", a.ElseData
			text, err = readFile(a.cgroup.fd, a.file)
		}
		if err != nil {
			continue
		}
		a.Why = "put back what was in force"
		a.Data = present(a.file, a.Data, strings.TrimSpace(text))
		list = append(list, a)
		if a.file != "cpu.idle" || a.Data != "0" {
			continue
		}
		// To be idle for a moment costs a cgroup its shares: the kernel then gives it the
		// default ones.
		for _, file := range [...]string{"cpu.shares", "cpu.weight"} {
			if text, err = readFile(a.cgroup.fd, file); err == nil {
				a.file, a.Data = file, strings.TrimSpace(text)
				list = append(list, a)
			}
		}
	}
	return list
}

// present is what has to be written to a file for it to have this content again, where
// data was written meanwhile. Most hold one value. Those that are written as a key and
// a value hold a line for each key that has one, and 0 takes a key away.
func present(file, data, content string) string {
	// The kernel takes spaces around a value, which unified may hold.
	data = strings.TrimSpace(data)
	key, _, keyed := strings.Cut(data, " ")
	switch {
	case file == "cpu.max", strings.HasPrefix(file, "cgroup."), strings.HasPrefix(file, "cpuset."):
		return content // one value, of two words
	case file == "io.max":
		return presentMax(data, content)
	case file == "memory.oom_control":
		key, keyed = "oom_kill_disable", true
		data = ""
	case keyed:
		data = key + " "
	default:
		return content
	}
	for line := range strings.SplitSeq(content, "\n") {
		if k, v, _ := strings.Cut(line, " "); k == key {
			return data + v
		}
	}
	if file == "io.weight" || file == "io.bfq.weight" {
		return data + "default"
	}
	return data + "0"
}

// presentMax is present for io.max, where a line has a device and all its limits: the
// limit that data has for the device.
func presentMax(data, content string) string {
	dev, limit, _ := strings.Cut(data, " ")
	key, _, _ := strings.Cut(limit, "=")
	for line := range strings.SplitSeq(content, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != dev {
			continue
		}
		for _, pair := range f[1:] {
			if strings.HasPrefix(pair, key+"=") {
				return dev + " " + pair
			}
		}
	}
	return dev + " " + key + "=max"
}

// putBack writes what was in force, the last first, as far as that goes.
func putBack(lists [][]action) error {
	var first error
	for i := len(lists) - 1; i >= 0; i-- {
		for actions := lists[i]; len(actions) > 0; {
			n := groupEnd(actions, 0)
			if err := writeGroup(actions[:n]); err != nil && first == nil {
				first = err
			}
			actions[0].cgroup.closeFile()
			actions = actions[n:]
		}
	}
	return first
}

// checkUsage does what memory.checkBeforeUpdate asks for: to refuse a limit below
// what is in use, which the kernel would reclaim or kill for. v1 refuses such a limit by
// itself, unless enough can be reclaimed; v2 kills, so the caller is told.
func (h *handle) checkUsage(l *limits, mem *specs.LinuxMemory) error {
	if mem == nil || value(mem.Limit) <= 0 {
		return nil
	}
	c := find(h.cgroups, "memory")
	if c == nil || !c.v2() && !value(mem.CheckBeforeUpdate) {
		return nil // where it is missing, Set will say so
	}
	fd, err := h.open(c)
	if err != nil {
		return cannotOpen(c, err)
	}
	file := "memory.usage_in_bytes"
	if c.v2() {
		file = "memory.current"
	}
	usage, err := readNumber(fd, file)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return fault.Wrap("cannot read "+c.dir()+"/"+file, err)
	case *mem.Limit >= usage:
		return nil
	case value(mem.CheckBeforeUpdate):
		return wrong("memory.limit", "the new limit, "+itoa(*mem.Limit)+", is less than the memory in use, "+itoa(usage))
	}
	l.warn("memory.limit: the new limit, " + itoa(*mem.Limit) + ", is less than the memory in use, " + itoa(usage) +
		": the kernel reclaims what it can, and kills for the rest")
	return nil
}
