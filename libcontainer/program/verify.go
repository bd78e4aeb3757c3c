package program

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Verify proves that a program keeps the rules of the house, whatever compiled
// it. A bug in the compiler is then an error before anything runs, not a hole.
// The rules:
//
//  1. Form: at most six arguments and four harmless errnos; jumps lead forward and
//     stay inside; every way through ends in execve or exit_group.
//  2. A slot, or memory that a check looks at, is set on every way to its use.
//  3. A path relative to a descriptor is empty, or one plain component that is
//     not followed, or goes through openat2 with RESOLVE_IN_ROOT or
//     RESOLVE_BENEATH. After pivot_root there is no other path but / and . and
//     the executable.
//  4. What makes or changes a file or a mount never takes a path of the host.
//  5. Every new descriptor is close-on-exec, and all but the process's own are
//     closed before the container is ready.
//  6. No mount and no namespace is made after capabilities have begun to fall.
//  7. Behind the system call filter stands only what the white list has.
//  8. Barriers and phases ascend.
func (p *Program) Verify() error {
	v := &verifier{p: p}
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

	pivoted, falling, filtered, closed bool
}

// breach notes that a step breaks a rule.
func (v *verifier) breach(i int, st *Step, rule string) {
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
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		v.formOf(i, st, n-i-1)
		for j := range st.Mends {
			m := &st.Mends[j]
			for k := range m.Steps {
				v.formOf(i, &m.Steps[k], len(m.Steps)-k)
				if c := m.Steps[k].Call; c == CallBarrier || c == CallExecve || c == CallExitGroup || len(m.Steps[k].Mends) > 0 {
					v.breach(i, &m.Steps[k], "a mend may not wait, end or be mended")
				}
			}
		}
	}
	if last := &v.p.Steps[n-1]; last.Call != CallExecve && last.Call != CallExitGroup {
		v.breach(n-1, last, "the last step must be execve or exit_group")
	}
}

// formOf checks one step; below is how many steps a jump may skip at most.
func (v *verifier) formOf(i int, st *Step, below int) {
	switch {
	case st.Call >= numCalls:
		v.errs = append(v.errs, &fault.Error{Msg: "the program makes an unknown call", Step: i + 1})
		return
	case len(st.Args) > 6:
		v.breach(i, st, "a call has at most six arguments")
	case len(st.Harmless) > maxHarmless:
		v.breach(i, st, "a step has at most four harmless errnos")
	case st.Call == CallExpect && len(st.Args) != 5, st.Call == CallBarrier && len(st.Args) != 1:
		v.breach(i, st, "arguments are missing")
	}
	for _, h := range st.Harmless {
		if h.Errno == 0 || h.Skip < 0 || h.Skip >= below && h.Skip > 0 {
			v.breach(i, st, "a jump leads out of the program")
		}
	}
}

// known is the set of slots and memory that are certainly set at a point of the
// program: a bit for each. Verify is on the way of every create, so it makes no
// maps.
type known []uint64

func (k known) has(id int) bool { return k[id/64]&(1<<(id%64)) != 0 }
func (k known) add(id int)      { k[id/64] |= 1 << (id % 64) }

// meet leaves in k, which may be nil for "no way yet", what o has too.
func (k known) meet(o known) known {
	if k == nil {
		return append(known(nil), o...)
	}
	for i := range k {
		k[i] &= o[i]
	}
	return k
}

// with is k and what a step sets when it succeeds.
func (k known) with(st *Step) known {
	n := append(known(nil), k...)
	if st.Result != nil {
		n.add(st.Result.id)
	}
	for _, a := range st.Args {
		if a.data != nil {
			n.add(a.data.id)
		}
		if a.IsAddr() {
			n.add(a.slot.id)
		}
	}
	return n
}

// giveBits gives every slot and every Data of the steps a bit.
func giveBits(steps []Step, next int) int {
	slot := func(s *Slot) {
		if s == nil {
			return
		}
		s.id = next
		next++
		if s.Home != nil {
			s.Home.id = next
			next++
		}
	}
	for i := range steps {
		slot(steps[i].Result)
		for _, a := range steps[i].Args {
			slot(a.slot)
			if a.data != nil {
				a.data.id = next
				next++
			}
		}
		for j := range steps[i].Mends {
			next = giveBits(steps[i].Mends[j].Steps, next)
		}
	}
	return next
}

// flow is rule 2. Jumps lead forward only, so one pass sees all ways.
func (v *verifier) flow() {
	n := len(v.p.Steps)
	in := make([]known, n+1)
	words := giveBits(v.p.Steps, 0)/64 + 1
	in[0] = make(known, words)
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		if in[i] == nil {
			v.breach(i, st, "no way leads to the step")
			in[i] = make(known, words)
		}
		v.uses(i, st, in[i])
		out := in[i].with(st)
		for _, h := range st.Harmless {
			to := min(i+1+h.Skip, n)
			// The kernel may have written nothing, and there is no result.
			in[to] = in[to].meet(in[i])
		}
		for j := range st.Mends {
			v.mendFlow(i, st, &st.Mends[j], in[i])
		}
		if st.Call == CallExitGroup || st.Call == CallExecve {
			continue
		}
		if !never(st) {
			in[i+1] = in[i+1].meet(out)
		}
	}
}

// never says whether a step can not go on to the next one: a jump, which is a
// check that can not hold.
func never(st *Step) bool {
	return st.Call == CallExpect && st.Args[0].slot == nil && st.Args[0].n&st.Args[1].n != st.Args[2].n && st.Args[4].n == 0
}

