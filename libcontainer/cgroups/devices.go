package cgroups

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// wildcard is a device number that stands for all.
const wildcard = int64(-1)

// The accesses of a device rule.
const (
	readDevice = 1 << iota
	writeDevice
	mknodDevice
)

// deviceRule is one rule on devices of type 'c' or 'b'.
type deviceRule struct {
	kind         byte
	major, minor int64
	access       int
	json, why    string
}

// defaultDevices are allowed after all that the config says, as with runc: nodes
// may be made at will but not opened, and the devices that every container has
// (config-linux.md, Default Devices) can be used. /dev/net/tun is there because
// runc 1.2.0 left it out and users missed it; 1.2.4 has it again. /dev/console
// needs no rule: it is a pseudoterminal.
var defaultDevices = [...]deviceRule{
	{kind: 'c', major: wildcard, minor: wildcard, access: mknodDevice, why: "make any character device node"},
	{kind: 'b', major: wildcard, minor: wildcard, access: mknodDevice, why: "make any block device node"},
	{kind: 'c', major: 1, minor: 3, access: 7, why: "use /dev/null"},
	{kind: 'c', major: 1, minor: 5, access: 7, why: "use /dev/zero"},
	{kind: 'c', major: 1, minor: 7, access: 7, why: "use /dev/full"},
	{kind: 'c', major: 1, minor: 8, access: 7, why: "use /dev/random"},
	{kind: 'c', major: 1, minor: 9, access: 7, why: "use /dev/urandom"},
	{kind: 'c', major: 5, minor: 0, access: 7, why: "use /dev/tty"},
	{kind: 'c', major: 5, minor: 2, access: 7, why: "use /dev/ptmx"},
	{kind: 'c', major: 136, minor: wildcard, access: 7, why: "use pseudoterminals"},
	{kind: 'c', major: 10, minor: 200, access: 7, why: "use /dev/net/tun"},
}

// deviceList is what the kernel's v1 device cgroup can hold: a default, and
// exceptions from it.
//
// The kernel does not apply rules in order: a rule that agrees with the default
// takes away only an exception that is equal to it, device for device. So the
// order is worked out here, as config-linux.md demands it, and what results is
// written.
type deviceList struct {
	allow      bool // the default
	json       string
	exceptions []deviceRule
}

// devices appends the writes for the rules of the config and for the defaults.
// A config that says nothing of devices denies those it does not name.
func (l *limits) devices(rules []specs.LinuxDeviceCgroup) error {
	list := deviceList{json: resources + "devices"}
	for i := range rules {
		if err := list.rule(&rules[i], i); err != nil {
			return err
		}
	}
	for _, r := range defaultDevices {
		if err := list.apply(r, true); err != nil {
			return err
		}
	}
	file, why := "deny", "deny all devices but those that follow"
	if list.allow {
		file, why = "allow", "allow all devices but those that follow"
	}
	l.deviceWrite(file, "a", why, list.json)
	file = "allow"
	if list.allow {
		file = "deny"
	}
	for i := range list.exceptions {
		e := &list.exceptions[i]
		why := e.why
		if why == "" {
			why = file + " a device"
		}
		l.deviceWrite(file, e.String(), why, e.json)
	}
	return nil
}

func (l *limits) deviceWrite(file, data, why, json string) {
	l.writes = append(l.writes, write{
		controller: "devices", file: "devices." + file, data: data, why: why, json: json,
	})
}

// rule applies one rule of the config.
func (d *deviceList) rule(r *specs.LinuxDeviceCgroup, index int) error {
	json := "devices[" + strconv.Itoa(index) + "]"
	rule := deviceRule{major: number(r.Major), minor: number(r.Minor), json: resources + json}
	if r.Access == "" {
		return fault.At(resources+json+".access", "device access at "+strconv.Itoa(index)+" field cannot be empty")
	}
	for i := 0; i < len(r.Access); i++ {
		switch r.Access[i] {
		case 'r':
			rule.access |= readDevice
		case 'w':
			rule.access |= writeDevice
		case 'm':
			rule.access |= mknodDevice
		default:
			return wrong(json+".access", strconv.Quote(r.Access)+" has other letters than r, w and m")
		}
	}
	if rule.major < wildcard || rule.minor < wildcard {
		return wrong(json, "a device number is negative")
	}
	switch r.Type {
	case "c", "b":
		rule.kind = r.Type[0]
		return d.apply(rule, r.Allow)
	case "a", "":
	default:
		return wrong(json+".type", "invalid cgroup device type "+strconv.Quote(r.Type))
	}
	if rule.major == wildcard && rule.minor == wildcard && rule.access == 7 {
		*d = deviceList{allow: r.Allow, json: rule.json}
		return nil
	}
	// The kernel reads "a" as all devices in every access, whatever follows it.
	for _, rule.kind = range [...]byte{'c', 'b'} {
		if err := d.apply(rule, r.Allow); err != nil {
			return err
		}
	}
	return nil
}

// apply adds r to the exceptions, or takes it out of them.
func (d *deviceList) apply(r deviceRule, allow bool) error {
	if allow != d.allow {
		for i := range d.exceptions {
			if e := &d.exceptions[i]; e.kind == r.kind && e.major == r.major && e.minor == r.minor {
				e.access |= r.access
				return nil
			}
		}
		d.exceptions = append(d.exceptions, r)
		return nil
	}
	kept := d.exceptions[:0]
	for _, e := range d.exceptions {
		switch {
		case e.kind != r.kind || e.access&r.access == 0 || !overlap(e.major, r.major) || !overlap(e.minor, r.minor):
		case (r.major == wildcard || r.major == e.major) && (r.minor == wildcard || r.minor == e.minor):
			e.access &^= r.access
		case r.json == "":
			// A default that the config's broader denial covers in part: all of it
			// stays denied, which is the safe side.
		default:
			return wrong(r.json[len(resources):], "cgroup v1 cannot take "+r.String()+" out of "+e.String()+
				", which "+e.json+" set")
		}
		if e.access != 0 {
			kept = append(kept, e)
		}
	}
	d.exceptions = kept
	return nil
}

func overlap(a, b int64) bool { return a == b || a == wildcard || b == wildcard }

func number(n *int64) int64 {
	if n == nil {
		return wildcard
	}
	return *n
}

// String is the rule as devices.allow and devices.deny take it.
func (r *deviceRule) String() string {
	buf := make([]byte, 0, 24)
	buf = append(buf, r.kind, ' ')
	buf = appendNumber(buf, r.major)
	buf = append(buf, ':')
	buf = appendNumber(buf, r.minor)
	buf = append(buf, ' ')
	for i, c := range [...]byte{'r', 'w', 'm'} {
		if r.access&(1<<i) != 0 {
			buf = append(buf, c)
		}
	}
	return string(buf)
}

func appendNumber(buf []byte, n int64) []byte {
	if n == wildcard {
		return append(buf, '*')
	}
	return strconv.AppendInt(buf, n, 10)
}
