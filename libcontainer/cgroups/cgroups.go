// Package cgroups puts a container into cgroups and keeps its limits there. A
// Manager first says what it will do (Plan, plain data), then does it (Create).
// Only cgroup v1, also beside a v2 hierarchy (hybrid), is implemented; the v2
// and systemd drivers fit behind the same interface.
package cgroups

import (
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Kind is what an Action does.
type Kind uint8

// The kinds of action.
const (
	// Mkdir makes the cgroup Path; one that exists already is used as it is.
	Mkdir Kind = iota
	// Write writes Data to the control file Path.
	Write
	// Inherit fills the control file Path, where it is empty, with what the same
	// file of the parent cgroup holds. A new v1 cpuset accepts no process before.
	Inherit
)

// String names the kind.
func (k Kind) String() string { return [...]string{"mkdir", "write", "inherit"}[k] }

// Action is one thing that creating the container's cgroups does, as data:
// explain prints it without doing it and without root.
type Action struct {
	Kind Kind
	// Path is the absolute path of the directory or control file.
	Path string
	// Else is the control file that is written where the kernel has no Path;
	// empty where there is no second choice.
	Else string
	// Data is what a Write writes.
	Data string
	// Why says in words what it is for.
	Why string
	// JSON is the path in config.json of the property that asked for it.
	JSON string
	// Optional is true when a control file that the kernel lacks is no error.
	Optional bool
	// Group, where not 0, joins neighbouring writes that the kernel checks against
	// each other (memory against memory+swap; quota against period). One of them
	// that is refused with EINVAL is tried again after the others.
	Group int
}

// Dir is a cgroup directory that Create is about to make.
type Dir struct {
	Path string
	// Leaf is true for the container's own cgroup: whatever is below it goes with
	// it. A parent is removed only when nobody else has made a cgroup in it.
	Leaf bool
}

// Manager is the set of cgroups of one container: one in each hierarchy.
type Manager interface {
	// Plan lists all that Create does, in its order. It touches nothing.
	Plan() []Action
	// Warnings are sentences on settings that are accepted and have no effect.
	Warnings() []string
	// Create performs the plan. note is called once, before anything is made, with
	// all directories that do not exist yet, parents first, so that a journal can
	// hold their undoing. before is called ahead of each action with its index in
	// Plan; an error from it ends Create. Either may be nil. Create stops at the
	// first failure with a *fault.Error and leaves the undoing to the caller.
	// A cgroup that has processes in it already is refused.
	Create(note func([]Dir) error, before func(int, Action) error) error
	// EntryFiles are the files into which the container's first process, while it
	// is single-threaded, writes "0" to enter its v1 cgroups.
	EntryFiles() []string
	// EntryDir is the directory of the v2 cgroup that the first process is born
	// into with CLONE_INTO_CGROUP; empty where there is none.
	EntryDir() string
	// Paths is what the state record keeps, for FromPaths. It is complete once
	// Create has returned.
	Paths() []string
	// Dirs are the absolute paths of the cgroups, by the controllers of each
	// hierarchy ("memory", "cpu,cpuacct", "name=systemd", "" for v2).
	Dirs() map[string]string
	// Set writes the limits that r holds and leaves all others as they are.
	Set(r *specs.LinuxResources) error
	// Procs lists the pids in the container's cgroup and all below it, ascending.
	Procs() ([]int, error)
	// Freeze stops all processes and returns when they stand still.
	Freeze() error
	// Thaw lets them go on.
	Thaw() error
	// Frozen says whether Freeze or someone else has stopped them.
	Frozen() (bool, error)
	// Kill sends sig to every process in the container's cgroup and below. After
	// SIGKILL a frozen cgroup is thawed, since the frozen do not die, and the end
	// of all is waited for, 0.2 s at most.
	Kill(sig syscall.Signal) error
	// Destroy removes the cgroups that Create made, with what was made below them.
	// While dying processes keep one busy it tries again, up to timeout. It can
	// be called any number of times.
	Destroy(timeout time.Duration) error
}
