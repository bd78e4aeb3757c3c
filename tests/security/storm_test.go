package security

import (
	"context"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// call runs a command of the runtime with its output in memory: nothing of it may
// be held open by a container, so a file is not needed.
func call(ctx context.Context, h *harness.Host, args ...string) (int, string) {
	f, err := os.CreateTemp("", "bt-storm-")
	if err != nil {
		return -1, err.Error()
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd := h.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.WaitDelay = time.Second
	_ = cmd.Run()
	b, _ := os.ReadFile(f.Name())
	if ctx.Err() != nil {
		return -1, strings.Join(args, " ") + " hangs: " + string(b)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// TestStormOfCreates makes 50 containers at once, half of them below a cgroup
// parent that comes and goes with them, and deletes them.
func TestStormOfCreates(t *testing.T) {
	h := attack(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	parent := "/" + harness.ID(t) + "/pod"
	bundles := []string{harness.Bundle(t), harness.Bundle(t, harness.UserNamespace)}
	var wg sync.WaitGroup
	ids := make([]string, 50)
	for i := range ids {
		ids[i] = harness.ID(t)
		bundle := bundles[i%2]
		if i%4 < 2 {
			id := ids[i]
			bundle = harness.Bundle(t, func(s *specs.Spec) { s.Linux.CgroupsPath = parent + "/" + id })
		}
		wg.Go(func() {
			for _, args := range [][]string{{"create", "--bundle", bundle, ids[i]}, {"start", ids[i]}, {"delete", "--force", ids[i]}} {
				if code, out := call(ctx, h, args...); code != 0 {
					t.Errorf("%v: %s", args, out)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		h.NothingLeft(id)
	}
	for _, dir := range harness.Cgroups(filepath.Base(filepath.Dir(parent))) {
		t.Errorf("left: %s", dir)
	}
}

// right says whether a command that lost a race says so in the right words.
func right(out string) bool {
	for _, words := range []string{
		"container does not exist", "container with given ID already exists", "container not running", "has stopped", "already running",
		"that is not stopped", "still being created", "died before", "has no state record yet", "is gone", "interrupted by", "does not wait at a barrier",
		"cgroup is not empty", "is another container's", "died while it was being helped",
	} {
		if strings.Contains(out, words) {
			return true
		}
	}
	return false
}

// TestStormOnOneID has many commands on one id at once for a while.
func TestStormOnOneID(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t, harness.Args("/bin/sleep", "1000"))
	id := harness.ID(t)
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	end := time.Now().Add(4 * time.Second)
	commands := [][]string{
		{"create", "--bundle", bundle, id},
		{"create", "--bundle", bundle, id},
		{"start", id},
		{"state", id},
		{"kill", id, "KILL"},
		{"delete", id},
		{"delete", "--force", id},
		{"list"},
		{"run", "--detach", "--bundle", bundle, id},
	}
	var wg sync.WaitGroup
	for _, args := range commands {
		wg.Go(func() {
			for time.Now().Before(end) {
				code, out := call(ctx, h, args...)
				if code != 0 && !right(out) || strings.Contains(out, "goroutine") {
					t.Errorf("%v: %d %s", args[:1], code, short(out))
				}
			}
		})
	}
	wg.Wait()
	if res := bounded(t, h, 20*time.Second, "delete", "--force", id); res.Code != 0 {
		t.Errorf("delete: %s", res.Stderr)
	}
	h.NothingLeft(id)
}

// TestKilledAtRandom kills the runtime by SIGKILL at any time of create, start,
// run and delete; delete --force then leaves nothing.
func TestKilledAtRandom(t *testing.T) {
	h := attack(t)
	bundles := []string{
		harness.Bundle(t, harness.Args("/bin/sleep", "1000")),
		harness.Bundle(t, harness.Args("/bin/sleep", "1000"), harness.UserNamespace, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		}),
	}
	rnd := rand.New(rand.NewSource(time.Now().UnixNano()))
	for i := range 160 {
		id := harness.ID(t)
		create := []string{"create", "--bundle", bundles[i%2], id}
		victims := [][]string{create, {"run", "--detach", "--bundle", bundles[i%2], id}, {"start", id}, {"delete", "--force", id}}
		args := victims[i/2%4]
		if args[0] == "start" || args[0] == "delete" {
			h.Must(create...)
		}
		killed(t, h, unix.SIGKILL, time.Duration(rnd.Intn(12_000))*time.Microsecond, args...)
		if res := bounded(t, h, 20*time.Second, "delete", "--force", id); res.Code != 0 {
			t.Fatalf("%s, then delete: %s", args[0], res.Stderr)
		}
		for _, l := range h.Left(id) {
			t.Fatalf("%s: left: %s", args[0], l)
		}
	}
}

// killed starts a command and signals it after a while.
func killed(t *testing.T, h *harness.Host, sig unix.Signal, after time.Duration, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := h.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Signal(sig)
	_ = cmd.Wait()
	if ctx.Err() != nil {
		t.Fatalf("%s hangs after %s", args[0], unix.SignalName(sig))
	}
	b, _ := os.ReadFile(f.Name())
	return string(b), cmd.ProcessState.ExitCode()
}

// TestSignalsAtRandom tells create to stop at any time. It either made the
// container, or undid all.
func TestSignalsAtRandom(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t, harness.Args("/bin/sleep", "1000"))
	rnd := rand.New(rand.NewSource(time.Now().UnixNano()))
	for i := range 100 {
		sig := []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE}[i%5]
		id := harness.ID(t)
		out, code := killed(t, h, sig, time.Duration(rnd.Intn(10_000))*time.Microsecond, "create", "--bundle", bundle, id)
		state := h.Do("state", id)
		switch {
		case sig == unix.SIGQUIT && code == 2:
			// Go's own: it ends with its stacks. What it was at is for delete.
		case code == 0 && state.Code == 0, code == 1 && state.Code == 1 && strings.Count(out, "\n") == 1:
		case code == -1 && out == "":
			// Before it could hear.
		default:
			t.Errorf("%s: %d %s%s", unix.SignalName(sig), code, short(out), state.Stdout)
		}
		if code == 1 {
			for _, l := range h.Left(id) {
				t.Fatalf("%s: left: %s", unix.SignalName(sig), l)
			}
		}
		if res := bounded(t, h, 20*time.Second, "delete", "--force", id); res.Code != 0 {
			t.Fatalf("delete: %s", res.Stderr)
		}
		for _, l := range h.Left(id) {
			t.Fatalf("%s: left: %s", unix.SignalName(sig), l)
		}
	}
}

// TestBrokenPipes has nobody listen to what the runtime says.
func TestBrokenPipes(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t, harness.Shell("echo out; echo err >&2; exit 7"))
	id, _ := created(t, h, harness.Bundle(t))
	for _, args := range [][]string{{"list"}, {"state", id}, {"state", "no"}, {"explain", "--bundle", bundle}, {"--debug", "create", "--bundle", bundle, "piped"}, {"delete", "--force", "piped"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		cmd := h.Command(ctx, args...)
		cmd.Stdout, cmd.Stderr = w, w
		err = cmd.Run()
		w.Close()
		cancel()
		if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 2 {
			t.Errorf("%v: %v", args, err)
		}
	}
	h.Must("delete", "--force", "piped")
	h.Must("delete", "--force", id)
	h.NothingLeft("piped")
}
