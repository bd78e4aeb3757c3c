package program

import "golang.org/x/sys/unix"

// holds is a set of things that a slot may hold at a point of a program.
type holds uint64

// only is the set of one kind of descriptor.
func only(k FD) holds { return 1 << k }

// Sets that rules name. A slot holds more than one kind where ways meet.
const (
	aRoot    holds = 1 << fdRoot
	aTree    holds = 1 << fdTree
	aMount   holds = 1<<FDMount | 1<<fdProc | 1<<fdDevpts
	aPlace   holds = 1<<fdPlace | 1<<fdTop
	aProc    holds = 1<<fdProc | 1<<fdHostProc
	aContext holds = 1<<fdContext | 1<<fdProcContext | 1<<fdPtsContext
	// aPeer may be a peer of the host's mount still, or was not looked at.
	aPeer holds = 1<<fdClone | 1<<fdCloneTree | 1<<fdPeerTree | 1<<fdNode | 1<<fdOwnNode
	// aDir is what a path of the container may start from.
	aDir = aRoot | aMount | aPlace | 1<<FDDirectory | 1<<fdPts
	// anyFD is any descriptor at all.
	anyFD holds = 1<<fdEnd - 1
	// anything is any content, but not none.
	anything holds = 1<<holdsEnd - 1
	// unset is in the set of a slot that nothing may have been put into.
	unset holds = 1 << 63
)

// All kinds have a bit of their own, below that of unset.
const _ = uint(62 - holdsEnd)

// permit is what may stand at one place of a call: a number, what a slot holds, or
// memory of some form. What it does not name is refused.
type permit struct {
	// words say it, for the error.
	words string

	is         []uint64 // one of these numbers
	zero       bool     // or 0
	any        bool     // or any number
	flags      bool     // or a set of flags out of bits, with all of must
	bits, must uint64

	slot holds // or a slot that holds one of these
	born holds // or the number of such a descriptor that the child was born with

	data form // or memory that has this form
}

// form judges memory that a call reads or writes.
type form func(f *flow, st *Step, d *Data) bool

// rule is one way in which a call may be made. A call may have several; one that no
// rule of its call permits is refused.
type rule struct {
	args []permit
	// in are the kinds of program that may do it; 0 are all.
	in kinds
	// needs must be certain, on every way; why says so.
	needs facts
	why   string
	// also is why it may not be made, which no single argument shows.
	also func(f *flow, st *Step, k *known) string
	// late: the call may stand where rights have begun to fall; filtered: and behind
	// the system call filter too.
	late, filtered bool

	// result is what the result's slot holds, 0 where the call has none to keep.
	result holds
	// takes is no longer certain, whether it succeeds or fails, since half of it may
	// have happened; gives is, where it succeeds.
	takes, gives facts
}

// kinds is a set of kinds of program.
type kinds uint8

const (
	creates kinds = 1 << KindCreate
	enters  kinds = 1 << KindEnter
	hooks   kinds = 1 << KindHook
)

// Sentences that several rules share.
const (
	whyMounts  = "mounts must be the child's own: a mount namespace of its own comes first"
	whySpread  = "nothing may be mounted before it is said how mounts spread"
	whyOutside = "a path of the host may not be used after the root has changed"
	whyRootDir = "the new root must be entered by its descriptor"
	whyAtRoot  = "the root file system is the directory that was gone to, and no other"
	whyCreates = "only a program that creates a container may change mounts, namespaces and directories"

	wordsPath   = "a path below a descriptor must be resolved by openat2 in its root, or be one component that is not followed"
	wordsHost   = "a path of the host must be one that the program names for this"
	wordsExec   = "every new descriptor must be close-on-exec, and nothing made or truncated"
	wordsStdio  = "standard files must be a terminal or /dev/null"
	wordsFlags  = "no other flags"
	wordsNumber = "a number"
)

const (
	cloexec = unix.O_CLOEXEC
	pathDir = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	empties = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	cloned  = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	// attrs are the MOUNT_ATTR_* flags.
	attrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC |
		unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOSYMFOLLOW
	// spreads are the MS_* flags about propagation.
	spreads = unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE
	// newNS are the namespaces that clone, unshare and setns know.
	newNS = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID |
		unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME
	// bornNS are those among them that the child may be born into.
	bornNS = newNS &^ (unix.CLONE_NEWTIME | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUSER)
)

