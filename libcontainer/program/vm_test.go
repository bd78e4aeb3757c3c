package program

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExit(t *testing.T) {
	b := &Builder{}
	b.Do(CallExitGroup, "end", Int(42))
	m := start(t, b, false)
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, m); got != 42 {
		t.Errorf("exit status %d, want 42", got)
	}
}

func TestOrder(t *testing.T) {
	r, w := pipe(t)
	b := &Builder{}
	want := ""
	for i := range 20 {
		s := strconv.Itoa(i) + " "
		b.Do(CallWrite, "write", Int(4), Ptr(String(s)), Int(len(s)))
		want += s
	}
	runs(t, b, fdOf(w))
	if got := drain(t, r, w); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExecve(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if emulator != nil {
		t.Skip("not under emulation: execve would need binfmt_misc")
	}
	r, w := pipe(t)
	b := &Builder{}
	b.Do(CallDup3, "be standard output", Int(4), Int(1), Int(0))
	b.Do(CallExecve, "execute", Path(exe), Ptr(Strings([]string{"me", "-test.run=^TestExecuted$", "-test.v"}, "argv")),
		Ptr(Strings([]string{"BERTH_TEST_EXECUTED=yes"}, "envp")))
	m := start(t, b, false, fdOf(w))
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	if st := exit(t, m); st != 0 {
		t.Errorf("exit status %d", st)
	}
	if got := drain(t, r, w); !bytes.Contains([]byte(got), []byte("argv[0] is me")) {
		t.Errorf("the program said %q", got)
	}
}

// TestExecuted is what TestExecve executes.
func TestExecuted(t *testing.T) {
	if os.Getenv("BERTH_TEST_EXECUTED") != "yes" {
		t.Skip("only TestExecve calls this")
	}
	if len(os.Environ()) != 1 {
		t.Errorf("the environment is %q", os.Environ())
	}
	t.Log("argv[0] is " + os.Args[0])
}

// Six arguments of six kinds, each as number and as slot: recvfrom takes them
// all, and each one shows in what it leaves.
func TestArguments(t *testing.T) {
	for mask := range 64 {
		// All subsets on the machine itself; a few under emulation.
		if emulator != nil && mask != 0 && mask != 63 && mask&(mask-1) != 0 {
			continue
		}
		arguments(t, uint(mask))
	}
}

// arguments passes argument i through a slot where bit i of mask is set.
func arguments(t *testing.T, mask uint) {
	from := "@berth-test-" + strconv.Itoa(os.Getpid()) + "-from"
	to := from[:len(from)-4] + "to"
	recv, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: to})
	if err != nil {
		t.Fatal(err)
	}
	defer recv.Close()
	send, err := net.DialUnix("unixgram", &net.UnixAddr{Name: from}, &net.UnixAddr{Name: to})
	if err != nil {
		t.Fatal(err)
	}
	defer send.Close()
	if _, err := send.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	f, err := recv.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, w := pipe(t)
	b := &Builder{}
	buf, addr, addrLen := Buffer(16, "buffer"), Buffer(64, "address"), Struct([]byte{64, 0, 0, 0}, "its length")
	args := []Arg{Int(5), Ptr(buf), Int(3), Uint(unix.MSG_PEEK), Ptr(addr), Ptr(addrLen)}
	for i := range args {
		if mask>>i&1 != 0 {
			s := b.Slot("slot " + strconv.Itoa(i))
			b.Set(s, args[i], "set")
			args[i] = From(s)
		}
	}
	at := b.Len()
	b.Do(CallRecvfrom, "receive", args...)
	b.Do(CallRecvfrom, "receive again", Int(5), Ptr(buf), Int(16), Int(unix.MSG_DONTWAIT), Int(0), Int(0))
	for _, d := range []*Data{buf, addr, addrLen} {
		b.Do(CallWrite, "show", Int(4), Ptr(d), Int(d.len()))
	}
	got := runs(t, b, fdOf(w), fdOf(f))
	if got[at] != 3 || got[at+1] != 7 {
		t.Errorf("mask %d: received %d and %d bytes, want 3 (of a peek) and 7", mask, got[at], got[at+1])
	}
	out := drain(t, r, w)
	if out[:7] != "content" || out[16:18] != "\x01\x00" || out[19:19+len(from)-1] != from[1:] || out[80] != byte(2+len(from)) {
		t.Errorf("mask %d: memory is %q", mask, out)
	}
}

