package devfilter

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/devicerules"
)

// run runs a program on what the kernel would hand it. It knows the operations that
// are used, and holds the program to what the verifier asks: jumps lead forward and
// inside, registers are set before they are read.
func run(t testing.TB, p *Program, kind byte, major, minor int64, access Access) bool {
	t.Helper()
	ctx := [3]uint32{uint32(access)<<16 | 1, uint32(major), uint32(minor)}
	if kind == 'c' {
		ctx[0] = uint32(access)<<16 | 2
	}
	var reg [16]uint32
	set := 1 << regContext
	for pc := 0; ; pc++ {
		if pc >= len(p.insns) {
			t.Fatal("the program runs over its end")
		}
		in := p.insns[pc]
		dst, src := in.regs&15, in.regs>>4
		reads, known := 0, true
		switch in.op {
		case opLoad, opCopy:
			reads = 1 << src
		case opShift, opUnlike, opIfAnyBit:
			reads = 1 << dst
		case opOr:
			reads = 1<<dst | 1<<src
		case opExit:
			reads = 1 << regVerdict
		case opSet, opJump:
		default:
			known = false
		}
		if !known || in.off < 0 || reads&^set != 0 {
			t.Fatalf("insn %d is wrong: %+v", pc, in)
		}
		switch in.op {
		case opLoad:
			reg[dst] = ctx[in.off/4]
			set |= 1 << dst
		case opSet:
			reg[dst] = uint32(in.imm)
			set |= 1 << dst
		case opCopy:
			reg[dst] = reg[src]
			set |= 1 << dst
		case opShift:
			reg[dst] <<= in.imm
		case opOr:
			reg[dst] |= reg[src]
		case opUnlike:
			if reg[dst] != uint32(in.imm) {
				pc += int(in.off)
			}
		case opIfAnyBit:
			if reg[dst]&uint32(in.imm) != 0 {
				pc += int(in.off)
			}
		case opJump:
			pc += int(in.off)
		case opExit:
			if reg[regVerdict] > 1 {
				t.Fatalf("the verdict is %d", reg[regVerdict])
			}
			return reg[regVerdict] == 1
		}
	}
}

func TestCases(t *testing.T) {
	for _, c := range devicerules.Cases {
		r, err := New(c.Rules)
		if c.Refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.Refused) {
				t.Errorf("%s: %v, want %s", c.Name, err, c.Refused)
			}
			if _, cerr := Compile(c.Rules); cerr == nil || cerr.Error() != err.Error() {
				t.Errorf("%s: Compile: %v", c.Name, cerr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		p := r.Compile()
		for want, list := range map[bool][]devicerules.Try{true: c.Allowed, false: c.Denied} {
			for _, try := range list {
				kind, major, minor, s := try.Parse()
				access, err := parseAccess(s, "")
				if err != nil {
					t.Fatal(err)
				}
				if got := r.Allowed(kind, major, minor, access); got != want {
					t.Errorf("%s: %s: allowed %v", c.Name, try, got)
				}
				if got := run(t, &p, kind, major, minor, access); got != want {
					t.Errorf("%s: %s: the program allows it %v", c.Name, try, got)
				}
			}
		}
	}
}

// The numbers that random rules are about, and those that are tried: some that are
// equal in one half, those at the ends, and some that no rule names.
var (
	ruleNumbers = []int64{Any, Any, 1, 2, 3, 4095, 5000, 1048575, 1<<32 - 2}
	majors      = []int64{0, 1, 2, 3, 4, 4095}
	minors      = []int64{0, 1, 2, 3, 4, 4095, 5000, 1048575}
)

// fromBytes makes rules of any bytes, four for each.
func fromBytes(data []byte) (rules []specs.LinuxDeviceCgroup) {
	for ; len(data) >= 4; data = data[4:] {
		access := ""
		for i, c := range "rwm" {
			if data[1]&(1<<i) != 0 {
				access += string(c)
			}
		}
		if access == "" {
			access = "rwm"
		}
		rules = append(rules, devicerules.Rule(data[0]&1 != 0, []string{"c", "b", "c", "b", "c", "c", "a", ""}[data[0]>>1&7],
			ruleNumbers[int(data[2])%len(ruleNumbers)], ruleNumbers[int(data[3])%len(ruleNumbers)], access))
	}
	return rules
}

func everyTry(f func(kind byte, major, minor int64, access Access)) {
	for _, kind := range []byte{'b', 'c'} {
		for _, major := range majors {
			for _, minor := range minors {
				for access := Access(0); access <= All; access++ {
					f(kind, major, minor, access)
				}
			}
		}
	}
}

// lastWord is what config-linux.md says: rules hold in their order, so that for one
// device and one access the last that is about it decides.
func lastWord(rules []specs.LinuxDeviceCgroup, kind byte, major, minor int64, letter string) bool {
	for _, r := range slices.Backward(rules) {
		if (r.Type == "a" || r.Type == "" || r.Type == string(kind)) && strings.Contains(r.Access, letter) &&
			(r.Major == nil || *r.Major == major) && (r.Minor == nil || *r.Minor == minor) {
			return r.Allow
		}
	}
	return false
}

// check holds rules, program and the last word of the list against each other.
func check(t *testing.T, rules []specs.LinuxDeviceCgroup) (refused bool) {
	t.Helper()
	r, err := workOut(rules)
	if err != nil {
		if !strings.Contains(err.Error(), "a device cgroup cannot take") {
			t.Fatal(err)
		}
		return true
	}
	p := r.Compile()
	letters := map[Access]string{Read: "r", Write: "w", Mknod: "m"}
	everyTry(func(kind byte, major, minor int64, access Access) {
		want := r.Allowed(kind, major, minor, access)
		if got := run(t, &p, kind, major, minor, access); got != want {
			t.Fatalf("%+v: %c %d:%d %d: the program says %v", r, kind, major, minor, access, got)
		}
		if l, single := letters[access]; single && want != lastWord(rules, kind, major, minor, l) {
			t.Fatalf("%+v: %c %d:%d %s: %v", r, kind, major, minor, l, want)
		}
	})
	return false
}

func TestRandomRules(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const n = 3000
	refused := 0
	for range n {
		data := make([]byte, 4*rnd.IntN(12))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		if check(t, fromBytes(data)) {
			refused++
		}
	}
	if refused > n*3/4 {
		t.Errorf("%d of %d lists were refused: the rest tells too little", refused, n)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte{0, 7, 0, 0, 1, 3, 2, 3})
	f.Add([]byte{13, 7, 0, 0, 0, 2, 2, 0, 1, 1, 2, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, fromBytes(data[:min(len(data), 200)]))
	})
}

