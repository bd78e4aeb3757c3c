package cgroups

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/host"
)

// given makes a cgroup as an engine would, in all hierarchies.
func given(t *testing.T, f *host.Facts, top, path string) {
	t.Helper()
	for _, h := range f.Cgroup.Hierarchies {
		if err := os.MkdirAll(h.Mount+path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, h := range f.Cgroup.Hierarchies {
			if err := clear(h.Mount, top[1:]); err != nil {
				t.Error(err)
			}
		}
	})
}

// left lists the hierarchies where a cgroup is.
func left(f *host.Facts, path string) []string {
	var list []string
	for _, h := range f.Cgroup.Hierarchies {
		if exists(h.Mount + path) {
			list = append(list, h.Mount+path)
		}
	}
	return list
}

func TestOthersAreKept(t *testing.T) {
	f, top := real(t)
	path := top + "/given/leaf"
	given(t, f, top, path)
	m := create(t, f, path, nil)
	// The given cpuset was empty on all levels, and has to be usable now.
	cmd := inside(t, m, "while :; do sleep 1000; done")
	if err := plan(t, f, path, nil).make(); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup is not empty: it is another container's") {
		t.Errorf("a second container in it: %v", err)
	}
	destroy(t, m)
	cmd.Wait()
	if n := len(left(f, path)); n != len(f.Cgroup.Hierarchies) {
		t.Errorf("what was there before is in %d of %d hierarchies", n, len(f.Cgroup.Hierarchies))
	}
	// It can be used again.
	destroy(t, create(t, f, path, nil))

	a, b := create(t, f, top+"/given/both/a", nil), create(t, f, top+"/given/both/b", nil)
	destroy(t, a)
	for name, dir := range b.Dirs {
		if !exists(dir) {
			t.Errorf("%s: a neighbour's cgroup is gone", name)
		}
	}
	// The one who made the parent went first; the last one takes it away.
	destroy(t, b)
	if l := left(f, top+"/given/both"); l != nil {
		t.Errorf("the parent stays: %s", l)
	}
}

