package cli

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/foreground"
	"berth/spec"
)

var (
	optCwd            = option{name: "cwd", usage: "the process's working directory is `DIR`"}
	optEnv            = option{name: "env", short: "e", kind: many, usage: "add `NAME=VALUE` to the environment; may be given again"}
	optUser           = option{name: "user", short: "u", usage: "run as `UID[:GID]`, or by names of the container's passwd and group files"}
	optAdditionalGIDs = option{name: "additional-gids", short: "g", kind: many, usage: "add the supplementary group `GID`; may be given again"}
	optProcess        = option{name: "process", short: "p", usage: "run the process that the JSON document `FILE` describes"}
	optProcessLabel   = option{name: "process-label", usage: "set the SELinux `LABEL`"}
	optAppArmor       = option{name: "apparmor", usage: "set the AppArmor `PROFILE`"}
	optNoNewPrivs     = option{name: "no-new-privs", kind: toggle, usage: "let no execve give new privileges"}
	optCap            = option{name: "cap", short: "c", kind: many, usage: "add the capability `NAME`; may be given again"}
	optCgroup         = option{name: "cgroup", kind: many, usage: "run in the cgroup `[CONTROLLER,...:]PATH` below the container's; may be given again"}
	optIgnorePaused   = option{name: "ignore-paused", kind: toggle, usage: "make the process in a paused container, too: it runs when that goes on"}
)

var execCommand = command{
	name:  "exec",
	args:  "<container-id> <command> [argument ...]",
	usage: "run another process in a container",
	about: `Runs a process in the container's namespaces and cgroups. It is as the container's
own process is, but for what the options change; with --process it is what that
document says. The exit status is that of the process, or 128 and the number of
the signal that ended it; 255 when the process could not be run.`,
	options: []*option{
		&optConsoleSocket, &optPidFDSocket, &optCwd, &optEnv, &optTTY, &optUser, &optAdditionalGIDs, &optProcess, &optDetach,
		&optPidFile, &optProcessLabel, &optAppArmor, &optNoNewPrivs, &optCap, &optPreserveFDs, &optCgroup, &optIgnorePaused,
	},
	least: 1, most: -1,
	foreign: true,
	run: func(c *call) (int, error) {
		status, err := c.exec()
		if err != nil {
			msg := "exec failed"
			if faultStep(err) != 0 {
				msg += ": unable to start container process"
			}
			return 255, &fault.Error{Msg: msg, Err: err}
		}
		return status, nil
	},
}

func (c *call) exec() (int, error) {
	ct, err := c.container()
	if err != nil {
		return 255, err
	}
	defer ct.Close()
	o := &libcontainer.ExecOptions{
		ConsoleSocket: c.text(&optConsoleSocket),
		PidFDSocket:   c.text(&optPidFDSocket),
		PidFile:       c.text(&optPidFile),
		IgnorePaused:  c.on(&optIgnorePaused),
		Cgroups:       c.texts(&optCgroup),
	}
	if o.PreserveFDs, err = c.preserved(); err != nil {
		return 255, err
	}
	if file, ok := c.given(&optProcess); ok {
		o.Process, err = readProcess(file)
	} else {
		o.ProcessPath = "process"
		o.Process, err = c.changedProcess(ct)
	}
	if err != nil {
		return 255, err
	}
	ctx, running := interruptible()
	if !c.on(&optDetach) {
		return foreground.Exec(ctx, ct, o, running)
	}
	e, err := ct.Exec(ctx, o)
	if err != nil {
		return 255, err
	}
	defer e.Close()
	return 0, e.Start(ctx)
}

// changedProcess is the container's own process with what the options change.
func (c *call) changedProcess(ct *libcontainer.Container) (*specs.Process, error) {
	if len(c.args) < 2 {
		return nil, fault.New("process args cannot be empty")
	}
	ch := &libcontainer.ProcessChange{
		Args:         c.args[1:],
		Cwd:          c.text(&optCwd),
		Env:          c.texts(&optEnv),
		User:         c.text(&optUser),
		Capabilities: c.texts(&optCap),
		AppArmor:     c.text(&optAppArmor),
		Label:        c.text(&optProcessLabel),
		Terminal:     c.on(&optTTY),
	}
	if text, given := c.given(&optNoNewPrivs); given {
		on := text == "true"
		ch.NoNewPrivileges = &on
	}
	for _, text := range c.texts(&optAdditionalGIDs) {
		gid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fault.New("invalid value for --additional-gids: " + text)
		}
		ch.AdditionalGIDs = append(ch.AdditionalGIDs, uint32(gid))
	}
	return ct.ExecProcess(ch)
}

// readProcess reads a document that is a process alone.
func readProcess(file string) (*specs.Process, error) {
	text, err := spec.ReadFile(file) // to its limit only: a pipe or device may have no end
	if err != nil {
		return nil, err
	}
	p, _, err := spec.DecodeProcess(text)
	if err != nil {
		return nil, fault.Wrap("cannot understand the process in "+file, err)
	}
	return p, nil
}
