package program

import "golang.org/x/sys/unix"

// facts are what is certain at a point of a program, whichever way it took there.
type facts uint64

const (
	// factOutside: the root is still the one that the child was born with.
	factOutside facts = 1 << iota
	// factHidden: no other process looks into the child.
	factHidden
	// factMounts: the mount namespace is the child's own, or one that it joined.
	factMounts
	// factUnmade: no namespace was made or joined yet.
	factUnmade
	// factUser, factGroup, factGroups, factCaps: the process has become the user, its
	// group and groups, and has its capability sets.
	factUser
	factGroup
	factGroups
	factCaps
	// factNoNew: no execve gives new privileges.
	factNoNew
	// factSlaves: the mount namespace belongs to another user namespace than the host's,
	// so that its mounts are slaves from the beginning (mount_namespaces(7)).
	factSlaves
	// factUnrooted: no cgroup namespace was made yet, whose root is where its maker is.
	factUnrooted
	// factMapped: where it made a user namespace, its ids were mapped.
	factMapped
	// factBorn: where it cloned the process that stays, that has said so.
	factBorn
	// factOne: only one process goes on from here.
	factOne
	// factClosed: no descriptor is open but the process's own.
	factClosed
	// factMarked: what the interpreter keeps is close-on-exec.
	factMarked
	// factSpread: it is said how mounts spread.
	factSpread
	// factQuiet: they do not spread to the host.
	factQuiet
	// factAtRootfs: the working directory is where the root file system is.
	factAtRootfs
	// factAtRoot: the working directory is the container's root, by its descriptor.
	factAtRoot
	// factAtOld: the working directory is the old root.
	factAtOld
	// factMoved: the new root was moved over the old one.
	factMoved
	// factPivot: pivot_root was made, and the old root is still there.
	factPivot
	// factRoot: the root is the container's own.
	factRoot
	// factInside: the working directory was seen to be inside.
	factInside
	// factReady: the ready barrier is behind.
	factReady
	// factFIFO: the start FIFO has taken the socket's place.
	factFIFO
	// factWaited: the word to start was read from it.
	factWaited
	// factFiltered: the system call filter is in force.
	factFiltered

	// cwdFacts are about the working directory.
	cwdFacts = factAtRootfs | factAtRoot | factAtOld | factInside
)

// known is what is certain at a step: the facts, and for each slot what it may hold.
// Verify is on the way of every create, so it makes no maps, and keeps as few of
// these as there are jumps under way.
type known struct {
	facts facts
	// own are the namespaces that are not the runtime's, pending those that are to
	// hold for the next process that is cloned.
	own, pending uint32
	// dropped are the capabilities that have left the bounding set.
	dropped uint64
	// entered is how many cgroups were entered at least.
	entered int
	// fresh is the memory that the last call wrote to, 0 for none; by is that call,
	// about the slot that it was about, and saw is what checks of it have shown.
	fresh, about int
	by           Call
	saw          looked
	slots        []holds
	// used is behind the last slot that anything was put into.
	used int
}

// looked is what was seen of a file by statx: its type and its device number.
type looked struct {
	kind, device       uint64
	sawKind, sawDevice bool
}

// flow goes through a program. Jumps lead forward only, so one pass sees all ways.
type flow struct {
	v *verifier
	// in is what is certain at a step that a jump leads to; nil where none is known.
	in   []*known
	free []*known
	n    int // slots
	// now is what is known at the step that is being judged.
	now *known
}

// number gives slots, and the memory that checks look at, their numbers: first what
// the child is born with, then what steps set, then what nobody sets.
func (f *flow) number(steps []Step) {
	slotsOf(steps, func(s *Slot) {
		s.id = 0
		if s.Home != nil {
			s.Home.id, s.Home.memory = 0, 0
		}
	})
	f.n = 1 + len(f.v.p.Descriptors)
	memory := 0
	resultsOf(steps, func(s *Slot) {
		switch {
		case s.id != 0:
		case s.Home != nil && len(s.Home.Bytes) == 0:
			// A text that is written piece by piece: it is no slot to be read, and a
			// zero stays behind it.
			f.v.home(s, s.Off+cellSize < s.Home.len())
			if s.Home.memory == 0 {
				memory++
				s.Home.memory = memory
			}
		default:
			s.id = f.n
			f.n++
			if s.Home != nil {
				f.v.home(s, s.Home.id == 0 && s.Off+cellSize <= len(s.Home.Bytes))
				s.Home.id = s.id
			}
		}
	})
	slotsOf(steps, func(s *Slot) {
		switch {
		case s.id != 0:
		case s.Inherited >= 0:
			s.id = f.v.p.index(s.Inherited) + 1
		case s.Home == nil:
			s.id = f.n
			f.n++
		case s.Home.memory == 0:
			memory++
			s.Home.memory = memory
			fallthrough
		default:
			f.v.home(s, s.Home.id == 0 && s.Off+cellSize <= s.Home.len())
		}
	})
}

