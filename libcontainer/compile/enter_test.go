package compile

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

func enterFor(t testing.TB, f *host.Facts, r *EnterRequest) *Result {
	t.Helper()
	p, err := Enter(f, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEnterAllNamespaces compiles a process for each of the 2^8 sets of namespaces
// that a container may have, as root and as a user, with and without a terminal.
func TestEnterAllNamespaces(t *testing.T) {
	for _, f := range []*host.Facts{rootFacts(), userFacts()} {
		for n := range 1 << len(nsKinds) {
			var set uintptr
			for i, k := range nsKinds {
				if n&(1<<i) != 0 {
					set |= k.flag
				}
			}
			proc := &specs.Process{Args: []string{"sh"}, Env: []string{"PATH=/bin"}, Cwd: "/", Terminal: n%3 == 0}
			p := enterFor(t, f, &EnterRequest{ID: "x", Process: proc, ProcessPath: "process", Namespaces: set, PreserveFDs: n % 4})
			var joined uint64
			for _, st := range p.Steps {
				switch st.Call {
				case program.CallSetns:
					joined |= st.Args[1].Number()
				case program.CallUnshare, program.CallPivotRoot, program.CallMoveMount, program.CallMount:
					t.Fatalf("%s in a process that joins", st.Text())
				}
			}
			if joined != uint64(set) {
				t.Fatalf("joined %x, want %x", joined, set)
			}
			if p.Kind != program.KindEnter || p.CloneFlags != 0 || p.Intermediate != (set&unix.CLONE_NEWPID != 0) {
				t.Fatalf("%x: kind %s, clone flags %x, intermediate %v", set, p.Kind, p.CloneFlags, p.Intermediate)
			}
			if (p.Descriptor(program.FDPidFD) >= 0) != (set != 0) || (p.Descriptor(program.FDDirectory) >= 0) != (set&unix.CLONE_NEWNS == 0) {
				t.Fatalf("%x: descriptors %+v", set, p.Descriptors)
			}
		}
	}
}

// TestEnterIsCreate: what a process is, is made by the same steps, whether it is the
// container's first or joins it; only its JSON path is another one.
func TestEnterIsCreate(t *testing.T) {
	s := load(t, "../../spec/testdata/configs/docker-default.json")
	s.Linux.Seccomp, s.Hooks = nil, nil
	s.Process.Terminal = false
	first := compileFor(t, s, rootFacts(), &Request{ID: "x", Bundle: "/b", Rootfs: "/b/rootfs"})
	second := enterFor(t, rootFacts(), &EnterRequest{ID: "x", Process: s.Process, ProcessPath: "", Namespaces: unix.CLONE_NEWNS})
	texts := func(p *Result, prefix string) (calls, paths []string) {
		for _, st := range p.Steps {
			if st.Phase >= program.PhaseProcess && st.Call != program.CallCloseRange {
				calls = append(calls, st.Text()+" # "+st.Why)
				paths = append(paths, st.JSONPath)
			}
		}
		for i := range paths {
			if paths[i] != "" && prefix != "" {
				paths[i] = paths[i][len(prefix):]
			}
		}
		return calls, paths
	}
	a, apaths := texts(first, "process.")
	b, bpaths := texts(second, "")
	if !slices.Equal(a, b) {
		t.Errorf("create:\n%q\nenter:\n%q", a, b)
	}
	if !slices.Equal(apaths, bpaths) {
		t.Errorf("create:\n%q\nenter:\n%q", apaths, bpaths)
	}
}

// The errors of a process that stands in a document of its own name its properties
// as they stand there.
func TestEnterErrors(t *testing.T) {
	proc := &specs.Process{Args: []string{"sh"}, Env: []string{"PATH=bin"}, Cwd: "/", ApparmorProfile: "x"}
	for path, want := range map[string][]string{"": {"apparmorProfile", "args[0]"}, "process": {"process.apparmorProfile", "process.args[0]"}} {
		c := newCompiler(&specs.Spec{Process: proc}, &host.Facts{}, &Request{})
		c.processPath = path
		c.openLabels()
		c.becomeProcess()
		var got []string
		for _, e := range c.err {
			got = append(got, e.JSONPath)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}
