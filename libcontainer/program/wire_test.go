package program

import (
	"math"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	const n = 3
	good := func(kind, addr uint64) []byte {
		return words(kind, addr, ^uint64(4), 77, 2, 5)
	}
	for name, c := range map[string]struct {
		msg []byte
		ok  bool
	}{
		"trace":              {good(1, stepsAddr), true},
		"trap":               {good(2, stepsAddr+stepSize), true},
		"fixed":              {good(4, stepsAddr+2*stepSize), true},
		"empty":              {nil, false},
		"one byte":           {[]byte{1}, false},
		"too short":          {good(1, stepsAddr)[:msgLen-1], false},
		"too long":           {append(good(1, stepsAddr), 0), false},
		"kind 0":             {good(0, stepsAddr), false},
		"kind 5":             {good(5, stepsAddr), false},
		"kind huge":          {good(math.MaxUint64, stepsAddr), false},
		"kind 1 + 2^32":      {good(1<<32|1, stepsAddr), false},
		"below the first":    {good(1, stepsAddr-stepSize), false},
		"step at the end":    {good(1, stepsAddr+n*stepSize), false},
		"misaligned":         {good(1, stepsAddr+8), false},
		"address 0":          {good(1, 0), false},
		"address huge":       {good(1, math.MaxUint64), false},
		"address in a fixup": {good(2, dataBase+inboxOff+cmdLen), false},
	} {
		m, err := parse(c.msg, n)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && m != (message{}) {
			t.Errorf("%s: refused, and yet %+v", name, m)
		}
		if c.ok && (m.result != -5 || m.errno() != unix.EIO || m.value != 77 || m.nanos != 2e9+5) {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if m, err := parse(good(2, stepsAddr+2*stepSize), n); err != nil || m.step != 2 || m.kind != msgTrap {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := parse(good(1, stepsAddr), 0); err == nil {
		t.Error("a program without steps has none to speak of")
	}
}

func TestErrno(t *testing.T) {
	for result, want := range map[int64]unix.Errno{
		0: 0, 1: 0, -1: unix.EPERM, -4095: 4095, -4096: 0, math.MinInt64: 0, math.MaxInt64: 0,
	} {
		if got := (&message{result: result}).errno(); got != want {
			t.Errorf("%d: errno %d, want %d", result, got, want)
		}
	}
}

// FuzzParse: what parse lets pass names a step and a kind that exist.
func FuzzParse(f *testing.F) {
	f.Add(words(1, stepsAddr, 0, 0, 1, 1), 1)
	f.Add(words(3, stepsAddr+stepSize, 0, 6, 0, 0), 2)
	f.Add(words(2, 0, ^uint64(0), 0, math.MaxUint64, math.MaxUint64), 5)
	f.Add([]byte("short"), 1)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 {
			return
		}
		m, err := parse(b, n)
		if err != nil {
			return
		}
		if m.step < 0 || m.step >= n || m.kind < msgTrace || m.kind > msgFixed {
			t.Errorf("let pass: %+v of %d", m, n)
		}
		if want := words(uint64(m.kind), stepsAddr+uint64(m.step)*stepSize, uint64(m.result), m.value); string(want) != string(b[:32]) {
			t.Errorf("%x was read as %+v", b, m)
		}
		if rep := ReadReport(b); n <= 1<<20 && (rep.Step != m.step || rep.Errno != m.errno() || rep.Trap != (m.kind == msgTrap)) {
			t.Errorf("%+v and %+v differ", rep, m)
		}
	})
}

func TestReadReport(t *testing.T) {
	if r := ReadReport(words(2, stepsAddr+7*stepSize, ^uint64(1), 0, 0, 0)); !r.Trap || r.Step != 7 || r.Errno != unix.ENOENT {
		t.Errorf("%+v", r)
	}
	if r := ReadReport(words(1, stepsAddr, 3, 0, 1, 2)); r.Trap || r.Step != 0 || r.Result != 3 || r.Nanos != 1e9+2 {
		t.Errorf("%+v", r)
	}
	if r := ReadReport([]byte("nonsense")); !r.Trap || r.Step != 1<<20 {
		t.Errorf("%+v", r)
	}
}
