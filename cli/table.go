package cli

// kind is what an option takes.
type kind uint8

const (
	text   kind = iota // --name VALUE
	number             // --name N
	toggle             // --name
	many               // --name VALUE, any number of times
)

// option is one flag of the command line.
type option struct {
	name  string // without dashes
	short string // one letter, or empty
	kind  kind
	value string // what holds when the option is not given
	usage string
	// hidden leaves it out of help: it is for tests.
	hidden bool
}

// command is one command of the command line. This table alone says what the
// command line is: the quick parser reads it directly, and the urfave/cli
// application for all that is rare is made from it.
type command struct {
	name string
	// args is how the arguments stand in the usage line; usage is one line,
	// about is as many as it takes.
	args, usage, about string
	options            []*option
	// least and most bound the number of arguments; most < 0 is no bound.
	least, most int
	// foreign says that what follows the first argument is another program's
	// command line, whose flags are not ours.
	foreign bool
	// run does the work; its number is the exit status.
	run func(*call) (int, error)
	// children are commands below this one, which then has no run.
	children []*command
}

// The global options.
var (
	optDebug         = option{name: "debug", kind: toggle, usage: "log everything, each step of a container's program included"}
	optLog           = option{name: "log", usage: "append to this `FILE` what is logged (default: standard error)"}
	optLogFormat     = option{name: "log-format", value: "text", usage: "log as `FORMAT`: text or json"}
	optRoot          = option{name: "root", usage: "keep the state of containers in `DIR` (default: /run/berth, for an ordinary user $XDG_RUNTIME_DIR/berth)"}
	optSystemdCgroup = option{name: "systemd-cgroup", kind: toggle, usage: "let systemd make the cgroups; cgroupsPath is then slice:prefix:name"}
	optCgroupManager = option{name: "cgroup-manager", usage: "`WHO` makes the cgroups: cgroupfs (default), systemd or disabled"}
	optRootless      = option{name: "rootless", value: "auto", usage: "do without cgroups that can't be had: true, false or `auto`"}
	optInject        = option{name: "inject", usage: "for tests: make a step or action fail: `WHAT` is step=N or action=N, then [,errno=NAME][,kill], or point=N", hidden: true}
	optVersion       = option{name: "version", short: "v", kind: toggle, usage: "print the version"}
)

var globals = []*option{&optDebug, &optLog, &optLogFormat, &optRoot, &optSystemdCgroup, &optCgroupManager, &optRootless, &optInject, &optVersion}

// commands are all commands in the order of help. No run function may lead back
// here, or Go could not lay the table out when it compiles it.
var commands = []*command{
	&bundleCommand,
	&createCommand,
	&deleteCommand,
	&eventsCommand,
	&execCommand,
	&explainCommand,
	&featuresCommand,
	&killCommand,
	&listCommand,
	&pauseCommand,
	&psCommand,
	&resumeCommand,
	&runCommand,
	&seccompCommand,
	&specCommand,
	&startCommand,
	&stateCommand,
	&tryCommand,
	&updateCommand,
	&versionCommand,
}

func findCommand(list []*command, name string) *command {
	for _, c := range list {
		if c.name == name {
			return c
		}
	}
	return nil
}
