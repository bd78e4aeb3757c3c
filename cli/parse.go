package cli

import (
	"strconv"
	"strings"
)

// call is a parsed command line and what it is carried out with.
type call struct {
	cmd    *command
	values []value
	args   []string

	build *Build
	log   *logger
}

// value is an option that was given.
type value struct {
	opt  *option
	name string // as it was written: long or short
	text string
}

// given is the value of an option, or what holds without one, and whether it
// stood on the command line.
func (c *call) given(o *option) (string, bool) {
	// The last one counts.
	for i := len(c.values) - 1; i >= 0; i-- {
		if c.values[i].opt == o {
			return c.values[i].text, true
		}
	}
	return o.value, false
}

// text is the value of an option, or what holds without one.
func (c *call) text(o *option) string {
	s, _ := c.given(o)
	return s
}

// texts are all values of an option that may be given again.
func (c *call) texts(o *option) []string {
	var list []string
	for i := range c.values {
		if c.values[i].opt == o {
			list = append(list, c.values[i].text)
		}
	}
	return list
}

// on says whether a toggle is on.
func (c *call) on(o *option) bool { return c.text(o) == "true" }

// number is the value of an option that takes a number, 0 without one.
func (c *call) number(o *option) int {
	n, _ := strconv.Atoi(c.text(o)) // both parsers let only numbers through
	return n
}

// parse reads a command line, without the program's name. It knows the plain
// forms that engines and people use. Whatever is odd, wrong or a question for
// help makes it return nil, and urfave/cli decides. What it accepts it reads as
// urfave/cli does; a fuzz test holds it to that.
func parse(argv []string) *call {
	c := &call{values: make([]value, 0, 8)}
	head, rest, ok := split(globals, argv, true)
	if !ok || !c.options(globals, head) {
		return nil
	}
	if len(head)+len(rest) < len(argv) {
		return nil // a -- before the command
	}
	if c.on(&optVersion) {
		c.cmd = &versionCommand
		return c
	}
	if len(rest) == 0 {
		return nil
	}
	if c.cmd, rest = descend(rest); c.cmd == nil {
		return nil
	}
	head, c.args, ok = split(c.cmd.options, rest, c.cmd.foreign)
	if !ok || !c.options(c.cmd.options, head) || !c.cmd.takes(len(c.args)) {
		return nil
	}
	return c
}

// descend finds the command that a command line begins with, such as `bundle
// create`, and what follows it; nil where there is none that can be run.
func descend(argv []string) (*command, []string) {
	list := commands
	for i, name := range argv {
		cmd := findCommand(list, name)
		switch {
		case cmd == nil:
			return nil, nil
		case cmd.run != nil:
			return cmd, argv[i+1:]
		}
		list = cmd.children
	}
	return nil, nil
}

// takes says whether n arguments are a right number of them.
func (c *command) takes(n int) bool { return n >= c.least && (c.most < 0 || n <= c.most) }

// split parts options, with their values, from arguments. As in runc, options
// may stand behind arguments: `kill ID KILL --all`. With leading the first
// argument ends the options. ok is false when the last option lacks its value;
// flags has it nevertheless.
func split(options []*option, argv []string, leading bool) (flags, args []string, ok bool) {
	for i := 0; i < len(argv); i++ {
		a := argv[i]
		switch {
		case a == "--":
			return flags, append(args, argv[i+1:]...), true
		case len(a) < 2 || a[0] != '-':
			if leading {
				return flags, argv[i:], true
			}
			args = append(args, a)
			continue
		}
		flags = append(flags, a)
		name, _, joined := cutFlag(a)
		o := findOption(options, name)
		if o == nil || o.kind == toggle || joined {
			continue
		}
		i++
		if i == len(argv) {
			return flags, args, false
		}
		flags = append(flags, argv[i])
	}
	return flags, args, true
}

// cutFlag takes -name, --name and --name=value apart.
func cutFlag(a string) (name, value string, joined bool) {
	a = a[1:]
	if len(a) > 0 && a[0] == '-' {
		a = a[1:]
	}
	return strings.Cut(a, "=")
}

func findOption(list []*option, name string) *option {
	if name == "" {
		return nil
	}
	for _, o := range list {
		if o.name == name || o.short == name {
			return o
		}
	}
	return nil
}

// options takes in what split found; false for anything that is not plain.
func (c *call) options(list []*option, flags []string) bool {
	for i := 0; i < len(flags); i++ {
		name, val, joined := cutFlag(flags[i])
		o := findOption(list, name)
		if o == nil {
			return false
		}
		switch {
		case joined:
		case o.kind == toggle:
			val = "true"
		default:
			i++
			val = flags[i]
		}
		if !o.plain(val) || c.otherName(o, name) {
			return false
		}
		c.values = append(c.values, value{o, name, val})
	}
	return true
}

// plain says whether a value is of the right kind and in its usual form.
func (o *option) plain(val string) bool {
	switch o.kind {
	case toggle:
		return val == "true" || val == "false"
	case number:
		if len(val) == 0 || len(val) > 9 || len(val) > 1 && val[0] == '0' {
			return false
		}
		for i := range len(val) {
			if val[i] < '0' || val[i] > '9' {
				return false
			}
		}
	}
	return true
}

// otherName says whether the option was given under another of its names
// before, which urfave/cli refuses.
func (c *call) otherName(o *option, name string) bool {
	for i := range c.values {
		if c.values[i].opt == o && c.values[i].name != name {
			return true
		}
	}
	return false
}
