package seccomp

import (
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var (
	random = flag.Int("profiles", 2000, "how many random profiles to compare with libseccomp")
	seed   = flag.Uint64("seed", 1, "of the random profiles")
)

func readProfile(t testing.TB, name string) *specs.LinuxSeccomp {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// common keeps of a profile what libseccomp's tables have as well: they may be older.
func (p *peer) common(t testing.TB, s *specs.LinuxSeccomp) (*specs.LinuxSeccomp, []string) {
	t.Helper()
	var dropped []string
	cut := *s
	cut.Syscalls = nil
	for _, e := range s.Syscalls {
		e.Names = slices.DeleteFunc(slices.Clone(e.Names), func(name string) bool {
			if p.knows(t, name) || !Known(name) {
				return false
			}
			dropped = append(dropped, name)
			return true
		})
		if len(e.Names) != 0 {
			cut.Syscalls = append(cut.Syscalls, e)
		}
	}
	return &cut, dropped
}

// comparison holds the filters of a profile against each other: this package's,
// libseccomp's, and what Explain says.
type comparison struct {
	t        testing.TB
	peer     *peer
	rand     *rand.Rand
	native   Arch
	sound    *profile
	ours     *Filter
	theirs   []Insn
	sets     map[Arch]*ruleset
	analysis *Analysis
	last     map[Arch]uint32
	odd      [archCount]odd
	// unloaded are architectures that libseccomp's filter is of no use for.
	unloaded map[uint32]bool

	verdicts, known     int
	frail, wrong, other int
	bad                 int
	quiet               bool
}

func newComparison(t testing.TB, p *peer, r *rand.Rand, s *specs.LinuxSeccomp, native Arch, optimize int) (*comparison, error) {
	t.Helper()
	c := &comparison{t: t, peer: p, rand: r, native: native, last: map[Arch]uint32{}, unloaded: map[uint32]bool{}}
	theirs, refused := p.compile(t, s, native, optimize)
	ours, err := Compile(s, native)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, refused
	}
	c.ours, c.theirs = ours, theirs
	if c.analysis, err = Analyze(s, native); err != nil {
		t.Fatal(err)
	}
	c.sound, c.sets = c.analysis.profile, c.analysis.sets
	for _, a := range c.sound.archs {
		c.last[a] = newestNamed(p.table(t, a), s, a)
		c.odd[a] = oddNumbers(a)
		c.unloaded[a.Audit()] = unloaded(theirs, a)
	}
	return c, nil
}

// newestNamed is the number after which runc answers with ENOSYS, 0 where it does not.
func newestNamed(table map[string]uint32, s *specs.LinuxSeccomp, a Arch) (last uint32) {
	switch s.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace, specs.ActNotify:
		return 0
	}
	for _, e := range s.Syscalls {
		for _, name := range e.Names {
			if nr, ok := table[name]; ok && (a != ARM || nr < armBase) {
				last = max(last, nr)
			}
			for _, m := range multiplexed {
				if nr, ok := table["socketcall"]; ok && m.name == name && !m.ipc {
					last = max(last, nr)
				}
				if nr, ok := table["ipc"]; ok && m.name == name && m.ipc {
					last = max(last, nr)
				}
			}
		}
	}
	if last == arches[a].base {
		return 0
	}
	return last
}

// want is what libseccomp's filter says, with runc's ENOSYS before it.
func (c *comparison) want(d *Call) uint32 {
	for _, a := range c.sound.archs {
		last := c.last[a]
		switch {
		case a.Audit() != d.Arch || last == 0:
			continue
		case (a == AMD64 || a == X32) && (a == X32) != (d.Nr&x32Bit != 0):
			continue
		case (a == S390 || a == S390X) && d.Nr == 0:
			return RetErrno | enosys
		case d.Nr <= last || a == ARM && d.Nr >= armBase:
			continue
		}
		return RetErrno | enosys
	}
	ret, _, ok := Run(c.theirs, d, c.native.BigEndian())
	if !ok {
		c.t.Fatalf("libseccomp's filter does not run")
	}
	return ret
}

// unloaded says of libseccomp's filter that on an architecture it compares numbers of
// calls with what it has loaded before, the architecture. It does where the first call
// in its order is one that the architecture lacks, which happens if all rules on calls that
// it has have conditions.
func unloaded(insns []Insn, a Arch) bool {
	for i, insn := range insns {
		if insn.Code == codeEqual && insn.K == a.Audit() {
			switch insns[i+1+int(insn.Jt)].Code {
			case codeEqual, codeGreater, codeGreaterEq:
				return true
			}
			return false
		}
	}
	return false
}

