package seccomp

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// smaller are the profiles with one thing less.
func smaller(s *specs.LinuxSeccomp) []*specs.LinuxSeccomp {
	var all []*specs.LinuxSeccomp
	with := func(change func(*specs.LinuxSeccomp)) {
		less := *s
		less.Syscalls = slices.Clone(s.Syscalls)
		change(&less)
		all = append(all, &less)
	}
	for i := range s.Syscalls {
		e := &s.Syscalls[i]
		with(func(l *specs.LinuxSeccomp) { l.Syscalls = slices.Delete(l.Syscalls, i, i+1) })
		for j := range e.Names {
			if len(e.Names) > 1 {
				with(func(l *specs.LinuxSeccomp) {
					l.Syscalls[i].Names = slices.Delete(slices.Clone(e.Names), j, j+1)
				})
			}
		}
		for j := range e.Args {
			with(func(l *specs.LinuxSeccomp) { l.Syscalls[i].Args = slices.Delete(slices.Clone(e.Args), j, j+1) })
		}
	}
	for i := range s.Architectures {
		with(func(l *specs.LinuxSeccomp) {
			l.Architectures = slices.Delete(slices.Clone(s.Architectures), i, i+1)
		})
	}
	return all
}

// shrink finds a small profile that the comparison still fails for.
func shrink(t testing.TB, p *peer, s *specs.LinuxSeccomp, native Arch, optimize int) string {
	t.Helper()
	fails := func(s *specs.LinuxSeccomp) bool {
		c, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), s, native, optimize)
		if err != nil {
			return false
		}
		c.quiet = true
		c.ruled()
		return c.bad != 0
	}
	for {
		less := smaller(s)
		i := slices.IndexFunc(less, fails)
		if i < 0 {
			text, _ := json.Marshal(s)
			return string(text)
		}
		s = less[i]
	}
}
