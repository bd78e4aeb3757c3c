package cgroups

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

// v1 makes the cgroups of a container in all hierarchies of a host that has v1 ones,
// the v2 hierarchy beside them included: pausing, statistics and whoever looks at
// /proc/PID/cgroup expect the same path everywhere.
type v1 struct {
	cgroups []*cgroup
	actions []action
	mark    string
	// unprivileged callers do without the hierarchies that they may not use, as
	// long as the config asks for nothing there.
	unprivileged bool
	// named is true when the config names the cgroup.
	named bool
}

// action is an Action with what performing it needs.
type action struct {
	Action
	cgroup *cgroup
	level  int    // Mkdir, Inherit: that many levels down
	file   string // Write, Inherit: the control file
	alt    string // Write: the control file where there is no such file
	// wanted is false for what no property of the config asked for by itself.
	wanted bool
}

// New plans the cgroups of the container id. cgroupsPath and r are
// linux.cgroupsPath and linux.resources of config.json; r may be nil.
//
// A cgroupsPath that begins with a slash lies below the mount point of each
// hierarchy, any other below the caller's own cgroup; an empty one stands for
// the id. Errors name the property that cannot be had on this host.
//
// Where no hierarchy can be used, a container that asks for no cgroup and no
// limit stays in the cgroup of the caller, and its Handle has no cgroup.
func New(f *host.Facts, cgroupsPath, id string, r *specs.LinuxResources) (*Plan, error) {
	m := &v1{unprivileged: !f.Privileged(), named: cgroupsPath != ""}
	if f.Cgroup.Mode == host.Unified || f.Cgroup.Mode == host.NoCgroup {
		if err := unusable(f.Cgroup.Mode, cgroupsPath, r); err != nil {
			return nil, err
		}
		return m.plan(nil), nil
	}
	for i := range f.Cgroup.Hierarchies {
		c, err := locate(&f.Cgroup.Hierarchies[i], cgroupsPath, id)
		if err != nil {
			return nil, err
		}
		m.cgroups = append(m.cgroups, c)
	}
	var l limits
	// A device cgroup could not be changed from inside a user namespace, nor does
	// it need to be: devices can't be made there. Elsewhere the default rules are
	// in force also where the config has no resources at all.
	if !f.UserNS {
		var rules []specs.LinuxDeviceCgroup
		if r != nil {
			rules = r.Devices
		}
		if err := l.devices(rules); err != nil {
			return nil, err
		}
	}
	if r != nil {
		if err := l.collect(r); err != nil {
			return nil, err
		}
		if r.Memory != nil && value(r.Memory.Swap) > 0 && value(r.Memory.Limit) == 0 {
			return nil, wrong("memory.swap", "a limit on memory and swap together needs linux.resources.memory.limit")
		}
	}
	if err := m.available(f, l.writes); err != nil {
		return nil, err
	}
	p := m.plan(l.writes)
	p.Warnings = l.warnings
	return p, nil
}

// unusable is the error for a host without v1 hierarchies; nil where the config
// asks for nothing.
func unusable(mode host.CgroupMode, cgroupsPath string, r *specs.LinuxResources) error {
	path := ""
	switch {
	case r != nil && !empty(r):
		path = "linux.resources"
	case cgroupsPath != "":
		path = "linux.cgroupsPath"
	default:
		return nil
	}
	if mode == host.NoCgroup {
		return &fault.Error{
			Msg: "no cgroup hierarchy is mounted, and the config asks for cgroups", JSONPath: path,
			Hint: "mount them below /sys/fs/cgroup",
		}
	}
	return &fault.Error{
		Msg: "this host has cgroup v2 alone, which is not supported yet, and the config asks for cgroups", JSONPath: path,
		Hint: "boot with systemd.unified_cgroup_hierarchy=0, or leave linux.resources and linux.cgroupsPath out",
	}
}

func empty(r *specs.LinuxResources) bool {
	return len(r.Devices) == 0 && r.Memory == nil && r.CPU == nil && r.Pids == nil && r.BlockIO == nil &&
		len(r.HugepageLimits) == 0 && r.Network == nil && len(r.Rdma) == 0 && len(r.Unified) == 0
}