// differs are the calls on which libseccomp is meant to differ; see the package's
// documentation.
func (c *comparison) differs(d *Call) bool {
	if c.unloaded[d.Arch] {
		return true
	}
	for _, a := range c.sound.archs {
		switch o := &c.odd[a]; {
		case a.Audit() != d.Arch:
		case d.Nr == o.table, d.Nr == o.ipc && d.Args[0]>>16 != 0, d.Nr == o.socketcall && d.Args[0]>>32 != 0 && !arches[a].narrow:
			return true
		}
	}
	return false
}

// odd are the numbers of the calls that differs is about, or such as no call has.
type odd struct{ table, ipc, socketcall uint32 }

func oddNumbers(a Arch) odd {
	number := func(name string) uint32 {
		if nr, ok := a.Number(name); ok {
			return nr
		}
		return fullMask - 1
	}
	o := odd{fullMask - 1, number("ipc"), number("socketcall")}
	if a == X32 {
		o.table = number("map_shadow_stack")
	}
	return o
}

func (c *comparison) check(d *Call) {
	got := c.run(d)
	if v := c.analysis.Explain(d); v.Ret != got {
		c.fail("call %d (%#x) of %#x, arguments %#x: %#x, Explain says %+v", d.Nr, d.Nr, d.Arch, d.Args, got, v)
	}
	if c.differs(d) {
		c.known++
		return
	}
	c.verdicts++
	rules := c.rules(d)
	frail := frail(rules)
	if frail {
		c.frail++
	}
	want := c.want(d)
	switch {
	case got == want:
	case !frail:
		c.fail("call %d (%#x) of %#x, arguments %#x: %#x, libseccomp says %#x", d.Nr, d.Nr, d.Arch, d.Args, got, want)
	case c.sensible(d, rules, want):
		c.other++
	default:
		c.wrong++
	}
}

func (c *comparison) fail(format string, args ...any) {
	if c.bad++; c.bad < 5 && !c.quiet {
		c.t.Errorf(c.native.String()+": "+format, args...)
	}
}

// rules are those on a call with conditions.
func (c *comparison) rules(d *Call) callRules {
	a, reason := c.sound.archOf(d)
	if reason != ByRule {
		return nil
	}
	if rules := c.sets[a].rules(d.Nr); len(rules) != 0 && len(rules[0].conditions) != 0 {
		return rules
	}
	return nil
}

// frail says of the rules on one call that libseccomp may get them wrong: some have
// several conditions, or there are several and not all compare for equality. Its tree of
// comparisons then loses rules, goes past some, or compares the wrong argument;
// TestLibseccompErrs has examples.
func frail(rules callRules) bool {
	ordered, together := false, false
	for _, r := range rules {
		together = together || len(r.conditions) > 1
		for _, d := range r.conditions {
			ordered = ordered || d.op != opEQ && d.op != opMasked
		}
	}
	if len(rules) < 2 {
		return ordered && together
	}
	return ordered || together
}

// sensible says whether a verdict can be argued for, whatever the order of the rules:
// it is that of a rule which holds, or that of none if none does.
func (c *comparison) sensible(d *Call, rules callRules, ret uint32) bool {
	a, _ := c.sound.archOf(d)
	none := true
	for _, r := range rules {
		if r.hold(d, arches[a].narrow) {
			if r.action == ret {
				return true
			}
			none = false
		}
	}
	return none && ret == c.sound.action
}

func (c *comparison) run(d *Call) uint32 {
	ret, _, ok := Run(c.ours.Insns, d, c.native.BigEndian())
	if !ok {
		c.t.Fatalf("the filter does not run on %+v", d)
	}
	return ret
}

// numbers are all that an architecture has, those around their ends, and those
// around the marks of other ABIs.
func numbers(a Arch) []uint32 {
	var ns []uint32
	base := arches[a].base
	for n := uint32(0); n < 520; n++ {
		ns = append(ns, base+n)
	}
	for _, edge := range []uint32{0, 1000, 4000, 5000, 6000, 0xffff, armBase, armBase + 6, 1 << 20, x32Bit, x32Bit + 600, 1 << 31, fullMask} {
		for d := range uint32(5) {
			ns = append(ns, edge+d-2)
		}
	}
	return ns
}

// all compares every number, and for those that rules with conditions are on
// arguments around all bounds.
func (c *comparison) all() {
	for _, a := range c.sound.archs {
		for _, nr := range numbers(a) {
			c.check(&Call{Nr: nr, Arch: a.Audit()})
		}
	}
	for _, audit := range []uint32{0, ARM64.Audit(), MIPS.Audit(), S390X.Audit(), fullMask} {
		c.check(&Call{Nr: 1, Arch: audit})
	}
	c.ruled()
}

