package program

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// MaxSteps is how many steps a program may have: far more than a container with a
// thousand mounts needs, and few enough that a jump, which has 16 bits, reaches any
// step, and that checking costs milliseconds.
const MaxSteps = 1 << 15

// Verify proves that a program keeps the rules of the house, whatever compiled
// it. A bug in the compiler is then an error before anything runs, not a hole.
// The rules:
//
//  1. Form: at most six arguments and four harmless errnos; jumps lead forward and
//     stay inside; every way through ends in execve or exit_group.
//  2. A slot is set on every way to its use, and what a check looks at in memory is
//     what the call just before it wrote there.
//  3. A path relative to a descriptor is empty, or one plain component that is
//     not followed, or goes through openat2 with RESOLVE_IN_ROOT or
//     RESOLVE_BENEATH. After pivot_root there is no other path but / and . and
//     the executable.
//  4. What makes or changes a file or a mount never takes a path of the host, and
//     to open never makes or truncates.
//  5. Every new descriptor is close-on-exec. On every way to the ready barrier and
//     to execve, all but the process's own are closed; standard files come from a
//     terminal's other end or the container's /dev/null alone.
//  6. No mount and no namespace is made after capabilities have begun to fall, and
//     the process is never made visible to others again.
//  7. Behind the system call filter stands only what the white list has.
//  8. Barriers and phases ascend, and where the start FIFO takes the socket's place,
//     it is read at once: a report that stood in it would be the word to start.
//  9. Nothing is mounted before it is said how mounts spread, and the old root is
//     not unmounted where that would spread to the host.
//  10. On every way to execve the process has a root of its own, the old one is gone,
//     and after its last change of directory it has seen that it is inside.
//
// Rules 2, 5, 9 and 10 are about every way that the program may take: see flow.
func (p *Program) Verify() error {
	v := &verifier{p: p}
	v.descriptors()
	v.form()
	if len(v.errs) == 0 {
		v.flow()
		v.order()
		for i := range p.Steps {
			v.step(i, &p.Steps[i])
		}
	}
	return v.errs.OrNil()
}

type verifier struct {
	p    *Program
	errs fault.List

	keeps                      keeps
	pivoted, falling, filtered bool
	// stdio are the slots that may become standard files: a terminal's other end,
	// the container's /dev/null.
	stdio map[*Slot]bool
}

// violation notes that a step breaks a rule.
func (v *verifier) violation(i int, st *Step, rule string) {
	v.errs = append(v.errs, &fault.Error{
		Msg:  "the program breaks a rule of the house: " + rule,
		Step: i + 1, Path: st.Path, Call: st.Text(),
		Hint: "this is a bug in Berth: nothing was done",
	})
}

// form is rule 1.
func (v *verifier) form() {
	n := len(v.p.Steps)
	if n == 0 {
		v.errs = append(v.errs, fault.New("the program is empty"))
		return
	}
	if n > MaxSteps {
		v.errs = append(v.errs, &fault.Error{
			Msg:  "the container's set-up is too large: " + strconv.Itoa(n) + " steps, and " + strconv.Itoa(MaxSteps) + " is the most",
			Hint: "it has too many mounts, devices, paths, or directories in PATH",
		})
		return
	}
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		v.formOf(i, st, n-i-1)
		for j := range st.Fixups {
			m := &st.Fixups[j]
			for k := range m.Steps {
				v.formOf(i, &m.Steps[k], len(m.Steps)-k)
				if c := m.Steps[k].Call; c == CallBarrier || c == CallExecve || c == CallExitGroup || len(m.Steps[k].Fixups) > 0 {
					v.violation(i, &m.Steps[k], "a fixup may not wait, end or be fixed")
				}
			}
		}
	}
	if last := &v.p.Steps[n-1]; last.Call != CallExecve && last.Call != CallExitGroup {
		v.violation(n-1, last, "the last step must be execve or exit_group")
	}
}

// least is how many arguments a call has at least; what a shorter one would leave
// to chance is what the rules look at.
func least(c Call) int {
	switch c {
	case CallPrctl, CallKeyctl:
		return 2
	case CallClone, CallBarrier:
		return 1
	}
	return len(c.info().args)
}

// formOf checks one step; below is how many steps a jump may skip at most.
func (v *verifier) formOf(i int, st *Step, below int) {
	switch {
	case st.Call >= numCalls:
		v.errs = append(v.errs, &fault.Error{Msg: "the program makes an unknown call", Step: i + 1})
		return
	case len(st.Args) > 6:
		v.violation(i, st, "a call has at most six arguments")
	case len(st.Harmless) > maxHarmless:
		v.violation(i, st, "a step has at most four harmless errnos")
	case len(st.Args) < least(st.Call):
		v.violation(i, st, "arguments are missing")
	}
	for _, h := range st.Harmless {
		if h.Errno == 0 || h.Skip < 0 || h.Skip >= below {
			v.violation(i, st, "a jump leads out of the program")
		}
	}
}

