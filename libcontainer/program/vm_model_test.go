package program

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// model is the interpreter once more, in Go: what a child that runs the steps
// must say, message by message.
type model struct {
	steps []Step
	trace bool
	cells map[*Slot]uint64
	umask uint64
	at    int // the step that runs next or, while it waits, the waiting one
}

// value is what an argument passes to the call.
func (m *model) value(a Arg) uint64 {
	if a.slot != nil {
		return m.cells[a.slot]
	}
	return a.n
}

// call answers for the kernel, and for the interpreter's own calls. The kernel's
// are those whose answer follows from their arguments alone.
func (m *model) call(st *Step) int64 {
	if st.Fail != 0 {
		return -int64(st.Fail)
	}
	var v [6]uint64
	for i, a := range st.Args {
		v[i] = m.value(a)
	}
	switch st.Call {
	case CallSet:
		return int64(v[0])
	case CallExpect:
		if (v[0]&v[1] == v[2]) != (v[4] != 0) {
			return 0
		}
		return -int64(v[3])
	case CallUmask:
		old := m.umask
		m.umask = v[0] & 0o777
		return int64(old)
	case CallDup3: // of a descriptor to itself
		return -int64(unix.EINVAL)
	case CallGetcwd: // into no room
		return -int64(unix.ERANGE)
	case CallChdir: // a path at a bad address
		return -int64(unix.EFAULT)
	case CallClose: // of no descriptor
		return -int64(unix.EBADF)
	}
	panic("the model lacks " + st.Call.String())
}

func (m *model) store(st *Step, v int64) {
	if st.Result != nil {
		m.cells[st.Result] = uint64(v)
	}
}

// next is what the child says next; ok is false when it ends.
func (m *model) next() (msg message, ok bool) {
	for m.at < len(m.steps) {
		st := &m.steps[m.at]
		if st.Call == CallBarrier && st.Fail == 0 {
			return message{kind: msgBarrier, step: m.at, value: m.value(st.Args[0]), result: int64(m.value(st.Args[1]))}, true
		}
		res := m.call(st)
		if m.trace && !st.Quiet {
			return message{kind: msgTrace, step: m.at, result: res}, true
		}
		if msg, waits := m.judge(res); waits {
			return msg, true
		}
	}
	return message{}, false
}

// judge takes a result: the step is done, or the child waits.
func (m *model) judge(res int64) (message, bool) {
	st := &m.steps[m.at]
	no := (&message{result: res}).errno()
	if no == 0 {
		m.store(st, res)
		m.at++
		return message{}, false
	}
	skip, ok := st.harmless(no)
	if !ok {
		return message{kind: msgTrap, step: m.at, result: res}, true
	}
	m.at += 1 + skip
	return message{}, false
}

// resume is the command; it says whether the child lives on.
func (m *model) resume(step int, v int64) {
	m.store(&m.steps[m.at], v)
	m.at = step
}

// fixup is the command, and what the child answers.
func (m *model) fixup(st *Step) message {
	res := m.call(st)
	if (&message{result: res}).errno() == 0 {
		m.store(st, res)
	}
	return message{kind: msgFixed, step: m.at, result: res}
}

// maker makes random programs.
type maker struct {
	*rand.Rand
	slots []*Slot
}

// interesting numbers: around zero, around the errno range, around 2^31 and 2^63.
var interesting = []uint64{
	0, 1, 2, 63, 64, 0o777, 4094, 4095, 4096, 0xf000, 0xf001, 0xf002, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63,
	^uint64(0), ^uint64(1), ^uint64(4093), ^uint64(4094), ^uint64(4095), ^uint64(4096),
}

func (r *maker) number() uint64 {
	if r.IntN(4) == 0 {
		return r.Uint64()
	}
	return interesting[r.IntN(len(interesting))]
}

func (r *maker) arg() Arg {
	if r.IntN(2) == 0 {
		return From(r.slots[r.IntN(len(r.slots))])
	}
	return Uint(r.number())
}

func (r *maker) errno() unix.Errno {
	if r.IntN(8) == 0 {
		return unix.Errno(1 + r.IntN(4095))
	}
	return []unix.Errno{unix.EBADF, unix.EINVAL, unix.ERANGE, unix.EFAULT, unix.EDOM, 1, 2, 4095}[r.IntN(8)]
}

// step is a random step, of which at most left others follow.
func (r *maker) step(left int, fixup bool) Step {
	st := r.call()
	if !fixup && r.IntN(10) == 0 {
		st = Step{Call: CallBarrier, Args: []Arg{r.arg(), r.arg()}}
	}
	if r.IntN(3) == 0 {
		st.Result = r.slots[r.IntN(len(r.slots))]
	}
	if r.IntN(12) == 0 {
		st.Fail = r.errno()
	}
	st.Quiet = r.IntN(8) == 0
	for range r.IntN(maxHarmless + 1) {
		st.Harmless = append(st.Harmless, Harmless{r.errno(), r.IntN(min(left+2, 6))})
	}
	return st
}

