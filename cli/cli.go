// Package cli is the command line of Berth: flags in, a call on libcontainer,
// words and an exit status out. Nothing below it prints; nothing beside it knows
// how a command line looks.
//
// One table (commands) says what there is. A small parser of our own reads the
// plain command lines that engines make; for the rest, such as help and
// mistakes, an urfave/cli application is made from the same table. Making it
// costs more than many a command, so it is not made before it is needed.
package cli

import (
	"os"
	"path/filepath"

	"berth/libcontainer"
	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

// Main carries out a command line, whose first element is the program's name,
// and returns the exit status: 0; 1 for a failure of Berth's; what `run` and
// `try` ran returned, or 128 and the number of the signal that ended it; 3, as
// runc, for a command that does not exist.
func Main(argv []string, b Build) int {
	c := parse(argv[min(1, len(argv)):])
	if c == nil {
		return runFull(argv, &b)
	}
	c.build = &b
	if err := c.openLog(); err != nil {
		return c.conclude(1, err)
	}
	return c.conclude(c.carryOut())
}

func (c *call) carryOut() (int, error) {
	status, err := c.cmd.run(c)
	if err != nil && status == 0 {
		status = 1
	}
	return status, err
}

// conclude reports an error and returns the exit status.
func (c *call) conclude(status int, err error) int {
	if err != nil {
		if c.log == nil {
			c.log = stderrLogger()
		}
		c.log.failed(err)
	}
	return status
}

// runtime is the library's handle with the global options in it.
func (c *call) runtime() (*libcontainer.Runtime, error) {
	r := &libcontainer.Runtime{
		Log:           c.log.record,
		Debug:         c.on(&optDebug),
		CgroupManager: cgroups.Manager(c.text(&optCgroupManager)),
		Rootless:      c.text(&optRootless),
		NotifySocket:  os.Getenv("NOTIFY_SOCKET"),
	}
	switch r.CgroupManager {
	case "":
		if c.on(&optSystemdCgroup) {
			r.CgroupManager = cgroups.Systemd
		}
	case cgroups.Cgroupfs, cgroups.Systemd, cgroups.Disabled:
	default:
		return nil, fault.New("invalid value for --cgroup-manager: " + string(r.CgroupManager) + " (cgroupfs, systemd or disabled)")
	}
	switch r.Rootless {
	case "auto", "true", "false":
	default:
		return nil, fault.New("invalid value for --rootless: " + r.Rootless + " (true, false or auto)")
	}
	root, ok := c.given(&optRoot)
	if !ok {
		root = defaultRoot(os.Geteuid(), os.LookupEnv)
	}
	var err error
	if r.Root, err = filepath.Abs(root); err != nil {
		return nil, fault.Wrap("cannot find the root directory", err)
	}
	if what := c.text(&optInject); what != "" {
		if r.Inject, err = parseInjection(what); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// systemRoot is where the state of root's containers lies.
const systemRoot = "/run/berth"

// defaultRoot is where state lies when nobody says so. The rule is runc's: for
// an ordinary user, and for one who is root only in his user namespace, below
// $XDG_RUNTIME_DIR, if that is set.
func defaultRoot(euid int, env func(string) (string, bool)) string {
	dir, _ := env("XDG_RUNTIME_DIR")
	if dir == "" {
		return systemRoot
	}
	if euid == 0 {
		// Engines that run as the host's root set it, too.
		user, set := env("USER")
		if set && user == "root" || !host.InUserNS() {
			return systemRoot
		}
	}
	return dir + "/berth"
}

// prefix puts what the user did before an error of create and run. A step of the
// container's program that failed gets runc's words, which engines know.
func prefix(command string, err error) error {
	msg := "berth " + command + " failed"
	if faultStep(err) != 0 {
		msg += ": unable to start container process"
	}
	return &fault.Error{Msg: msg, Err: err}
}