// order is rules 6, 7 and 8 as far as they are about the sequence.
func (v *verifier) order() {
	var last Barrier
	var phase Phase
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		if st.Phase < phase {
			v.violation(i, st, "phases must ascend")
		}
		phase = st.Phase
		if st.Quiet && (i+1 == len(v.p.Steps) || v.p.Steps[i+1].Call != CallRead) {
			v.violation(i, st, "the start FIFO must be read before anything is reported to it")
		}
		if st.Call != CallBarrier {
			continue
		}
		b := Barrier(st.Args[0].n)
		if b <= last || b > BarrierReady {
			v.violation(i, st, "barriers must ascend")
		}
		last = b
	}
}

func (v *verifier) step(i int, st *Step) {
	v.paths(i, st)
	v.cloexec(i, st)
	v.rights(i, st)
	for j := range st.Fixups {
		for k := range st.Fixups[j].Steps {
			ms := &st.Fixups[j].Steps[k]
			v.paths(i, ms)
			v.cloexec(i, ms)
			v.rights(i, ms)
		}
	}
	switch st.Call {
	case CallPivotRoot, CallChroot:
		v.pivoted = true
	case CallCapset:
		v.falling = true
	case CallPrctl:
		v.falling = v.falling || st.Args[0].n == unix.PR_CAPBSET_DROP
	case CallSeccomp:
		v.filtered = true
	case CallIoctl:
		if st.Args[1].n == unix.TIOCGPTPEER && st.Result != nil {
			v.mayBeStdio(st.Result)
		}
	case CallOpenat2:
		if st.isPath(1, "/dev/null") && st.Result != nil {
			v.mayBeStdio(st.Result)
		}
	}
}

func (v *verifier) mayBeStdio(s *Slot) {
	if v.stdio == nil {
		v.stdio = make(map[*Slot]bool)
	}
	v.stdio[s] = true
}

// changes says whether a call makes or changes what a path names.
func (c Call) changes() bool {
	switch c {
	case CallMkdirat, CallMknodat, CallSymlinkat, CallUnlinkat, CallFchownat, CallMount, CallMoveMount, CallMountSetattr:
		return true
	}
	return false
}

// paths is rules 3 and 4.
func (v *verifier) paths(i int, st *Step) {
	const makes = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY
	switch st.Call {
	case CallOpenat:
		if st.Args[2].slot != nil || st.Args[2].n&makes != 0 {
			v.violation(i, st, "to open a file may not make or truncate it")
		}
	case CallOpenat2:
		if how := st.Args[2].data; how == nil || len(how.Bytes) != 24 || le.Uint64(how.Bytes)&makes != 0 {
			v.violation(i, st, "to open a file may not make or truncate it")
		}
	case CallMount:
		move := st.Args[3].slot == nil && st.Args[3].n == unix.MS_MOVE
		if src := st.Args[0].data; src != nil && !(move && src.Value() == ".") {
			v.violation(i, st, "a mount must be made detached, not by mount(2)")
		}
	}
	kinds := st.Call.info().args
	for n, a := range st.Args {
		if n >= len(kinds) || kinds[n] != kPath || a.data == nil {
			continue
		}
		path := a.data.Value()
		if n == 0 || kinds[n-1] != kDir {
			v.cwdPath(i, st, path)
			continue
		}
		if dir := st.Args[n-1]; dir.slot == nil && dir.n == AtCwd.n {
			v.cwdPath(i, st, path)
		} else if !v.below(st, path) {
			v.violation(i, st, "a path below a descriptor must be resolved by openat2 in its root, or be one component that is not followed")
		}
	}
}

// cwdPath checks a path that starts at the root or the working directory.
func (v *verifier) cwdPath(i int, st *Step, path string) {
	here := path == "." || path == "/"
	switch {
	case here || st.Call == CallExecve:
	case v.pivoted:
		v.violation(i, st, "after pivot_root a path of the container must be resolved by openat2 in its root")
	case st.Call == CallMount && st.Args[0].data == nil && st.Args[2].data == nil:
		// The propagation of a mount of the host, in the child's own mount namespace.
	case st.Call.changes():
		v.violation(i, st, "a path of the host may not be changed")
	case strings.Contains(path, "\x00"):
		v.violation(i, st, "a path may not hold a NUL")
	}
}

