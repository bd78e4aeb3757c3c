// Package devicerules is the table of what device rules mean. It is held against
// the rules as they are worked out, against the kernel's v1 device cgroup and against
// the program for v2, and Script lets a container try it from inside.
package devicerules

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Case is linux.resources.devices of a config and what comes of it, the runtime's
// default rules included. To go through the table in one cgroup is to update it.
type Case struct {
	Name  string
	Rules []specs.LinuxDeviceCgroup
	// Refused is part of the error, where there is one.
	Refused string
	// Allowed and Denied are what is tried: a device and what is asked of it at once,
	// as "c 1:3 rw". To make a node (m) and to use it are never asked together.
	Allowed, Denied []Try
}

// Try is a device and what is asked of it.
type Try string

// Parse takes it apart.
func (t Try) Parse() (kind byte, major, minor int64, access string) {
	if _, err := fmt.Sscanf(string(t), "%c %d:%d %s", &kind, &major, &minor, &access); err != nil {
		panic(string(t) + ": " + err.Error())
	}
	return kind, major, minor, access
}

// Rule is a rule on devices; -1 stands for all numbers.
func Rule(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	d := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access}
	if major != -1 {
		d.Major = &major
	}
	if minor != -1 {
		d.Minor = &minor
	}
	return d
}

// Script is for a shell in the container, in a directory where devices can be used (the
// mount is not nodev) and with CAP_MKNOD. It prints a line for each device that is not
// as the table has it. What the device itself says to being opened does not matter:
// the numbers from 4001 on belong to no driver.
func (c *Case) Script() string {
	var b strings.Builder
	b.WriteString(`try() { # expected kind major minor access
	rm -f node; said=
	case $5 in
	m) said=$(mknod node $2 $3 $4 2>&1);;
	*) mknod node $2 $3 $4 || return
	   case $5 in
	   r) said=$( (exec 3<node) 2>&1);;
	   w) said=$( (exec 3>node) 2>&1);;
	   rw) said=$( (exec 3<>node) 2>&1);;
	   esac;;
	esac
	got=allowed
	case $said in *"ermission denied"*) got="$said";; *"not permitted"*) got=denied;; esac
	test "$got" = $1 || echo "$2 $3:$4 $5: $got, not $1"
	rm -f node
}
`)
	for _, list := range []struct {
		word  string
		tries []Try
	}{{"allowed", c.Allowed}, {"denied", c.Denied}} {
		for _, t := range list.tries {
			kind, major, minor, access := t.Parse()
			fmt.Fprintf(&b, "try %s %c %d %d %s\n", list.word, kind, major, minor, access)
		}
	}
	return b.String()
}

var (
	denyAll  = Rule(false, "", -1, -1, "rwm")
	allowAll = Rule(true, "a", -1, -1, "rwm")
)

func list(rules ...specs.LinuxDeviceCgroup) []specs.LinuxDeviceCgroup { return rules }

