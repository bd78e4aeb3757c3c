package faults

import (
	"os"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// deep puts the container's cgroup below parents that create has to make.
func deep(id string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Linux.CgroupsPath = "/bt-deep-" + id + "/pod/" + id }
}

// TestPoints kills the runtime between each two of its own effects on the host:
// before the first, after each, after the last. What follows is what an engine does:
// delete --force, and nothing is left.
func TestPoints(t *testing.T) {
	for _, b := range bundles {
		t.Run(b.name, func(t *testing.T) {
			id := harness.ID(t)
			m := newMatrix(t, append(b.change[:len(b.change):len(b.change)], deep(id)), b.console)
			m.id = id
			points := 0
			for ; ; points++ {
				what := "killed at point " + strconv.Itoa(points+1)
				res := m.create("--inject", "point="+strconv.Itoa(points+1))
				if res.Code != 0 && res.Code != 137 {
					t.Fatalf("%s: %s", what, res.Stderr)
				}
				m.forget(what)
				m.nothing(what)
				m.noParents(what)
				if res.Code == 0 {
					break
				}
			}
			if points < 50 {
				t.Errorf("killed at %d points only", points)
			}
			t.Logf("%s: killed at %d points of create", b.name, points)
		})
	}
}

// noParents fails the test when a parent of the container's cgroup is left.
func (m *matrix) noParents(what string) {
	m.t.Helper()
	for _, l := range harness.Cgroups("bt-deep-" + m.id) {
		m.t.Fatalf("%s: left: %s", what, l)
	}
}

// TestDeleteKilled kills a delete at each of its points; the next one does the rest.
func TestDeleteKilled(t *testing.T) {
	id := harness.ID(t)
	m := newMatrix(t, []func(*specs.Spec){deep(id), harness.Args("/bin/sleep", "1000")}, false)
	m.id = id
	for point := 1; ; point++ {
		what := "delete killed at point " + strconv.Itoa(point)
		if res := m.create(); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
		m.h.Must("start", m.id)
		m.h.Global = []string{"--inject", "point=" + strconv.Itoa(point)}
		res := m.h.Do("delete", "--force", m.id)
		m.h.Global = nil
		if res.Code != 0 && res.Code != 137 {
			t.Fatalf("%s: %s", what, res.Stderr)
		}
		m.forget(what)
		m.nothing(what)
		m.noParents(what)
		os.Remove(m.log + ".pid")
		if res.Code == 0 {
			if point < 10 {
				t.Errorf("killed at %d points only", point-1)
			}
			t.Logf("killed at %d points of delete", point-1)
			return
		}
	}
}
