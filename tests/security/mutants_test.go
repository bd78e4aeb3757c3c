package security

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/tests/harness"
)

// compiled makes the program of a config on this host, always anew: mutants change it.
func compiled(t *testing.T, f *host.Facts, change ...change) *program.Program {
	t.Helper()
	s := harness.Default()
	for _, c := range change {
		c(s)
	}
	p, err := compile.Create(s, f, &compile.Request{ID: "mutant", Bundle: "/b", Rootfs: "/b/rootfs", StartFIFO: true, CgroupEntry: []string{"/sys/fs/cgroup/memory/x/tasks"}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Program
}

// TestMutants takes real programs, and takes each step out once, or lets each be
// jumped over. What the container's safety hangs on must not pass the verifier.
func TestMutants(t *testing.T) {
	f, err := host.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][]change{
		"default": nil,
		"user":    {harness.UserNamespace},
		"terminal": {process(func(p *specs.Process) { p.Terminal = true }), func(s *specs.Spec) {
			s.Linux.RootfsPropagation = "rshared"
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/b", Source: "/etc", Options: []string{"rbind"}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, f, change...)
			if err := p.Verify(); err != nil {
				t.Fatal(err)
			}
			n, refused := len(p.Steps), 0
			for i := range n {
				vital := vitalStep(p, i)
				for _, jump := range []bool{false, true} {
					m := compiled(t, f, change...)
					if jump {
						if i == 0 || m.Steps[i-1].Call == program.CallExpect {
							continue // a jump of its own, which leads elsewhere
						}
						m.Steps[i-1].Harmless = []program.Harmless{{Errno: unix.ENOLCK, Skip: 1}}
					} else {
						keepJumps(m, i)
						m.Steps = append(m.Steps[:i:i], m.Steps[i+1:]...)
					}
					if m.Verify() != nil {
						refused++
					} else if vital {
						t.Errorf("jumped over %v: passes without step %d: %s: %s", jump, i+1, p.Steps[i].Why, p.Steps[i].Text())
					}
				}
			}
			t.Logf("%d steps, %d of %d mutants refused", n, refused, 2*n-1)
		})
	}
}

// keepJumps shortens the jumps over a step that is taken out.
func keepJumps(p *program.Program, gone int) {
	for i := range gone {
		for j := range p.Steps[i].Harmless {
			if h := &p.Steps[i].Harmless[j]; i+1+h.Skip > gone {
				h.Skip--
			}
		}
	}
}

// vitalStep says whether the safety of the host hangs on a step.
func vitalStep(p *program.Program, i int) bool {
	st := &p.Steps[i]
	switch st.Call {
	case program.CallPivotRoot, program.CallUmount2, program.CallGetcwd, program.CallExecve:
		return true
	case program.CallCloseRange:
		return strings.HasPrefix(st.Why, "close every descriptor but")
	case program.CallMount:
		return strings.HasPrefix(st.Why, "keep ")
	case program.CallExpect:
		return strings.HasPrefix(st.Why, "see that it is inside")
	case program.CallStatx:
		// Whoever judges by what the call wrote must not judge by older memory.
		return i+1 < len(p.Steps) && p.Steps[i+1].Call == program.CallExpect
	case program.CallOpenat2, program.CallOpenTree, program.CallFsopen, program.CallFsmount:
		return st.Result != nil && !strings.HasPrefix(st.Why, "see that the working directory")
	}
	return false
}

// TestMutantFlags weakens one flag or resolution of a real program at a time.
func TestMutantFlags(t *testing.T) {
	f, err := host.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := len(compiled(t, f).Steps)
	tried := 0
	for i := range n {
		m := compiled(t, f)
		st := &m.Steps[i]
		set := func(arg int, without uint64) { st.Args[arg] = program.Uint(st.Args[arg].Number() &^ without) }
		switch st.Call {
		case program.CallOpenat:
			set(2, unix.O_CLOEXEC)
		case program.CallOpenTree:
			set(2, unix.OPEN_TREE_CLOEXEC)
		case program.CallFsopen, program.CallFsmount:
			set(1, 1)
		case program.CallSocket:
			set(1, unix.SOCK_CLOEXEC)
		case program.CallOpenat2:
			if st.Args[1].Data().Value() == "" {
				continue
			}
			st.Args[2] = program.Ptr(program.OpenHow(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_NO_XDEV))
		case program.CallMkdirat, program.CallMknodat:
			if st.Args[0].Slot() == nil {
				continue
			}
			st.Args[1] = program.Path("../" + filepath.Base(st.Args[1].Data().Value()))
		default:
			continue
		}
		tried++
		if m.Verify() == nil {
			t.Errorf("step %d passes: %s", i+1, st.Text())
		}
	}
	t.Logf("%d mutants", tried)
}
