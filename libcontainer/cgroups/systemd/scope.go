package systemd

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"berth/libcontainer/fault"
)

// Property is a property of a unit.
type Property struct {
	Name  string
	Value dbus.Variant
}

func property[T any](name string, v T) Property { return Property{name, dbus.MakeVariant(v)} }

// auxiliary is what StartTransientUnit takes units in that come along; we have none.
type auxiliary struct {
	Name       string
	Properties []Property
}

// Scope is a container's unit.
type Scope struct {
	Name, Slice string
	// Description says whose it is: no other scope has the same.
	Description string
	Properties  []Property
}

// Start makes the scope with the process pid in it, and returns when it is there. One of
// that name that has failed or ended is no obstacle.
func (b *Bus) Start(s *Scope, pid int) error {
	props := append([]Property{
		property("Description", s.Description),
		property("Slice", s.Slice),
		property("PIDs", []uint32{uint32(pid)}),
		// The cgroups below, and what this one's limits are, are ours to change.
		property("Delegate", true),
		property("DefaultDependencies", false),
		// One that ends badly, by a process that was killed for want of memory, would stay
		// and bar its name (systemd 236).
		property("CollectMode", "inactive-or-failed"),
		property("CPUAccounting", true),
		property("MemoryAccounting", true),
		property("TasksAccounting", true),
		property("IOAccounting", true),
	}, b.known(s.Properties)...)
	cannot := "cannot make the scope " + s.Name
	jobs, err := b.jobs()
	if err != nil {
		return failed(cannot, "Subscribe", err)
	}
	defer b.conn.RemoveSignal(jobs)
	const method = "StartTransientUnit"
	c, err := b.call(managerPath, manager+method, s.Name, "replace", props, []auxiliary{})
	if is(err, "UnitExists") {
		// Failed ones can be cleared away; what runs can not.
		if rerr := b.reset(s.Name); rerr == nil {
			c, err = b.call(managerPath, manager+method, s.Name, "replace", props, []auxiliary{})
		}
	}
	if is(err, "UnitExists") {
		return &fault.Error{
			Msg: "systemd has a unit " + s.Name + " already", JSONPath: "linux.cgroupsPath", Err: err,
			Hint: "see systemctl status " + s.Name,
		}
	}
	if err != nil {
		return failed(cannot, method, err)
	}
	return b.awaitJob(jobs, c, cannot)
}

// jobs asks for the signals of jobs.
func (b *Bus) jobs() (chan *dbus.Signal, error) {
	jobs := make(chan *dbus.Signal, 64)
	b.conn.Signal(jobs)
	err := b.conn.AddMatchSignalContext(b.ctx, dbus.WithMatchInterface(strings.TrimSuffix(manager, ".")), dbus.WithMatchMember("JobRemoved"))
	if err == nil {
		_, err = b.call(managerPath, manager+"Subscribe")
	}
	if err != nil && !is(err, "AlreadySubscribed") {
		b.conn.RemoveSignal(jobs)
		return nil, err
	}
	return jobs, nil
}

