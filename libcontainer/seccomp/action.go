package seccomp

import "strconv"

// What a filter returns (include/uapi/linux/seccomp.h): an action, with 16 bits of data.
const (
	RetKillProcess = 0x80000000
	RetKillThread  = 0x00000000
	RetTrap        = 0x00030000
	RetErrno       = 0x00050000
	RetUserNotif   = 0x7fc00000
	RetTrace       = 0x7ff00000
	RetLog         = 0x7ffc0000
	RetAllow       = 0x7fff0000

	RetAction = 0xffff0000
	RetData   = 0x0000ffff
)

const (
	eperm  = 1
	enosys = 38
	// maxErrno is the largest errno that the kernel returns; it cuts larger ones
	// down to it (kernel/seccomp.c).
	maxErrno = 4095
)

// actions by their names in profiles.
var actions = [...]struct {
	name  string
	value uint32
	// data is the largest errnoRet, 0 where the action takes none.
	data uint
}{
	{"SCMP_ACT_ALLOW", RetAllow, 0},
	{"SCMP_ACT_ERRNO", RetErrno, maxErrno},
	{"SCMP_ACT_KILL", RetKillThread, 0},
	{"SCMP_ACT_KILL_PROCESS", RetKillProcess, 0},
	{"SCMP_ACT_KILL_THREAD", RetKillThread, 0},
	{"SCMP_ACT_LOG", RetLog, 0},
	{"SCMP_ACT_NOTIFY", RetUserNotif, 0},
	{"SCMP_ACT_TRACE", RetTrace, RetData},
	{"SCMP_ACT_TRAP", RetTrap, 0},
}

// Actions, Operators and Flags are the names that profiles may use, sorted.
func Actions() []string {
	names := make([]string, len(actions))
	for i := range actions {
		names[i] = actions[i].name
	}
	return names
}

// parseAction is the value that a filter returns for an action of a profile.
func parseAction(name string, errnoRet *uint, path, errnoPath string) (uint32, error) {
	for i := range actions {
		a := &actions[i]
		if a.name != name {
			continue
		}
		switch {
		case errnoRet == nil && a.data != 0:
			return a.value | eperm, nil
		case errnoRet == nil:
			return a.value, nil
		case a.data == 0:
			return 0, bad(errnoPath, name+" takes no errno")
		case *errnoRet > a.data:
			return 0, bad(errnoPath, strconv.FormatUint(uint64(*errnoRet), 10)+" is larger than "+strconv.FormatUint(uint64(a.data), 10)+", which is the most that "+name+" can have")
		}
		return a.value | uint32(*errnoRet), nil
	}
	if name == "" {
		return 0, bad(path, "is missing")
	}
	return 0, bad(path, strconv.Quote(name)+" is no action of seccomp")
}

// ActionName is the name in profiles of what a filter returned.
func ActionName(ret uint32) string {
	for i := range actions {
		if a := &actions[i]; a.value == ret&RetAction && a.name != "SCMP_ACT_KILL" {
			return a.name
		}
	}
	return ""
}

// Flags of seccomp(2) (include/uapi/linux/seccomp.h).
const (
	FlagTsync            = 1 << 0
	FlagLog              = 1 << 1
	FlagSpecAllow        = 1 << 2
	FlagNewListener      = 1 << 3
	FlagWaitKillableRecv = 1 << 5
)

var flags = [...]struct {
	name  string
	value uint32
}{
	{"SECCOMP_FILTER_FLAG_LOG", FlagLog},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", FlagSpecAllow},
	// A filter is loaded by a process of one thread, just before it executes: there is
	// nothing to synchronize, and before Linux 5.7 it excluded a listener.
	{"SECCOMP_FILTER_FLAG_TSYNC", 0},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FlagWaitKillableRecv},
}

// Flags are the names of the flags.
func Flags() []string {
	names := make([]string, len(flags))
	for i := range flags {
		names[i] = flags[i].name
	}
	return names
}

// Flag is the flag of seccomp(2) with a name of profiles.
func Flag(name string) (uint32, bool) {
	for i := range flags {
		if flags[i].name == name {
			return flags[i].value, true
		}
	}
	return 0, false
}
