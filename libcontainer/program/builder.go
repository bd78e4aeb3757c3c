package program

import "golang.org/x/sys/unix"

// Builder collects the steps of a program. Its user sets Phase, and JSONPath where a
// property of config.json asks for what follows.
type Builder struct {
	Phase    Phase
	JSONPath string

	steps  []Step
	jumps  []jump
	labels []int
}

type jump struct{ step, harmless, label int }

// Label is a place further down in the program, bound later by Here.
type Label int

// Label returns a new label.
func (b *Builder) Label() Label {
	b.labels = append(b.labels, -1)
	return Label(len(b.labels) - 1)
}

// Here binds the label to the step that is added next.
func (b *Builder) Here(l Label) { b.labels[l] = len(b.steps) }

// StepRef lets the caller say more about the step just added.
type StepRef struct {
	b *Builder
	i int
}

// Do adds a step. The result's slot, if one is wanted, is what Into makes.
func (b *Builder) Do(c Call, why string, args ...Arg) StepRef {
	b.steps = append(b.steps, Step{Call: c, Args: args, Why: why, Phase: b.Phase, JSONPath: b.JSONPath})
	return StepRef{b, len(b.steps) - 1}
}

// Slot returns a new slot.
func (b *Builder) Slot(name string) *Slot { return &Slot{Name: name, Inherited: -1} }

// Into stores the result in s.
func (r StepRef) Into(s *Slot) StepRef {
	r.b.steps[r.i].Result = s
	return r
}

// FD makes a slot for the step's result and returns it.
func (r StepRef) FD(name string) *Slot {
	s := &Slot{Name: name, Inherited: -1}
	r.b.steps[r.i].Result = s
	return s
}

// Ignore lists errnos after which the program simply goes on.
func (r StepRef) Ignore(errnos ...unix.Errno) StepRef {
	st := &r.b.steps[r.i]
	for _, no := range errnos {
		st.Harmless = append(st.Harmless, Harmless{Errno: no})
	}
	return r
}

// On makes the program go on at the label after that errno.
func (r StepRef) On(no unix.Errno, l Label) StepRef {
	st := &r.b.steps[r.i]
	st.Harmless = append(st.Harmless, Harmless{Errno: no})
	r.b.jumps = append(r.b.jumps, jump{r.i, len(st.Harmless) - 1, int(l)})
	return r
}

// Fixup adds a repair.
func (r StepRef) Fixup(m Fixup) StepRef {
	st := &r.b.steps[r.i]
	st.Fixups = append(st.Fixups, m)
	return r
}

// Say gives the error of that errno (0: of any) other words, or a hint.
func (r StepRef) Say(no unix.Errno, msg, hint string) StepRef {
	st := &r.b.steps[r.i]
	st.Says = append(st.Says, Saying{no, msg, hint})
	return r
}

// Quiet keeps the step from being reported in a debug run.
func (r StepRef) Quiet() StepRef {
	r.b.steps[r.i].Quiet = true
	return r
}

// At names another JSON path than the builder's.
func (r StepRef) At(path string) StepRef {
	r.b.steps[r.i].JSONPath = path
	return r
}

// Barrier adds a barrier.
func (b *Builder) Barrier(n Barrier, why string) StepRef {
	return b.Do(CallBarrier, why, Int(int(n)))
}

// BarrierValue adds a barrier that tells Berth a value: the number of a descriptor
// that Berth fetches with pidfd_getfd(2), where a message that carries it may be
// refused by the child's own system call filter.
func (b *Builder) BarrierValue(n Barrier, value Arg, why string) StepRef {
	return b.Do(CallBarrier, why, Int(int(n)), value)
}

// Expect adds a check: (value & mask) must equal want, else the step fails with
// the errno, which may be harmless like any other.
func (b *Builder) Expect(value Arg, mask, want uint64, no unix.Errno, why string) StepRef {
	return b.Do(CallExpect, why, value, Uint(mask), Uint(want), Int(int(no)), Int(0))
}

// ExpectNot adds the opposite check.
func (b *Builder) ExpectNot(value Arg, mask, want uint64, no unix.Errno, why string) StepRef {
	return b.Do(CallExpect, why, value, Uint(mask), Uint(want), Int(int(no)), Int(1))
}

// Jump goes on at the label, always.
func (b *Builder) Jump(l Label, why string) {
	b.Expect(Int(0), 0, 1, unix.EAGAIN, why).On(unix.EAGAIN, l)
}

// Set stores a value in a slot.
func (b *Builder) Set(s *Slot, value Arg, why string) StepRef {
	return b.Do(CallSet, why, value).Into(s)
}

// Len is the number of steps so far.
func (b *Builder) Len() int { return len(b.steps) }

// Steps resolves the labels and returns the list. A label that was never bound
// is a bug of the caller and panics.
func (b *Builder) Steps() []Step {
	for _, j := range b.jumps {
		to := b.labels[j.label]
		if to <= j.step {
			panic("program: label not bound below the step that uses it")
		}
		b.steps[j.step].Harmless[j.harmless].Skip = to - j.step - 1
	}
	b.jumps = nil
	return b.steps
}