func TestSlots(t *testing.T) {
	r, w := pipe(t)
	b := &Builder{}
	inherited := &Slot{Name: "out", Inherited: 4}
	home := Struct(bytes.Repeat([]byte{'.'}, 24), "home")
	inside := &Slot{Name: "inside", Home: home, Off: 8, Inherited: -1}
	plain := b.Slot("plain")

	b.Set(plain, Uint(0x3837363534333231), "set")                 // 0
	b.Do(CallWrite, "show", From(inherited), Addr(plain), Int(8)) // "12345678"
	b.Set(inside, From(plain), "copy")
	b.Do(CallWrite, "show the home", From(inherited), Ptr(home), Int(24))
	n := b.Do(CallWrite, "write", From(inherited), Ptr(String("abc")), Int(3)).FD("n")
	b.Do(CallWrite, "write n bytes", From(inherited), Ptr(String("defgh")), From(n))
	b.Do(CallClose, "fail", Int(-1)).Ignore(unix.EBADF).Into(n)
	last := b.Len()
	b.Set(b.Slot("x"), From(n), "look: a failed step stores nothing")
	b.Set(b.Slot("y"), From(b.Slot("never set")), "look: a cell begins as 0")
	got := runs(t, b, fdOf(w))
	if out := drain(t, r, w); out != "12345678"+"........12345678........"+"abc"+"def" {
		t.Errorf("the child wrote %q", out)
	}
	if got[last] != 3 || got[last+1] != 0 {
		t.Errorf("slots hold %d and %d, want 3 and 0", got[last], got[last+1])
	}
}