// resultsOf visits the slots that steps and their fixups set.
func resultsOf(steps []Step, visit func(*Slot)) {
	for i := range steps {
		if s := steps[i].Result; s != nil {
			visit(s)
		}
		for j := range steps[i].Fixups {
			resultsOf(steps[i].Fixups[j].Steps, visit)
		}
	}
}

// pieceOf says whether a slot is a piece of a text that is written by steps.
func pieceOf(s *Slot) bool { return s != nil && s.id == 0 && s.Home != nil && len(s.Home.Bytes) == 0 }

// holds is what a slot may hold.
func (k *known) holds(s *Slot) holds {
	switch {
	case s.id > 0 && s.id < len(k.slots):
		return k.slots[s.id]
	case s.Home != nil && s.Home.memory != 0 && s.Home.memory == k.fresh:
		return only(vNumber)
	}
	return unset
}

// copyOf returns a copy of what is known.
func (f *flow) copyOf(from *known) *known {
	var k *known
	if n := len(f.free); n > 0 {
		k, f.free = f.free[n-1], f.free[:n-1]
	} else {
		k = &known{slots: make([]holds, f.n)}
	}
	slots := k.slots
	copy(slots, from.slots)
	*k = *from
	k.slots = slots
	return k
}

// start is what is certain at the first step.
func (f *flow) start() *known {
	k := &known{slots: make([]holds, f.n), facts: factOutside | factUnrooted | factMapped | factBorn | factOne}
	for i := range k.slots {
		k.slots[i] = unset
	}
	for i := range f.v.p.Descriptors {
		k.slots[i+1] = only(f.v.p.Descriptors[i].Kind)
	}
	k.used = len(f.v.p.Descriptors) + 1
	k.own = uint32(f.v.p.CloneFlags)
	if k.own == 0 {
		k.facts |= factUnmade
	}
	if k.own&unix.CLONE_NEWNS != 0 {
		k.facts |= factMounts
	}
	return k
}

// and leaves what is certain on another way, too.
func (k *known) and(other *known) {
	k.facts &= other.facts
	k.own &= other.own
	k.pending &= other.pending
	k.dropped &= other.dropped
	k.entered = min(k.entered, other.entered)
	if k.fresh != other.fresh || k.about != other.about || k.by != other.by || k.saw != other.saw {
		k.fresh, k.about, k.saw = 0, 0, looked{}
	}
	k.used = max(k.used, other.used)
	slots := k.slots[:k.used]
	for i, h := range other.slots[:k.used] {
		slots[i] |= h
	}
}

// meet leaves at a step what is certain on this way, too.
func (f *flow) meet(ways []*known, at int, k *known) {
	if ways[at] == nil {
		ways[at] = f.copyOf(k)
		return
	}
	ways[at].and(k)
}

// flow walks through the program up to a step, and returns what is certain there;
// past the last step that is nothing.
func (v *verifier) flow(to int) (*flow, *known) {
	f := &flow{v: v, in: make([]*known, len(v.p.Steps)+1)}
	f.number(v.p.Steps)
	f.in[0] = f.start()
	for i := range v.p.Steps {
		if f.in[i] == nil {
			v.violation(i, &v.p.Steps[i], "no way leads to the step")
			f.in[i] = f.start()
		}
		if i == to {
			return f, f.in[i]
		}
		f.step(i, &v.p.Steps[i])
	}
	return f, nil
}

func (f *flow) step(i int, st *Step) {
	k := f.in[i]
	f.in[i] = nil
	r := f.judge(i, st, k)
	var failed *known
	if len(st.Harmless)+len(st.Fixups) > 0 {
		failed = f.copyOf(k)
		f.call(st, r, failed, false)
	}
	if len(st.Fixups) > 0 {
		f.fixups(i, st, k, failed)
		// What it is tried again with is no more than the fixups leave.
		r = f.judge(i, st, k)
		failed.and(k)
		f.call(st, r, failed, false)
	}
	for _, h := range st.Harmless {
		f.meet(f.in, min(i+1+h.Skip, len(f.v.p.Steps)), failed)
	}
	if failed != nil {
		f.free = append(f.free, failed)
	}
	f.v.passed(st)
	if st.Call == CallExitGroup || st.Call == CallExecve || never(st) {
		f.free = append(f.free, k)
		return
	}
	f.call(st, r, k, true)
	if f.in[i+1] == nil {
		f.in[i+1] = k
		return
	}
	f.in[i+1].and(k)
	f.free = append(f.free, k)
}

