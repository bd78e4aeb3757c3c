package cli

import (
	"berth/libcontainer"
	"berth/libcontainer/foreground"
)

var (
	optDetach      = option{name: "detach", short: "d", kind: toggle, usage: "return when the process runs"}
	optKeep        = option{name: "keep", kind: toggle, usage: "do not delete the container when it has ended"}
	optNoSubreaper = option{name: "no-subreaper", kind: toggle, usage: "let orphans of the container go to init"}
)

var runCommand = command{
	name:  "run",
	args:  "<container-id>",
	usage: "create and run a container",
	about: `Makes the container that a bundle describes, runs its process in the foreground
and deletes the container when that has ended. The exit status is that of the
process, or 128 and the number of the signal that ended it.`,
	options: []*option{
		&optBundle, &optConsoleSocket, &optDetach, &optKeep, &optPidFDSocket, &optPidFile, &optNoSubreaper,
		&optNoPivot, &optNoNewKeyring, &optPreserveFDs,
	},
	least: 1, most: 1,
	run: func(c *call) (int, error) {
		rt, err := c.runtime()
		if err != nil {
			return 1, err
		}
		status := 1
		opt, err := c.createOptions(rt)
		if err == nil {
			status, err = c.start(rt, &opt)
		}
		if err != nil {
			return 1, prefix("run", err)
		}
		return status, nil
	},
}

// start runs the container, in the foreground unless it is to be detached.
func (c *call) start(rt *libcontainer.Runtime, opt *libcontainer.CreateOptions) (int, error) {
	ctx, running := interruptible()
	if !c.on(&optDetach) {
		return foreground.Run(ctx, rt, c.args[0], &foreground.Options{
			CreateOptions: *opt, Keep: c.on(&optKeep), NoSubreaper: c.on(&optNoSubreaper), Running: running,
		})
	}
	opt.Attached = true
	ct, err := rt.Create(ctx, c.args[0], opt)
	if err != nil {
		return 1, err
	}
	defer ct.Close()
	return 0, ct.Start(ctx)
}
