package libcontainer

import (
	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

// The conditions that callers tell apart, by errors.Is. They are worded as engines
// expect them.
var (
	ErrExists     = state.ErrExists
	ErrNotExist   = state.ErrNotExist
	ErrInvalidID  = state.ErrInvalidID
	ErrNotRunning = fault.New("container not running")
	ErrNotPaused  = fault.New("container not " + statusPaused)
	ErrRunning    = fault.New("cannot start an already running container")
	ErrStopped    = fault.New("cannot start a container that has stopped")
	ErrCreating   = fault.New("cannot start a container that is still being created")
	ErrPaused     = fault.New("cannot start a container in the " + statusPaused + " state")
	ErrNoProcess  = fault.New("cannot start a container whose config has no process")
)

// errNoCgroups is for commands that work by cgroups alone.
var errNoCgroups = fault.New("the container has no cgroups of its own")

// conditioned is an error of its own words that is one of the conditions.
type conditioned struct{ err, condition error }

func (e conditioned) Error() string   { return e.err.Error() }
func (e conditioned) Unwrap() []error { return []error{e.err, e.condition} }