// awaitJob waits for the end of the job that a call has begun.
func (b *Bus) awaitJob(jobs <-chan *dbus.Signal, c *dbus.Call, cannot string) error {
	var job dbus.ObjectPath
	if err := c.Store(&job); err != nil {
		return failed(cannot, c.Method, err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, answer)
	defer cancel()
	result := ""
	err := b.await(ctx, "systemd to carry out "+c.Method, func(again <-chan time.Time) bool {
		for {
			select {
			case s := <-jobs:
				// JobRemoved(uoss): number, job, unit, result
				if s == nil || len(s.Body) != 4 || s.Body[1] != job {
					continue
				}
				result, _ = s.Body[3].(string)
				return true
			case <-again:
				return false
			case <-ctx.Done():
				return false
			}
		}
	})
	if err != nil {
		return failed(cannot, "waiting for the job", err)
	}
	if result != "done" {
		return &fault.Error{Msg: cannot, Err: fault.New("systemd's job ended as " + result), Hint: "see journalctl"}
	}
	return nil
}

func (b *Bus) reset(unit string) error {
	_, err := b.call(managerPath, manager+"ResetFailedUnit", unit)
	return err
}

// unit is where on the bus a unit is; empty where there is none.
func (b *Bus) unit(name string) (dbus.ObjectPath, error) {
	c, err := b.call(managerPath, manager+"GetUnit", name)
	if is(err, "NoSuchUnit") {
		return "", nil
	}
	var path dbus.ObjectPath
	if err == nil {
		err = c.Store(&path)
	}
	if err != nil {
		return "", failed("cannot ask systemd for "+name, "GetUnit", err)
	}
	return path, nil
}

// get is a property of a unit.
func (b *Bus) get(path dbus.ObjectPath, kind, name string) (dbus.Variant, error) {
	var v dbus.Variant
	c, err := b.call(path, properties+"Get", destination+"."+kind, name)
	if err == nil {
		err = c.Store(&v)
	}
	return v, err
}

// Cgroup is the path of a scope's cgroup from the top of the hierarchy.
func (b *Bus) Cgroup(unit string) (string, error) {
	path, err := b.unit(unit)
	if err != nil {
		return "", err
	}
	if path == "" {
		return "", fault.New("systemd has no scope " + unit)
	}
	v, err := b.get(path, "Scope", "ControlGroup")
	s, _ := v.Value().(string)
	if err != nil {
		return "", failed("cannot ask systemd for the cgroup of "+unit, "Get ControlGroup", err)
	}
	return s, nil
}

// Set changes properties until the next boot, which no scope lives to see.
func (b *Bus) Set(unit string, props []Property) error {
	_, err := b.call(managerPath, manager+"SetUnitProperties", unit, true, b.known(props))
	if err != nil {
		return failed("cannot change the scope "+unit, "SetUnitProperties", err)
	}
	// systemd answers before it writes to the cgroup, and writes before it hears of
	// anything else: what we write to the files is to be last.
	_, err = b.unit(unit)
	return err
}

// known are the properties without those that this version of systemd would refuse.
func (b *Bus) known(props []Property) []Property {
	return slices.DeleteFunc(slices.Clone(props), func(p Property) bool {
		return p.Name == idleWeight && p.Value.Value() == uint64(0) && b.version() < 252
	})
}

// version is systemd's: 252 of "252.38-1~deb12u1". It is 0 where it does not say.
func (b *Bus) version() int {
	var v dbus.Variant
	c, err := b.call(managerPath, properties+"Get", strings.TrimSuffix(manager, "."), "Version")
	if err != nil || c.Store(&v) != nil {
		return 0
	}
	text, _ := v.Value().(string)
	text = strings.TrimPrefix(text, "v")
	n, _ := strconv.Atoi(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))])
	return n
}

// InForce are the properties of a scope with the names of props as they are now.
func (b *Bus) InForce(unit string, props []Property) ([]Property, error) {
	path, err := b.unit(unit)
	if err != nil || path == "" {
		return nil, err
	}
	var now []Property
	for _, p := range props {
		v, err := b.get(path, "Scope", p.Name)
		if err != nil {
			continue // a version of systemd that can not tell
		}
		now = append(now, Property{p.Name, v})
	}
	return now, nil
}

// Attach puts a process into a scope's cgroup, or, where sub is not empty, into the one
// of that path below it.
func (b *Bus) Attach(unit, sub string, pid int) error {
	if _, err := b.call(managerPath, manager+"AttachProcessesToUnit", unit, sub, []uint32{uint32(pid)}); err != nil {
		return failed("cannot put process "+strconv.Itoa(pid)+" into the scope "+unit, "AttachProcessesToUnit", err)
	}
	return nil
}

// Stop ends a scope that has this description. One that is gone is no error, as it nearly
// always is when its processes are, and one of somebody else's is not touched.
func (b *Bus) Stop(unit, description string) error {
	path, err := b.unit(unit)
	if err != nil || path == "" {
		return err
	}
	v, err := b.get(path, "Unit", "Description")
	if s, _ := v.Value().(string); err != nil || s != description {
		return nil // gone at this moment, or another's
	}
	cannot := "cannot stop the scope " + unit
	jobs, err := b.jobs()
	if err != nil {
		return failed(cannot, "Subscribe", err)
	}
	defer b.conn.RemoveSignal(jobs)
	c, err := b.call(managerPath, manager+"StopUnit", unit, "replace")
	if is(err, "NoSuchUnit") {
		return nil
	}
	if err != nil {
		return failed(cannot, "StopUnit", err)
	}
	err = b.awaitJob(jobs, c, cannot)
	_ = b.reset(unit) // fails where it has not
	return err
}

func failed(msg, call string, err error) error {
	return &fault.Error{Msg: msg, Call: "D-Bus: " + call, Err: err}
}
