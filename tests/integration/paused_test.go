package integration

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// freeze stops a container's processes as `runc pause` does.
func freeze(t *testing.T, pid int, state string) {
	t.Helper()
	file := filepath.Join(cgroupDirs(t, pid)["freezer"], "freezer.state")
	await(t, file+" is "+state, func() bool {
		// Again and again: a task that was not to be frozen at the first write is asked
		// only by the next one.
		if err := os.WriteFile(file, []byte(state), 0); err != nil {
			t.Fatal(err)
		}
		return harness.ReadFile(t, file) == state
	})
}

// SIGKILL ends a frozen container: the kernel delivers it only to those that run.
func TestKillOfAPausedContainer(t *testing.T) {
	v1(t, "freezer")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	c.Must("start", c.id)
	freeze(t, c.State(c.id).Pid, "FROZEN")
	c.awaitStatus("paused")
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	c.Must("delete", c.id)
	c.NothingLeft(c.id)
}

// A paused created container is not started: it would not take the word, and
// start would hold the lock for as long as it is paused.
func TestStartOfAPausedContainer(t *testing.T) {
	v1(t, "freezer")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	pid := c.State(c.id).Pid
	freeze(t, pid, "FROZEN")
	c.awaitStatus("paused")
	c.fails("cannot start a container in the paused state", "start", c.id)
	freeze(t, pid, "THAWED")
	c.awaitStatus("created")
	c.Must("start", c.id)
	c.awaitStatus("running")
}

// Without linux.resources, and without linux.resources.devices, the default rules
// are in force: what is not a default device can be made and not opened.
func TestDeviceRulesWithoutResources(t *testing.T) {
	v1(t, "devices")
	for name, change := range map[string]change{
		"no resources": func(s *specs.Spec) { s.Linux.Resources = nil },
		"no devices":   func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, change, harness.Args("/bin/sleep", "1000"))
			c.create()
			dir := cgroupDirs(t, c.State(c.id).Pid)["devices"]
			got := harness.Lines(harness.ReadFile(t, filepath.Join(dir, "devices.list")))
			for _, want := range []string{"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"} {
				if !slices.Contains(got, want) {
					t.Errorf("%q is missing in %q", want, got)
				}
			}
			for _, rule := range got {
				if rule == "a *:* rwm" || rule == "c 10:237 rwm" {
					t.Errorf("allowed: %s", rule)
				}
			}
		})
	}
}
