package cli

import (
	"os"
	"strconv"

	"berth/libcontainer"
	"berth/libcontainer/fault"
)

var (
	optBundle        = option{name: "bundle", short: "b", usage: "the bundle is in `DIR` (default: the working directory)"}
	optConsoleSocket = option{name: "console-socket", usage: "send the master of the terminal to the unix socket `PATH`"}
	optPidFDSocket   = option{name: "pidfd-socket", usage: "send a pidfd of the container's first process to the unix socket `PATH`"}
	optPidFile       = option{name: "pid-file", usage: "write the pid of the container's first process to `FILE`"}
	optNoPivot       = option{name: "no-pivot", kind: toggle, usage: "use no pivot_root, for a root file system on a ramdisk"}
	optNoNewKeyring  = option{name: "no-new-keyring", kind: toggle, usage: "leave the process the caller's session keyring"}
	optPreserveFDs   = option{name: "preserve-fds", kind: number, usage: "pass `N` descriptors beyond standard error on to the process"}
)

var createCommand = command{
	name:  "create",
	args:  "<container-id>",
	usage: "create a container",
	about: `Makes the container that a bundle describes, and stops short of running its
process: that is for "berth start". The id must not be in use.`,
	options: []*option{&optBundle, &optConsoleSocket, &optPidFDSocket, &optPidFile, &optNoPivot, &optNoNewKeyring, &optPreserveFDs},
	least:   1, most: 1,
	run: func(c *call) (int, error) {
		rt, err := c.runtime()
		if err != nil {
			return 1, err
		}
		opt, err := c.createOptions(rt)
		if err == nil {
			ctx, _ := interruptible()
			var ct *libcontainer.Container
			if ct, err = rt.Create(ctx, c.args[0], &opt); err == nil {
				ct.Close()
			}
		}
		if err != nil {
			return 1, prefix("create", err)
		}
		return 0, nil
	},
}

// maxPreserved is what fs.nr_open is at most by default.
const maxPreserved = 1 << 20

// createOptions are what create and run have in common.
func (c *call) createOptions(rt *libcontainer.Runtime) (libcontainer.CreateOptions, error) {
	opt := libcontainer.CreateOptions{
		Bundle:        c.text(&optBundle),
		ConsoleSocket: c.text(&optConsoleSocket),
		PidFDSocket:   c.text(&optPidFDSocket),
		PidFile:       c.text(&optPidFile),
		NoPivot:       c.on(&optNoPivot),
		NoNewKeyring:  c.on(&optNoNewKeyring),
		ListenFDs:     listenFDs(os.Getpid(), os.Getenv),
	}
	var err error
	if opt.PreserveFDs, err = c.preserved(); err != nil {
		return opt, err
	}
	return opt, c.makeRoot(rt)
}

// preserved is how many descriptors the caller passes on.
func (c *call) preserved() (int, error) {
	n := c.number(&optPreserveFDs)
	if n < 0 {
		return 0, fault.New("invalid value for --preserve-fds: must not be negative")
	}
	if n > maxPreserved {
		return 0, fault.New("invalid value for --preserve-fds: no process has so many descriptors")
	}
	return n, nil
}

// listenFDs is how many sockets the caller has opened for the container, if it
// means this process (sd_listen_fds(3)).
func listenFDs(pid int, getenv func(string) string) int {
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxPreserved || getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return 0
	}
	return n
}

// makeRoot makes the state directory of an ordinary user. What lies in
// $XDG_RUNTIME_DIR may be cleaned away after six hours without access, unless it
// has the sticky bit (XDG Base Directory Specification).
func (c *call) makeRoot(rt *libcontainer.Runtime) error {
	if _, ok := c.given(&optRoot); ok || rt.Root == systemRoot {
		return nil
	}
	err := os.Mkdir(rt.Root, 0o700|os.ModeSticky)
	if err != nil && !os.IsExist(err) {
		return fault.Wrap("cannot make the directory for the state of containers", err)
	}
	return nil
}
