package cgroups

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups/devfilter"
	"berth/libcontainer/fault"
)

// What a v2 cgroup needs beside directories and values.

// subtree is the file by which a cgroup gives controllers to those below it.
const subtree = "cgroup.subtree_control"

// planEnable adds that c gets its controllers. With v2 alone it is given all that there
// are, as with runc: statistics are had from controllers that limit nothing. Beside v1
// only those that the config needs are.
func (m *cgroupfs) planEnable(c *cgroup, writes []write) {
	var needs []*write
	names := []string{}
	for i := range writes {
		w := &writes[i]
		if m.find(w.controller) != c || w.controller == "cgroup" || slices.Contains(names, w.controller) {
			continue
		}
		needs, names = append(needs, w), append(names, w.controller)
	}
	if m.unified {
		names = c.offers
	}
	if len(names) == 0 {
		return
	}
	a := action{cgroup: c, needs: needs, Action: Action{
		Kind: Enable, Path: c.dir(), Data: "+" + strings.Join(names, " +"), Why: "give the container's cgroup its controllers",
	}}
	if len(needs) > 0 {
		a.JSONPath, a.wanted = needs[0].json, true
	}
	m.actions = append(m.actions, a)
}

// planLast2 adds what is done when all values are written.
func (m *cgroupfs) planLast2(c *cgroup) {
	if m.filter != nil {
		m.actions = append(m.actions, action{cgroup: c, Action: Action{
			Kind: Filter, Path: c.dir(), Data: filterText(m.filter), Why: "let devices be used by rule", JSONPath: resources + "devices",
		}})
	}
	if m.unified && m.owner >= 0 {
		m.actions = append(m.actions, action{cgroup: c, Action: Action{
			Kind: Chown, Path: c.dir(), Data: strconv.Itoa(m.owner), Why: "give the cgroup to the container's user", JSONPath: "linux.cgroupsPath",
		}})
	}
}

// controllersAt is the list in a file of a cgroup; empty where it can not be read.
func controllersAt(dir int, file string) []string {
	text, err := readFile(dir, file)
	if err != nil {
		return nil
	}
	return strings.Fields(text)
}

// enable gives the cgroup the controllers of an Enable that it does not have. Nearly
// always it has all of them, since the cgroups above give them to every one.
func (a *action) enable() error {
	c := a.cgroup
	lacks := func() []string {
		has := controllersAt(c.fd, "cgroup.controllers")
		var names []string
		for name := range strings.SplitSeq(strings.TrimPrefix(a.Data, "+"), " +") {
			if !slices.Contains(has, name) {
				names = append(names, name)
			}
		}
		return names
	}
	names := lacks()
	if len(names) == 0 {
		return nil
	}
	why := make(map[string]refusal)
	for n := range c.levels {
		if err := c.enableAt(n, names, why); err != nil {
			return err
		}
	}
	names = lacks()
	for _, w := range a.needs {
		if slices.Contains(names, w.controller) {
			return disabled(w, c, why[w.controller])
		}
	}
	return nil
}

// refusal is where and why a controller could not be given.
type refusal struct {
	level int
	err   error // nil where the cgroup there does not have it
}