func (r *maker) call() Step {
	switch r.IntN(8) {
	case 0, 1:
		return Step{Call: CallSet, Args: []Arg{r.arg()}}
	case 2, 3:
		value, mask, want := r.arg(), r.number(), r.number()
		if r.IntN(2) == 0 {
			want &= mask
			if value.slot == nil {
				want = value.n & mask
			}
		}
		return Step{Call: CallExpect, Args: []Arg{value, Uint(mask), Uint(want), Uint(uint64(r.errno())), Int(r.IntN(2))}}
	case 4:
		return Step{Call: CallUmask, Args: []Arg{r.arg()}}
	case 5:
		a := r.arg()
		return Step{Call: CallDup3, Args: []Arg{a, a, Int(0)}}
	case 6:
		return Step{Call: CallGetcwd, Args: []Arg{Uint(8), Int(0)}}
	}
	if r.IntN(2) == 0 {
		return Step{Call: CallChdir, Args: []Arg{Uint(1)}}
	}
	return Step{Call: CallClose, Args: []Arg{Int(-1)}}
}

// duel runs one random program in a child and in the model, with random
// commands, and compares all that they say.
func duel(t *testing.T, seed uint64) {
	r := &maker{Rand: rand.New(rand.NewPCG(seed, 1))}
	m := &model{trace: r.IntN(2) == 0, cells: make(map[*Slot]uint64)}
	for i := range 1 + r.IntN(6) {
		s := &Slot{Name: "s", Inherited: -1}
		switch r.IntN(4) {
		case 0:
			s.Inherited = r.IntN(1000)
			m.cells[s] = uint64(s.Inherited)
		case 1:
			s.Home, s.Off = Struct(words(^uint64(0), uint64(i), 0), "home"), 8
			m.cells[s] = uint64(i)
		}
		r.slots = append(r.slots, s)
	}
	n := 1 + r.IntN(30)
	// The first step makes the umask known, and gives every slot a place in the
	// image: the fixups of the test name any of them.
	steps := []Step{{Call: CallUmask, Args: []Arg{Int(0)}, Quiet: true}}
	for _, s := range r.slots {
		steps[0].Fixups = append(steps[0].Fixups, Fixup{Steps: []Step{{Call: CallSet, Args: []Arg{Int(0)}, Result: s}}})
	}
	for i := range n {
		steps = append(steps, r.step(n-i, false))
	}
	m.steps, m.at = steps, 1
	child := startProgram(t, &Program{Steps: steps, Descriptors: born(0)}, m.trace)
	r.play(t, seed, m, child)
	if st := exit(t, child); st != 125 {
		t.Errorf("seed %d: exit status %d, want 125", seed, st)
	}
	child.Close()
}

// play lets both run until they end, or have had enough commands.
func (r *maker) play(t *testing.T, seed uint64, m *model, child *Machine) {
	for left := 30; ; {
		want, lives := m.next()
		if !r.same(t, seed, child, want, lives) || !lives {
			return
		}
		if want.kind == msgTrace {
			trap, waits := m.judge(want.result)
			if !waits {
				continue
			}
			if want = trap; !r.same(t, seed, child, want, true) {
				return
			}
		}
		for r.IntN(3) == 0 {
			st := r.step(0, true)
			b, err := fixupMessage(&st)
			if err != nil {
				t.Fatal(err)
			}
			if err := child.send(b); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !r.same(t, seed, child, m.fixup(&st), true) {
				return
			}
		}
		if left--; left == 0 {
			child.Close()
			return
		}
		to, v := m.at+1, int64(r.number())
		if r.IntN(4) == 0 {
			to = r.IntN(len(m.steps) + 1)
		}
		m.resume(to, v)
		if err := child.resume(to, v); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// same says whether the child says what the model says.
func (r *maker) same(t *testing.T, seed uint64, child *Machine, want message, lives bool) bool {
	t.Helper()
	got, _, ok, err := child.receive()
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if got.kind == msgTrace {
		got.value = 0 // a trace has none
	}
	got.nanos, got.pid = 0, 0
	if ok != lives || got != want {
		t.Errorf("seed %d: the child said %+v (%v), the model %+v (%v)", seed, got, ok, want, lives)
		return false
	}
	return true
}

func TestAgainstModel(t *testing.T) {
	n := uint64(400)
	if emulator != nil || testing.Short() {
		n = 60
	}
	for seed := range n {
		duel(t, seed)
		if t.Failed() {
			return
		}
	}
}

func FuzzAgainstModel(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { duel(t, seed) })
}
