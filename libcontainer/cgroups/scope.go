package cgroups

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups/systemd"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/sys"
)

// With systemd the container's cgroup is that of a scope, a unit of processes that
// somebody else has started. systemd makes it around the container's first process,
// which waits for that, in the v2 hierarchy or those v1 ones that it manages. All the
// rest is done as without it: the limits are told to systemd as properties, since it writes its own values
// when it is reloaded, and then written to the files, where they are exact, and where
// there are more of them than properties.
//
// Rules on devices in v2 are no properties: systemd leaves our program alone, and
// its own rules, which hold as well, go by paths of device nodes that need not be there.

// KindScope is the kind of journal entry for a scope.
const KindScope = "scope"

// scope says which unit of which manager.
type scope struct {
	user bool
	name string
}

// making is a scope that is to be made.
type making struct {
	scope
	*systemd.Scope
	annotated []systemd.Property
	// below is where the cgroups of the manager begin.
	below  string
	making *Making
	// alone is true when there is to be room for one process in the end. The first one,
	// around which the scope is made, may have to clone the one that stays.
	alone bool
}

// planScope plans the scope, and makes its cgroup's path that of the request.
func planScope(f *host.Facts, r *Request) (*making, *Request, error) {
	if !f.Systemd {
		return nil, nil, &fault.Error{
			Msg:  "systemd not running on this host, cannot use systemd cgroups manager",
			Hint: "leave --systemd-cgroup out to use cgroupfs",
		}
	}
	m := &making{scope: scope{user: !f.Privileged()}}
	slice, name, err := systemd.ParsePath(r.Path, r.ID, m.user)
	if err != nil {
		return nil, nil, err
	}
	if m.annotated, err = systemd.Annotated(r.Annotations); err != nil {
		return nil, nil, err
	}
	m.name, m.Scope = name, &systemd.Scope{Name: name, Slice: slice}
	if m.user {
		m.below = userManager(f)
	}
	at, err := systemd.ExpandSlice(slice)
	if err != nil {
		return nil, nil, err
	}
	with := *r
	with.Path = path.Join("/", m.below, at, name)
	return m, &with, nil
}

// userManager is the cgroup of the user's systemd: the caller is in it, or else it is at
// the usual place.
func userManager(f *host.Facts) string {
	for i := range f.Cgroup.Hierarchies {
		h := &f.Cgroup.Hierarchies[i]
		if !h.V2 && h.Controllers[0] != "name=systemd" {
			continue
		}
		for at := path.Clean(h.Own); at != "/"; at = path.Dir(at) {
			if name := path.Base(at); strings.HasPrefix(name, "user@") && strings.HasSuffix(name, ".service") {
				return at
			}
		}
	}
	uid := systemd.OuterUID()
	return "/user.slice/user-" + uid + ".slice/user@" + uid + ".service"
}

// makes says whether systemd makes c. In v1 that depends on what it accounts, but for
// its own hierarchy.
func (m *making) makes(c *cgroup) bool { return c.v2() && len(c.offers) > 0 || c.has("name=systemd") }

// translate says the limits as properties.
func (m *making) translate(writes []write) {
	m.Properties = append(systemd.Properties(files(writes), nil), m.annotated...)
}

// files are what is written.
func files(writes []write) []systemd.File {
	list := make([]systemd.File, 0, len(writes))
	for i := range writes {
		w := &writes[i]
		if w.alt == "io.weight" {
			list = append(list, systemd.File{Name: w.alt, Data: w.altData})
			continue
		}
		list = append(list, systemd.File{Name: w.file, Data: w.data})
	}
	return list
}

// action is the making of the scope as an action.
func (m *making) action(cgroups []*cgroup) action {
	a := action{Action: Action{
		Kind: Scope, Data: m.Slice + "/" + m.name, Why: "have systemd make the container's scope", JSONPath: "linux.cgroupsPath",
	}, wanted: true}
	for _, c := range cgroups {
		if m.makes(c) {
			a.cgroup, a.Path = c, c.dir()
		}
	}
	for _, p := range m.Properties {
		a.Data += " " + p.Name + "=" + p.Value.String()
	}
	return a
}

// note journals the scope.
func (m *making) note(making *Making) error {
	m.making, m.Description = making, description(making.Mark)
	return making.Note(KindScope, [][]string{{m.bus(), m.name, m.Description}})
}

// description tells whose the scope is, to people and to whoever undoes it.
func description(mark string) string { return "Berth container " + mark }

func (s *scope) bus() string {
	if s.user {
		return "user"
	}
	return "system"
}

// start has systemd make the scope.
func (m *making) start(fs *cgroupfs) error {
	b, err := systemd.Connect(m.making.Context, m.user, m.making.Say)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Start(m.Scope, m.making.PID); err != nil {
		return err
	}
	for _, c := range fs.cgroups {
		if !m.makes(c) {
			continue
		}
		fd, err := c.openDir(len(c.levels))
		if err == nil {
			unix.Close(fd)
			continue
		}
		e := fault.Wrap("cannot open the scope's cgroup "+c.dir(), err)
		if at, err := b.Cgroup(m.name); err == nil && at != "" {
			e.Hint = "systemd says that it is " + at
		}
		return e
	}
	return nil
}