// below checks a path relative to a descriptor.
func (v *verifier) below(st *Step, path string) bool {
	if path == "" {
		return true
	}
	if st.Call == CallOpenat2 {
		how := st.Args[2].data
		return how != nil && len(how.Bytes) == 24 && le.Uint64(how.Bytes[16:])&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) != 0
	}
	if strings.Contains(path, "/") || path == "." || path == ".." {
		return false
	}
	switch st.Call {
	case CallMkdirat, CallMknodat, CallSymlinkat, CallUnlinkat:
		return true // these never follow the last component
	case CallFchownat:
		return st.Args[4].n&unix.AT_SYMLINK_NOFOLLOW != 0
	case CallStatx:
		return st.Args[2].n&unix.AT_SYMLINK_NOFOLLOW != 0
	case CallOpenat:
		return st.Args[2].n&unix.O_NOFOLLOW != 0
	}
	return false
}

// cloexec is rule 5.
func (v *verifier) cloexec(i int, st *Step) {
	has := func(arg int, flag uint64) bool { return arg < len(st.Args) && st.Args[arg].n&flag == flag }
	ok := true
	switch st.Call {
	case CallOpenat:
		ok = has(2, unix.O_CLOEXEC)
	case CallOpenat2:
		how := st.Args[2].data
		ok = how != nil && len(how.Bytes) == 24 && le.Uint64(how.Bytes)&unix.O_CLOEXEC != 0
	case CallOpenTree:
		ok = has(2, unix.OPEN_TREE_CLOEXEC)
	case CallFsopen, CallFsmount:
		ok = has(1, unix.FSOPEN_CLOEXEC)
	case CallSocket:
		ok = has(1, unix.SOCK_CLOEXEC)
	case CallIoctl:
		ok = st.Args[1].n != unix.TIOCGPTPEER || has(2, unix.O_CLOEXEC)
	case CallDup3:
		std := st.Args[1].slot == nil && st.Args[1].n < 3
		ok = std && st.Args[0].slot != nil && v.stdio[st.Args[0].slot] || !std && has(2, unix.O_CLOEXEC)
	case CallClone:
		ok = st.Args[0].slot == nil && st.Args[0].n&unix.CLONE_FILES == 0
	}
	if !ok {
		v.violation(i, st, "every new descriptor must be close-on-exec, and standard files a terminal or /dev/null")
	}
}

// entering is what a program may not do that creates no container.
func (v *verifier) entering(i int, st *Step) {
	bad := false
	switch st.Call {
	case CallMount, CallMoveMount, CallMountSetattr, CallUmount2, CallPivotRoot, CallUnshare, CallMkdirat, CallMknodat, CallSymlinkat, CallUnlinkat:
		bad = true
	case CallOpenTree:
		bad = st.Args[2].slot != nil || st.Args[2].n&unix.OPEN_TREE_CLONE != 0
	case CallFsopen:
		bad = v.p.Kind == KindHook || !st.isPath(0, "proc")
	case CallChroot:
		bad = v.p.Kind == KindHook
	}
	if bad {
		v.violation(i, st, "only a program that creates a container may change mounts, namespaces and directories")
	}
}

// rights is rules 6 and 7.
func (v *verifier) rights(i int, st *Step) {
	if v.p.Kind != KindCreate {
		v.entering(i, st)
	}
	if st.Call == CallPrctl && (st.Args[0].slot != nil || st.Args[0].n == unix.PR_SET_DUMPABLE && (st.Args[1].slot != nil || st.Args[1].n != 0)) {
		v.violation(i, st, "the process may not be made visible to others")
	}
	if v.falling {
		switch st.Call {
		case CallMount, CallMoveMount, CallOpenTree, CallFsopen, CallFsconfig, CallFsmount, CallMountSetattr,
			CallUmount2, CallPivotRoot, CallChroot, CallUnshare, CallSetns, CallClone:
			v.violation(i, st, "mounts and namespaces must be made before capabilities fall")
		}
	}
	if !v.filtered {
		return
	}
	switch st.Call {
	case CallExecve, CallExitGroup, CallClose, CallCloseRange, CallDup3, CallRead, CallBarrier, CallExpect, CallSet, CallPrctl,
		CallCapset, CallSetgroups, CallSetresgid, CallSetresuid, CallFchdir, CallGetcwd, CallOpenat2, CallStatx, CallFaccessat2, CallUmask:
	default:
		v.violation(i, st, "behind the system call filter only a few calls may stand")
	}
}
