package cli

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

var (
	optJSON   = option{name: "json", kind: toggle, usage: "print JSON"}
	optRun    = option{name: "run", kind: toggle, usage: "explain run in place of create, which waits for start"}
	optFixups = option{name: "fixups", kind: toggle, usage: "print each step of what fixes a failed step, too"}

	optSeccomp = option{name: "seccomp", kind: toggle, usage: "explain the filter of system calls; the argument is then a call: NAME[,ARG...] or a number"}
)

var explainCommand = command{
	name:  "explain",
	args:  "[container-id | system-call]",
	usage: "print what create would do for a bundle, and do nothing",
	about: `Prints the actions of the runtime and the program of system calls that sets the
container up: the very list that "berth create" would run on this host now. Each
step says what it is for, and is listed under the property of config.json that
asked for it. It needs no root.

With --seccomp it prints what the bundle's filter of system calls does or, given a
call, what becomes of that on each architecture, and which rule decides:

    berth explain --seccomp
    berth explain --seccomp socket
    berth explain --seccomp clone,0x10000000`,
	options: []*option{&optBundle, &optRun, &optFixups, &optSeccomp, &optJSON},
	most:    1,
	run: func(c *call) (int, error) {
		rt, err := c.runtime()
		if err != nil {
			return 1, err
		}
		opt := libcontainer.CreateOptions{Bundle: c.text(&optBundle), Attached: c.on(&optRun)}
		if c.on(&optSeccomp) {
			return 0, c.explainSeccomp(rt, &opt)
		}
		id, err := explainID(c.args, opt.Bundle)
		if err != nil {
			return 1, err
		}
		plan, err := rt.Explain(id, &opt)
		if err != nil {
			return 1, err
		}
		var out []byte
		if c.on(&optJSON) {
			out, err = explainJSON(plan)
		} else {
			p := newPage(1, os.Getenv)
			p.fixups = c.on(&optFixups)
			out = p.explain(plan)
		}
		if err == nil {
			_, err = os.Stdout.Write(out)
		}
		return 0, err
	},
}

// explainID is the id that the container would have; nobody has to think of one.
func explainID(args []string, bundle string) (string, error) {
	if len(args) > 0 {
		return args[0], state.CheckID(args[0])
	}
	dir, err := filepath.Abs(bundle)
	if err != nil {
		return "", fault.Wrap("cannot find the bundle", err)
	}
	if id := filepath.Base(dir); state.CheckID(id) == nil {
		return id, nil
	}
	return "container", nil
}

// namespaceNames spells the namespaces that the child is born into.
func namespaceNames(flags uintptr) []string {
	var names []string
	for _, n := range [...]struct {
		flag uintptr
		name string
	}{
		{unix.CLONE_NEWUSER, "user"},
		{unix.CLONE_NEWNS, "mount"},
		{unix.CLONE_NEWPID, "pid"},
		{unix.CLONE_NEWNET, "network"},
		{unix.CLONE_NEWIPC, "ipc"},
		{unix.CLONE_NEWUTS, "uts"},
		{unix.CLONE_NEWCGROUP, "cgroup"},
		{unix.CLONE_NEWTIME, "time"},
	} {
		if flags&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return names
}
