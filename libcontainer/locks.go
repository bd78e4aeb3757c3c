package libcontainer

import "berth/libcontainer/state"

// command is what is done to a container.
type command uint8

const (
	cmdCreate command = iota
	cmdStart
	cmdState
	cmdWait
	cmdKill
	cmdDelete
	cmdPause
	cmdResume
	cmdUpdate
	cmdExec
	cmdEvents
	cmdPS
)

// locks says which lock on the container's directory each command holds while it is at
// work. Those that end or look at something that hangs take none: kill and resume are
// what lets a command go on that holds the lock, and the record is replaced
// atomically, so that reading it needs none. What is still to come has its place here.
var locks = [...]state.LockMode{
	cmdCreate: state.Exclusive, // a run in the foreground until its process runs
	cmdStart:  state.Exclusive,
	cmdState:  state.Unlocked, // and list
	cmdWait:   state.Unlocked,
	cmdKill:   state.Unlocked,
	cmdDelete: state.Exclusive, // with force, what holds the lock is killed first
	cmdPause:  state.Exclusive, // not between start's look and its word
	cmdResume: state.Unlocked,
	cmdUpdate: state.Exclusive, // two would write each other's values
	cmdExec:   state.Unlocked,  // it may wait in a paused container; it joins by pidfd
	cmdEvents: state.Unlocked,
	cmdPS:     state.Unlocked,
}