// available checks that each controller that is written to has a hierarchy.
func (m *v1) available(f *host.Facts, writes []write) error {
	for i := range writes {
		w := &writes[i]
		if m.find(w.controller) != nil || m.dispensable(w) {
			continue
		}
		err := missing(w)
		for _, h := range f.Cgroup.Hierarchies {
			for _, c := range h.Controllers {
				if h.V2 && c == w.controller {
					err.Hint = "it belongs to the cgroup v2 hierarchy at " + h.Mount
				}
			}
		}
		return err
	}
	return nil
}

func missing(w *write) *fault.Error {
	return &fault.Error{
		Msg: w.json + " needs the cgroup controller " + w.controller + ", which is not mounted", JSONPath: w.json,
	}
}

// dispensable is what an unprivileged caller goes without: rules on devices, of
// which it can make none anyway.
func (m *v1) dispensable(w *write) bool { return m.unprivileged && w.controller == "devices" }

// find returns the cgroup in the hierarchy of a controller.
func (m *v1) find(controller string) *cgroup { return find(m.cgroups, controller) }

func find(cgroups []*cgroup, controller string) *cgroup {
	for _, c := range cgroups {
		if !c.v2() && !c.dropped && c.has(controller) {
			return c
		}
	}
	return nil
}

// plan puts the actions in order: hierarchy by hierarchy, each from the top down.
func (m *v1) plan(writes []write) *Plan {
	m.actions = make([]action, 0, len(writes)+3*len(m.cgroups))
	p := &Plan{driver: m, Dirs: make(map[string]string, len(m.cgroups))}
	for _, c := range m.cgroups {
		p.Dirs[c.controllers] = c.dir()
		if !c.v2() {
			// Written by a thread on itself, tasks moves without waiting for an RCU grace
			// period; cgroup.procs may take 10 ms.
			p.EntryFiles = append(p.EntryFiles, c.dir()+"/tasks")
		}
		m.planDirs(c, writes)
		for i := range writes {
			w := &writes[i]
			if c.v2() || !c.has(w.controller) {
				continue
			}
			a := w.action(c)
			a.wanted = !m.dispensable(w)
			m.actions = append(m.actions, a)
		}
	}
	p.Actions = make([]Action, len(m.actions))
	for i := range m.actions {
		p.Actions[i] = m.actions[i].Action
	}
	return p
}

// action is w as an action on the cgroup c.
func (w *write) action(c *cgroup) action {
	dir := c.dir() + "/"
	a := action{cgroup: c, file: w.file, alt: w.alt, Action: Action{
		Kind: Write, Path: dir + w.file, Data: w.data, Why: w.why, JSONPath: w.json,
		Optional: w.optional, Group: w.group,
	}}
	if w.alt != "" {
		a.Else = dir + w.alt
	}
	return a
}

// cpusetFiles must be filled before a cpuset takes processes.
var cpusetFiles = [...]string{"cpuset.cpus", "cpuset.mems"}

// planDirs adds the making of each level, and then the filling of their cpusets.
// Only when the last level stands can no parent vanish any more. What the config
// itself writes to the last one need not be inherited.
func (m *v1) planDirs(c *cgroup, writes []write) {
	for n := c.sure + 1; n <= len(c.levels); n++ {
		why := "a parent of the container's cgroup in the hierarchy " + c.name()
		if n == len(c.levels) {
			why = "the container's cgroup in the hierarchy " + c.name()
		}
		m.actions = append(m.actions, action{cgroup: c, level: n, Action: Action{
			Kind: Mkdir, Path: c.path(n), Why: why, JSONPath: "linux.cgroupsPath",
		}})
	}
	if !c.has("cpuset") {
		return
	}
	for n := c.sure + 1; n <= len(c.levels); n++ {
		for _, file := range cpusetFiles {
			if n == len(c.levels) && slices.ContainsFunc(writes, func(w write) bool { return w.file == file }) {
				continue
			}
			m.actions = append(m.actions, action{cgroup: c, level: n, file: file, Action: Action{
				Kind: Inherit, Path: c.path(n) + "/" + file, Why: "a new cpuset takes no process while this is empty",
			}})
		}
	}
}
