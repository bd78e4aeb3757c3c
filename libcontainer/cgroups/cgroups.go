// Package cgroups puts a container into cgroups and keeps its limits there. New says
// what a create will do (Plan, data alone), Prepare does it before the container's
// first process is born, and the Handle that results is the container's cgroups from
// then on; a later command opens it again from the state record.
//
// cgroup v1, v2, and v1 beside a v2 hierarchy (hybrid) are one kind of thing here: a
// container has a cgroup in each hierarchy, and each controller belongs to one of them.
// What differs is the files: limits_v2.go, and the functions that ask cgroup.v2.
//
// Whose a cgroup is, is written in the cgroup itself, since no lock and no journal
// is known to all who could make one (see mark.go): two runtimes with different
// state directories may be given the same path.
package cgroups

import (
	"context"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Kinds are the ways of cgroups that a version can go.
type Kinds struct {
	V1, V2, Systemd, SystemdUser bool
	// RDMA is the controller.
	RDMA bool
}

// Supported are those of this one.
var Supported = Kinds{V1: true, V2: true, Systemd: true, SystemdUser: true, RDMA: true}

// Manager is who makes cgroups. The zero value is Cgroupfs.
type Manager string

// The managers. Under Disabled the container stays in the caller's cgroups.
const (
	Cgroupfs Manager = "cgroupfs"
	Systemd  Manager = "systemd"
	Disabled Manager = "disabled"
)

// ActionKind is what an Action does.
type ActionKind uint8

// The kinds of action.
const (
	// Mkdir makes the cgroup Path. A parent that exists already is used as it is.
	Mkdir ActionKind = iota
	// Write writes Data to the control file Path.
	Write
	// Inherit fills the control file Path, where it is empty, with what the same
	// file of the parent cgroup holds. A new v1 cpuset accepts no process before.
	Inherit
	// Enable has the cgroups above Path, a v2 cgroup, give it the controllers of Data,
	// as far as it has not got them.
	Enable
	// Filter has a program in the kernel decide on each use of a device by a process
	// in the v2 cgroup Path. Data says what it allows.
	Filter
	// Chown gives the cgroup Path to the user Data, as far as it may be given
	// (cgroups(7), Cgroups delegation).
	Chown
	// Scope has systemd make a scope, whose cgroup is Path, around the container's first
	// process. Data is its slice and name.
	Scope
)

// String names the kind.
func (k ActionKind) String() string {
	return [...]string{"mkdir", "write", "inherit", "enable", "filter", "chown", "scope"}[k]
}

// Action is one thing that preparing the container's cgroups does, as data: explain
// prints it without doing it and without root.
type Action struct {
	Kind ActionKind
	// Path is the absolute path of the directory or control file.
	Path string
	// Else is the control file that is written where the kernel has no Path;
	// empty where there is no second choice. ElseData is what is written to it.
	Else, ElseData string
	// Data is what a Write writes, see Kind for others.
	Data string
	// Why says in words what it is for.
	Why string
	// JSONPath is the path in config.json of the property that asked for it.
	JSONPath string
	// Optional is true when a control file that the kernel lacks is no error.
	Optional bool
	// Group, where not 0, joins neighbouring writes that the kernel checks against
	// each other (memory against memory+swap; quota against period). One of them
	// that is refused with EINVAL is tried again after the others.
	Group int
}

// Request is what a container asks for.
type Request struct {
	ID string
	// Path is linux.cgroupsPath of config.json, which may be empty.
	Path string
	// Resources is linux.resources; nil for none.
	Resources *specs.LinuxResources
	// Manager makes them: Cgroupfs or Systemd.
	Manager Manager
	// Annotations are the config's: some name properties of a scope.
	Annotations map[string]string
	// Owner is the host's user who is to have the container's v2 cgroup, -1 for nobody.
	Owner int
}

// Plan is all that a create does to the host's cgroups, as data. Making it touched
// nothing.
type Plan struct {
	// Actions are what Prepare does, in its order.
	Actions []Action
	// Warnings are sentences on settings that are accepted and have no effect.
	Warnings []string
	// Notes are sentences on what is done without, and is not missed.
	Notes []string
	// EntryFiles are the files into which the container's first process, while it
	// is single-threaded, writes "0" to enter its v1 cgroups.
	EntryFiles []string
	// Late is true when Prepare needs the container's first process.
	Late bool
	// Dirs are the absolute paths of the cgroups, by the controllers of each
	// hierarchy ("memory", "cpu,cpuacct", "name=systemd", "" for v2).
	Dirs map[string]string

	driver driver
}

// driver is what makes cgroups.
type driver interface {
	prepare(m *Making) (Handle, error)
}

// Making is what Prepare needs of whoever creates a container.
type Making struct {
	// Mark names the container for good; no other container has or will have it.
	Mark string
	// Note is called before anything is made, with the arguments of journal entries of a
	// kind: KindName for each cgroup, KindScope.
	Note func(kind string, entries [][]string) error
	// PID is the container's first process, where the plan is Late. Say, which may be
	// nil, tells what is being waited for, and Context ends that.
	PID     int
	Context context.Context
	Say     func(what string)
	// Before and After are called around each action with its index; an error ends
	// Prepare.
	Before, After func(int) error
}

// Prepare carries the plan out, before the container's first process is born. It
// stops at the first failure with a *fault.Error, and leaves it to the journal to
// undo. A cgroup that is another container's, or that has processes in it already,
// is refused.
func (p *Plan) Prepare(m *Making) (Handle, error) { return p.driver.prepare(m) }

// Handle is the cgroups of one container: one in each hierarchy. What it opened stays
// open until Close, so that no other cgroup of the same name can take its place.
type Handle interface {
	// Records is what the state record keeps, for Open.
	Records() []string
	// EntryDir is the directory of the v2 cgroup that the first process is born
	// into with CLONE_INTO_CGROUP; empty where there is none, or where it is entered
	// by one of the Plan's files.
	EntryDir() string
	// Entry is the way in for a process that joins, see handle.Entry.
	Entry(below []string) (*Entry, error)
	// Settle does what has to wait until the container's first process is the one that
	// stays.
	Settle() error
	// EntryOf is the way in where the container's own cgroup takes no process.
	EntryOf(pid int) (string, error)
	// Set writes the limits that r holds and leaves all others as they are; when it
	// fails, these too. The warnings are as the Plan's.
	Set(r *specs.LinuxResources) (warnings []string, err error)
	// Stats reads what the kernel has counted.
	Stats() (*Stats, error)
	// WatchOOM begins to watch whether memory runs out; nil where nobody counts it.
	WatchOOM() (*OOM, error)
	// Procs lists the pids in the container's cgroup and all below it, ascending.
	Procs() ([]int, error)
	// Freeze stops all processes and returns when they stand still.
	Freeze() error
	// Thaw lets them go on.
	Thaw() error
	// Frozen says whether Freeze or someone else has stopped them.
	Frozen() (bool, error)
	// Kill sends sig to every process in the container's cgroup and below. SIGKILL
	// ends also those that are frozen, and the end of all is waited for, 0.2 s at
	// most.
	Kill(sig syscall.Signal) error
	// Close gives the descriptors back.
	Close()
}
