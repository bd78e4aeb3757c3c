package program

import "golang.org/x/sys/unix"

// Call says what a step does: a system call, or one of the interpreter's own.
type Call uint8

// The calls that programs are made of. The first three are the interpreter's
// own: wait for Berth; compare a value; store a value.
const (
	CallBarrier Call = iota
	CallExpect
	CallSet
	CallCapset
	CallChdir
	CallChroot
	CallClone
	CallClose
	CallCloseRange
	CallDup3
	CallExecve
	CallExitGroup
	CallFaccessat2
	CallFchdir
	CallFchown
	CallFchownat
	CallFsconfig
	CallFsmount
	CallFsopen
	CallFstatfs
	CallGetcwd
	CallIoctl
	CallIoprioSet
	CallKeyctl
	CallMkdirat
	CallMknodat
	CallMount
	CallMountSetattr
	CallMoveMount
	CallOpenTree
	CallOpenat
	CallOpenat2
	CallPersonality
	CallPivotRoot
	CallPrctl
	CallPrlimit64
	CallRead
	CallReadlinkat
	CallRecvfrom
	CallRtSigaction
	CallRtSigprocmask
	CallSchedSetaffinity
	CallSchedSetattr
	CallSeccomp
	CallSendmsg
	CallSetdomainname
	CallSetgroups
	CallSetMempolicy
	CallSethostname
	CallSetns
	CallSetresgid
	CallSetresuid
	CallSetsid
	CallSocket
	CallStatx
	CallSymlinkat
	CallUmask
	CallUmount2
	CallUnlinkat
	CallUnshare
	CallWrite
	numCalls
)

// kind says what an argument of a call is: for printing, and for the verifier,
// which must know every path and every descriptor.
type kind uint8

const (
	kInt     kind = iota // a plain number
	kFD                  // a descriptor that is used
	kDir                 // a descriptor that the next path is relative to
	kPath                // a path
	kText                // a string that is not a path
	kPtr                 // a struct or buffer
	kMode                // an octal mode
	kHex                 // a mask
	kClone               // CLONE_* flags
	kOpen                // O_* flags
	kAt                  // AT_* flags
	kTree                // OPEN_TREE_* and AT_* flags
	kMove                // MOVE_MOUNT_* flags
	kAttr                // MOUNT_ATTR_* flags
	kMount               // MS_* flags
	kUmount              // MNT_* flags
	kConfig              // FSCONFIG_* commands
	kPrctl               // PR_* options
	kErrno               // an errno
	kBarrier             // a barrier
	kAccess              // R_OK, W_OK, X_OK
	kIoctl               // an ioctl request
	kLimit               // RLIMIT_*
	kCap                 // CAP_*
)

// callInfo describes a call.
type callInfo struct {
	name string
	nr   uint32
	args []kind
	// fd says that the result is a new descriptor.
	fd bool
}

// The interpreter's own calls have numbers that no kernel uses.
const (
	nrBarrier = 0xf000
	nrExpect  = 0xf001
	nrSet     = 0xf002
)

