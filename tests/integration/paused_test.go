package integration

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/devicerules"
	"berth/tests/harness"
)

// SIGKILL ends a frozen container: in v1 the kernel delivers it only to those that run.
func TestKillOfAPausedContainer(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	c.Must("start", c.id)
	c.awaitStatus("running") // runc's start ends before that
	harness.Freeze(t, harness.CgroupsOf(t, c.State(c.id).Pid)["freezer"], true)
	c.awaitStatus("paused")
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	c.Must("delete", c.id)
	c.NothingLeft(c.id)
}

// A paused created container is not started: it would not take the word, and
// start would hold the lock for as long as it is paused.
func TestStartOfAPausedContainer(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	dir := harness.CgroupsOf(t, c.State(c.id).Pid)["freezer"]
	harness.Freeze(t, dir, true)
	c.awaitStatus("paused")
	c.fails("cannot start a container in the paused state", "start", c.id)
	harness.Freeze(t, dir, false)
	c.awaitStatus("created")
	c.Must("start", c.id)
	c.awaitStatus("running")
}

// Without linux.resources, and without linux.resources.devices, the default rules
// are in force: what is not a default device can be made and not opened.
func TestDeviceRulesWithoutResources(t *testing.T) {
	harness.NeedControllers(t, "devices")
	for name, change := range map[string]change{
		"no resources": func(s *specs.Spec) { s.Linux.Resources = nil },
		"no devices":   func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{} },
	} {
		t.Run(name, func(t *testing.T) {
			tryDevices(t, &devicerules.Cases[0], change)
		})
	}
}
