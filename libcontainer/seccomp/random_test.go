package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// families are architectures that occur together in one profile.
var families = [][]Arch{
	{AMD64, X86, X32},
	{X86, AMD64, X32},
	{AMD64, X86},
	{AMD64},
	{ARM64, ARM},
	{ARM, ARM64},
	{RISCV64},
	{MIPS, MIPS64, MIPSN32},
	{MIPSEL64, MIPSEL, MIPSELN32},
	{PPC64LE},
	{PPC64, PPC},
	{S390X, S390},
	{PARISC64, PARISC},
}

// oddNames are calls that libseccomp does not have as Linux 6.12 has them
// (tablesDiffer), and two of PowerPC that have one and the same number in libseccomp on amd64, so
// that a rule on the one becomes a rule on the other.
var oddNames = map[string]bool{"map_shadow_stack": true, "_llseek": true, "switch_endian": true, "sys_debug_setcontext": true}

func choose[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomProfile is a profile with a few calls that many rules are on, and many calls
// that few are.
func randomProfile(t testing.TB, p *peer, r *rand.Rand) (*specs.LinuxSeccomp, Arch) {
	t.Helper()
	family := choose(r, families...)
	if r.IntN(2) == 0 {
		family = families[0]
	}
	s := &specs.LinuxSeccomp{DefaultAction: choose(r, specs.ActErrno, specs.ActErrno, specs.ActKill, specs.ActTrap, specs.ActAllow, specs.ActLog, specs.ActKillProcess)}
	for _, a := range family[r.IntN(2):] {
		s.Architectures = append(s.Architectures, specs.Arch(a.String()))
	}
	var names []string
	for _, a := range family {
		for name := range p.table(t, a) {
			if Known(name) && !oddNames[name] {
				names = append(names, name)
			}
		}
	}
	names = append(names, "socket", "accept4", "shmat", "semctl", "msgrcv", "connect")
	slices.Sort(names)
	few := make([]string, 1+r.IntN(12))
	for i := range few {
		few[i] = choose(r, names...)
	}
	// Half of them compare for equality alone: these libseccomp always gets right.
	ops := operators[:]
	if r.IntN(2) == 0 {
		ops = []string{operators[opEQ], operators[opEQ], operators[opMasked]}
	}
	for range 1 + r.IntN(25) {
		s.Syscalls = append(s.Syscalls, randomEntry(r, names, few, ops))
	}
	return s, family[0]
}

func randomEntry(r *rand.Rand, names, few, ops []string) specs.LinuxSyscall {
	e := specs.LinuxSyscall{Action: choose(r, specs.ActErrno, specs.ActAllow, specs.ActAllow, specs.ActAllow, specs.ActLog, specs.ActTrap, specs.ActKillProcess, specs.ActTrace, specs.ActNotify)}
	if (e.Action == specs.ActErrno || e.Action == specs.ActTrace) && r.IntN(2) == 0 {
		n := uint(r.IntN(200))
		e.ErrnoRet = &n
	}
	if r.IntN(3) == 0 {
		from := r.IntN(len(names))
		e.Names = slices.Clone(names[from:min(from+1+r.IntN(40), len(names))])
		if r.IntN(2) == 0 {
			return e
		}
	} else {
		e.Names = []string{choose(r, few...)}
	}
	for range r.IntN(4) {
		e.Args = append(e.Args, randomArg(r, ops))
	}
	return e
}

func randomArg(r *rand.Rand, ops []string) specs.LinuxSeccompArg {
	a := specs.LinuxSeccompArg{
		Index: uint(choose(r, 0, 0, 0, 1, 1, 2, 5)),
		Op:    specs.LinuxSeccompOperator(choose(r, ops...)),
		Value: randomValue(r),
	}
	if a.Op == specs.OpMaskedEqual {
		a.Value = choose(r, 0, 1, 0xff, 0x7e020000, 0xffffffff, 0xf0, 1<<40, 0xff<<32|0xf, ^uint64(0), randomValue(r))
		a.ValueTwo = choose(r, 0, a.Value, randomValue(r))
	}
	return a
}

func randomValue(r *rand.Rand) uint64 {
	return choose(r,
		uint64(r.IntN(4)), uint64(r.IntN(4)), 1<<r.IntN(64), 0xffffffff, 1<<32+uint64(r.IntN(3)), 3<<32|uint64(r.IntN(3)),
		^uint64(0)-uint64(r.IntN(2)), 1<<31, r.Uint64(), uint64(r.Uint32()))
}
