package cgroups

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/cgroups/devfilter"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

// cgroupfs makes the cgroups of a container in all hierarchies of a host by writing to
// their files. Where there are v1 ones, that is the v2 hierarchy beside them too: pausing,
// statistics and whoever looks at /proc/PID/cgroup expect the same path everywhere.
type cgroupfs struct {
	cgroups []*cgroup
	actions []action
	mark    string
	// unified is true when there is v2 alone.
	unified bool
	// single is true when the cgroup has room for one process: see plan.
	single bool
	// filter decides on devices where v2 does; nil for none.
	filter *devfilter.Rules
	// owner is the user who gets the v2 cgroup, -1 for nobody.
	owner int
	// scope is made first by systemd; nil where that makes none.
	scope *making
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
	// controller is a Write's.
	controller string
	// wanted is false for what no property of the config asked for by itself.
	wanted bool
	// needs has, for an Enable, the first write of each controller that has to be had.
	needs []*write
}

// New plans the cgroups of a container.
//
// A path that begins with a slash lies below the mount point of each hierarchy, any
// other below the caller's own cgroup, or, with v2 alone, beside it; an empty one stands
// for the id. Errors name the property that cannot be had on this host.
func New(f *host.Facts, r *Request) (*Plan, error) {
	unified := f.Cgroup.Mode == host.Unified
	m := &cgroupfs{unified: unified, owner: -1, unprivileged: !f.Privileged(), named: r.Path != ""}
	if f.Cgroup.Mode == host.NoCgroup {
		return nil, noHierarchy(r)
	}
	if r.Manager == Systemd {
		var err error
		if m.scope, r, err = planScope(f, r); err != nil {
			return nil, err
		}
	}
	for i := range f.Cgroup.Hierarchies {
		c, err := locate(&f.Cgroup.Hierarchies[i], unified, r.Path, r.ID)
		if err != nil {
			return nil, err
		}
		if m.scope != nil && m.scope.makes(c) {
			// systemd makes it, with all above.
			c.sure = len(c.levels) - 1
		}
		m.cgroups = append(m.cgroups, c)
	}
	l := limits{on2: m.on2}
	var notes []string
	if note, err := m.devices(f, &l, r.Resources); err != nil {
		return nil, err
	} else if note != "" {
		notes = append(notes, note)
	}
	if res := r.Resources; res != nil {
		if err := l.collect(res); err != nil {
			return nil, err
		}
		if res.Memory != nil && value(res.Memory.Swap) > 0 && value(res.Memory.Limit) == 0 {
			return nil, wrong("memory.swap", "a limit on memory and swap together needs linux.resources.memory.limit")
		}
	}
	if err := m.available(l.writes); err != nil {
		return nil, err
	}
	if f.Privileged() {
		m.owner = r.Owner
	}
	p := m.plan(l.writes)
	p.Warnings, p.Notes = l.warnings, notes
	return p, nil
}

// devices plans the rules on devices. They are in force also where the config has no
// resources at all: else every device of the host could be opened.
//
// From inside a user namespace they could not be set, nor need they be: no device can be
// made there.
func (m *cgroupfs) devices(f *host.Facts, l *limits, r *specs.LinuxResources) (note string, err error) {
	var rules []specs.LinuxDeviceCgroup
	if r != nil {
		rules = r.Devices
	}
	switch {
	case f.UserNS:
		return "no rules on devices: in a user namespace no device can be made", nil
	case m.unified && m.unprivileged:
		return "no rules on devices: to set them takes root, and without root no device can be made", nil
	case m.unified:
		m.filter, err = devfilter.New(rules)
		return "", err
	}
	return "", l.devices(rules)
}

// noHierarchy is the error for a host without cgroups.
func noHierarchy(r *Request) error {
	path := ""
	switch {
	case r.Resources != nil && !empty(r.Resources):
		path = "linux.resources"
	case r.Path != "":
		path = "linux.cgroupsPath"
	}
	return &fault.Error{
		Msg: "no cgroup hierarchy is mounted, so the container can have neither limits nor rules on devices", JSONPath: path,
		Hint: "mount them below /sys/fs/cgroup, or do without by --cgroup-manager disabled",
	}
}

func empty(r *specs.LinuxResources) bool {
	return len(r.Devices) == 0 && r.Memory == nil && r.CPU == nil && r.Pids == nil && r.BlockIO == nil &&
		len(r.HugepageLimits) == 0 && r.Network == nil && len(r.Rdma) == 0 && len(r.Unified) == 0
}

