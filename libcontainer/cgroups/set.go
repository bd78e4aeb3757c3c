package cgroups

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Set writes the limits in r. What the kernel refuses by those in force, by a parent or
// by what is in use, only the writing shows; what was written before it gets its old
// value again.
func (h *handle) Set(r *specs.LinuxResources) (warnings []string, err error) {
	var l limits
	if len(r.Devices) > 0 {
		if err := l.devices(r.Devices); err != nil {
			return nil, err
		}
	}
	if err := l.collect(r); err != nil {
		return nil, err
	}
	if err := h.checkUsage(r.Memory); err != nil {
		return nil, err
	}
	lists, err := h.actions(l.writes)
	if err != nil {
		return nil, err
	}
	var before [][]action
	for _, actions := range lists {
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
	return l.warnings, nil
}

// actions makes lists of actions of writes, each on one cgroup, which is open then.
func (h *handle) actions(writes []write) ([][]action, error) {
	var lists [][]action
	for i := range writes {
		w := &writes[i]
		c := find(h.cgroups, w.controller)
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
			a.file, a.alt = a.alt, ""
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
		if text, err = readFile(a.cgroup.fd, "cpu.shares"); err == nil {
			a.file, a.Data = "cpu.shares", strings.TrimSpace(text)
			list = append(list, a)
		}
	}
	return list
}

// present is what has to be written to a file for it to have this content again, where
// data was written meanwhile. Most hold one value. Those that are written as a key and
// a value hold a line for each key that has one, and 0 takes a key away.
func present(file, data, content string) string {
	key, _, keyed := strings.Cut(data, " ")
	switch {
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
	return data + "0"
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
