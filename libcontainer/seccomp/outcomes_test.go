package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// decided is what Outcomes say of a call.
func decided(t *testing.T, outcomes []Outcome, c *Call, narrow bool) Verdict {
	t.Helper()
	for _, o := range outcomes {
		conditions, _, err := parseArgs(o.Args, "")
		if err != nil {
			t.Fatal(err)
		}
		if (lowered{&rule{}, conditions}).hold(c, narrow) {
			return o.Verdict
		}
	}
	t.Fatalf("no outcome for %+v", c)
	return Verdict{}
}

// TestOutcomes holds Outcomes against Explain for random profiles, and looks that each
// outcome comes about for some arguments.
func TestOutcomes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, *seed))
	names := []string{"socket", "clone", "kill", "ioctl", "personality"}
	shadowed, reached, missed := 0, 0, 0
	for range 200 {
		s := &specs.LinuxSeccomp{DefaultAction: choose(r, specs.ActErrno, specs.ActAllow), Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86}}
		for range 2 + r.IntN(7) {
			s.Syscalls = append(s.Syscalls, randomEntry(r, names, names, operators[:]))
		}
		n, err := Analyze(s, AMD64)
		if err != nil {
			continue // two rules that contradict each other
		}
		idle := n.Idle()
		for _, i := range idle {
			if i.Why == Shadowed {
				shadowed++
			}
		}
		for _, a := range []Arch{AMD64, X86} {
			for _, name := range names {
				outcomes := n.Outcomes(a, name)
				seen := map[int]bool{}
				nr, _ := a.Number(name)
				for range 300 {
					c := &Call{Nr: nr, Arch: a.Audit()}
					for k := range c.Args {
						c.Args[k] = pointNear(r, s)
					}
					want := n.Explain(c)
					got := decided(t, outcomes, c, arches[a].narrow)
					if got.Ret != want.Ret || got.Reason != want.Reason || got.Rule != want.Rule {
						t.Fatalf("%s of %s%x: %+v, want %+v\n%+v", name, a, c.Args, got, want, s.Syscalls)
					}
					seen[got.Rule] = true
					if i := (IdleName{got.Rule, name, Shadowed}); slices.Contains(idle, i) {
						t.Fatalf("%+v decides about %+v\n%+v", i, c, s.Syscalls)
					}
				}
				for _, o := range outcomes {
					if seen[o.Rule] {
						reached++
					} else {
						missed++
					}
				}
			}
		}
	}
	// What chance does not find there is: a handful of values in 2^384.
	t.Logf("%d outcomes seen, %d not met by chance; %d names shadowed", reached, missed, shadowed)
	if missed > reached/5 || shadowed < 50 {
		t.Error("outcomes that do not come about are not found, or the test is too weak")
	}
}

// pointNear is a value at or beside one that a profile compares with.
func pointNear(r *rand.Rand, s *specs.LinuxSeccomp) uint64 {
	e := s.Syscalls[r.IntN(len(s.Syscalls))]
	if len(e.Args) == 0 {
		return randomValue(r)
	}
	a := e.Args[r.IntN(len(e.Args))]
	return choose(r, a.Value, a.Value+1, a.Value-1, a.ValueTwo, a.ValueTwo|randomValue(r)&^a.Value, randomValue(r), 0)
}

// TestNextMasked against trying one after another.
func TestNextMasked(t *testing.T) {
	for mask := range uint64(64) {
		for value := mask; ; value = (value - 1) & mask {
			for x := range uint64(130) {
				want := x
				for want&mask != value {
					want++
				}
				if got, ok := nextMasked(x, mask, value); !ok || got != want {
					t.Fatalf("from %d on with %b under %b: %d %v, want %d", x, value, mask, got, ok, want)
				}
			}
			if value == 0 {
				break
			}
		}
	}
	if got, ok := nextMasked(^uint64(0), 1<<63, 0); ok {
		t.Errorf("beyond the largest: %x", got)
	}
}

// TestIdle has each reason once.
func TestIdle(t *testing.T) {
	arg := func(o specs.LinuxSeccompOperator, v uint64) []specs.LinuxSeccompArg {
		return []specs.LinuxSeccompArg{{Index: 1, Value: v, Op: o}}
	}
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"read", "no_such_call", "cacheflush"}, Action: specs.ActAllow},
		{Names: []string{"mkdir"}, Action: specs.ActErrno},
		{Names: []string{"read"}, Action: specs.ActAllow, Args: arg(specs.OpEqualTo, 3)},
		{Names: []string{"kill"}, Action: specs.ActAllow, Args: arg(specs.OpLessThan, 0)},
		{Names: []string{"ioctl"}, Action: specs.ActTrap, Args: arg(specs.OpLessEqual, 9)},
		{Names: []string{"ioctl"}, Action: specs.ActAllow, Args: arg(specs.OpGreaterThan, 5)},
		{Names: []string{"ioctl"}, Action: specs.ActKillProcess, Args: arg(specs.OpNotEqual, 1<<40)},
		{Names: []string{"ioctl"}, Action: specs.ActKillProcess, Args: arg(specs.OpMaskedEqual, 0)},
		{Names: []string{"dup"}, Action: specs.ActAllow, Args: arg(specs.OpEqualTo, 1<<33)},
	}}
	n, err := Analyze(s, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	got := n.Idle()
	want := []IdleName{
		{0, "no_such_call", Unknown},
		{0, "cacheflush", Elsewhere},
		{1, "mkdir", AsDefault},
		{2, "read", Shadowed},
		{3, "kill", Shadowed},
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%+v is missing in %+v", w, got)
		}
	}
	// A mask of 0 is no condition.
	outcomes := n.Outcomes(AMD64, "ioctl")
	if len(outcomes) != 1 || outcomes[0].Rule != 7 {
		t.Errorf("%+v", outcomes)
	}
	// podman's has two entries that are there twice.
	engines := map[string][]IdleName{"moby": nil, "containerd": nil, "podman": {{10, "setns", Shadowed}, {21, "socket", Shadowed}}}
	for name, want := range engines {
		n, err := Analyze(readProfile(t, name), AMD64)
		if err != nil {
			t.Fatal(err)
		}
		idle := slices.DeleteFunc(n.Idle(), func(i IdleName) bool { return i.Why != Shadowed })
		if !slices.Equal(idle, want) {
			t.Errorf("%s: %+v", name, idle)
		}
	}
}