// calls is a function and not a variable so that no command pays for filling it
// at start but those that print or verify a program.
func (c Call) info() callInfo {
	switch c {
	case CallBarrier:
		return callInfo{"barrier", nrBarrier, []kind{kBarrier, kHex}, false}
	case CallExpect:
		return callInfo{"expect", nrExpect, []kind{kHex, kHex, kHex, kErrno, kInt}, false}
	case CallSet:
		return callInfo{"set", nrSet, []kind{kInt}, false}
	case CallCapset:
		return callInfo{"capset", unix.SYS_CAPSET, []kind{kPtr, kPtr}, false}
	case CallChdir:
		return callInfo{"chdir", unix.SYS_CHDIR, []kind{kPath}, false}
	case CallChroot:
		return callInfo{"chroot", unix.SYS_CHROOT, []kind{kPath}, false}
	case CallClone:
		return callInfo{"clone", unix.SYS_CLONE, []kind{kClone}, false}
	case CallClose:
		return callInfo{"close", unix.SYS_CLOSE, []kind{kFD}, false}
	case CallCloseRange:
		return callInfo{"close_range", unix.SYS_CLOSE_RANGE, []kind{kInt, kInt, kInt}, false}
	case CallDup3:
		return callInfo{"dup3", unix.SYS_DUP3, []kind{kFD, kInt, kOpen}, false}
	case CallExecve:
		return callInfo{"execve", unix.SYS_EXECVE, []kind{kPath, kPtr, kPtr}, false}
	case CallExitGroup:
		return callInfo{"exit_group", unix.SYS_EXIT_GROUP, []kind{kInt}, false}
	case CallFaccessat2:
		return callInfo{"faccessat2", unix.SYS_FACCESSAT2, []kind{kDir, kPath, kAccess, kAt}, false}
	case CallFchdir:
		return callInfo{"fchdir", unix.SYS_FCHDIR, []kind{kFD}, false}
	case CallFchown:
		return callInfo{"fchown", unix.SYS_FCHOWN, []kind{kFD, kInt, kInt}, false}
	case CallFchownat:
		return callInfo{"fchownat", unix.SYS_FCHOWNAT, []kind{kDir, kPath, kInt, kInt, kAt}, false}
	case CallFsconfig:
		return callInfo{"fsconfig", unix.SYS_FSCONFIG, []kind{kFD, kConfig, kText, kText, kInt}, false}
	case CallFsmount:
		return callInfo{"fsmount", unix.SYS_FSMOUNT, []kind{kFD, kHex, kAttr}, true}
	case CallFsopen:
		return callInfo{"fsopen", unix.SYS_FSOPEN, []kind{kText, kHex}, true}
	case CallFstatfs:
		return callInfo{"fstatfs", unix.SYS_FSTATFS, []kind{kFD, kPtr}, false}
	case CallGetcwd:
		return callInfo{"getcwd", unix.SYS_GETCWD, []kind{kPtr, kInt}, false}
	case CallIoctl:
		return callInfo{"ioctl", unix.SYS_IOCTL, []kind{kFD, kIoctl, kHex}, false}
	}
	return c.moreInfo()
}