// ruled compares the numbers that rules are on and those next to them.
func (c *comparison) ruled() {
	for _, a := range c.sound.archs {
		for slot, rules := range c.sets[a].byRaw {
			if len(rules) == 0 {
				continue
			}
			nr := c.sets[a].number(slot)
			for _, n := range []uint32{nr - 1, nr, nr + 1} {
				c.check(&Call{Nr: n, Arch: a.Audit()})
			}
			if len(rules[0].conditions) == 0 {
				continue
			}
			for _, args := range c.arguments(rules) {
				c.check(&Call{Nr: nr, Arch: a.Audit(), Args: args})
			}
		}
	}
}

// arguments are values at and around the bounds of the conditions: each by itself
// with the others at a bound of theirs, and random choices.
func (c *comparison) arguments(rules callRules) [][6]uint64 {
	var values [6][]uint64
	for _, r := range rules {
		for _, d := range append(slices.Clone(r.conditions), r.rule.conditions...) {
			values[d.arg] = append(values[d.arg], around(d)...)
		}
	}
	pick := func() (args [6]uint64) {
		for i := range args {
			if vs := values[i]; len(vs) != 0 {
				args[i] = vs[c.rand.IntN(len(vs))]
			}
		}
		return args
	}
	var all [][6]uint64
	for i, vs := range values {
		for _, v := range vs {
			for range 2 {
				args := pick()
				args[i] = v
				all = append(all, args)
			}
		}
	}
	return all
}

// around are values that a comparison tells apart, or should not.
func around(d condition) []uint64 {
	v := d.value
	vs := []uint64{
		v, v - 1, v + 1, 0, 1, ^uint64(0), v ^ 1<<32, v + 1<<32, v - 1<<32,
		v ^ 1<<63, v &^ 0xffffffff, v | 0xffffffff, v & 0xffffffff, v >> 32, v<<32 | v>>32,
	}
	if d.op == opMasked {
		vs = append(vs, v|^d.mask, v^(d.mask&-d.mask), d.mask, ^d.mask, v^d.mask, v|^d.mask<<32)
	}
	return vs
}

// TestDefaultProfiles compares the engines' default profiles.
func TestDefaultProfiles(t *testing.T) {
	p := startPeer(t)
	total := 0
	for _, name := range []string{"moby", "containerd", "podman"} {
		s, dropped := p.common(t, readProfile(t, name))
		for _, optimize := range []int{1, 2} {
			c, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), s, AMD64, optimize)
			if err != nil {
				t.Fatal(name, err)
			}
			c.all()
			total += c.verdicts
			t.Logf("%s: %d verdicts, %d as known; %d instructions, libseccomp %d (optimize %d), without %v", name, c.verdicts, c.known, len(c.ours.Insns), len(c.theirs), optimize, dropped)
		}
	}
	t.Logf("%d verdicts compared", total)
}

// tally adds up comparisons.
type tally struct {
	profiles, verdicts, known, frail, wrong, other int
}

func (n *tally) add(c *comparison) {
	n.profiles++
	n.verdicts += c.verdicts
	n.known += c.known
	n.frail += c.frail
	n.wrong += c.wrong
	n.other += c.other
}

// report says what was compared, and fails if libseccomp is said to be wrong too often.
func (n *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d profiles, %d verdicts compared; set aside: %d known differences; of %d verdicts where it may err, libseccomp has %d that no rule gives, and %d by another rule that holds as well",
		n.profiles, n.verdicts, n.known, n.frail, n.wrong, n.other)
	if n.wrong*20 > n.frail || n.other*100 > n.frail {
		t.Errorf("that is too many")
	}
}

// TestRandomProfiles compares random profiles, for all architectures that libseccomp has.
func TestRandomProfiles(t *testing.T) {
	p := startPeer(t)
	var n tally
	refused, both, endless := 0, 0, 0
	for i := range *random {
		r := rand.New(rand.NewPCG(*seed, uint64(i)))
		s, native := randomProfile(t, p, r)
		optimize := 1 + r.IntN(2)
		c, err := newComparison(t, p, r, s, native, optimize)
		if err != nil {
			refused++
			if _, ok := err.(*Error); ok {
				both++
			} else if errors.Is(err, errEndless) {
				endless++
			}
			continue
		}
		c.all()
		n.add(c)
		if c.bad != 0 {
			t.Fatalf("profile %d has %d differences; a small one that has is, with optimize %d: %s", i, c.bad, optimize, shrink(t, p, s, native, optimize))
		}
	}
	n.report(t)
	t.Logf("%d profiles not compared: refused by libseccomp, %d of them here too, %d without end in it", refused, both, endless)
	if refused*2 > *random {
		t.Errorf("too few profiles were compared")
	}
}
