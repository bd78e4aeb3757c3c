package compile

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/program"
)

// TestNoPivotCovers: what the host has of procfs is covered, seen by nobody else, and
// Verify lets no other place of the host be covered, nor one whose mount has peers.
func TestNoPivotCovers(t *testing.T) {
	s := minimal()
	s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	r := &Request{ID: "x", Rootfs: "/r", NoPivot: true, ProcMounts: []string{"/proc", "/sys", "/srv/proc"}}
	p := compileFor(t, s, rootFacts(), r)
	covered := 0
	for i := range p.Steps {
		if p.Steps[i].Why != "keep the cover from the host" {
			continue
		}
		covered++
		spoilt := *p.Program
		spoilt.Steps = slices.Delete(slices.Clone(p.Steps), i, i+1)
		if err := spoilt.Verify(); err == nil || !strings.Contains(err.Error(), "move_mount") {
			t.Errorf("step %d taken out: %v", i+1, err)
		}
	}
	if covered != 3 {
		t.Errorf("%d places are covered, want 3", covered)
	}
	other := *p.Program
	other.Host.Covered = []string{"/proc", "/sys"}
	if err := other.Verify(); err == nil || !strings.Contains(err.Error(), `"/srv/proc"`) {
		t.Errorf("a place that is not to be covered: %v", err)
	}
	r.NoPivot = false
	if p := compileFor(t, s, rootFacts(), r); slices.ContainsFunc(p.Steps, func(st program.Step) bool { return strings.Contains(st.Why, "cover") }) {
		t.Error("places of the host are covered although pivot_root is made")
	}
}