func (v *verifier) uses(i int, st *Step, k known) {
	for _, a := range st.Args {
		s := a.slot
		if s == nil || a.IsAddr() || s.Inherited >= 0 || k.has(s.id) {
			continue
		}
		if s.Home != nil && k.has(s.Home.id) {
			continue
		}
		v.breach(i, st, "the slot "+s.Name+" may not be set here")
	}
}

func (v *verifier) mendFlow(i int, st *Step, m *Mend, k known) {
	ways := make([]known, len(m.Steps)+1)
	ways[0] = append(known(nil), k...)
	for j := range m.Steps {
		ms := &m.Steps[j]
		if ways[j] == nil {
			v.breach(i, ms, "no way leads to the step of the mend")
			return
		}
		v.uses(i, ms, ways[j])
		for _, h := range ms.Harmless {
			to := min(j+1+h.Skip, len(m.Steps))
			ways[to] = ways[to].meet(ways[j])
		}
		if !never(ms) {
			ways[j+1] = ways[j+1].meet(ways[j].with(ms))
		}
	}
	if m.Then == Next && st.Result != nil && !ways[len(m.Steps)].has(st.Result.id) {
		v.breach(i, st, "a mend that goes on must set the step's result")
	}
}

// order is rules 6, 7 and 8 as far as they are about the sequence.
func (v *verifier) order() {
	var last Barrier
	var phase Phase
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		if st.Phase < phase {
			v.breach(i, st, "phases must ascend")
		}
		phase = st.Phase
		if st.Call != CallBarrier {
			continue
		}
		b := Barrier(st.Args[0].n)
		if b <= last || b > BarrierReady {
			v.breach(i, st, "barriers must ascend")
		}
		last = b
	}
}

func (v *verifier) step(i int, st *Step) {
	v.paths(i, st)
	v.cloexec(i, st)
	v.rights(i, st)
	for j := range st.Mends {
		for k := range st.Mends[j].Steps {
			ms := &st.Mends[j].Steps[k]
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
	case CallCloseRange:
		v.closed = st.Args[0].n <= uint64(max(v.p.Socket, v.p.Gate)+1) && st.Args[1].n == 1<<32-1 && st.Args[2].n == 0
	case CallBarrier:
		if Barrier(st.Args[0].n) == BarrierReady && !v.closed {
			v.breach(i, st, "descriptors of the host must be closed before the container is ready")
		}
	case CallOpenat, CallOpenat2, CallOpenTree, CallFsopen, CallFsmount, CallSocket:
		v.closed = false
	}
}

// changes says whether a call makes or changes what a path names.
func (c Call) changes() bool {
	switch c {
	case CallMkdirat, CallMknodat, CallSymlinkat, CallUnlinkat, CallFchownat, CallFchmodat, CallMount, CallMoveMount, CallMountSetattr:
		return true
	}
	return false
}

// paths is rules 3 and 4.
func (v *verifier) paths(i int, st *Step) {
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
			v.breach(i, st, "a path below a descriptor must be resolved by openat2 in its root, or be one component that is not followed")
		}
	}
}

// cwdPath checks a path that starts at the root or the working directory.
func (v *verifier) cwdPath(i int, st *Step, path string) {
	here := path == "." || path == "/"
	switch {
	case here || st.Call == CallExecve:
	case v.pivoted:
		v.breach(i, st, "after pivot_root a path of the container must be resolved by openat2 in its root")
	case st.Call == CallMount && st.Args[0].data == nil && st.Args[2].data == nil:
		// The propagation of a mount of the host, in the child's own mount namespace.
	case st.Call.changes():
		v.breach(i, st, "a path of the host may not be changed")
	case strings.Contains(path, "\x00"):
		v.breach(i, st, "a path may not hold a NUL")
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
		ok = st.Args[1].n < 3 || has(2, unix.O_CLOEXEC)
	}
	if !ok {
		v.breach(i, st, "every new descriptor must be close-on-exec")
	}
}

// rights is rules 6 and 7.
func (v *verifier) rights(i int, st *Step) {
	if v.falling {
		switch st.Call {
		case CallMount, CallMoveMount, CallOpenTree, CallFsopen, CallFsconfig, CallFsmount, CallMountSetattr,
			CallUmount2, CallPivotRoot, CallChroot, CallUnshare, CallSetns, CallClone:
			v.breach(i, st, "mounts and namespaces must be made before capabilities fall")
		}
	}
	if !v.filtered {
		return
	}
	switch st.Call {
	case CallExecve, CallExitGroup, CallClose, CallCloseRange, CallDup3, CallRead, CallBarrier, CallExpect, CallSet, CallPrctl,
		CallCapset, CallSetgroups, CallSetresgid, CallSetresuid, CallFchdir, CallGetcwd, CallOpenat2, CallStatx, CallFaccessat2, CallUmask:
	default:
		v.breach(i, st, "behind the system call filter only a few calls may stand")
	}
}

// Summary counts what a program is made of, for people.
func (p *Program) Summary() string {
	mends, barriers := 0, 0
	for i := range p.Steps {
		mends += len(p.Steps[i].Mends)
		if p.Steps[i].Call == CallBarrier {
			barriers++
		}
	}
	return strconv.Itoa(len(p.Steps)) + " steps, " + strconv.Itoa(barriers) + " barriers, " + strconv.Itoa(mends) + " mends"
}