// never says whether a step can not go on to the next one: a jump, which is a
// check of numbers that can not hold.
func never(st *Step) bool {
	if st.Call != CallExpect {
		return false
	}
	for _, a := range st.Args {
		if a.slot != nil || a.data != nil {
			return false
		}
	}
	return (st.Args[0].n&st.Args[1].n == st.Args[2].n) == (st.Args[4].n != 0)
}

// fixups walks through the fixups of a step that has failed. k becomes what is
// certain when it is tried again. Which comes first is up to the kernel's errnos, so
// with several each is seen behind each.
func (f *flow) fixups(i int, st *Step, k, failed *known) {
	again := false
	for round := range st.Fixups {
		if round > 0 && !again {
			return
		}
		for j := range st.Fixups {
			m := &st.Fixups[j]
			end := f.fixup(i, m, failed, nil)
			if end == nil {
				continue
			}
			if m.Then == Next {
				if st.Result != nil && end.holds(st.Result)&unset != 0 {
					f.v.violation(i, st, "a fixup that goes on must set the step's result")
				}
				// The step counts as done: what follows knows no more than the fixup does.
				f.meet(f.in, i+1, end)
			} else {
				k.and(end)
				failed.and(end)
				again = true
			}
			f.free = append(f.free, end)
		}
	}
}

// fixup walks through one. It returns what is certain at its end, and leaves in
// anywhere, if that is asked for, what is certain wherever it may have ended.
func (f *flow) fixup(i int, m *Fixup, from, anywhere *known) (end *known) {
	if l := m.Links; l != nil {
		if from.holds(l.Root)&^aDir != 0 || l.Dir.Home != nil || l.Dir.Inherited >= 0 || l.Dir.id == 0 {
			f.v.violation(i, &f.v.p.Steps[i], "links are followed below a directory of the container, by a slot of their own")
		}
	}
	return f.walk(i, m.Steps, from, anywhere)
}

// walk goes through steps that stand for themselves.
func (f *flow) walk(i int, steps []Step, from, anywhere *known) (end *known) {
	ways := make([]*known, len(steps)+1)
	ways[0] = f.copyOf(from)
	for j := range steps {
		st := &steps[j]
		k := ways[j]
		if k == nil {
			f.v.violation(i, st, "no way leads to the step of the fixup")
			return nil
		}
		r := f.judge(i, st, k)
		if len(st.Harmless) > 0 || anywhere != nil {
			failed := f.copyOf(k)
			f.call(st, r, failed, false)
			for _, h := range st.Harmless {
				f.meet(ways, min(j+1+h.Skip, len(steps)), failed)
			}
			if anywhere != nil {
				anywhere.and(failed)
			}
			f.free = append(f.free, failed)
		}
		if never(st) {
			f.free = append(f.free, k)
			continue
		}
		f.call(st, r, k, true)
		if anywhere != nil {
			anywhere.and(k)
		}
		if ways[j+1] == nil {
			ways[j+1] = k
			continue
		}
		ways[j+1].and(k)
		f.free = append(f.free, k)
	}
	return ways[len(steps)]
}

// verifyFixup is Verify for steps that were made for a fixup just now: with all
// that is certain where they are run, wherever the fixup's own steps have ended.
func (p *Program) verifyFixup(step int, m *Fixup, steps []Step) error {
	v := &verifier{p: p}
	v.descriptors()
	for i := range steps {
		v.formOf(step, &steps[i], len(steps)-i)
		v.plain(step, &steps[i])
	}
	if len(v.errs) > 0 {
		return v.errs.OrNil()
	}
	f, k := v.flow(step)
	st := &p.Steps[step]
	f.call(st, f.judge(step, st, k), k, false)
	anywhere := f.copyOf(k)
	f.fixup(step, m, k, anywhere)
	// Twice: what one path's steps leave is what the next path's begin with.
	for range 2 {
		f.walk(step, steps, anywhere, anywhere)
	}
	return v.errs.OrNil()
}