// on2 says whether a controller is one of v2: there is v2 alone, or v1 lacks it.
func (m *cgroupfs) on2(controller string) bool { return m.unified || onlyOn2(m.cgroups, controller) }

// onlyOn2 says whether a controller, by its v2 name, is in the v2 hierarchy beside
// v1 ones.
func onlyOn2(cgroups []*cgroup, controller string) bool {
	c := find(cgroups, controller)
	return c != nil && c.v2()
}

// available checks that each controller that is written to has a hierarchy.
func (m *cgroupfs) available(writes []write) error {
	for i := range writes {
		w := &writes[i]
		if m.find(w.controller) != nil || m.dispensable(w) {
			continue
		}
		if m.unified {
			c := m.cgroups[0]
			return missing2(w, c.offers, c.mount)
		}
		return missing(w)
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
func (m *cgroupfs) dispensable(w *write) bool { return m.unprivileged && w.controller == "devices" }

// find returns the cgroup in the hierarchy of a controller.
func (m *cgroupfs) find(controller string) *cgroup { return find(m.cgroups, controller) }

// find prefers v1 hierarchies: beside those v2 has what they lack.
func find(cgroups []*cgroup, controller string) *cgroup {
	var v2 *cgroup
	for _, c := range cgroups {
		switch {
		case c.dropped:
		case c.v2():
			v2 = c
		case c.has(controller):
			return c
		}
	}
	if v2 != nil && v2.offer(controller) {
		return v2
	}
	return nil
}

// plan puts the actions in order: hierarchy by hierarchy, each from the top down.
func (m *cgroupfs) plan(writes []write) *Plan {
	m.actions = make([]action, 0, len(writes)+3*len(m.cgroups))
	p := &Plan{driver: m, Late: m.scope != nil, Dirs: make(map[string]string, len(m.cgroups))}
	one := slices.IndexFunc(writes, func(w write) bool { return w.file == "pids.max" && w.data == "1" })
	switch {
	case m.scope != nil:
		if one >= 0 {
			writes[one].data, m.scope.alone = "2", true // see Settle
		}
		m.scope.translate(writes)
		m.actions = append(m.actions, m.scope.action(m.cgroups))
	default:
		m.single = m.unified && one >= 0
	}
	for _, c := range m.cgroups {
		p.Dirs[c.controllers] = c.dir()
		switch {
		case m.single:
			// Whoever is born into it can clone nobody. A first process that has to, for a
			// namespace that holds for children only, stays outside, and the one that it
			// clones writes itself. That waits for an RCU grace period.
			p.EntryFiles = append(p.EntryFiles, c.dir()+"/cgroup.procs")
		case !c.v2():
			// Written by a thread on itself, tasks moves without waiting for an RCU grace
			// period; cgroup.procs may take 10 ms.
			p.EntryFiles = append(p.EntryFiles, c.dir()+"/tasks")
		}
		m.planDirs(c, writes)
		for i := range writes {
			w := &writes[i]
			if m.find(w.controller) != c {
				continue
			}
			a := w.action(c)
			a.wanted = !m.dispensable(w)
			m.actions = append(m.actions, a)
		}
		if c.v2() {
			m.planLast2(c)
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
	a := action{cgroup: c, controller: w.controller, file: w.file, alt: w.alt, Action: Action{
		Kind: Write, Path: dir + w.file, Data: w.data, Why: w.why, JSONPath: w.json,
		Optional: w.optional, Group: w.group,
	}}
	if w.alt != "" {
		a.Else = dir + w.alt
		if a.ElseData = w.altData; a.ElseData == "" {
			a.ElseData = w.data
		}
	}
	return a
}

// cpusetFiles must be filled before a cpuset takes processes.
var cpusetFiles = [...]string{"cpuset.cpus", "cpuset.mems"}

// planDirs adds the making of each level, and then the filling of their cpusets.
// Only when the last level stands can no parent vanish any more. What the config
// itself writes to the last one need not be inherited.
func (m *cgroupfs) planDirs(c *cgroup, writes []write) {
	for n := c.sure + 1; n <= len(c.levels); n++ {
		why := "a parent of the container's cgroup in the hierarchy " + c.name()
		if n == len(c.levels) {
			why = "the container's cgroup in the hierarchy " + c.name()
		}
		m.actions = append(m.actions, action{cgroup: c, level: n, Action: Action{
			Kind: Mkdir, Path: c.path(n), Why: why, JSONPath: "linux.cgroupsPath",
		}})
	}
	if c.v2() {
		m.planEnable(c, writes)
		return
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
