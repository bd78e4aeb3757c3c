package seccomp

import (
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestOrder: which of two rules on a call decides, for each pair of operators, of two
// values below and above 32 bits, in both orders, on one argument and on two. libseccomp
// refuses some of them.
func TestOrder(t *testing.T) {
	p := startPeer(t)
	compared, refused, verdicts := 0, 0, 0
	for _, native := range []Arch{AMD64, X86} {
		for a := range operators {
			for b := range operators {
				for _, values := range [][2]uint64{{3, 5}, {5, 3}, {4, 4}, {1<<32 | 5, 3 << 32}, {3 << 32, 1<<32 | 5}, {7, 2 << 32}} {
					for _, index := range []uint{0, 1} {
						s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
							pairRule(specs.ActErrno, 0, operators[a], values[0]),
							pairRule(specs.ActTrap, index, operators[b], values[1]),
						}}
						n, ok := comparePair(t, p, s, native)
						if !ok {
							refused++
							continue
						}
						compared++
						verdicts += n
					}
				}
			}
		}
	}
	t.Logf("%d pairs, %d verdicts; %d pairs refused by libseccomp or frail in it", compared, verdicts, refused)
	if compared < 800 {
		t.Error("too few")
	}
}

// frailPair says of two rules with a condition each that libseccomp does not settle
// them by any order: NE of two values on one argument, of which the one decides for the lower
// halves and the other one for the upper; and bounds on one argument with other upper
// halves, which it gets wrong (TestLibseccompErrs).
func frailPair(rules callRules) bool {
	a, b := rules[0].conditions[0], rules[1].conditions[0]
	if a.arg != b.arg {
		return false
	}
	return a.op == opNE && b.op == opNE || class(a.op) != 3 && class(b.op) != 3 && a.value>>32 != b.value>>32
}

func pairRule(action specs.LinuxSeccompAction, index uint, op string, value uint64) specs.LinuxSyscall {
	arg := specs.LinuxSeccompArg{Index: index, Op: specs.LinuxSeccompOperator(op), Value: value}
	if arg.Op == specs.OpMaskedEqual {
		arg.Value, arg.ValueTwo = value|2, value
	}
	return specs.LinuxSyscall{Names: []string{"ioctl"}, Action: action, Args: []specs.LinuxSeccompArg{arg}}
}

// comparePair compares all combinations of values at the bounds.
func comparePair(t *testing.T, p *peer, s *specs.LinuxSeccomp, native Arch) (verdicts int, ok bool) {
	t.Helper()
	c, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), s, native, 1)
	if err != nil {
		return 0, false
	}
	nr, _ := native.Number("ioctl")
	rules := c.sets[native].rules(nr)
	if frailPair(rules) {
		return 0, false
	}
	var values []uint64
	for _, r := range rules {
		for _, d := range r.conditions {
			values = append(values, around(d)...)
		}
	}
	for _, v := range values {
		for _, w := range values {
			d := &Call{Nr: nr, Arch: native.Audit(), Args: [6]uint64{v, w}}
			verdicts++
			if got, want := c.run(d), c.want(d); got != want {
				t.Errorf("%s, %+v: arguments %#x %#x: %#x, libseccomp says %#x", native, s.Syscalls, v, w, got, want)
				return verdicts, true
			}
		}
	}
	return verdicts, true
}