// A slot that a call fills through its address.
func TestSlotAddress(t *testing.T) {
	r, w := pipe(t)
	if _, err := w.Write([]byte{1, 2, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	b := &Builder{}
	s := b.Slot("s")
	b.Do(CallRead, "fill", Int(4), Addr(s), Int(8))
	b.Set(b.Slot("x"), From(s), "look")
	if got := runs(t, b, fdOf(r)); got[1] != 0x201 {
		t.Errorf("the slot holds %x, want 201", got[1])
	}
}

func TestTrap(t *testing.T) {
	b := &Builder{JSONPath: "mounts[3]"}
	b.Do(CallUmask, "go on", Int(0o22))
	b.Do(CallClose, "close it", Int(-1)).Ignore(unix.EIO)
	m := start(t, b, false)
	e := fails(t, m, handler{}, 1, unix.EBADF)
	if e.JSONPath != "mounts[3]" || e.Msg != "cannot close it" || e.Call != "close(-1)" {
		t.Errorf("got %+v", e)
	}
	m.Close()
	if st := exit(t, m); st != 125 {
		t.Errorf("exit status %d, want 125", st)
	}
}

// after counts which of the five steps behind step 0 were run.
func after(got map[int]int64) (ran string) {
	for i := 1; i <= 5; i++ {
		if _, ok := got[i]; ok {
			ran += strconv.Itoa(i)
		}
	}
	return ran
}

func TestHarmless(t *testing.T) {
	for place := range maxHarmless {
		for skip := range 6 {
			b := &Builder{}
			b.Do(CallClose, "fail", Int(-1))
			for i := range maxHarmless {
				h := Harmless{Errno: unix.Errno(100 + i), Skip: 5 - skip}
				if i == place {
					h = Harmless{Errno: unix.EBADF, Skip: skip}
				}
				b.steps[0].Harmless = append(b.steps[0].Harmless, h)
			}
			for range 5 {
				b.Do(CallUmask, "go on", Int(0o22))
			}
			if got, want := after(runs(t, b)), "12345"[skip:]; got != want {
				t.Errorf("place %d, skip %d: ran %q, want %q", place, skip, got, want)
			}
		}
	}
}

// What stands behind the four entries, the next step's number, is no fifth.
func TestHarmlessEnds(t *testing.T) {
	b := &Builder{}
	b.Do(CallClose, "fail", Int(-1)).Ignore(4001, 4002, 4003, 4004)
	b.steps[0].Fail = unix.Errno(CallUmask.info().nr)
	b.Do(CallUmask, "never", Int(0o22))
	fails(t, start(t, b, false), handler{}, 0, b.steps[0].Fail)
}

// A success is no errno: nothing is skipped, whatever the step lists.
func TestHarmlessSuccess(t *testing.T) {
	b := &Builder{}
	b.Do(CallSet, "answer EBADF's number", Int(int(unix.EBADF))).Ignore(unix.EBADF)
	b.steps[0].Harmless[0].Skip = 3
	for range 5 {
		b.Do(CallUmask, "go on", Int(0o22))
	}
	if got := after(runs(t, b)); got != "12345" {
		t.Errorf("ran %q", got)
	}
}

// Whatever leads past the last step ends the child.
func TestPastTheEnd(t *testing.T) {
	for name, skip := range map[string]int{"by one": 1, "far": 0xffff, "no end": -1} {
		b := &Builder{}
		b.Do(CallClose, "fail", Int(-1)).Ignore(unix.EBADF)
		if skip >= 0 {
			b.steps[0].Harmless[0].Skip = skip
			b.Do(CallExitGroup, "never", Int(0))
		}
		m := start(t, b, false)
		if err := m.Run(handler{}, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if st := exit(t, m); st != 125 {
			t.Errorf("%s: exit status %d, want 125", name, st)
		}
	}
}

func TestExpect(t *testing.T) {
	const all = ^uint64(0)
	for i, c := range []struct {
		value, mask, want uint64
		ok                bool
	}{
		{5, all, 5, true},
		{5, all, 6, false},
		{5, 1, 1, true},
		{5, 2, 0, true},
		{5, 4, 0, false},
		{all, all, all, true},
		{all, 1 << 63, 1 << 63, true},
		{1 << 63, all, 0, false},
		{1 << 32, all, 0, false},
		{0, 0, 0, true},
		{0, 0, 1, false},
	} {
		for _, negate := range []bool{false, true} {
			b := &Builder{}
			// From memory: an all-ones value would be an errno to set.
			s := &Slot{Name: "value", Home: Struct(le.AppendUint64(nil, c.value), "memory"), Inherited: -1}
			f := b.Expect
			if negate {
				f = b.ExpectNot
			}
			f(From(s), c.mask, c.want, unix.EDOM, "compare").Ignore(unix.EDOM)
			got := runs(t, b)[0]
			want := int64(0)
			if c.ok == negate {
				want = -int64(unix.EDOM)
			}
			if got != want {
				t.Errorf("case %d, negate %v: %d, want %d", i, negate, got, want)
			}
		}
	}
}

func TestExpectTraps(t *testing.T) {
	b := &Builder{}
	b.Expect(Int(1), ^uint64(0), 2, unix.ELOOP, "see what is not there")
	fails(t, start(t, b, false), handler{}, 0, unix.ELOOP)
}

func TestJump(t *testing.T) {
	b := &Builder{}
	l := b.Label()
	b.Jump(l, "go")
	for range 3 {
		b.Do(CallExitGroup, "never", Int(1))
	}
	b.Here(l)
	b.Do(CallUmask, "go on", Int(0o22))
	if got := after(runs(t, b)); got != "4" {
		t.Errorf("ran %q", got)
	}
}

// set stores all that is no errno; what is fails like a call that answers so.
func TestSet(t *testing.T) {
	for _, v := range []uint64{0, 1, 1 << 63, ^uint64(4095), 0xf002} {
		b := &Builder{}
		s := b.Slot("s")
		b.Set(s, Uint(v), "set")
		b.Set(b.Slot("x"), From(s), "look")
		if got := runs(t, b); uint64(got[1]) != v {
			t.Errorf("the slot holds %x, want %x", got[1], v)
		}
	}
	for _, v := range []int{-1, -100, -4095} {
		b := &Builder{}
		b.Set(b.Slot("s"), Int(v), "set")
		fails(t, start(t, b, false), handler{}, 0, unix.Errno(-v))
	}
}

func TestTrace(t *testing.T) {
	b := &Builder{}
	l := b.Label()
	b.Do(CallUmask, "0", Int(0o22))
	b.Do(CallClose, "1", Int(-1)).On(unix.EBADF, l)
	b.Do(CallUmask, "2: passed over", Int(0))
	b.Here(l)
	b.Barrier(BarrierReady, "3")
	b.Do(CallUmask, "4", Int(0o77))
	b.Do(CallUmask, "5: quiet", Int(0o77)).Quiet()
	b.Do(CallExitGroup, "6: never answers", Int(0))
	m := start(t, b, true)
	var got []Traced
	m.Trace = func(tr Traced) {
		if tr.Nanos != 0 { // else Run says it, of the step that could not
			got = append(got, tr)
		}
	}
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	want := []Traced{{Step: 0}, {Step: 1, Result: -int64(unix.EBADF)}, {Step: 4, Result: 0o22}}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	last := int64(0)
	for i, tr := range got {
		if tr.Step != want[i].Step || i > 0 && tr.Result != want[i].Result {
			t.Errorf("report %d is %+v, want %+v", i, tr, want[i])
		}
		if tr.Nanos < last || tr.Nanos == 0 {
			t.Errorf("report %d comes at %d, the one before at %d", i, tr.Nanos, last)
		}
		last = tr.Nanos
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil || last > now.Nano() {
		t.Errorf("the last report comes at %d, after now: %d", last, now.Nano())
	}
}

// An injected fault stands in for the call, which is not made.
func TestFault(t *testing.T) {
	steps := func() *Builder {
		b := &Builder{}
		b.Do(CallExitGroup, "fail here", Int(3))
		b.Do(CallUmask, "go on", Int(0o22))
		b.Barrier(BarrierReady, "or here")
		b.Do(CallExitGroup, "end", Int(0))
		return b
	}
	b := steps()
	p := &Program{Steps: b.Steps(), Descriptors: born(0)}
	p.Break(0, int(unix.ENOMEM))
	fails(t, startProgram(t, p, false), handler{}, 0, unix.ENOMEM)

	b = steps()
	b.steps[0].Harmless = []Harmless{{Errno: unix.ENOMEM}}
	p = &Program{Steps: b.Steps(), Descriptors: born(0)}
	p.Break(0, int(unix.ENOMEM))
	p.Break(2, 4095)
	fails(t, startProgram(t, p, true), handler{}, 2, 4095)
}
