package cgroups

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestProcessesInside(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top+"/jobs/web", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4 << 20))}})
	cmd := inside(t, m, "sleep 1000 & while :; do sleep 1000; done")
	text, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), ":"+top+"/jobs/web\n"); n != len(f.Cgroup.Hierarchies) {
		t.Errorf("in %d of %d hierarchies:\n%s", n, len(f.Cgroup.Hierarchies), text)
	}
	var pids []int
	until(t, "three processes", func() bool {
		pids, err = m.Procs()
		return err != nil || len(pids) == 3
	})
	if err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("%v %v", pids, err)
	}

	if err := plan(t, f, top+"/jobs/web", nil).make(); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup is not empty: it is another container's") ||
		!strings.Contains(err.Error(), "state is in /test/"+strconv.Itoa(os.Getpid())) {
		t.Errorf("a cgroup in use: %v", err)
	}
	if err := m.undo(20 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "3 process(es) in it") {
		t.Errorf("destroyed in use: %v", err)
	}
}

// A cgroup that was there and has processes in it is refused with nothing touched.
func TestProcessesOfOthers(t *testing.T) {
	f, top := real(t)
	given(t, f, top, top)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	m := plan(t, f, top, nil)
	if err := os.WriteFile(m.Dirs["pids"]+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.make(); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup is not empty: 1 process(es) found") || m.entries != nil {
		t.Errorf("%v, noted %v", err, m.entries)
	}
}

// Freezing, killing the frozen and removing work by the recorded paths alone.
func TestEndOfTheFrozen(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top+"/jobs/web", nil)
	cmd := inside(t, m, "sleep 1000 & while :; do sleep 1000; done")
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := m.Frozen(); !frozen || err != nil {
		t.Errorf("frozen: %v %v", frozen, err)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := m.Frozen(); frozen || err != nil {
		t.Errorf("thawed: %v %v", frozen, err)
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	// SIGKILL must end the frozen too.
	again := m.again(t)
	if err := again.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	until(t, "all are dead", func() bool { pids, _ := again.Procs(); return len(pids) == 0 })
	for range 2 {
		if err := m.undo(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for name, dir := range m.Dirs {
		if exists(filepath.Dir(filepath.Dir(dir))) {
			t.Errorf("%s: a parent that was made is left", name)
		}
	}
	if pids, err := again.Procs(); err != nil || len(pids) != 0 {
		t.Errorf("after all: %v %v", pids, err)
	}
	if frozen, err := again.Frozen(); frozen || err != nil {
		t.Errorf("after all: %v %v", frozen, err)
	}
}

func TestKillReachesChildCgroups(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, nil)
	cmd := inside(t, m, "while :; do sleep 1000; done")
	for name, dir := range m.Dirs {
		if err := os.MkdirAll(dir+"/sub/sub", 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "freezer" || name == "pids" {
			if err := os.WriteFile(dir+"/sub/sub/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if pids, err := m.Procs(); err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("%v %v", pids, err)
	}
	if err := m.Kill(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM {
		t.Errorf("ended by %v", err)
	}
}

// Shells that fork all the time are gone after one Kill.
func TestKillOutrunsForks(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(40))}})
	script := t.TempDir() + "/forks"
	if err := os.WriteFile(script, []byte("while :; do (sh \"$0\" &) ; :; done\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inside(t, m, "exec sh "+script+" 2>/dev/null")
	until(t, "it has spread", func() bool { pids, _ := m.Procs(); return len(pids) > 20 })
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pids, err := m.Procs(); err != nil || len(pids) != 0 {
		t.Errorf("left: %v %v", pids, err)
	}
}

// The process that calls Kill is never its victim.
func TestKillSparesTheCaller(t *testing.T) {
	f, _ := real(t)
	h := f.Cgroup.Hierarchies[0]
	m, err := Open([]string{strings.Join(h.Controllers, ",") + ":0:" + h.Mount + "/." + strings.TrimSuffix(h.Own, "/") + "/"}, "mark")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := m.Procs()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(pids, os.Getpid()) {
		t.Skip("this process does not see itself in its cgroup")
	}
	if err := m.Kill(0); err == nil || !strings.Contains(err.Error(), "the caller is itself") {
		t.Errorf("got %v", err)
	}
}
