package program

import "golang.org/x/sys/unix"

// facts are what is certain at a point of a program, whichever way it took there.
type facts uint32

const (
	// factClosed: no descriptor is open but the process's own.
	factClosed facts = 1 << iota
	// factMarked: what the interpreter keeps is close-on-exec.
	factMarked
	// factSpread: it is said how mounts spread.
	factSpread
	// factQuiet: they do not spread to the host.
	factQuiet
	// factAtFD: the working directory is a descriptor's.
	factAtFD
	// factPivot: pivot_root was made, and the old root is still there.
	factPivot
	// factRoot: the root is the container's own.
	factRoot
	// factAsked: getcwd said where the process is.
	factAsked
	// factInside: and that was seen to be inside.
	factInside
	// factReady: the ready barrier is behind.
	factReady
)

// known is what is certain: the facts, and a bit for each slot that is set and
// each piece of memory that is fresh. Verify is on the way of every create, so
// it makes no maps, and keeps as few sets as there are jumps under way.
type known struct {
	facts facts
	bits  []uint64
}

func (k *known) has(id int) bool { return k.bits[id/64]&(1<<(id%64)) != 0 }
func (k *known) add(id int)      { k.bits[id/64] |= 1 << (id % 64) }

// flow is the rules that are about every way. Jumps lead forward only, so one
// pass sees all ways.
type flow struct {
	v     *verifier
	words int
	// memory are the bits that stand for memory: one call's only.
	memory []uint64
	// in is what is certain at a step that a jump leads to; nil where none is known.
	in   []*known
	free []*known
	// asked is the memory that the last getcwd wrote to.
	asked *Data
}

// giveBits numbers the slots, and the memory that checks look at, from 1.
func (f *flow) giveBits(steps []Step) {
	slotsOf(steps, func(s *Slot) {
		s.id = 0
		if s.Home != nil {
			s.Home.id = 0
		}
	})
	next := 1
	var homes []int
	slotsOf(steps, func(s *Slot) {
		if s.id == 0 {
			s.id = next
			next++
		}
		if s.Home != nil && s.Home.id == 0 {
			s.Home.id = next
			homes = append(homes, next)
			next++
		}
	})
	f.words = next/64 + 1
	all := known{bits: make([]uint64, f.words)}
	for _, id := range homes {
		all.add(id)
	}
	f.memory = all.bits
}

func (f *flow) get(from *known) *known {
	var k *known
	if n := len(f.free); n > 0 {
		k, f.free = f.free[n-1], f.free[:n-1]
	} else {
		k = &known{bits: make([]uint64, f.words)}
	}
	k.facts = from.facts
	copy(k.bits, from.bits)
	return k
}

// meet leaves at a step what is certain on this way, too.
func (f *flow) meet(at int, k *known) {
	to := f.in[at]
	if to == nil {
		f.in[at] = f.get(k)
		return
	}
	to.facts &= k.facts
	for i, w := range k.bits {
		to.bits[i] &= w
	}
}

// flow walks through the program.
func (v *verifier) flow() {
	n := len(v.p.Steps)
	f := &flow{v: v, in: make([]*known, n+1)}
	f.giveBits(v.p.Steps)
	start := known{bits: make([]uint64, f.words)}
	f.meet(0, &start)
	for i := range v.p.Steps {
		st := &v.p.Steps[i]
		if f.in[i] == nil {
			v.violation(i, st, "no way leads to the step")
			f.meet(i, &start)
		}
		f.step(i, st)
	}
}

func (f *flow) step(i int, st *Step) {
	k := f.in[i]
	f.in[i] = nil
	f.uses(i, st, k)
	f.needs(i, st, k)
	failed := f.get(k)
	f.call(st, failed, false)
	for _, h := range st.Harmless {
		f.meet(min(i+1+h.Skip, len(f.v.p.Steps)), failed)
	}
	for j := range st.Fixups {
		f.fixup(i, st, &st.Fixups[j], failed, k)
	}
	if st.Call != CallExitGroup && st.Call != CallExecve && !never(st) {
		f.call(st, k, true)
		f.meet(i+1, k)
	}
	f.free = append(f.free, failed, k)
}