// UndoScope stops the scope of a journal entry, unless it is another's.
func UndoScope(p *sys.Patience, args []string) error {
	if len(args) != 3 {
		return fault.New("the journal's entry for a scope is broken")
	}
	if !host.Booted() {
		return nil // and so there is no scope
	}
	b, err := systemd.Connect(p.Context(), args[0] == "user", p.Say)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Stop(args[1], args[2])
}

// scopeHandle is the Handle of a container with a scope.
type scopeHandle struct {
	*handle
	scope scope
	alone bool // there is room for two yet
}

// Settle takes the room for a second process away.
func (h *scopeHandle) Settle() error {
	if !h.alone {
		return nil
	}
	one := int64(1)
	_, err := h.Set(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &one}})
	return err
}

// scopePrefix marks the scope among records.
const scopePrefix = "scope:"

func (h *scopeHandle) Records() []string {
	return append([]string{scopePrefix + h.scope.bus() + ":" + h.scope.name}, h.handle.Records()...)
}

// cutScope takes the scope off records; nil where there is none.
func cutScope(records []string) (*scope, []string) {
	if len(records) == 0 {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(records[0], scopePrefix)
	bus, name, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return nil, records
	}
	return &scope{user: bus == "user", name: name}, records[1:]
}

// Set tells systemd first, which cuts some values to what it can tell, and then writes
// the files.
func (h *scopeHandle) Set(r *specs.LinuxResources) (warnings []string, err error) {
	c, err := h.change(r)
	if err != nil {
		return nil, err
	}
	props := systemd.Properties(files(c.writes), h.current)
	if len(props) == 0 {
		return c.carryOut(h.handle)
	}
	b, err := systemd.Connect(context.Background(), h.scope.user, nil)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	before, err := b.InForce(h.scope.name, props)
	if err != nil {
		return nil, err
	}
	kept, given := h.others(c), c.before()
	if err := b.Set(h.scope.name, props); err != nil {
		return nil, err
	}
	if err = writeAll(kept); err == nil {
		warnings, err = c.carryOut(h.handle)
	}
	if err != nil {
		// Its own values are not exact: what is in the files is put back after it.
		rerr := b.Set(h.scope.name, before)
		if rerr == nil {
			rerr = writeAll(kept)
		}
		if rerr == nil {
			rerr = putBack(given)
		}
		if rerr != nil {
			err = &fault.Error{Msg: "systemd has new limits, since what was in force can not be put back: " + rerr.Error(), Err: err}
		}
	}
	return warnings, err
}

// told are the files that systemd writes with any other.
var told = [...]string{
	"cpu.weight", "cpu.max", "cpu.idle", "memory.min", "memory.low", "memory.high", "memory.swap.max", "memory.max",
	"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us",
}

// others are the actions that would put back what is in force, but is no part of the
// change: when systemd is told of one value, it writes all that it knows of, in the way that
// it knows them.
func (h *handle) others(c *limitChange) []action {
	var list []action
	for _, file := range told {
		controller, _, _ := strings.Cut(file, ".")
		given := slices.ContainsFunc(c.writes, func(w write) bool {
			// Idle or not and the weight are one thing to systemd as well as to the kernel.
			return w.file == file || file == "cpu.weight" && w.file == "cpu.idle" || file == "cpu.idle" && w.file == "cpu.weight"
		})
		cg := find(h.cgroups, controller)
		if given || cg == nil {
			continue
		}
		now := h.current(file)
		if now == "" || file == "cpu.weight" && now == "0" {
			continue // an idle one has no weight
		}
		w := write{controller: controller, file: file, data: now, why: "keep what is in force", json: "linux.resources", group: -1}
		list = append(list, w.action(cg))
	}
	return list
}

// current reads a control file of any of the cgroups.
func (h *handle) current(file string) string {
	controller, _, _ := strings.Cut(file, ".")
	c := find(h.cgroups, controller)
	if c == nil {
		return ""
	}
	fd, err := h.open(c)
	if err != nil {
		return ""
	}
	text, _ := readFile(fd, file)
	return strings.TrimSpace(text)
}

// Entry goes by systemd where the caller may not enter by himself: an ordinary user who
// is outside his own manager's cgroup, as in a session by ssh.
func (h *scopeHandle) Entry(below []string) (*Entry, error) {
	e, err := h.handle.Entry(below)
	if err != nil || e.Dir == "" || !h.scope.user {
		return e, err
	}
	c := h.cgroups[0]
	if !c.v2() || mayEnter(c, e.Dir) {
		return e, nil
	}
	sub := strings.TrimPrefix(e.Dir, c.dir())
	e.Dir, e.Late = "", func(ctx context.Context, pid int) error {
		b, err := systemd.Connect(ctx, true, nil)
		if err != nil {
			return err
		}
		defer b.Close()
		return b.Attach(h.scope.name, sub, pid)
	}
	return e, nil
}