// Cases is the table.
var Cases = []Case{
	{
		Name:    "no rules: what every container has",
		Allowed: []Try{"c 1:3 rw", "c 1:5 r", "c 1:7 w", "c 1:8 r", "c 1:9 rw", "c 5:0 rw", "c 5:2 rw", "c 136:9 rw", "c 10:200 rw", "c 4001:1 m", "b 4001:1 m"},
		Denied:  []Try{"c 10:229 r", "c 1:1 r", "c 1:11 w", "b 8:0 r", "b 1:3 r", "c 4001:1 r", "b 4001:1 rw"},
	},
	{
		Name:    "deny all",
		Rules:   list(denyAll),
		Allowed: []Try{"c 1:3 rw", "c 4001:1 m"},
		Denied:  []Try{"c 10:229 rw", "c 4001:1 r", "b 4001:1 w"},
	},
	{
		Name:    "privileged",
		Rules:   list(allowAll),
		Allowed: []Try{"c 1:3 rw", "c 10:229 r", "c 4001:1 rw", "b 4001:1 rw", "b 4001:1 m"},
	},
	{
		Name:    "one device and all of a major",
		Rules:   list(denyAll, Rule(true, "c", 4001, 1, "rwm"), Rule(true, "b", 4001, -1, "r")),
		Allowed: []Try{"c 4001:1 r", "c 4001:1 w", "c 4001:1 rw", "c 4001:1 m", "b 4001:0 r", "b 4001:1048575 r", "c 1:3 rw"},
		Denied:  []Try{"c 4001:2 r", "c 4002:1 r", "b 4001:1 w", "b 4001:1 rw", "b 4002:1 r", "c 1:1 r"},
	},
	{
		Name:    "the type counts",
		Rules:   list(Rule(true, "b", 4001, 1, "rw")),
		Allowed: []Try{"b 4001:1 rw"},
		Denied:  []Try{"c 4001:1 r", "c 4001:1 w"},
	},
	{
		Name:    "the greatest numbers",
		Rules:   list(Rule(true, "c", 4095, 1048575, "r"), Rule(true, "b", 4095, -1, "w"), Rule(true, "c", 4294967294, 4294967294, "rw")),
		Allowed: []Try{"c 4095:1048575 r", "b 4095:1048575 w"},
		Denied:  []Try{"c 4095:1048574 r", "c 4094:1048575 r", "b 4094:1 w"},
	},
	{
		Name:    "all majors of a minor",
		Rules:   list(Rule(true, "c", -1, 7, "rw")),
		Allowed: []Try{"c 4001:7 rw", "c 4002:7 r"},
		Denied:  []Try{"c 4001:8 r", "b 4001:7 r"},
	},
	{
		Name:    "all types",
		Rules:   list(Rule(true, "a", 4001, -1, "rw"), Rule(true, "", 4002, 1, "r")),
		Allowed: []Try{"c 4001:1 rw", "b 4001:2 rw", "c 4002:1 r", "b 4002:1 r"},
		Denied:  []Try{"c 4002:1 w", "b 4002:2 r", "c 4003:1 r"},
	},
	{
		Name:    "all devices in one access is not all",
		Rules:   list(Rule(true, "a", -1, -1, "r")),
		Allowed: []Try{"c 4001:1 r", "b 4001:1 r", "c 4002:7 r"},
		Denied:  []Try{"c 4001:1 w", "b 4001:1 rw"},
	},
	{
		Name:    "accesses of a device add up",
		Rules:   list(Rule(true, "c", 4001, 1, "r"), Rule(true, "c", 4001, 1, "w")),
		Allowed: []Try{"c 4001:1 r", "c 4001:1 w", "c 4001:1 rw"},
	},
	{
		Name:    "those of two rules do not: one has to allow all that is asked",
		Rules:   list(Rule(true, "c", 4001, -1, "r"), Rule(true, "c", 4001, 1, "w")),
		Allowed: []Try{"c 4001:1 r", "c 4001:1 w", "c 4001:2 r"},
		Denied:  []Try{"c 4001:1 rw", "c 4001:2 w"},
	},
	{
		Name:    "order: denied after it was allowed",
		Rules:   list(Rule(true, "c", 4001, 1, "rwm"), Rule(true, "c", 4002, 1, "rw"), Rule(false, "c", 4001, -1, "w")),
		Allowed: []Try{"c 4001:1 r", "c 4002:1 rw"},
		Denied:  []Try{"c 4001:1 w", "c 4001:1 rw"},
	},
	{
		Name:    "order: allowed after it was denied",
		Rules:   list(Rule(false, "c", 4001, -1, "rwm"), Rule(true, "c", 4001, 1, "rw")),
		Allowed: []Try{"c 4001:1 rw"},
		Denied:  []Try{"c 4001:2 r"},
	},
	{
		Name:    "order: deny all forgets what was allowed",
		Rules:   list(allowAll, Rule(true, "c", 4001, 1, "rw"), denyAll, Rule(true, "c", 4002, 1, "r")),
		Allowed: []Try{"c 4002:1 r"},
		Denied:  []Try{"c 4001:1 r", "c 4002:1 w"},
	},
	{
		Name:    "order: allow all forgets what was denied",
		Rules:   list(Rule(false, "c", 4001, 1, "rw"), allowAll),
		Allowed: []Try{"c 4001:1 rw", "b 4001:1 rw"},
	},
	{
		Name:    "privileged but for one disk",
		Rules:   list(allowAll, Rule(false, "b", 4001, 0, "rwm")),
		Allowed: []Try{"b 4001:1 rw", "c 4001:0 rw", "b 4001:0 m"},
		Denied:  []Try{"b 4001:0 r", "b 4001:0 w", "b 4001:0 rw"},
	},
	{
		Name:    "privileged but for writing",
		Rules:   list(allowAll, Rule(false, "c", 4001, -1, "w")),
		Allowed: []Try{"c 4001:1 r", "c 4002:1 w"},
		Denied:  []Try{"c 4001:1 w", "c 4001:1 rw", "c 4001:2 w"},
	},
	{
		Name:    "privileged: a denial taken back in part",
		Rules:   list(allowAll, Rule(false, "c", 4001, 1, "rw"), Rule(true, "c", 4001, 1, "r")),
		Allowed: []Try{"c 4001:1 r"},
		Denied:  []Try{"c 4001:1 w", "c 4001:1 rw"},
	},
	{
		Name:    "privileged but for one type",
		Rules:   list(allowAll, Rule(false, "b", -1, -1, "rwm")),
		Allowed: []Try{"c 4001:1 rw", "b 4001:1 m"},
		Denied:  []Try{"b 4001:1 r", "b 4002:2 w"},
	},
	{
		Name:    "what every container has can not be denied",
		Rules:   list(allowAll, Rule(false, "c", 1, 3, "rwm"), Rule(false, "c", 1, 5, "r")),
		Allowed: []Try{"c 1:3 rw", "c 1:5 rw", "c 4001:1 rw"},
	},
	{
		Name:    "but as part of something greater, since no list can say all but one",
		Rules:   list(allowAll, Rule(false, "c", 1, -1, "w")),
		Allowed: []Try{"c 1:3 r", "c 4001:1 w"},
		Denied:  []Try{"c 1:3 w", "c 1:3 rw", "c 1:1 w"},
	},
	{
		Name: "what docker sends",
		Rules: list(
			denyAll, Rule(true, "c", 1, 5, "rwm"), Rule(true, "c", 1, 3, "rwm"), Rule(true, "c", 1, 9, "rwm"), Rule(true, "c", 1, 8, "rwm"),
			Rule(true, "c", 5, 0, "rwm"), Rule(true, "c", 5, 1, "rwm"), Rule(false, "c", 10, 229, "rwm"), Rule(true, "b", 4001, 0, "rwm"),
		),
		Allowed: []Try{"c 1:3 rw", "c 1:5 rw", "b 4001:0 rw", "c 4001:1 m"},
		Denied:  []Try{"c 10:229 r", "b 4001:1 r", "c 1:1 r"},
	},

	{
		Name:    "a hole in what is allowed",
		Rules:   list(Rule(true, "c", 9, -1, "rwm"), Rule(false, "c", 9, 1, "w")),
		Refused: "linux.resources.devices[1]: a device cgroup cannot take c 9:1 w out of c 9:* rwm, which linux.resources.devices[0] set",
	},
	{
		Name:    "a hole in what is denied",
		Rules:   list(allowAll, Rule(false, "c", 9, -1, "rwm"), Rule(true, "c", -1, 1, "w")),
		Refused: "linux.resources.devices[2]: a device cgroup cannot take c *:1 w out of c 9:* rwm",
	},
	{Name: "no access", Rules: list(Rule(true, "c", 1, 3, "")), Refused: "device access at 0 field cannot be empty"},
	{Name: "a wrong access", Rules: list(denyAll, Rule(true, "c", 1, 3, "rx")), Refused: `linux.resources.devices[1].access: "rx" has other letters`},
	{Name: "type p", Rules: list(Rule(true, "p", 1, 3, "r")), Refused: `linux.resources.devices[0].type: invalid cgroup device type "p"`},
	{Name: "type u", Rules: list(Rule(true, "u", 1, 3, "r")), Refused: `linux.resources.devices[0].type: invalid cgroup device type "u"`},
	{Name: "a negative number", Rules: list(Rule(true, "c", -5, 3, "r")), Refused: "linux.resources.devices[0].major: a device number is negative"},
	{Name: "the kernel's wildcard", Rules: list(Rule(true, "c", 4294967295, 3, "r")), Refused: "linux.resources.devices[0].major: 4294967295 is more than a device number can be"},
	{Name: "more than 32 bits", Rules: list(Rule(true, "c", 1, 4294967297, "r")), Refused: "linux.resources.devices[0].minor: 4294967297 is more than a device number can be"},
}