// never says whether a step can not go on to the next one: a jump, which is a
// check that can not hold.
func never(st *Step) bool {
	return st.Call == CallExpect && st.Args[0].slot == nil && st.Args[0].data == nil && st.Args[0].n&st.Args[1].n != st.Args[2].n && st.Args[4].n == 0
}

func (f *flow) uses(i int, st *Step, k *known) {
	for _, a := range st.Args {
		s := a.slot
		if s == nil || a.IsAddr() || s.Inherited >= 0 || k.has(s.id) || s.Home != nil && k.has(s.Home.id) {
			continue
		}
		f.v.violation(i, st, "the slot "+s.Name+" may not be set here")
	}
}

// call changes what is known as the call does, when it succeeds or fails.
func (f *flow) call(st *Step, k *known, ok bool) {
	if st.Call != CallExpect && st.Call != CallSet {
		// What earlier calls wrote is no longer what the next check is about.
		for i, w := range f.memory {
			k.bits[i] &^= w
		}
	}
	if ok {
		if st.Result != nil {
			k.add(st.Result.id)
		}
		for _, a := range st.Args {
			if a.data != nil && a.data.id != 0 && f.isMemory(a.data) {
				k.add(a.data.id)
			}
			if a.IsAddr() {
				k.add(a.slot.id)
			}
		}
	}
	f.learn(st, k, ok)
}

// isMemory guards against the number of another program's verification.
func (f *flow) isMemory(d *Data) bool {
	return d.id/64 < f.words && f.memory[d.id/64]&(1<<(d.id%64)) != 0
}

// opens says whether a call makes a descriptor.
func (st *Step) opens() bool {
	switch st.Call {
	case CallOpenat, CallOpenat2, CallOpenTree, CallFsopen, CallFsmount, CallSocket:
		return true
	case CallIoctl:
		return st.Args[1].n == unix.TIOCGPTPEER
	}
	return false
}

// learn is what a call does to the facts. A call that fails takes facts away as
// one that succeeds does, since half of it may have happened, and gives none.
func (f *flow) learn(st *Step, k *known, ok bool) {
	set := func(on bool, fact facts) {
		if on && ok {
			k.facts |= fact
		}
	}
	if st.opens() {
		k.facts &^= factClosed
	}
	switch st.Call {
	case CallCloseRange:
		f.v.keeps.learnClose(st, set)
	case CallMount:
		f.learnMount(st, k, set)
	case CallFchdir:
		k.facts &^= factAsked | factInside | factAtFD
		set(true, factAtFD)
	case CallChdir:
		k.facts &^= factAsked | factInside | factAtFD
	case CallPivotRoot:
		k.facts &^= factAsked | factInside | factRoot
		set(true, factPivot)
	case CallUmount2:
		set(k.facts&factPivot != 0 && st.isPath(0, ".") && st.Args[1].n == unix.MNT_DETACH, factRoot)
	case CallChroot:
		k.facts &^= factAsked | factInside | factRoot
		set(true, factRoot)
	case CallSetns:
		if st.Args[1].n&unix.CLONE_NEWNS != 0 {
			// The kernel changes root and working directory to the namespace's.
			k.facts &^= factAsked | factInside | factAtFD | factSpread | factQuiet
			set(true, factRoot)
		}
	case CallGetcwd:
		f.asked = st.Args[0].data
		set(true, factAsked)
	case CallExpect:
		s := st.Args[0].slot
		inside := s != nil && s.Home != nil && s.Home == f.asked && s.Off == 0 && st.Args[1].n == 0xff && st.Args[2].n == '/' && st.Args[4].n == 0
		set(inside && k.facts&factAsked != 0 && k.has(s.Home.id), factInside)
	case CallBarrier:
		set(Barrier(st.Args[0].n) == BarrierReady, factReady)
	}
}

