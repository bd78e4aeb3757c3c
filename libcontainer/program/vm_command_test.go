package program

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const stepsAddr = dataBase + stepsOff

// words lays 64-bit numbers out as the interpreter reads them.
func words(ns ...uint64) []byte {
	var b []byte
	for _, n := range ns {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// rawFixup is a fixup command with a step laid out by hand.
func rawFixup(st *Step, size int) []byte {
	b := make([]byte, size)
	le.PutUint64(b, cmdFixup)
	step := make([]byte, stepSize)
	writeStep(step, st)
	copy(b[cmdLen:], step)
	return b
}

// Whatever is not exactly a command ends the child: it never runs on.
func TestMalformedCommands(t *testing.T) {
	const last = stepsAddr + 2*stepSize // of three
	fixup := Step{Call: CallWrite, Args: []Arg{Int(4), Uint(dataBase), Int(1)}}
	barrier := Step{Call: CallBarrier, Args: []Arg{Int(1)}}
	unknown := rawFixup(&fixup, 104)
	le.PutUint32(unknown[cmdLen:], nrSet+1)
	for name, msg := range map[string][]byte{
		"empty":                  {},
		"one byte":               {1},
		"resume too short":       words(cmdResume, stepsAddr, 0)[:23],
		"resume too long":        append(words(cmdResume, stepsAddr, 0), 0),
		"command 0":              words(0, stepsAddr, 0),
		"command 3":              words(3, stepsAddr, 0),
		"command with high bits": words(1<<32|cmdResume, stepsAddr, 0),
		"command -1":             words(^uint64(0), stepsAddr, 0),
		"resume at 0":            words(cmdResume, 0, 0),
		"resume at the header":   words(cmdResume, dataBase, 0),
		"resume below the first": words(cmdResume, stepsAddr-stepSize, 0),
		// 2^64 is a multiple of a step's size and 16: this wraps around to a step.
		"resume 16 below":         words(cmdResume, stepsAddr-16, 0),
		"resume misaligned":       words(cmdResume, stepsAddr+8, 0),
		"resume misaligned by 1":  words(cmdResume, last+1, 0),
		"resume at the end":       words(cmdResume, last+stepSize, 0),
		"resume beyond the end":   words(cmdResume, last+100*stepSize, 0),
		"resume at the top":       words(cmdResume, stepsAddr+(^uint64(0)-stepsAddr)/stepSize*stepSize, 0),
		"resume at the last":      words(cmdResume, ^uint64(0), 0),
		"fixup without a step":    words(cmdFixup, 0, 0),
		"fixup shorter than one":  rawFixup(&fixup, 104)[:103],
		"fixup longer than inbox": rawFixup(&fixup, inboxLen+1),
		"fixup of twice that":     rawFixup(&fixup, 2*inboxLen),
		"fixup is a barrier":      rawFixup(&barrier, 104),
		"fixup is unknown":        unknown,
	} {
		for _, trapped := range []bool{false, true} {
			malformed(t, name, msg, trapped)
		}
	}
}

func malformed(t *testing.T, name string, msg []byte, trapped bool) {
	t.Helper()
	r, w := pipe(t)
	b := &Builder{}
	if trapped {
		b.Do(CallClose, "fail", Int(-1))
	} else {
		b.Barrier(BarrierReady, "wait")
	}
	b.Do(CallWrite, "must not be run", Int(4), Ptr(String("x")), Int(1))
	b.Do(CallExitGroup, "must not be run", Int(1))
	m := start(t, b, false, fdOf(w))
	if got, _, ok, err := m.receive(); !ok || err != nil || got.step != 0 {
		t.Fatalf("%s: the child does not wait: %v", name, err)
	}
	if err := m.send(msg); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got, _, ok, _ := m.receive(); ok {
		t.Fatalf("%s: the child answered %+v", name, got)
	}
	if st := exit(t, m); st != 125 {
		t.Errorf("%s: exit status %d, want 125", name, st)
	}
	if out := drain(t, r, w); out != "" {
		t.Errorf("%s: a step was run", name)
	}
}

// The longest fixup that the inbox holds is run.
func TestLongestFixup(t *testing.T) {
	r, w := pipe(t)
	b := &Builder{}
	b.Barrier(BarrierReady, "wait")
	b.Do(CallExitGroup, "end", Int(0))
	m := start(t, b, false, fdOf(w))
	if err := m.Run(handler{}, BarrierReady); err != nil {
		t.Fatal(err)
	}
	st := Step{Call: CallWrite, Args: []Arg{Int(4), Uint(dataBase + inboxOff + inboxLen - 2), Int(2)}}
	msg := rawFixup(&st, inboxLen)
	copy(msg[inboxLen-2:], "ok")
	if err := m.send(msg); err != nil {
		t.Fatal(err)
	}
	if got, _, ok, err := m.receive(); !ok || err != nil || got.kind != msgFixed || got.result != 2 || got.step != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if err := m.Release(); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	if out := drain(t, r, w); out != "ok" {
		t.Errorf("the fixup wrote %q", out)
	}
}

// A call of the interpreter's own that it does not know ends it.
func TestUnknownCall(t *testing.T) {
	for _, nr := range []uint32{nrSet + 1, 0xffff, ^uint32(0)} {
		b := &Builder{}
		b.Do(CallSet, "be changed", Int(0))
		b.Do(CallExitGroup, "never", Int(0))
		p := &Program{Steps: b.Steps(), Descriptors: born(0)}
		img, err := p.Image(false, os.Getpagesize())
		if err != nil {
			t.Fatal(err)
		}
		le.PutUint32(img[os.Getpagesize()+stepsOff:], nr)
		m := startImage(t, p, img)
		if err := m.Run(handler{}, 0); err != nil {
			t.Fatal(err)
		}
		if st := exit(t, m); st != 125 {
			t.Errorf("call %x: exit status %d, want 125", nr, st)
		}
	}
}

// The value of a resume becomes the waiting step's result, whatever it is, and
// the child goes on at the step that is named: further down, or up.
func TestResume(t *testing.T) {
	b := &Builder{}
	s := b.Slot("s")
	b.Do(CallUmask, "0", Int(0o22))
	b.Barrier(BarrierReady, "1").Into(s)
	b.Do(CallUmask, "2: passed over", Int(0))
	b.Expect(From(s), ^uint64(0), ^uint64(0), unix.EDOM, "3: see -1")
	b.Do(CallExitGroup, "end", Int(0))
	m := start(t, b, true)
	var got []int
	next := func(kind msgKind) message {
		for {
			msg, _, ok, err := m.receive()
			if err != nil || !ok {
				t.Fatalf("the child is gone: %v", err)
			}
			if msg.kind == kind {
				return msg
			}
			got = append(got, msg.step)
		}
	}
	next(msgBarrier)
	if err := m.resume(0, 5); err != nil { // up
		t.Fatal(err)
	}
	next(msgBarrier)
	if err := m.resume(3, 5); err != nil { // a wrong value
		t.Fatal(err)
	}
	if msg := next(msgTrap); msg.step != 3 || msg.errno() != unix.EDOM {
		t.Fatalf("got %+v", msg)
	}
	if err := m.resume(1, 0); err != nil {
		t.Fatal(err)
	}
	next(msgBarrier)
	if err := m.resume(3, -1); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := m.receive(); !ok || err != nil {
		t.Fatalf("no trace of step 3: %v", err)
	}
	if _, _, ok, _ := m.receive(); ok {
		t.Fatal("the child did not end")
	}
	want := []int{0, 0, 3}
	if len(got) != len(want) || got[0] != 0 || got[1] != 0 || got[2] != 3 {
		t.Errorf("ran %v, want %v", got, want)
	}
	if st := exit(t, m); st != 0 {
		t.Errorf("exit status %d", st)
	}
}