func (c Call) moreInfo() callInfo {
	switch c {
	case CallKeyctl:
		return callInfo{"keyctl", unix.SYS_KEYCTL, []kind{kInt, kText, kHex}, false}
	case CallMkdirat:
		return callInfo{"mkdirat", unix.SYS_MKDIRAT, []kind{kDir, kPath, kMode}, false}
	case CallMknodat:
		return callInfo{"mknodat", unix.SYS_MKNODAT, []kind{kDir, kPath, kMode, kHex}, false}
	case CallMount:
		return callInfo{"mount", unix.SYS_MOUNT, []kind{kText, kPath, kText, kMount, kText}, false}
	case CallMountSetattr:
		return callInfo{"mount_setattr", unix.SYS_MOUNT_SETATTR, []kind{kDir, kPath, kTree, kPtr, kInt}, false}
	case CallMoveMount:
		return callInfo{"move_mount", unix.SYS_MOVE_MOUNT, []kind{kDir, kPath, kDir, kPath, kMove}, false}
	case CallOpenTree:
		return callInfo{"open_tree", unix.SYS_OPEN_TREE, []kind{kDir, kPath, kTree}, true}
	case CallOpenat:
		return callInfo{"openat", unix.SYS_OPENAT, []kind{kDir, kPath, kOpen, kMode}, true}
	case CallOpenat2:
		return callInfo{"openat2", unix.SYS_OPENAT2, []kind{kDir, kPath, kPtr, kInt}, true}
	case CallPivotRoot:
		return callInfo{"pivot_root", unix.SYS_PIVOT_ROOT, []kind{kPath, kPath}, false}
	case CallPrctl:
		return callInfo{"prctl", unix.SYS_PRCTL, []kind{kPrctl, kInt, kInt, kInt, kInt}, false}
	case CallPrlimit64:
		return callInfo{"prlimit64", unix.SYS_PRLIMIT64, []kind{kInt, kLimit, kPtr, kInt}, false}
	case CallRead:
		return callInfo{"read", unix.SYS_READ, []kind{kFD, kPtr, kInt}, false}
	case CallReadlinkat:
		return callInfo{"readlinkat", unix.SYS_READLINKAT, []kind{kDir, kPath, kPtr, kInt}, false}
	case CallRecvfrom:
		return callInfo{"recvfrom", unix.SYS_RECVFROM, []kind{kFD, kPtr, kInt, kHex, kPtr, kPtr}, false}
	case CallRtSigaction:
		return callInfo{"rt_sigaction", unix.SYS_RT_SIGACTION, []kind{kInt, kPtr, kPtr, kInt}, false}
	case CallRtSigprocmask:
		return callInfo{"rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, []kind{kInt, kPtr, kPtr, kInt}, false}
	case CallSchedSetattr:
		return callInfo{"sched_setattr", unix.SYS_SCHED_SETATTR, []kind{kInt, kPtr, kInt}, false}
	case CallIoprioSet:
		return callInfo{"ioprio_set", unix.SYS_IOPRIO_SET, []kind{kInt, kInt, kHex}, false}
	case CallSetMempolicy:
		return callInfo{"set_mempolicy", unix.SYS_SET_MEMPOLICY, []kind{kHex, kPtr, kInt}, false}
	case CallPersonality:
		return callInfo{"personality", unix.SYS_PERSONALITY, []kind{kHex}, false}
	case CallSchedSetaffinity:
		return callInfo{"sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, []kind{kInt, kInt, kPtr}, false}
	case CallSeccomp:
		return callInfo{"seccomp", unix.SYS_SECCOMP, []kind{kInt, kHex, kPtr}, false}
	case CallSendmsg:
		return callInfo{"sendmsg", unix.SYS_SENDMSG, []kind{kFD, kPtr, kHex}, false}
	}
	return c.lastInfo()
}

func (c Call) lastInfo() callInfo {
	switch c {
	case CallSetdomainname:
		return callInfo{"setdomainname", unix.SYS_SETDOMAINNAME, []kind{kText, kInt}, false}
	case CallSetgroups:
		return callInfo{"setgroups", unix.SYS_SETGROUPS, []kind{kInt, kPtr}, false}
	case CallSethostname:
		return callInfo{"sethostname", unix.SYS_SETHOSTNAME, []kind{kText, kInt}, false}
	case CallSetns:
		return callInfo{"setns", unix.SYS_SETNS, []kind{kFD, kClone}, false}
	case CallSetresgid:
		return callInfo{"setresgid", unix.SYS_SETRESGID, []kind{kInt, kInt, kInt}, false}
	case CallSetresuid:
		return callInfo{"setresuid", unix.SYS_SETRESUID, []kind{kInt, kInt, kInt}, false}
	case CallSetsid:
		return callInfo{"setsid", unix.SYS_SETSID, nil, false}
	case CallSocket:
		return callInfo{"socket", unix.SYS_SOCKET, []kind{kInt, kHex, kInt}, true}
	case CallStatx:
		return callInfo{"statx", unix.SYS_STATX, []kind{kDir, kPath, kAt, kHex, kPtr}, false}
	case CallSymlinkat:
		return callInfo{"symlinkat", unix.SYS_SYMLINKAT, []kind{kText, kDir, kPath}, false}
	case CallUmask:
		return callInfo{"umask", unix.SYS_UMASK, []kind{kMode}, false}
	case CallUmount2:
		return callInfo{"umount2", unix.SYS_UMOUNT2, []kind{kPath, kUmount}, false}
	case CallUnlinkat:
		return callInfo{"unlinkat", unix.SYS_UNLINKAT, []kind{kDir, kPath, kAt}, false}
	case CallUnshare:
		return callInfo{"unshare", unix.SYS_UNSHARE, []kind{kClone}, false}
	case CallWrite:
		return callInfo{"write", unix.SYS_WRITE, []kind{kFD, kPtr, kInt}, false}
	}
	panic("program: a call that the table lacks")
}

// String is the call's name.
func (c Call) String() string { return c.info().name }