func (f *flow) learnMount(st *Step, k *known, set func(bool, facts)) {
	if st.Args[0].data != nil || !st.isPath(1, "/") && !st.isPath(1, ".") {
		return
	}
	flags := st.Args[3].n
	if flags&unix.MS_SHARED != 0 || flags&unix.MS_REC == 0 {
		k.facts &^= factQuiet
	} else {
		set(flags&(unix.MS_SLAVE|unix.MS_PRIVATE) != 0, factQuiet)
	}
	set(flags&(unix.MS_SLAVE|unix.MS_PRIVATE|unix.MS_SHARED|unix.MS_UNBINDABLE) != 0, factSpread)
}

func (st *Step) isPath(arg int, path string) bool {
	d := st.Args[arg].data
	return d != nil && d.Value() == path
}

// needs is the rules that a call may not be made before something is certain.
func (f *flow) needs(i int, st *Step, k *known) {
	need := func(fact facts, rule string) {
		if k.facts&fact != fact {
			f.v.violation(i, st, rule)
		}
	}
	switch st.Call {
	case CallBarrier:
		if Barrier(st.Args[0].n) == BarrierReady {
			need(factClosed, "descriptors of the host must be closed before the container is ready")
		}
	case CallMoveMount:
		need(factSpread, "nothing may be mounted before it is said how mounts spread")
	case CallPivotRoot:
		need(factAtFD|factSpread, "the new root must be entered by its descriptor")
		if !st.isPath(0, ".") || !st.isPath(1, ".") {
			f.v.violation(i, st, "the new root must be the working directory")
		}
	case CallChroot:
		need(factAtFD, "the new root must be entered by its descriptor")
		if !st.isPath(0, ".") {
			f.v.violation(i, st, "the new root must be the working directory")
		}
	case CallUmount2:
		need(factQuiet|factPivot, "the old root may not be unmounted where that spreads to the host")
	case CallExecve:
		need(factClosed, "descriptors must be closed before execve")
		need(factMarked, "the interpreter's descriptors must be close-on-exec")
		if f.v.p.Kind == KindHook {
			break
		}
		need(factRoot, "the process must have a root of its own, and the old one must be gone")
		need(factInside, "the process must have seen that its working directory is inside")
		if f.v.p.Has(BarrierReady) {
			need(factReady, "no way may lead past the ready barrier")
		}
	}
}

// fixup walks through a fixup, which begins where its step has failed.
func (f *flow) fixup(i int, st *Step, m *Fixup, failed, k *known) {
	n := len(m.Steps)
	ways := make([]*known, n+1)
	meet := func(at int, from *known) {
		outer := f.in
		f.in = ways
		f.meet(at, from)
		f.in = outer
	}
	meet(0, failed)
	for j := range m.Steps {
		ms := &m.Steps[j]
		if ways[j] == nil {
			f.v.violation(i, ms, "no way leads to the step of the fixup")
			return
		}
		f.uses(i, ms, ways[j])
		f.needs(i, ms, ways[j])
		bad := f.get(ways[j])
		f.call(ms, bad, false)
		for _, h := range ms.Harmless {
			meet(min(j+1+h.Skip, n), bad)
		}
		if !never(ms) {
			good := f.get(ways[j])
			f.call(ms, good, true)
			meet(j+1, good)
			f.free = append(f.free, good)
		}
		f.free = append(f.free, bad)
	}
	end := ways[n]
	if end == nil {
		return
	}
	if m.Then == Next && st.Result != nil && !end.has(st.Result.id) {
		f.v.violation(i, st, "a fixup that goes on must set the step's result")
	}
	if m.Then == Next {
		// The step counts as done: what follows knows no more than the fixup does.
		f.meet(i+1, end)
	}
	k.facts &= end.facts | ^(factClosed | factQuiet | factAtFD | factRoot)
	for j := range ways {
		if ways[j] != nil {
			f.free = append(f.free, ways[j])
		}
	}
}
