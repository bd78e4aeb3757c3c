package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Reason is why a call ends as it does.
type Reason uint8

const (
	// ByRule: an entry of syscalls says so.
	ByRule Reason = iota
	// ByDefault: no rule holds, so that it is the default action.
	ByDefault
	// ByAge: the call is newer than any that the profile names, or can not be told
	// from such a one.
	ByAge
	// ByArch: the profile does not have the caller's architecture.
	ByArch
)

// Verdict is what becomes of a call, and why.
type Verdict struct {
	// Ret is what the filter returns: an action (RetAction) and its data.
	Ret    uint32
	Reason Reason
	// Rule is the index in syscalls of the entry that decides, -1 where none does.
	Rule int
}

// Explain says what becomes of a call under a profile on a machine of an
// architecture. It goes by the rules themselves, not by the filter that Compile makes
// of them; tests hold the two against each other.
func Explain(s *specs.LinuxSeccomp, native Arch, c *Call) (Verdict, error) {
	n, err := Analyze(s, native)
	if err != nil {
		return Verdict{}, err
	}
	return n.Explain(c), nil
}

// archOf is the architecture of a call, if its rules are to be asked (ByRule).
func (p *profile) archOf(c *Call) (Arch, Reason) {
	amd64, x32 := slices.Contains(p.archs, AMD64), slices.Contains(p.archs, X32)
	if c.Arch != AMD64.Audit() {
		for _, a := range p.archs {
			if a.Audit() == c.Arch {
				return a, ByRule
			}
		}
		return 0, ByArch
	}
	if c.Nr >= noABI && c.Nr < noABIEnd && amd64 {
		if _, ok := p.newest(AMD64); ok {
			return AMD64, ByRule
		}
	}
	switch {
	case c.Nr >= x32Bit && x32:
		return X32, ByRule
	case c.Nr < x32Bit && amd64:
		return AMD64, ByRule
	case c.Nr == fullMask && amd64:
		return 0, ByDefault
	}
	return 0, ByArch
}

func (s *ruleset) verdict(c *Call, byDefault uint32) Verdict {
	if s.hasLast && c.Nr == 0 && (s.arch == S390 || s.arch == S390X) {
		return Verdict{Ret: RetErrno | enosys, Reason: ByAge, Rule: -1}
	}
	rules := s.rules(c.Nr)
	if s.beyond(c.Nr) {
		return Verdict{Ret: RetErrno | enosys, Reason: ByAge, Rule: -1}
	}
	for i := range rules {
		if rules[i].hold(c, arches[s.arch].narrow) {
			return Verdict{Ret: rules[i].action, Reason: ByRule, Rule: rules[i].index}
		}
	}
	return Verdict{Ret: byDefault, Reason: ByDefault, Rule: -1}
}

func (l lowered) hold(c *Call, narrow bool) bool {
	for _, d := range l.conditions {
		v := c.Args[d.arg]
		if narrow {
			v = uint64(uint32(v))
		}
		if !d.holds(v) {
			return false
		}
	}
	return true
}