// enableAt lets the cgroup at level n give those of the controllers that it has to
// those below it, and notes why one is not given.
func (c *cgroup) enableAt(n int, names []string, why map[string]refusal) error {
	fd, err := c.openDir(n)
	if err != nil {
		return fault.Wrap("cannot open the cgroup "+c.path(n), err)
	}
	defer unix.Close(fd)
	has, given := controllersAt(fd, "cgroup.controllers"), controllersAt(fd, subtree)
	var fresh []string
	for _, name := range names {
		switch {
		case slices.Contains(given, name):
		case slices.Contains(has, name):
			fresh = append(fresh, name)
		default:
			if _, known := why[name]; !known {
				why[name] = refusal{level: n}
			}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	err = unix.EBUSY
	if !wouldThread(fd, fresh) {
		err = writeFile(fd, subtree, "+"+strings.Join(fresh, " +"))
	}
	if err == nil {
		return nil
	}
	if err == unix.EBUSY {
		for _, name := range fresh {
			why[name] = refusal{n, err}
		}
		return nil
	}
	// Nothing is given when one of them can not be.
	for _, name := range fresh {
		if err := writeFile(fd, subtree, "+"+name); err != nil {
			why[name] = refusal{n, err}
		}
	}
	return nil
}

// wouldThread says whether to give these alone would make a cgroup with processes the
// domain of a threaded subtree. The kernel takes some controllers for that there (cgroups(7),
// threaded mode), and then no cgroup below can have processes.
func wouldThread(fd int, names []string) bool {
	for _, name := range names {
		if !slices.Contains(threadable[:], name) {
			return false // the kernel refuses
		}
	}
	// The top of the hierarchy has no type, and may have processes.
	if kind, err := readFile(fd, "cgroup.type"); err != nil || strings.TrimSpace(kind) != "domain" {
		return false
	}
	text, err := readFile(fd, "cgroup.procs")
	return err == nil && text != ""
}

// threadable are the controllers that a threaded cgroup can have.
var threadable = [...]string{"cpu", "cpuset", "perf_event", "pids"}

// disabled is the error for a controller that the config needs and the cgroup lacks.
func disabled(w *write, c *cgroup, r refusal) error {
	at := c.path(r.level)
	e := fault.Wrap(w.json+" needs the cgroup controller "+w.controller+", which is not available in the container's cgroup", r.err)
	e.JSONPath = w.json
	if r.err == nil {
		e.Hint = at + " does not have it: see its cgroup.controllers"
		return e
	}
	e.Call = `write "+` + w.controller + `" to ` + at + "/" + subtree
	switch e.Errno {
	case unix.EBUSY:
		e.Hint = "there are processes in " + at + ", and a cgroup with processes gives no controllers to those below it (cgroups(7)): " +
			"move them to one below it, or choose another linux.cgroupsPath"
	case unix.EACCES, unix.EPERM, unix.EROFS:
		e.Hint = "the controller is not delegated to this user: with systemd set Delegate=" + w.controller + " for user@.service, and use --systemd-cgroup"
	case unix.EOPNOTSUPP, unix.EINVAL:
		if kind, err := typeAt(c, r.level); err == nil && strings.Contains(kind, "threaded") {
			e.Hint = at + " is threaded, and only threaded controllers can be given there"
		}
	}
	return e
}

// typeAt reads cgroup.type at a level.
func typeAt(c *cgroup, n int) (string, error) {
	fd, err := c.openDir(n)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readFile(fd, "cgroup.type")
}

// attach puts the program on devices in force.
func (m *cgroupfs) attach(a *action) error { return filterDevices(m.filter, a.cgroup, a.JSONPath) }

// filterDevices puts rules on devices in force in c, which is open, in place of others
// of ours.
func filterDevices(r *devfilter.Rules, c *cgroup, json string) error {
	p := r.Compile()
	if err := p.Attach(c.fd); err != nil {
		e := fault.Wrap("cannot set the rules on devices of "+c.dir(), err)
		e.JSONPath = json
		return e
	}
	return nil
}

// filterText is what rules come to.
func filterText(r *devfilter.Rules) string {
	list := make([]string, len(r.Exceptions))
	for i := range list {
		list[i] = r.Exceptions[i].String()
	}
	text := "deny all"
	if r.Allow {
		text = "allow all"
	}
	if len(list) > 0 {
		text += " but " + strings.Join(list, ", ")
	}
	return text
}

// unfilter takes our rules on devices off a cgroup that stays.
func unfilter(fd int) error {
	p := (&devfilter.Rules{Allow: true}).Compile()
	return p.Attach(fd)
}

// delegated are the files that go with a cgroup that is given away, where the kernel
// (before 4.15) does not list them.
var delegated = []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}

// chown gives the cgroup to the user uid: the directory, so that he can make cgroups
// below, and the files that the kernel says go with it. The limits stay the host's.
func (a *action) chown(uid int) error {
	files := delegated
	if text, err := os.ReadFile("/sys/kernel/cgroup/delegate"); err == nil {
		files = strings.Fields(string(text))
	}
	c := a.cgroup
	err := unix.Fchown(c.fd, uid, -1)
	for _, file := range files {
		if err != nil {
			break
		}
		if strings.Contains(file, "/") {
			continue
		}
		// Some belong to controllers that the cgroup does not have.
		if err = unix.Fchownat(c.fd, file, uid, -1, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
			err = nil
		}
	}
	if err != nil {
		e := fault.Wrap("cannot give the container's cgroup to its user", err)
		e.JSONPath, e.Call = a.JSONPath, "chown "+a.Data+" "+c.dir()
		return e
	}
	return nil
}
