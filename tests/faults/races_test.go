package faults

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// rounds is how often a race is run: BERTH_ROUNDS, or a few.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("BERTH_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return few
}

// command runs a command of the runtime beside others. A container that is left
// running holds the files that it writes to, and no pipe.
func command(h *harness.Host, dir string, args ...string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := os.CreateTemp(dir, "out-")
	if err != nil {
		return -1, err.Error()
	}
	defer f.Close()
	defer os.Remove(f.Name())
	cmd := h.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = f, f
	_ = cmd.Run()
	b, _ := os.ReadFile(f.Name())
	return cmd.ProcessState.ExitCode(), string(bytes.TrimSpace(b))
}

// TestTwoCreatesOneCgroup has two creates with one cgroupsPath at the same time, in
// two state directories: exactly one gets it and runs, the other one says why not,
// and its undo and delete harm nothing.
func TestTwoCreatesOneCgroup(t *testing.T) {
	hosts := [2]*harness.Host{harness.New(t), harness.New(t)}
	dir := t.TempDir()
	n := rounds(40)
	least := 2 // hierarchies with the path
	if harness.Unified() {
		least = 1
	}
	for _, parents := range []bool{false, true} {
		for round := range n {
			ids := [2]string{harness.ID(t), harness.ID(t)}
			path := "/" + ids[0]
			if parents {
				path = "/bt-race-" + ids[0] + "/pod/x"
			}
			bundle := harness.Bundle(t, harness.Args("/bin/sleep", "1000"), func(s *specs.Spec) { s.Linux.CgroupsPath = path })
			var code [2]int
			var out [2]string
			var wg sync.WaitGroup
			for i := range hosts {
				wg.Go(func() { code[i], out[i] = command(hosts[i], dir, "create", "--bundle", bundle, ids[i]) })
			}
			wg.Wait()
			winner := 0
			if code[0] != 0 {
				winner = 1
			}
			loser := 1 - winner
			if code[winner] != 0 || code[loser] == 0 {
				t.Fatalf("round %d: %d %q, %d %q", round, code[0], out[0], code[1], out[1])
			}
			if !strings.Contains(out[loser], "it is another container's") && !strings.Contains(out[loser], "container's cgroup is not empty") {
				t.Fatalf("round %d: the loser says %q", round, out[loser])
			}
			if code, out := command(hosts[loser], dir, "delete", "--force", ids[loser]); code != 0 {
				t.Fatalf("round %d: delete of the loser: %s", round, out)
			}
			hosts[winner].Must("start", ids[winner])
			st := hosts[winner].State(ids[winner])
			if st.Status != specs.StateRunning {
				t.Fatalf("round %d: the winner is %s", round, st.Status)
			}
			if text := harness.ReadFile(t, "/proc/"+strconv.Itoa(st.Pid)+"/cgroup"); strings.Count(text, ":"+path) < least || strings.Contains(text, "(deleted)") {
				t.Fatalf("round %d: the winner's cgroups:\n%s", round, text)
			}
			hosts[winner].Must("delete", "--force", ids[winner])
			name := filepath.Base(ids[0])
			if parents {
				name = "bt-race-" + ids[0]
			}
			for _, l := range harness.Cgroups(name) {
				t.Fatalf("round %d: left: %s", round, l)
			}
		}
	}
	t.Logf("%d rounds without and with parents to be made: one winner each", n)
}

// TestManyRuns has 160 containers, 16 at a time, below parents that they make and that
// the last one has to take away.
func TestManyRuns(t *testing.T) {
	h := harness.New(t)
	dir := t.TempDir()
	parent := "bt-many-" + harness.ID(t)
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i := range rounds(160) {
		id := harness.ID(t)
		pod := strconv.Itoa(i % 3)
		bundle := harness.Bundle(t, harness.Args("/bin/true"), func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + parent + "/pod" + pod + "/" + id })
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if code, out := command(h, dir, "run", "--bundle", bundle, id); code != 0 {
				t.Errorf("%s: %d %s", id, code, out)
			}
		})
	}
	wg.Wait()
	for _, l := range harness.Cgroups(parent) {
		t.Errorf("left: %s", l)
	}
}

// TestManyCreates creates and deletes 500 containers (BERTH_ROUNDS, and with -short
// 40), eight at a time: with and without limits, started or not, running or ended, in a
// user namespace or none. Afterwards no hierarchy has anything of them.
func TestManyCreates(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 40
	}
	h := harness.New(t)
	dir := t.TempDir()
	limits := func(s *specs.Spec) {
		memory, pids := int64(64<<20), int64(20)
		s.Linux.Resources.Memory, s.Linux.Resources.Pids = &specs.LinuxMemory{Limit: &memory}, &specs.LinuxPids{Limit: &pids}
	}
	sleeps := harness.Args("/bin/sleep", "1000")
	bundles := []string{
		harness.Bundle(t, sleeps), harness.Bundle(t, limits, sleeps), harness.Bundle(t, harness.UserNamespace, limits),
		harness.Bundle(t, allNamespaces, sleeps), harness.Bundle(t, harness.Shell("sleep 1000 & sleep 1000 & exec sleep 1000")),
	}
	before := harness.AllCgroups()
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range rounds(n) {
		id := harness.ID(t)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			list := [][]string{{"create", "--bundle", bundles[i%len(bundles)], id}, {"start", id}, {"delete", "--force", id}}
			if i%3 == 0 { // not started
				list = [][]string{list[0], list[2]}
			}
			for _, args := range list {
				if code, out := command(h, dir, args...); code != 0 {
					t.Errorf("%v: %d %s", args, code, out)
				}
			}
		})
	}
	wg.Wait()
	for path := range harness.AllCgroups() {
		if !before[path] && strings.Contains(path, harness.IDPrefix()) {
			t.Errorf("left: %s", path)
		}
	}
	if left, _ := os.ReadDir(h.Root); len(left) > 0 {
		t.Errorf("left in the state root: %v", left)
	}
}
