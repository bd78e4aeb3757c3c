// Package devfilter works out the device rules of a config, and makes of them what
// keeps to them in cgroup v2, which has no device controller: a BPF program of type
// cgroup_device, attached to the container's cgroup.
//
// There is one meaning for both versions, that of v1's device cgroup
// (security/device_cgroup.c): Rules is what its lists can hold, package cgroups
// writes it to devices.allow and devices.deny, and Compile makes the program of it.
package devfilter

import (
	"math"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// Any is a device number that stands for all.
const Any = int64(-1)

// Access is what may be done with a device. The bits are the kernel's, DEVCG_ACC_
// for v1 and BPF_DEVCG_ACC_ for programs.
type Access uint8

// The accesses.
const (
	Mknod Access = 1 << iota
	Read
	Write

	All = Mknod | Read | Write
)

// Exception is a set of devices of one type, and the accesses for which the default
// does not hold.
type Exception struct {
	Type         byte // 'b' or 'c'
	Major, Minor int64
	Access       Access
	// JSONPath is the rule of the config that it comes from. It is empty for a default
	// rule, of which Why says what it is for.
	JSONPath, Why string
}

// Rules is a list of rules worked out: a default, and exceptions from it.
type Rules struct {
	Allow      bool   // the default
	JSONPath   string // the rule that set it; that of the list where none did
	Exceptions []Exception
}

const devices = "linux.resources.devices"

// Defaults are allowed after all that the config says, as with runc: nodes
// may be made at will but not opened, and the devices that every container has
// (config-linux.md, Default Devices) can be used. /dev/net/tun is there because
// runc 1.2.0 left it out and users missed it; 1.2.4 has it again. /dev/console
// needs no rule: it is a pseudoterminal.
var Defaults = [...]Exception{
	{Type: 'c', Major: Any, Minor: Any, Access: Mknod, Why: "make any character device node"},
	{Type: 'b', Major: Any, Minor: Any, Access: Mknod, Why: "make any block device node"},
	{Type: 'c', Major: 1, Minor: 3, Access: All, Why: "use /dev/null"},
	{Type: 'c', Major: 1, Minor: 5, Access: All, Why: "use /dev/zero"},
	{Type: 'c', Major: 1, Minor: 7, Access: All, Why: "use /dev/full"},
	{Type: 'c', Major: 1, Minor: 8, Access: All, Why: "use /dev/random"},
	{Type: 'c', Major: 1, Minor: 9, Access: All, Why: "use /dev/urandom"},
	{Type: 'c', Major: 5, Minor: 0, Access: All, Why: "use /dev/tty"},
	{Type: 'c', Major: 5, Minor: 2, Access: All, Why: "use /dev/ptmx"},
	{Type: 'c', Major: 136, Minor: Any, Access: All, Why: "use pseudoterminals"},
	{Type: 'c', Major: 10, Minor: 200, Access: All, Why: "use /dev/net/tun"},
}

// New works out the rules of a config and the default ones. A config that says
// nothing of devices denies those it does not name.
func New(rules []specs.LinuxDeviceCgroup) (*Rules, error) {
	r, err := workOut(rules)
	if err != nil {
		return nil, err
	}
	for i := range Defaults {
		if err := r.apply(Defaults[i], true); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func workOut(rules []specs.LinuxDeviceCgroup) (*Rules, error) {
	r := &Rules{JSONPath: devices}
	for i := range rules {
		if err := r.rule(&rules[i], i); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// AllowsAll says whether there is no device that the rules keep anybody from.
func (r *Rules) AllowsAll() bool { return r.Allow && len(r.Exceptions) == 0 }

// Allowed says whether something may be done with a device, as the kernel does: where
// the default is to deny, one exception must allow all that is asked at once; where
// it is to allow, none may deny any of it. To ask for no access, as access(2) with
// F_OK does, is to ask whether the device is named at all.
func (r *Rules) Allowed(kind byte, major, minor int64, access Access) bool {
	for i := range r.Exceptions {
		e := &r.Exceptions[i]
		switch {
		case e.Type != kind || e.Major != Any && e.Major != major || e.Minor != Any && e.Minor != minor:
		case r.Allow && e.Access&access != 0, !r.Allow && access&^e.Access == 0:
			return !r.Allow
		}
	}
	return r.Allow
}

// rule applies one rule of the config.
func (r *Rules) rule(d *specs.LinuxDeviceCgroup, index int) error {
	path := devices + "[" + strconv.Itoa(index) + "]"
	e := Exception{JSONPath: path}
	var err error
	if d.Access == "" {
		return fault.At(path+".access", "device access at "+strconv.Itoa(index)+" field cannot be empty")
	}
	if e.Access, err = parseAccess(d.Access, path); err != nil {
		return err
	}
	if e.Major, err = number(d.Major, path+".major"); err != nil {
		return err
	}
	if e.Minor, err = number(d.Minor, path+".minor"); err != nil {
		return err
	}
	switch d.Type {
	case "c", "b":
		e.Type = d.Type[0]
		return r.apply(e, d.Allow)
	case "a", "":
	default:
		return wrong(path+".type", "invalid cgroup device type "+strconv.Quote(d.Type))
	}
	if e.Major == Any && e.Minor == Any && e.Access == All {
		*r = Rules{Allow: d.Allow, JSONPath: path}
		return nil
	}
	// The kernel reads "a" as all devices in every access, whatever follows it, and
	// runc does the same: a rule that allows to read would allow everything.
	for _, e.Type = range [...]byte{'c', 'b'} {
		if err := r.apply(e, d.Allow); err != nil {
			return err
		}
	}
	return nil
}

// apply adds e to the exceptions, or takes it out of them.
//
// The kernel's lists know no order: a rule that agrees with the default takes away
// only from an exception for the very same devices, and does nothing to a wider or a
// narrower one. config-linux.md has rules hold in the order in which they are
// listed, so that is worked out here.
func (r *Rules) apply(e Exception, allow bool) error {
	if allow == r.Allow {
		return r.takeOut(e)
	}
	for i := range r.Exceptions {
		if have := &r.Exceptions[i]; have.Type == e.Type && have.Major == e.Major && have.Minor == e.Minor {
			have.Access |= e.Access
			return nil
		}
	}
	r.Exceptions = append(r.Exceptions, e)
	return nil
}

func (r *Rules) takeOut(e Exception) error {
	kept := r.Exceptions[:0]
	for _, have := range r.Exceptions {
		switch {
		case have.Type != e.Type || have.Access&e.Access == 0 || !overlap(have.Major, e.Major) || !overlap(have.Minor, e.Minor):
		case (e.Major == Any || e.Major == have.Major) && (e.Minor == Any || e.Minor == have.Minor):
			have.Access &^= e.Access
		case e.JSONPath == "":
			// A default that the config's broader denial covers in part: all of it
			// stays denied, which is the safe side.
		default:
			return wrong(e.JSONPath, "a device cgroup cannot take "+e.String()+" out of "+have.String()+
				", which "+have.JSONPath+" set")
		}
		if have.Access != 0 {
			kept = append(kept, have)
		}
	}
	r.Exceptions = kept
	return nil
}

func overlap(a, b int64) bool { return a == b || a == Any || b == Any }

func parseAccess(s, path string) (a Access, err error) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case 'r':
			a |= Read
		case 'w':
			a |= Write
		case 'm':
			a |= Mknod
		default:
			return 0, wrong(path+".access", strconv.Quote(s)+" has other letters than r, w and m")
		}
	}
	return a, nil
}

// number is a device number of the config. The kernel keeps 32 bits, of which all
// set stand for every number: 4294967295 would open all devices.
func number(n *int64, path string) (int64, error) {
	switch {
	case n == nil:
		return Any, nil
	case *n < Any:
		return 0, wrong(path, "a device number is negative")
	case *n >= math.MaxUint32:
		return 0, wrong(path, strconv.FormatInt(*n, 10)+" is more than a device number can be")
	}
	return *n, nil
}

func wrong(path, msg string) error { return fault.At(path, path+": "+msg) }

// String is the exception as devices.allow and devices.deny take it.
func (e *Exception) String() string {
	buf := make([]byte, 0, 24)
	buf = append(buf, e.Type, ' ')
	buf = appendNumber(buf, e.Major)
	buf = append(buf, ':')
	buf = appendNumber(buf, e.Minor)
	buf = append(buf, ' ')
	for _, c := range [...]struct {
		bit    Access
		letter byte
	}{{Read, 'r'}, {Write, 'w'}, {Mknod, 'm'}} {
		if e.Access&c.bit != 0 {
			buf = append(buf, c.letter)
		}
	}
	return string(buf)
}

func appendNumber(buf []byte, n int64) []byte {
	if n == Any {
		return append(buf, '*')
	}
	return strconv.AppendInt(buf, n, 10)
}