// What the default rules add holds beside any rules of the config.
func TestDefaults(t *testing.T) {
	for _, rules := range [][]specs.LinuxDeviceCgroup{nil, fromBytes([]byte{0, 7, 0, 0}), fromBytes([]byte{1, 7, 0, 0})} {
		p, err := Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range Defaults {
			if !run(t, &p, d.Type, max(d.Major, 0), max(d.Minor, 0), d.Access) {
				t.Errorf("%s is denied", d.String())
			}
		}
	}
}

// Rules that mean the same give the same program, so that nothing is replaced.
func TestSameProgram(t *testing.T) {
	rule := devicerules.Rule
	a, err := Compile([]specs.LinuxDeviceCgroup{rule(true, "c", 9, 1, "rw"), rule(true, "b", 9, 1, "r"), rule(true, "c", 9, 1, "m")})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Compile([]specs.LinuxDeviceCgroup{
		rule(false, "a", -1, -1, "rwm"), rule(true, "b", 9, 1, "r"), rule(true, "c", 9, 1, "rwm"),
		rule(true, "c", 1, 3, "r"), rule(true, "c", 136, 5, "rwm"), rule(true, "c", 5000, 1, "rwm"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.insns, b.insns) {
		t.Errorf("%v\n%v", a.insns, b.insns)
	}
	if n := len(a.insns); n > 40 {
		t.Errorf("the default rules and two more are %d instructions", n)
	}
	all, err := Compile([]specs.LinuxDeviceCgroup{rule(true, "a", -1, -1, "rwm")})
	if err != nil || !all.AllowsAll() || len(all.insns) != 2 || a.AllowsAll() {
		t.Errorf("%+v %v", all, err)
	}
}

func TestManyRules(t *testing.T) {
	for _, allow := range []bool{false, true} {
		p := many(t, allow, 40000)
		if run(t, &p, 'c', 3, 39999, Read) == allow || run(t, &p, 'c', 3, 40000, Read) != allow || run(t, &p, 'c', 3, 39999, Write) != allow {
			t.Errorf("default %v: wrong", allow)
		}
		if run(t, &p, 'b', 9, 0, Read) == allow {
			t.Errorf("default %v: what comes behind a long group is lost", allow)
		}
	}
}

// many is a program of n exceptions that can't be joined, and one of another type.
func many(t testing.TB, allow bool, n int64) Program {
	r := Rules{Allow: allow}
	for i := range n {
		r.Exceptions = append(r.Exceptions, Exception{Type: 'c', Major: 3, Minor: i, Access: Read})
	}
	r.Exceptions = append(r.Exceptions, Exception{Type: 'b', Major: 9, Minor: 0, Access: Read})
	return r.Compile()
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(devicerules.Cases[3].Rules); err != nil {
			b.Fatal(err)
		}
	}
}
