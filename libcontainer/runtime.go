// Package libcontainer is the life of a container: create, start, state, wait, kill,
// pause, resume, update, ps, events, delete, list, and explain, which shows what create
// would do. Each is a short orchestration of the packages below it; nothing here prints
// or knows of command lines, and nothing changes the calling process: no signal is
// caught, no child is reaped but the container's own process, no descriptor is used that
// was not given. So a program may have many containers at once. What a foreground `run`
// does to its process beyond that is in package foreground.
package libcontainer

import (
	"cmp"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/logs"
	"berth/libcontainer/program"
	"berth/libcontainer/state"
)

// Runtime is what all commands of one call share.
type Runtime struct {
	// Root is the directory of all containers' state.
	Root string
	// Log gets what is not an error; nil for nowhere.
	Log logs.Logger
	// Debug makes every step of a program be reported with its result and time.
	Debug bool
	// CgroupManager makes the cgroups of containers that are created.
	CgroupManager cgroups.Manager
	// Rootless set to "false" has cgroups made for an ordinary user's container also
	// where it asks for none. "true", "" and "auto" go by the caller's rights.
	Rootless string
	// Inject breaks one step, for tests and for people who want to see what
	// happens then; nil for none.
	Inject *Injection
	// NotifySocket is where the caller wants to hear that a container is ready
	// (NOTIFY_SOCKET, sd_notify(3)); empty for nowhere.
	NotifySocket string

	points int // passed, see Injection.Point
}

// Injection is a fault on demand.
type Injection struct {
	// Step is the step's number, counted from 1 as explain counts: the steps of
	// the child first; Action the number of an action of the runtime. One is 0.
	Step, Action int
	// Point, when not 0, ends the runtime by SIGKILL at that of its points, counted as
	// they are passed. Step and Action are 0 then.
	Point int
	// Errno is what the step or action answers.
	Errno int
	// Kill ends the runtime itself, by SIGKILL, when the step has been reached.
	Kill bool
}

// CreateOptions is what create and run are told beside the id.
type CreateOptions struct {
	// Stdin, Stdout and Stderr are the process's, where it has no terminal; nil for
	// the caller's own.
	Stdin, Stdout, Stderr *os.File
	// Attached makes a container without a start FIFO: it waits for the Start of this
	// very handle, and dies with it when that is closed before.
	Attached bool
	// Foreground says that the caller of an attached container stays until its end: it
	// takes the terminal's master (TakeTerminal), and a service manager is told to
	// watch it instead of the container.
	Foreground bool
	// Bundle is the bundle's directory; empty for the working directory.
	Bundle string
	// Spec replaces the bundle's config.json, for containers that have none; with
	// it Raw is the config as bytes.
	Spec *specs.Spec
	Raw  []byte
	// ConsoleSocket is the path of the unix socket that gets the pty's master.
	ConsoleSocket string
	// PidFDSocket is the path of the unix socket that gets a pidfd of the container's
	// first process.
	PidFDSocket string
	// PidFile gets the pid of the container's first process.
	PidFile string
	// ListenFDs is the number of descriptors from 3 on that the process gets by
	// socket activation (LISTEN_FDS, sd_listen_fds(3)); those to be preserved follow.
	ListenFDs int
	// PreserveFDs is the number of descriptors from 3 on, or behind
	// those of ListenFDs, that the process keeps.
	PreserveFDs int
	NoPivot     bool
	// NoNewKeyring leaves the process the caller's session keyring.
	NoNewKeyring bool
}

// State is what `state` says of a container: runtime-spec runtime.md, State, and
// what runc adds.
type State struct {
	OCIVersion  string
	ID          string
	Pid         int // 0 when stopped
	Status      string
	Bundle      string
	Rootfs      string
	Created     time.Time
	Owner       string // List alone looks the name up
	Annotations map[string]string

	uid int
}

// store opens the root directory.
func (r *Runtime) store() *state.Store { return state.Open(r.Root) }

// cgroupDriver is the word of the record for who makes cgroups.
func (r *Runtime) cgroupDriver() string {
	return cmp.Or(string(r.CgroupManager), string(cgroups.Cgroupfs))
}

// traced hands a step that was run to the log.
func (r *Runtime) traced(p *program.Program) func(program.Traced) {
	if !r.Debug {
		return nil
	}
	var last int64
	return func(t program.Traced) {
		st := &p.Steps[t.Step]
		took := int64(0)
		// Barriers and the step that ends the stream have no time.
		if last != 0 && t.Nanos != 0 {
			took = t.Nanos - last
		}
		if t.Nanos != 0 {
			last = t.Nanos
		}
		r.Log.Debug("step "+itoa(t.Step+1)+" "+st.Why,
			logs.Field{Name: "step", Value: t.Step + 1},
			logs.Field{Name: "phase", Value: st.Phase.String()},
			logs.Field{Name: "call", Value: st.Text()},
			logs.Field{Name: "result", Value: t.Outcome()},
			logs.Field{Name: "ns", Value: took},
		)
	}
}
