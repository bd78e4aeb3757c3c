package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Outcome is one of the ways in which a call may end, and when.
type Outcome struct {
	Verdict
	// Args are the conditions under which it ends so, unless an outcome before this one
	// does. They are as they are compared on the architecture; the last one has none.
	Args []specs.LinuxSeccompArg
}

// Analysis answers questions about a profile as a whole.
type Analysis struct {
	profile *profile
	spec    *specs.LinuxSeccomp
	sets    map[Arch]*ruleset
}

// Analyze reads a profile, for a machine of an architecture. It refuses what Compile
// refuses, but for filters that are too long.
func Analyze(s *specs.LinuxSeccomp, native Arch) (*Analysis, error) {
	p, err := parse(s, native)
	if err != nil {
		return nil, err
	}
	n := &Analysis{p, s, map[Arch]*ruleset{}}
	for _, a := range p.archs {
		if n.sets[a], err = p.ruleset(a); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Archs are the architectures of the profile, the machine's own first.
func (n *Analysis) Archs() []Arch { return slices.Clone(n.profile.archs) }

// Default is what the filter returns where no rule says anything else.
func (n *Analysis) Default() uint32 { return n.profile.action }

// Explain is like the function of that name.
func (n *Analysis) Explain(c *Call) Verdict {
	a, reason := n.profile.archOf(c)
	switch reason {
	case ByArch:
		return Verdict{Ret: RetKillThread, Reason: ByArch, Rule: -1}
	case ByDefault:
		return Verdict{Ret: n.profile.action, Reason: ByDefault, Rule: -1}
	}
	return n.sets[a].verdict(c, n.profile.action)
}

// Outcomes are all ways in which a system call of an architecture may end, in the order in
// which their conditions are to be asked. What can never come about is not among them.
// Nil for a call that the architecture lacks.
func (n *Analysis) Outcomes(a Arch, name string) []Outcome {
	nr, ok := a.Number(name)
	if !ok {
		return nil
	}
	set := n.sets[a]
	if set == nil {
		return []Outcome{{Verdict: Verdict{Ret: RetKillThread, Reason: ByArch, Rule: -1}}}
	}
	if set.beyond(nr) {
		return []Outcome{{Verdict: Verdict{Ret: RetErrno | enosys, Reason: ByAge, Rule: -1}}}
	}
	rules := set.rules(nr)
	var all []Outcome
	for _, i := range living(rules, arches[a].narrow) {
		all = append(all, Outcome{Verdict{rules[i].action, ByRule, rules[i].index}, shownArgs(rules[i].conditions)})
	}
	if newRegion(nil, arches[a].narrow).escapes(rules) {
		all = append(all, Outcome{Verdict: Verdict{n.profile.action, ByDefault, -1}})
	} else {
		// Where the rules leave nothing over, the last one needs no condition.
		all[len(all)-1].Args = nil
	}
	return all
}

// living are the rules on a call that decide for some arguments.
func living(rules callRules, narrow bool) []int {
	var all []int
	for i := range rules {
		if newRegion(rules[i].conditions, narrow).escapes(rules[:i]) {
			all = append(all, i)
		}
	}
	return all
}

func shownArgs(conditions []condition) []specs.LinuxSeccompArg {
	var args []specs.LinuxSeccompArg
	for _, c := range conditions {
		a := specs.LinuxSeccompArg{Index: uint(c.arg), Value: c.value, Op: specs.LinuxSeccompOperator(operators[c.op])}
		if c.op == opMasked {
			a.Value, a.ValueTwo = c.mask, c.value
		}
		args = append(args, a)
	}
	return args
}

// Idleness is why an entry never decides about a call that it names.
type Idleness uint8

const (
	// Unknown: no architecture has a system call of that name.
	Unknown Idleness = iota
	// Elsewhere: none of the profile's architectures has it, unless by way of socketcall(2)
	// or ipc(2), where what is said of these decides.
	Elsewhere
	// AsDefault: the entry says what the default action says.
	AsDefault
	// Shadowed: others decide before it, or its conditions can never hold.
	Shadowed
)

// IdleName is a name in an entry that has no effect. Profiles are written for several
// machines and kernels, so that only Shadowed is sure to be a mistake.
type IdleName struct {
	Rule int // the index of the entry in syscalls
	Name string
	Why  Idleness
}

// Idle are the names in a profile that have no effect on any call of its architectures,
// but for the largest number that it names (see the package comment).
func (n *Analysis) Idle() []IdleName {
	type place struct{ call, index int }
	deciding, known := map[place]bool{}, map[int]bool{}
	for _, a := range n.profile.archs {
		for _, rules := range n.sets[a].byRaw {
			for _, i := range living(rules, arches[a].narrow) {
				deciding[place{rules[i].call, rules[i].index}] = true
			}
		}
		for call := range callCount {
			if _, ok := a.raw(call); ok {
				known[call] = true
			}
		}
	}
	var all []IdleName
	for i := range n.spec.Syscalls {
		e := &n.spec.Syscalls[i]
		action, _ := parseAction(string(e.Action), e.ErrnoRet, "", "") // parse has looked
		for _, name := range e.Names {
			call, ok := findCall(name)
			switch {
			case !ok:
				all = append(all, IdleName{i, name, Unknown})
			case deciding[place{call, i}]:
			case !known[call]:
				all = append(all, IdleName{i, name, Elsewhere})
			case action == n.profile.action:
				all = append(all, IdleName{i, name, AsDefault})
			default:
				all = append(all, IdleName{i, name, Shadowed})
			}
		}
	}
	return all
}
