package compile

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// TestHookAllNamespaces compiles hooks for each set of namespaces that a container may
// have: what Verify asks of them holds, and they execute the path as it is.
func TestHookAllNamespaces(t *testing.T) {
	h := &specs.Hook{Path: "/proc/7/exe", Args: []string{"other"}, Env: []string{"A=b"}}
	proc := &specs.Process{Args: []string{"other"}, Cwd: "/", User: specs.User{UID: 5}}
	for _, f := range []*host.Facts{rootFacts(), userFacts()} {
		for n := range 1 << len(nsKinds) {
			var set uintptr
			for i, k := range nsKinds {
				if n&(1<<i) != 0 {
					set |= k.flag
				}
			}
			req := func() *EnterRequest {
				return &EnterRequest{ID: "x", Namespaces: set, Hook: h, Rootfs: "/b/rootfs"}
			}
			outer, err := Hook(f, req())
			if err == nil {
				err = outer.Verify()
			}
			if err != nil {
				t.Fatalf("%x: %v", set, err)
			}
			r := req()
			r.Process, r.ProcessPath = proc, "process"
			inner := enterFor(t, f, r)
			if outer.Kind != program.KindHook || inner.Kind != program.KindEnter || outer.Intermediate != (set&unix.CLONE_NEWPID != 0) {
				t.Fatalf("%x: kinds %s, %s", set, outer.Kind, inner.Kind)
			}
			for _, p := range []*Result{outer, inner} {
				last := p.Steps[len(p.Steps)-1]
				if last.Call != program.CallExecve || last.Args[0].Data().Value() != h.Path || p.Home != nil {
					t.Fatalf("%x ends with %s", set, last.Text())
				}
			}
		}
	}
}

// TestHookBarriers: the child waits where its config has hooks, and nowhere else.
func TestHookBarriers(t *testing.T) {
	one := []specs.Hook{{Path: "/x"}}
	for name, c := range map[string]struct {
		hooks          *specs.Hooks
		outer, insider bool
	}{
		"none":            {nil, false, false},
		"later ones":      {&specs.Hooks{StartContainer: one, Poststart: one, Poststop: one}, false, false},
		"createRuntime":   {&specs.Hooks{CreateRuntime: one}, true, false},
		"createContainer": {&specs.Hooks{CreateContainer: one}, false, true},
		"both":            {&specs.Hooks{CreateRuntime: one, CreateContainer: one}, true, true},
	} {
		s := load(t, "../../spec/testdata/configs/docker-default.json")
		s.Hooks = c.hooks
		p := compileFor(t, s, rootFacts(), &Request{ID: "x", Bundle: "/b", Rootfs: "/b/rootfs"})
		if p.Has(program.BarrierRuntimeHooks) != c.outer || p.Has(program.BarrierContainerHooks) != c.insider {
			t.Errorf("%s: barriers are missing, or too many", name)
		}
		if err := p.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