// atCwd is AtCwd's number.
const atCwd = ^uint64(99)

// rulesOf are the rules of each call. The table holds constants and functions only,
// so that the linker lays it out and no command pays for it at start. What a new
// call needs is a row here (docs/contributing.md).
var rulesOf = [numCalls][]rule{
	CallBarrier: {
		{
			args: []permit{{is: []uint64{uint64(BarrierReady)}}, {any: true, slot: anything, words: "a value"}}, late: true, filtered: true,
			needs: factClosed, why: "descriptors of the host must be closed before the container is ready", gives: factReady,
		},
		{args: []permit{{is: []uint64{uint64(BarrierIDMap)}}, {any: true, slot: anything}}, gives: factMapped},
		{args: []permit{{is: []uint64{uint64(BarrierBorn)}}, {any: true, slot: anything}}, gives: factBorn},
		{args: []permit{
			{is: []uint64{uint64(BarrierCgroups), uint64(BarrierTimens), uint64(BarrierRuntimeHooks), uint64(BarrierContainerHooks)}, words: "barriers must ascend"},
			{any: true, slot: anything},
		}},
		{args: []permit{{is: []uint64{uint64(BarrierListener)}}, {any: true, slot: anything}}, late: true},
	},
	CallExpect: {{args: []permit{
		{any: true, slot: anything, words: "a value"},
		{any: true, words: wordsNumber},
		{any: true, words: wordsNumber},
		{any: true, words: "an errno"},
		{is: []uint64{0, 1}, words: "0 or 1"},
	}, also: errnoOf, late: true, filtered: true}},
	CallSet: {
		{args: []permit{{any: true, words: wordsNumber}}, result: 1 << vNumber, late: true, filtered: true},
		{args: []permit{{data: path}}, result: 1 << vPath, late: true, filtered: true},
	},
	CallCapset: {{args: []permit{{data: capHeader, words: "a header for the process itself"}, {data: capSets, words: "the sets of the config"}}, gives: factCaps, late: true, filtered: true}},
	CallChdir: {
		{
			args: []permit{{data: hostRoot, words: "the root file system or, once it is the root, /: after pivot_root a path of the container must be resolved by openat2 in its root"}},
			in:   creates, needs: factOutside, why: whyOutside, takes: cwdFacts, gives: factAtRootfs,
		},
		{args: []permit{{data: slash}}, needs: factRoot, why: "the process must have a root of its own before it goes to it", takes: cwdFacts},
	},
	CallChroot: {{
		args: []permit{{data: dot, words: "the new root must be the working directory"}}, in: creates | enters, needs: factAtRoot, why: whyRootDir,
		also: mayChroot, takes: factInside | factOutside, gives: factRoot,
	}},
	CallClone: {{
		args: []permit{{is: []uint64{unix.CLONE_PARENT | uint64(unix.SIGCHLD)}, words: "CLONE_PARENT and SIGCHLD, and nothing shared"}, {zero: true}, {zero: true}, {zero: true}, {zero: true}},
		also: intermediate, needs: factOne, why: "only one process may clone", result: 1 << vPid, takes: factBorn | factOne,
	}},
	CallClose: {{args: []permit{{slot: anyFD, words: "a descriptor"}}, late: true, filtered: true}},
	CallCloseRange: {
		{args: []permit{{any: true}, {is: []uint64{1<<32 - 1}}, {zero: true}}, also: closesRest, late: true, filtered: true},
		{
			args: []permit{{any: true, words: whyClose}, {any: true, words: whyClose}, {is: []uint64{unix.CLOSE_RANGE_CLOEXEC}, words: whyClose}},
			also: marksKept, gives: factMarked, late: true, filtered: true,
		},
	},
	CallDup3: {
		{args: []permit{{slot: 1<<fdTTY | 1<<fdNull, words: wordsStdio}, {is: []uint64{0, 1, 2}, words: wordsStdio}, {is: []uint64{0}, words: wordsStdio}}, late: true, filtered: true},
		{
			args: []permit{{born: 1 << FDStartFIFO, words: wordsStdio}, {born: 1 << FDSocket, words: wordsStdio}, {is: []uint64{cloexec}, words: wordsStdio}}, in: creates,
			needs: factReady, why: "the start FIFO takes the socket's place when the container is ready", gives: factFIFO, late: true, filtered: true,
		},
	},
	CallExecve: {
		{
			args: []permit{{slot: 1 << vPath, data: path, words: "the path of an executable"}, {is: []uint64{0}, data: strs, words: "strings"}, {is: []uint64{0}, data: strs, words: "strings"}},
			also: mayExecute, late: true, filtered: true,
		},
	},
	CallExitGroup:  {{args: []permit{{is: []uint64{0}, words: "0"}}, late: true, filtered: true}},
	CallFaccessat2: {{args: []permit{{slot: aPlace, words: wordsPath}, {data: empty, words: wordsPath}, {is: []uint64{unix.X_OK}}, {is: []uint64{unix.AT_EMPTY_PATH | unix.AT_EACCESS}}}, late: true, filtered: true}},
	CallFchdir: {
		{args: []permit{{slot: aRoot, words: "a directory of the container"}}, takes: cwdFacts, gives: factAtRoot, late: true, filtered: true},
		{args: []permit{{slot: 1 << FDDirectory}}, in: enters, takes: cwdFacts, gives: factAtRoot, late: true, filtered: true},
		{args: []permit{{slot: 1 << FDDirectory}}, in: creates, needs: factOutside, why: whyOutside, takes: cwdFacts, gives: factAtRootfs},
		{args: []permit{{slot: 1 << fdOldRoot}}, in: creates, needs: factPivot, why: "the old root may be gone to only to unmount it", takes: cwdFacts, gives: factAtOld},
		{args: []permit{{slot: aPlace | aRoot}}, takes: cwdFacts, late: true, filtered: true},
	},
	CallFchown: {{args: []permit{{born: 1 << FDStdio, slot: 1 << fdTTY, words: "a standard file"}, {any: true, words: "an id"}, {any: true, words: "an id"}}, late: true}},
	CallFchownat: {{args: []permit{
		{slot: aDir, words: "a directory"},
		{data: component, words: wordsPath},
		{any: true, words: "an id"},
		{any: true, words: "an id"},
		{is: []uint64{unix.AT_SYMLINK_NOFOLLOW}, words: wordsPath},
	}, in: creates}},
	CallFsconfig: {
		{args: []permit{{slot: aContext, words: "a file system context"}, {is: []uint64{unix.FSCONFIG_SET_FLAG}}, {data: text}, {zero: true}, {zero: true}}},
		{args: []permit{{slot: aContext}, {is: []uint64{unix.FSCONFIG_SET_STRING}}, {data: text, words: "a key"}, {data: text, words: "a value"}, {zero: true}}},
		{args: []permit{{slot: aContext}, {is: []uint64{unix.FSCONFIG_SET_STRING}}, {data: keyMode}, {data: written}, {zero: true}}, in: creates},
		{args: []permit{{slot: aContext}, {is: []uint64{unix.FSCONFIG_CMD_CREATE}, words: "a command"}, {zero: true}, {zero: true}, {zero: true}}},
	},
	CallFsmount: {
		{args: []permit{{slot: 1 << fdPtsContext}, {is: []uint64{unix.FSMOUNT_CLOEXEC}, words: wordsExec}, {flags: true, bits: attrs, words: wordsFlags}}, in: creates, result: 1 << fdDevpts},
		{args: []permit{{slot: 1 << fdContext}, {is: []uint64{unix.FSMOUNT_CLOEXEC}, words: wordsExec}, {flags: true, bits: attrs, words: wordsFlags}}, in: creates, result: 1 << FDMount},
		{
			args: []permit{{slot: 1 << fdProcContext, words: "a file system context"}, {is: []uint64{unix.FSMOUNT_CLOEXEC}, words: wordsExec}, {flags: true, bits: attrs, words: wordsFlags}},
			in:   creates | enters, result: 1 << fdProc,
		},
	},
	CallFsopen: {
		{args: []permit{{data: typeDevpts}, {is: []uint64{unix.FSOPEN_CLOEXEC}, words: wordsExec}}, in: creates, result: 1 << fdPtsContext},
		{args: []permit{{data: typeProc}, {is: []uint64{unix.FSOPEN_CLOEXEC}, words: wordsExec}}, in: creates | enters, result: 1 << fdProcContext},
		{args: []permit{{data: typeOther, words: "a file system's name"}, {is: []uint64{unix.FSOPEN_CLOEXEC}, words: wordsExec}}, in: creates, result: 1 << fdContext},
	},
	CallFstatfs: {{args: []permit{{slot: aPlace | aMount, words: "a place"}, {data: room120, words: "room for a struct statfs"}}}},
	CallGetcwd:  {{args: []permit{{data: room, words: "room"}, {any: true, words: "its length"}}, also: fits01, late: true, filtered: true}},
	CallIoctl: {
		{args: []permit{{slot: 1 << fdMaster}, {is: []uint64{unix.TIOCSPTLCK}}, {data: zeros}}},
		{args: []permit{{slot: 1 << fdMaster}, {is: []uint64{unix.TIOCGPTPEER}}, {is: []uint64{unix.O_RDWR | unix.O_NOCTTY | cloexec}, words: wordsExec}}, result: 1 << fdTTY},
		{args: []permit{{slot: 1 << fdTTY}, {is: []uint64{unix.TIOCSWINSZ}}, {data: size8}}},
		{
			args: []permit{{slot: 1 << fdInet, words: "no other descriptor"}, {is: []uint64{unix.SIOCSIFFLAGS}, words: "no other request"}, {data: ifreq}},
			also: ownsNet,
		},
		{args: []permit{{is: []uint64{0}}, {is: []uint64{unix.TIOCSCTTY}}, {zero: true}}},
	},
	CallKeyctl: {
		{args: []permit{{is: []uint64{1}, words: "KEYCTL_JOIN_SESSION_KEYRING or KEYCTL_SETPERM"}, {data: text, words: "a keyring's name"}}, result: 1 << vKey, late: true},
		{args: []permit{{is: []uint64{5}}, {slot: 1 << vKey, words: "a keyring that was just made"}, {flags: true, bits: 0x3f3f3f3f, words: "permissions"}}, late: true},
	},
	CallMkdirat: {{args: []permit{{slot: aDir, words: "a directory of the container: a path of the host may not be changed"}, {data: component, words: wordsPath}, {flags: true, bits: 0o7777, words: "a mode"}}, in: creates}},
	CallMknodat: {{args: []permit{
		{slot: aDir, words: "a directory of the container: a path of the host may not be changed"},
		{data: component, words: wordsPath},
		{flags: true, bits: unix.S_IFMT | 0o7777, words: "a mode"},
		{any: true, words: "a device number"},
	}, in: creates, also: nodeMode}},
	CallMount: {
		{args: []permit{{zero: true}, {data: slash}, {zero: true}, {flags: true, bits: spreads | unix.MS_REC}, {zero: true}}, in: creates, also: spreadsOnce, needs: factMounts, why: whyMounts},
		{args: []permit{{zero: true}, {data: dot}, {zero: true}, {flags: true, bits: unix.MS_SLAVE | unix.MS_REC}, {zero: true}}, in: creates, also: spreadsOnce, needs: factMounts | factAtOld, why: "only the old root may become a slave by its place"},
		{args: []permit{{is: []uint64{0}, words: "a mount must be made detached, not by mount(2)"}, {data: aboveRoot, words: "a path of the host may not be changed"}, {zero: true}, {is: []uint64{unix.MS_PRIVATE, unix.MS_SLAVE}, words: wordsFlags}, {zero: true}}, in: creates, needs: factMounts | factOutside, why: whyMounts},
		{
			args: []permit{{data: dot, words: "a mount must be made detached, not by mount(2)"}, {data: slash, words: "a path of the host may not be changed"}, {zero: true}, {is: []uint64{unix.MS_MOVE}, words: wordsFlags}, {zero: true}}, in: creates,
			needs: factMounts | factSpread | factAtRoot, why: whyRootDir, gives: factMoved,
		},
	},
	CallMountSetattr: {
		{args: []permit{
			{slot: aMount | aTree | aPeer},
			{data: empty},
			{flags: true, bits: unix.AT_EMPTY_PATH | unix.AT_RECURSIVE, must: unix.AT_EMPTY_PATH},
			{data: mountAttr},
			{is: []uint64{32}},
		}, in: creates},
		{
			args: []permit{{slot: 1 << fdHostMount}, {data: empty}, {is: []uint64{unix.AT_EMPTY_PATH}}, {data: privateAttr}, {is: []uint64{32}}}, in: creates,
			needs: factMounts, why: whyMounts,
		},
		{args: []permit{
			{slot: aRoot | aPlace, words: "a mount: a path of the host may not be changed"},
			{data: empty, words: wordsPath},
			{flags: true, bits: unix.AT_EMPTY_PATH | unix.AT_RECURSIVE, must: unix.AT_EMPTY_PATH, words: wordsFlags},
			{data: mountAttr, words: "attributes"},
			{is: []uint64{32}, words: "32"},
		}, in: creates, needs: factMounts, why: whyMounts},
	},
	CallMoveMount: {
		{
			args: []permit{{slot: 1 << FDMount}, {data: empty}, {slot: 1 << fdAlone}, {data: empty}, {is: []uint64{empties}}}, in: creates,
			needs: factMounts | factSpread, why: whySpread,
		},
		{
			args: []permit{{slot: 1 << fdTree}, {data: empty}, {is: []uint64{atCwd}}, {data: dot}, {is: []uint64{unix.MOVE_MOUNT_F_EMPTY_PATH}}}, in: creates,
			needs: factMounts | factSpread | factAtRootfs, why: whySpread,
		},
		{
			args: []permit{{slot: aMount, words: "a mount that was made for the container"}, {data: empty, words: wordsPath}, {slot: aPlace, words: "a place in the container: a path of the host may not be changed"}, {data: empty, words: wordsPath}, {is: []uint64{empties}, words: wordsFlags}}, in: creates,
			needs: factMounts | factSpread, why: whySpread,
		},
	},
	CallOpenTree: {
		{
			args: []permit{{is: []uint64{atCwd}}, {data: dot}, {is: []uint64{cloned | unix.AT_RECURSIVE}, words: wordsExec}}, in: creates,
			needs: factOutside | factAtRootfs | factMounts, why: whyAtRoot, result: 1 << fdTree,
		},
		{args: []permit{{is: []uint64{atCwd}}, {data: hostSource}, {is: []uint64{cloned, cloned | unix.AT_SYMLINK_NOFOLLOW}}}, in: creates, needs: factOutside, why: whyOutside, result: 1 << fdClone},
		{args: []permit{{is: []uint64{atCwd}}, {data: hostSource}, {flags: true, bits: cloned | unix.AT_RECURSIVE | unix.AT_SYMLINK_NOFOLLOW, must: cloned | unix.AT_RECURSIVE, words: wordsExec}}, in: creates, needs: factOutside, why: whyOutside, result: 1 << fdCloneTree},
		{
			args: []permit{{is: []uint64{atCwd}}, {data: hostDevice, words: wordsHost}, {flags: true, bits: cloned | unix.AT_SYMLINK_NOFOLLOW, must: cloned, words: wordsExec}}, in: creates,
			needs: factOutside, why: whyOutside, result: 1 << fdNode,
		},
		{args: []permit{
			{slot: aPlace | aMount | 1<<fdTTY | 1<<FDHost, words: wordsPath},
			{data: empty, words: wordsPath},
			{flags: true, bits: cloned | unix.AT_RECURSIVE | unix.AT_EMPTY_PATH, must: cloned | unix.AT_EMPTY_PATH, words: wordsExec},
		}, in: creates, result: 1 << FDMount},
	},
	CallOpenat: {
		{args: []permit{{is: []uint64{atCwd}}, {data: hostCgroup}, {is: []uint64{unix.O_WRONLY | cloexec}, words: wordsExec}, {zero: true}}, needs: factOutside, why: whyOutside, result: 1 << fdCgroup},
		{args: []permit{{is: []uint64{atCwd}}, {data: hostOwn}, {is: []uint64{unix.O_WRONLY | cloexec}, words: wordsExec}, {zero: true}}, needs: factOutside, why: whyOutside, result: 1 << fdSetting},
		{args: []permit{{is: []uint64{atCwd}}, {data: hostNamespace}, {is: []uint64{unix.O_RDONLY | cloexec}, words: wordsExec}, {zero: true}}, needs: factOutside, why: whyOutside, result: 1 << FDNamespace},
		{args: []permit{{is: []uint64{atCwd}}, {data: dot}, {is: []uint64{pathDir}}, {zero: true}}, in: creates, needs: factOutside | factAtRootfs, why: whyAtRoot, result: 1 << fdRoot},
		{args: []permit{{is: []uint64{atCwd}}, {data: hostCovered}, {is: []uint64{pathDir}, words: wordsExec}, {zero: true}}, in: creates, needs: factOutside | factMounts, why: whyOutside, result: 1 << fdHostMount},
		{args: []permit{{is: []uint64{atCwd}}, {data: slash}, {is: []uint64{pathDir}, words: wordsExec}, {zero: true}}, in: creates, needs: factOutside, why: whyOutside, result: 1 << fdOldRoot},
		{args: []permit{{is: []uint64{atCwd}}, {data: slash}, {is: []uint64{pathDir}, words: wordsExec}, {zero: true}}, in: enters | hooks, needs: factRoot, why: whyAtRoot, result: 1 << fdRoot},
		{args: []permit{{is: []uint64{atCwd}}, {data: procPath, words: wordsHost + "; " + whyOutside}, {is: []uint64{pathDir}, words: wordsExec}, {zero: true}}, in: creates, needs: factOutside, why: whyOutside, result: 1 << fdHostProc},
		{
			args:   []permit{{slot: 1<<fdDevpts | 1<<fdPts, words: "a devpts"}, {data: ptmx, words: wordsPath}, {is: []uint64{unix.O_RDWR | unix.O_NOCTTY | unix.O_NOFOLLOW | cloexec}, words: wordsExec}, {zero: true}},
			result: 1 << fdMaster,
		},
		{args: []permit{{slot: aDir}, {data: component, words: wordsPath}, {flags: true, bits: pathDir | unix.O_NOFOLLOW, must: unix.O_PATH | unix.O_NOFOLLOW | cloexec, words: wordsExec}, {zero: true}}, result: 1 << fdPlace},
	},
	CallOpenat2: {
		{args: []permit{{slot: aRoot}, {data: slash}, {data: howPath}, {is: []uint64{24}}}, result: 1 << fdTop, late: true, filtered: true},
		{args: []permit{{slot: aDir, words: "a directory of the container"}, {data: path, words: wordsPath}, {data: howPath}, {is: []uint64{24}}}, result: 1 << fdPlace, late: true, filtered: true},
		{args: []permit{{slot: aDir}, {data: path}, {data: howOpen, words: wordsPath + ", and " + wordsExec}, {is: []uint64{24}, words: "24"}}, result: 1 << fdFile, late: true, filtered: true},
		{args: []permit{{slot: aProc}, {data: settingPath}, {data: howWrite}, {is: []uint64{24}}}, also: ownsSetting, result: 1 << fdSetting, late: true},
	},
	CallPivotRoot: {{
		args: []permit{{data: dot, words: "the new root must be the working directory"}, {data: dot, words: "the new root must be the working directory"}}, in: creates,
		needs: factMounts | factSpread | factAtRoot, why: whyRootDir, takes: factAtRoot | factInside | factRoot | factOutside, gives: factPivot,
	}},
	CallPrctl: {
		{args: []permit{{is: []uint64{unix.PR_SET_PDEATHSIG}}, {is: []uint64{0, uint64(unix.SIGKILL)}}}, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_SET_DUMPABLE}}, {is: []uint64{0}, words: "the process may not be made visible to others"}}, gives: factHidden, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_SET_KEEPCAPS}}, {is: []uint64{0, 1}}}, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_SET_NAME}}, {data: text}}, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_CAPBSET_DROP}}, {flags: true, bits: 63}}, also: mayDrop, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_CAP_AMBIENT}}, {is: []uint64{2}}, {flags: true, bits: 63}, {zero: true}, {zero: true}}, also: mayRaise, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_CAP_AMBIENT}}, {is: []uint64{4}}, {zero: true}, {zero: true}, {zero: true}}, late: true, filtered: true},
		{args: []permit{{is: []uint64{unix.PR_SET_NO_NEW_PRIVS}, words: "the process may not be made visible to others, and no other option stands"}, {is: []uint64{1}}, {zero: true}, {zero: true}, {zero: true}}, gives: factNoNew, late: true, filtered: true},
	},
	CallPrlimit64: {{args: []permit{{zero: true}, {is: []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, words: "a limit"}, {data: size16, words: "two numbers"}, {zero: true}}, late: true, filtered: true}},
	CallRead: {{
		args: []permit{{born: 1 << FDSocket, words: "the start FIFO in the socket's place"}, {data: room, words: "room"}, {is: []uint64{1}, words: "1"}}, in: creates,
		needs: factFIFO, why: "there is nothing to read before the start FIFO took the socket's place", also: fits12, gives: factWaited, late: true, filtered: true,
	}},
	CallReadlinkat:    {{args: []permit{{slot: aPlace, words: "a link"}, {data: empty, words: wordsPath}, {data: room, words: "room"}, {any: true, words: "its length"}}, also: fits23, result: 1 << vNumber, late: true}},
	CallRtSigaction:   {{args: []permit{{flags: true, bits: 127, words: "a signal"}, {data: zeros32, words: "the default action"}, {zero: true}, {is: []uint64{8}, words: "8"}}, late: true}},
	CallRtSigprocmask: {{args: []permit{{is: []uint64{unix.SIG_SETMASK}, words: "SIG_SETMASK"}, {data: size8, words: "a set"}, {zero: true}, {is: []uint64{8}, words: "8"}}, late: true}},
	CallIoprioSet:     {{args: []permit{{is: []uint64{1}, words: "IOPRIO_WHO_PROCESS"}, {zero: true}, {flags: true, bits: 3<<13 | 7, words: "a class and a priority"}}}},
	CallPersonality:   {{args: []permit{{is: []uint64{0, 8}, words: "PER_LINUX or PER_LINUX32"}}}},
	CallSchedSetattr:  {{args: []permit{{zero: true}, {data: schedAttr, words: "a struct sched_attr"}, {zero: true}}}},
	CallSetMempolicy: {
		{args: []permit{{flags: true, bits: 7<<13 | 7, words: wordsFlags}, {zero: true}, {zero: true}}},
		{args: []permit{{flags: true, bits: 7<<13 | 7, words: wordsFlags}, {data: memory, words: "a set of nodes"}, {any: true, words: "its length"}}, also: nodesFit},
	},
	CallSchedSetaffinity: {{args: []permit{{zero: true}, {any: true, words: "a length"}, {data: memory, words: "a set of CPUs"}}, also: fits21, late: true}},
	CallSeccomp: {{
		args: []permit{{is: []uint64{1}, words: "SECCOMP_SET_MODE_FILTER"}, {flags: true, bits: 0x3f, words: wordsFlags}, {data: filterProgram, words: "the filter of the config"}},
		also: isFilter, gives: factFiltered, late: true,
	}},
	CallSendmsg:       {{args: []permit{{born: 1 << FDSocket, words: "the socket"}, {data: masterMessage, words: "a message that carries a pty's master"}, {is: []uint64{unix.MSG_NOSIGNAL}, words: wordsFlags}}}},
	CallSetdomainname: {{args: []permit{{data: text}, {any: true}}, also: ownsUTS}},
	CallSethostname:   {{args: []permit{{data: text}, {any: true}}, also: ownsUTS}},
	CallSetgroups:     {{args: []permit{{any: true, words: wordsNumber}, {data: memory, words: "a list of groups"}}, also: groupsFit, late: true, filtered: true}},
	CallSetns: {
		{args: []permit{{slot: 1 << FDNamespace, words: "a namespace"}, {flags: true, bits: newNS, words: "the kind of namespace"}}, also: joinsOne},
		{args: []permit{{slot: 1 << FDPidFD, words: "a namespace or a pidfd"}, {flags: true, bits: newNS, words: "kinds of namespaces"}}, also: joinsHidden},
	},
	CallSetresgid: {{args: []permit{{any: true, words: "an id"}, {any: true, words: "an id"}, {any: true, words: "an id"}}, also: allEqual, late: true, filtered: true}},
	CallSetresuid: {{args: []permit{{any: true, words: "an id"}, {any: true, words: "an id"}, {any: true, words: "an id"}}, also: allEqual, late: true, filtered: true}},
	CallSetsid:    {{}},
	CallSocket:    {{args: []permit{{is: []uint64{unix.AF_INET}, words: "AF_INET"}, {is: []uint64{unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}, words: wordsExec}, {zero: true}}, result: 1 << fdInet}},
	CallStatx: {
		{args: []permit{{slot: anyFD, born: 1 << FDStdio}, {data: empty}, {flags: true, bits: unix.AT_EMPTY_PATH | unix.AT_SYMLINK_NOFOLLOW, must: unix.AT_EMPTY_PATH}, {flags: true, bits: 0xfff}, {data: room256}}, late: true, filtered: true},
		{args: []permit{{slot: aDir, words: "a descriptor"}, {data: component, words: wordsPath}, {is: []uint64{unix.AT_SYMLINK_NOFOLLOW}, words: wordsPath}, {flags: true, bits: 0xfff, words: wordsFlags}, {data: room256, words: "room for a struct statx"}}, late: true, filtered: true},
	},
	CallSymlinkat: {{args: []permit{{data: text, words: "a target"}, {slot: aDir, words: "a directory of the container: a path of the host may not be changed"}, {data: component, words: wordsPath}}, in: creates}},
	CallUmask:     {{args: []permit{{flags: true, bits: 0o777, slot: 1 << vNumber, words: "a mask"}}, result: 1 << vNumber, late: true, filtered: true}},
	CallUmount2: {{
		args: []permit{{data: dot, words: "the old root, at the working directory"}, {is: []uint64{unix.MNT_DETACH}, words: "MNT_DETACH: the process must have a root of its own, and the old one must be gone"}}, in: creates,
		needs: factQuiet | factPivot, why: "the old root may not be unmounted where that spreads to the host", takes: factPivot | factAtOld | factInside, gives: factRoot,
	}},
	CallUnlinkat: {{args: []permit{{slot: aDir, words: "a directory of the container: a path of the host may not be changed"}, {data: component, words: wordsPath}, {zero: true}}, in: creates}},
	CallUnshare: {
		{args: []permit{{is: []uint64{unix.CLONE_NEWUSER}, words: "namespaces"}}, in: creates, needs: factUnmade, why: "the user namespace is made before those that belong to it", also: newNamespaces, takes: factMapped | factUnmade},
		{args: []permit{{flags: true, bits: newNS &^ unix.CLONE_NEWUSER, words: "namespaces, and nothing else"}}, in: creates, also: newNamespaces, takes: factUnmade},
	},
	CallWrite: {
		{args: []permit{{slot: 1 << fdCgroup}, {data: zeroText, words: "a file that may be written: a cgroup gets the process itself"}, {is: []uint64{1}, words: "1"}}, needs: factUnrooted, why: "the cgroup namespace is made after the cgroups are entered"},
		{args: []permit{{slot: 1 << fdSetting, words: "a file that may be written"}, {data: text, words: "a text"}, {any: true, words: "its length"}}, also: textFits, late: true},
	},
}

const (
	whyFits  = "the length must be that of the memory"
	whyClose = "descriptors are closed, or marked close-on-exec, all together"
)
