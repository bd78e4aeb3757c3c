package program

import (
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// MaxSteps is how many steps a program may have: far more than a container with a
// thousand mounts needs, and few enough that a jump, which has 16 bits, reaches any
// step, and that checking costs milliseconds.
const MaxSteps = 1 << 15

// Verify proves that a program keeps the rules of the house, whatever compiled
// it. A bug in the compiler is then an error before anything runs, not a hole.
//
// It is total: rulesOf has, for each call and each of its arguments, what may stand
// there, and what no rule permits is refused. Numbers are permitted by white list, a
// slot where a slot makes sense and only with what it holds on every way there,
// memory by its form. The rules:
//
//  1. Form: at most six arguments and four harmless errnos; jumps lead forward and
//     stay inside; every way through ends in execve or exit_group. Barriers and
//     phases ascend. The table of descriptors ascends by how long each is kept.
//  2. Descriptors have kinds: a place in the container, a mount, the root, a file to
//     write to, a terminal, a namespace ... and a call takes those that it is for. A
//     slot is set on every way to its use and not closed before; what a check looks at
//     in memory is what the call just before it wrote there.
//  3. Paths of the host are used only before the root changes, and are those that
//     Program.Host names, for what it names them for: the root file system, what is
//     mounted, devices, namespaces, cgroup files; beside them /, /proc, and the
//     child's own oom_score_adj. Nothing of the host is made, and nothing written to
//     but the last two.
//  4. Paths of the container start from a descriptor of it, and are one component
//     that is not followed, or go through openat2 with RESOLVE_IN_ROOT or
//     RESOLVE_BENEATH. Only /proc of the child's own is opened to write, and the
//     terminal or /dev/null to read and write, before it is seen what it is.
//  5. Every new descriptor is close-on-exec. On every way to the ready barrier and to
//     execve all but the process's own are closed, and the interpreter's own are
//     close-on-exec. Standard files are a terminal's other end or what was seen to
//     be /dev/null.
//  6. Mounts change only where the mount namespace is the child's own or one that it
//     joined, and not before it is said how they spread. A device of the host is
//     mounted after it was seen to be that. The root file system is the directory
//     that Host.Root names and nothing else.
//  7. The process ends up in each namespace of Program.Namespaces, each made or joined
//     once, the user namespace before those that belong to it; ids are mapped, one
//     process goes on, and it has entered its cgroups. Host name, network and kernel
//     parameters change only in namespaces of its own.
//  8. On every way to execve the process has a root of its own, the old one was
//     unmounted where that does not spread to the host, and after its last change
//     of directory it has seen that it is inside. (Kind says what else an entering
//     program or a hook must show.)
//     At execve the process has user, groups, bounding set and capabilities of
//     Program.Rights, and where that says so gets no new privileges.
//  9. No mount and no namespace is made after capabilities have begun to fall, the
//     process is never made visible to others again, and behind the system call
//     filter stands only what the rules say may.
//  10. Where the start FIFO takes the socket's place it is read at once, since a report
//     that stood in it would be the word to start, and nobody executes before.
//
// Fixups are judged where their step has failed, those that are made while running
// (Links) likewise.
//
// What it does not know is the config beyond Host, Namespaces and Rights: that the
// right source is at the right place with the right options, that masks and limits
// are those that were asked for, is the compiler's word. It trusts the memory of the
// program (lengths are checked, what a file system makes of its options is not), and
// the kernel.
func (p *Program) Verify() error {
	v := &verifier{p: p}
	v.descriptors()
	v.form()
	if len(v.errs) == 0 {
		v.order()
		v.flow(-1)
	}
	return v.errs.OrNil()
}

type verifier struct {
	p    *Program
	errs fault.List

	keeps             keeps
	falling, filtered bool
}

// violation notes that a step breaks a rule.
func (v *verifier) violation(i int, st *Step, rule string) {
	if len(v.errs) >= maxViolations {
		return
	}
	v.errs = append(v.errs, &fault.Error{
		Msg:  "the program breaks a rule of the house: " + rule,
		Step: i + 1, JSONPath: st.JSONPath, Call: st.Text(),
		Hint: "this is a bug in Berth: nothing was done",
	})
}

// maxViolations bounds what is said about a program that is wrong.
const maxViolations = 20

// form is rule 1 as far as single steps go.
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
	if v.p.CloneFlags&^bornNS != 0 || v.p.CloneFlags != 0 && v.p.Kind != KindCreate {
		v.errs = append(v.errs, fault.New("the program breaks a rule of the house: a child is born into new namespaces, with nothing shared, where it creates a container"))
	}
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		v.formOf(i, st, n-i-1)
		for j := range st.Fixups {
			m := &st.Fixups[j]
			for k := range m.Steps {
				v.formOf(i, &m.Steps[k], len(m.Steps)-k)
				v.plain(i, &m.Steps[k])
			}
		}
	}
	if last := &v.p.Steps[n-1]; last.Call != CallExecve && last.Call != CallExitGroup {
		v.violation(n-1, last, "the last step must be execve or exit_group")
	}
}

// plain is what a fixup's steps may not do.
func (v *verifier) plain(i int, st *Step) {
	switch st.Call {
	case CallBarrier, CallExecve, CallExitGroup, CallClone:
	default:
		if len(st.Fixups) == 0 {
			return
		}
	}
	v.violation(i, st, "a fixup may not wait, end or be fixed")
}

// least is how many arguments a call has at least; what a shorter one would leave
// to chance is what the rules look at.
func least(c Call) int {
	switch c {
	case CallPrctl, CallKeyctl:
		return 2
	case CallBarrier:
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

// home notes a slot that does not lie in its memory, or not alone.
func (v *verifier) home(s *Slot, ok bool) {
	if !ok {
		v.errs = append(v.errs, fault.New("the program breaks a rule of the house: the slot "+s.Name+" does not lie in memory of its own"))
	}
}

// order is what the rules say of the sequence of steps.
func (v *verifier) order() {
	var last Barrier
	var phase Phase
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		if st.Phase < phase {
			v.violation(i, st, "phases must ascend")
		}
		phase = st.Phase
		fifo := st.Call == CallDup3 && st.Args[0].slot == nil && st.Args[0].n == uint64(v.p.Descriptor(FDStartFIFO))
		if (st.Quiet && st.Call == CallDup3 || fifo) && (i+1 == len(v.p.Steps) || v.p.Steps[i+1].Call != CallRead || !st.Quiet) {
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

// passed notes the steps behind which less is permitted.
func (v *verifier) passed(st *Step) {
	switch st.Call {
	case CallCapset:
		v.falling = true
	case CallPrctl:
		v.falling = v.falling || st.Args[0].n == unix.PR_CAPBSET_DROP
	case CallSeccomp:
		v.filtered = true
	}
}