// A container never removes, and never kills in, a cgroup that has become another's.
func TestCgroupOfAnother(t *testing.T) {
	f, top := real(t)
	old := create(t, f, top, nil)
	for _, dir := range old.Dirs { // as an engine might
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	later := old.again(t)
	fresh := create(t, f, top, nil)
	cmd := inside(t, fresh, "while :; do sleep 1000; done")
	if pids, err := later.Procs(); err != nil || len(pids) != 0 {
		t.Errorf("another's processes: %v %v", pids, err)
	}
	if err := later.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := old.undo(time.Second); err != nil {
		t.Error(err)
	}
	if err := unix.Kill(cmd.Process.Pid, 0); err != nil || len(left(f, top)) != len(f.Cgroup.Hierarchies) {
		t.Errorf("the new container suffered: %v", err)
	}
}

// Create was killed between mkdir and the mark: its undo removes what it made, and
// leaves what lacks the sticky bit.
func TestUndoWithoutMark(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, nil)
	for _, dir := range m.Dirs {
		if err := unix.Removexattr(dir, trustedMark); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.undo(time.Second); err != nil {
		t.Error(err)
	}
	if l := left(f, top); l != nil {
		t.Errorf("left: %s", l)
	}
	given(t, f, top, top)
	if err := m.undo(time.Second); err != nil {
		t.Error(err)
	}
	if l := left(f, top); len(l) != len(f.Cgroup.Hierarchies) {
		t.Errorf("what was there before is in %s alone", l)
	}
}

func TestFrozenIsRefused(t *testing.T) {
	f, top := real(t)
	for _, h := range f.Cgroup.Hierarchies {
		if len(h.Controllers) == 0 || h.Controllers[0] != "freezer" {
			continue
		}
		given(t, f, top, top+"/parent")
		if err := os.WriteFile(h.Mount+top+"/parent/freezer.state", []byte("FROZEN"), 0); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{top + "/parent", top + "/parent/leaf"} {
			m := plan(t, f, path, nil)
			if err := m.make(); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup unexpectedly frozen") {
				t.Errorf("%s: %v", path, err)
			}
			if err := m.undo(time.Second); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Skip("no freezer")
}

// SIGKILL ends also what a parent keeps frozen.
func TestKillUnderFrozenParent(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top+"/parent/leaf", nil)
	parent := strings.TrimSuffix(m.Dirs["freezer"], "/leaf")
	if parent == "" {
		t.Skip("no freezer")
	}
	cmd := inside(t, m, "sleep 1000 & while :; do sleep 1000; done")
	if err := os.WriteFile(parent+"/freezer.state", []byte("FROZEN"), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.String() != "signal: killed" {
		t.Errorf("ended by %v", err)
	}
	until(t, "all are dead", func() bool { pids, _ := m.Procs(); return len(pids) == 0 })
}

// Whatever action fails, or is the last one before the end, the note taken before is
// enough to leave nothing.
func TestEveryActionFails(t *testing.T) {
	f, top := real(t)
	r := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}, CPU: &specs.LinuxCPU{Mems: "0"}}
	stop := errors.New("stop")
	for i := range plan(t, f, top+"/p/leaf", r).Actions {
		for _, before := range []bool{true, false} {
			m := plan(t, f, top+"/p/leaf", r)
			at := func(n int) error {
				if n == i {
					return stop
				}
				return nil
			}
			if before {
				m.before = at
			} else {
				m.after = at
			}
			if err := m.make(); err != stop {
				t.Fatalf("action %d: %v", i, err)
			}
			for range 2 {
				if err := m.undo(time.Second); err != nil {
					t.Errorf("action %d: %v", i, err)
				}
			}
			if l := left(f, top); l != nil {
				t.Fatalf("action %d leaves %s", i, l)
			}
		}
	}
	m := plan(t, f, top+"/p/leaf", r)
	if _, err := m.Prepare(&Making{Note: func(string, [][]string) error { return stop }}); err != stop {
		t.Errorf("a journal that can't be written: %v", err)
	}
}

// Parents that vanish while a neighbour needs them are made again, and the last one
// takes them away.
func TestVanishingParents(t *testing.T) {
	f, top := real(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 15 {
				m := plan(t, f, top+"/p/"+strconv.Itoa(w), nil)
				if err := m.make(); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(m.Dirs["cpuset"] + "/cpuset.mems"); err == nil && len(got) < 2 {
					t.Error("a cpuset is empty")
				}
				if err := m.undo(5 * time.Second); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if l := left(f, top); l != nil {
		t.Errorf("left: %s", l)
	}
}

// Of many that want one cgroup, be it there before or not, exactly one gets it.
func TestOneOwner(t *testing.T) {
	f, top := real(t)
	for _, there := range []bool{false, true} {
		path := top + "/x"
		if there {
			path = top + "/there"
			given(t, f, top, path)
		}
		for range 50 {
			groups := make([]*group, 4)
			errs := make([]error, len(groups))
			var wg sync.WaitGroup
			for i := range groups {
				groups[i] = plan(t, f, path, nil)
				wg.Go(func() {
					if errs[i] = groups[i].make(); errs[i] != nil {
						errs[i] = errors.Join(errs[i], groups[i].undo(time.Second))
					}
				})
			}
			wg.Wait()
			won := 0
			for i, err := range errs {
				if err == nil {
					won++
					if n := len(left(f, path)); n != len(f.Cgroup.Hierarchies) {
						t.Errorf("the winner's cgroup is in %d hierarchies alone", n)
					}
					destroy(t, groups[i])
				} else if !strings.HasPrefix(err.Error(), "container's cgroup is not empty: it is another container's") {
					t.Error(err)
				}
			}
			if won != 1 {
				t.Fatalf("%d have it: %v", won, errs)
			}
			if l := left(f, path); (len(l) != 0) != there {
				t.Fatalf("left: %s", l)
			}
		}
	}
}
