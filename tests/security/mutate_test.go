package security

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// mutation is one way to spoil a program, with what undoes it.
type mutation struct {
	// what is spoilt: the call, with its first constant where that makes it another
	// call; the argument's number from 1, or "" for the whole step; and the kind of change.
	call, arg, change string
	detail            string
	apply, undo       func()
}

// key is what mutations are argued by.
func (m *mutation) key() string {
	if m.arg == "" {
		return m.call + " " + m.change
	}
	return m.call + " " + m.arg + " " + m.change
}

// callName is a call's name, with the option that makes it another one.
func callName(st *program.Step) string {
	name := st.Call.String()
	text := st.Text()
	if i := strings.IndexByte(text, '('); i >= 0 {
		text = text[i+1:]
	}
	args := strings.Split(strings.TrimSuffix(text, ")"), ", ")
	switch st.Call {
	case program.CallPrctl, program.CallBarrier:
		return name + "(" + args[0] + ")"
	case program.CallIoctl, program.CallFsconfig, program.CallPrlimit64:
		return name + "(" + args[1] + ")"
	case program.CallKeyctl:
		return name + "(" + args[0] + ")"
	}
	return name
}

// constants are plausible in the place of any number.
var constants = []uint64{0, 1, 2, 3, 4, 5, 1<<32 - 1, ^uint64(0), ^uint64(99)}

// paths are plausible in the place of any string.
var paths = []string{"/", ".", "..", "a/b", "/etc/passwd", "", "a\x00b"}

// argMutations are all ways to put something else into one place of a step.
func argMutations(st *program.Step, n int, slots []*program.Slot) []mutation {
	old := st.Args[n]
	var list []mutation
	to := func(change, detail string, a program.Arg) {
		list = append(list, mutation{
			call: callName(st), arg: strconv.Itoa(n + 1), change: change, detail: detail,
			apply: func() { st.Args[n] = a }, undo: func() { st.Args[n] = old },
		})
	}
	constant := "constant"
	if old.Data() != nil {
		constant = "constant for memory"
	} else if old.Slot() != nil {
		constant = "constant for slot"
	}
	for _, c := range constants {
		if old.Data() != nil || old.Slot() != nil || c != old.Number() {
			to(constant, strconv.FormatUint(c, 10), program.Uint(c))
		}
	}
	for _, s := range slots {
		if s != old.Slot() {
			change := "slot"
			if old.Slot() != nil {
				change = "another slot"
			}
			to(change, s.Name, program.From(s))
		}
	}
	d := old.Data()
	switch {
	case d == nil && old.Slot() == nil:
		for bit := range 64 {
			to("bit", strconv.Itoa(bit), program.Uint(old.Number()^1<<bit))
		}
	case d == nil:
	case d.Value() != "" || len(d.Bytes) == 1:
		for _, p := range paths {
			if p != d.Value() {
				to("path", strconv.Quote(p), program.Path(p))
			}
		}
		to("memory", "a struct", program.Ptr(program.Struct(make([]byte, 24), "zeros")))
	default:
		for i := range min(len(d.Bytes), 64) {
			for bit := range 8 {
				flipped := *d
				flipped.Bytes = append([]byte(nil), d.Bytes...)
				flipped.Bytes[i] ^= 1 << bit
				to("bit of memory", strconv.Itoa(8*i+bit), program.Ptr(&flipped))
			}
		}
		to("memory", "a string", program.Path("/etc/passwd"))
		to("memory", "too short", program.Ptr(program.Buffer(1, "room")))
	}
	return list
}

// slotsOf are slots of a program, one of each name: each holds something else.
func slotsOf(p *program.Program) []*program.Slot {
	var list []*program.Slot
	seen := make(map[string]bool)
	for i := range p.Steps {
		if s := p.Steps[i].Result; s != nil && !seen[s.Name] {
			seen[s.Name] = true
			list = append(list, s)
		}
	}
	return list
}

// stepMutations are ways to spoil a step as a whole.
func stepMutations(p *program.Program, i int) []mutation {
	steps := p.Steps
	st := &steps[i]
	name := callName(st)
	whole := func(change, detail string, f func() []program.Step) mutation {
		return mutation{call: name, change: change, detail: detail, apply: func() { p.Steps = f() }, undo: func() { p.Steps = steps }}
	}
	copied := func() []program.Step {
		list := make([]program.Step, len(steps), len(steps)+1)
		for j := range steps {
			list[j] = steps[j]
			list[j].Harmless = append([]program.Harmless(nil), steps[j].Harmless...)
		}
		return list
	}
	list := []mutation{
		whole("dropped", "", func() []program.Step {
			list := copied()
			moveJumps(list, i, -1)
			return append(list[:i], list[i+1:]...)
		}),
		whole("doubled", "", func() []program.Step {
			list := append(copied(), program.Step{})
			moveJumps(list[:len(steps)], i, 1)
			copy(list[i+1:], list[i:len(steps)])
			return list
		}),
		whole("may fail", "", func() []program.Step {
			list := copied()
			list[i].Harmless = append(list[i].Harmless, program.Harmless{Errno: unix.ENOLCK})
			return list
		}),
	}
	if i+1 < len(steps) {
		list = append(list, whole("swapped", callName(&steps[i+1]), func() []program.Step {
			list := copied()
			list[i], list[i+1] = list[i+1], list[i]
			list[i].Phase, list[i+1].Phase = list[i+1].Phase, list[i].Phase
			return list
		}))
	}
	if len(st.Args) > 0 {
		list = append(list, mutation{
			call: name, change: "cut short",
			apply: func() { st.Args = st.Args[:len(st.Args)-1] },
			undo:  func() { st.Args = st.Args[:len(st.Args)+1] },
		})
	}
	if st.Result != nil {
		s := st.Result
		list = append(list, mutation{call: name, change: "no result", apply: func() { st.Result = nil }, undo: func() { st.Result = s }})
	}
	return list
}

// moveJumps lets the jumps over step i lead to where they led.
func moveJumps(list []program.Step, i, by int) {
	for j := range i {
		for h := range list[j].Harmless {
			if k := &list[j].Harmless[h]; j+1+k.Skip > i {
				k.Skip += by
			}
		}
	}
}

// programMutations are about what the child is born with.
func programMutations(p *program.Program) []mutation {
	var list []mutation
	add := func(change, detail string, apply, undo func()) {
		list = append(list, mutation{call: "program", change: change, detail: detail, apply: apply, undo: undo})
	}
	flags := p.CloneFlags
	for bit := range 32 {
		add("clone flag", strconv.Itoa(bit), func() { p.CloneFlags ^= 1 << bit }, func() { p.CloneFlags = flags })
	}
	kind := p.Kind
	for k := program.KindCreate; k <= program.KindHook; k++ {
		if k != kind {
			add("kind", k.String(), func() { p.Kind = k }, func() { p.Kind = kind })
		}
	}
	for i := range p.Descriptors {
		d := &p.Descriptors[i]
		old := *d
		restore := func() { *d = old }
		for k := program.FDSocket; k <= program.FDHost; k++ {
			if k != old.Kind {
				add("descriptor's kind", d.Name+" "+k.String(), func() { d.Kind = k }, restore)
			}
		}
		for k := program.KeepUntilReady; k <= program.KeepForProcess; k++ {
			if k != old.Keep {
				add("descriptor's end", d.Name, func() { d.Keep = k }, restore)
			}
		}
		for _, by := range []int{-1, 1, 8} {
			add("descriptor's number", d.Name, func() { d.Number += by }, restore)
		}
	}
	return list
}
