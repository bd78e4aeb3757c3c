package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/vm/guest"
)

// cacheOfItsOwn is a cache with the image alone, so that what is left in it is the
// test's doing, and returns the command vm, which uses it.
func cacheOfItsOwn(t *testing.T) (vm func(args ...string) *exec.Cmd, cache string) {
	t.Helper()
	if why := guest.Missing(); why != "" {
		t.Skip(why)
	}
	image, err := guest.Build(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(image.String(), filepath.Join(cache, filepath.Base(image.String()))); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "vm")
	if msg, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "BERTH_VM_CACHE="+cache)
		return cmd
	}, cache
}

// guestsIn are the directories of guests in a cache.
func guestsIn(t *testing.T, cache string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(cache, "guest-*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// running returns whether a process lives that has not ended already.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestNothingIsLeft ends a run by every signal that does, while the guest boots, and
// lets one end by itself. SIGKILL leaves the directory to the next run.
func TestNothingIsLeft(t *testing.T) {
	vm, cache := cacheOfItsOwn(t)
	for _, end := range []struct {
		signal unix.Signal
		code   int
	}{{unix.SIGKILL, -1}, {unix.SIGINT, 130}, {unix.SIGTERM, 130}, {0, 5}} {
		cmd := vm("run", "--", "sh", "-c", "exit 5")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		qemu := pidOfQemu(t, cache)
		if end.signal != 0 {
			if err := cmd.Process.Signal(end.signal); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != end.code {
			t.Errorf("%v: exit code %d", end.signal, got)
		}
		for end := time.Now().Add(10 * time.Second); running(qemu); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("qemu (%d) lives on", qemu)
			}
		}
		if left := guestsIn(t, cache); len(left) > 0 && end.signal != unix.SIGKILL {
			t.Errorf("%v: left: %q", end.signal, left)
		}
	}
}

// pidOfQemu waits for the one guest of a cache to run.
func pidOfQemu(t *testing.T, cache string) int {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, dir := range guestsIn(t, cache) {
			text, _ := os.ReadFile(filepath.Join(dir, "pid"))
			if pid, err := strconv.Atoi(string(text)); err == nil && running(pid) {
				return pid
			}
		}
	}
	t.Fatal("no qemu was started")
	return 0
}

// TestKept boots a guest once for commands of several processes.
func TestKept(t *testing.T) {
	vm, cache := cacheOfItsOwn(t)
	if out, err := vm("exec", "--", "true").CombinedOutput(); err == nil || !strings.Contains(string(out), "no guest") {
		t.Errorf("exec without a guest: %v, %s", err, out)
	}
	if out, err := vm("start").CombinedOutput(); err != nil {
		t.Fatalf("start: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := vm("stop").CombinedOutput(); err != nil {
			t.Errorf("stop: %v\n%s", err, out)
		}
		if left := guestsIn(t, cache); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
	if out, err := vm("start").CombinedOutput(); err == nil || !strings.Contains(string(out), "runs already") {
		t.Errorf("a second start: %v, %s", err, out)
	}
	if out, err := vm("exec", "--", "sh", "-c", "echo kept >/var/tmp/file; exit 3").CombinedOutput(); exitCode(err) != 3 {
		t.Errorf("exec: %v, %s", err, out)
	}
	if out, err := vm("exec", "-user", "--", "cat", "/var/tmp/file").CombinedOutput(); err != nil || string(out) != "kept\n" {
		t.Errorf("the next exec: %v, %s", err, out)
	}
	if out, err := vm("exec", "-timeout", "1s", "--", "sleep", "1234").CombinedOutput(); exitCode(err) != 124 {
		t.Errorf("a command that takes too long: %v, %s", err, out)
	}
	// As many at once as there are ports.
	var all []*exec.Cmd
	for range 4 {
		cmd := vm("exec", "--", "sleep", "3")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("of four commands: %v", err)
		}
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}
