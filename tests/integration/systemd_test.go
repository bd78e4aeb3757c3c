package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// systemd makes the cgroups of the test's containers, whoever makes those of other
// tests.
func systemd(t *testing.T, changes ...change) *container {
	t.Helper()
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("needs a machine that systemd runs")
	}
	c := newContainer(t, append([]change{harness.Args("/bin/sleep", "1000")}, changes...)...)
	c.Global = []string{"--systemd-cgroup"}
	return c
}

// unitProperty is a property of a unit.
func unitProperty(t *testing.T, unit, property string) string {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "-p", property, unit).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// rows: CGP-8
func TestScope(t *testing.T) {
	for _, tt := range []struct{ path, unit, dir string }{
		{"", "berth-ID.scope", "/system.slice/berth-ID.scope"},
		{"system.slice:bt:ID", "bt-ID.scope", "/system.slice/bt-ID.scope"},
		{"bt-one.slice:bt:ID", "bt-ID.scope", "/bt.slice/bt-one.slice/bt-ID.scope"},
		{"-::ID", "ID.scope", "/ID.scope"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			c := systemd(t)
			fill := func(s string) string { return strings.ReplaceAll(s, "ID", c.id) }
			spec := harness.Default()
			harness.Args("/bin/sleep", "1000")(spec)
			spec.Linux.CgroupsPath = fill(tt.path)
			harness.WriteConfig(t, c.bundle, spec)
			c.create()
			unit := fill(tt.unit)
			if got := harness.CgroupsOf(t, c.State(c.id).Pid)[byVersion("name=systemd", "")]; !strings.HasSuffix(got, fill(tt.dir)) {
				t.Errorf("it is in %s, want %s", got, fill(tt.dir))
			}
			for property, want := range map[string]string{"ActiveState": "active", "Delegate": "yes", "CollectMode": "inactive-or-failed"} {
				if got := unitProperty(t, unit, property); got != want {
					t.Errorf("%s is %s, want %s", property, got, want)
				}
			}
			if got := unitProperty(t, unit, "Description"); !strings.Contains(got, c.id) {
				t.Errorf("described as %q", got)
			}
			if tt.path != "" { // and the same for another
				c.fails("it is another container's", "create", "--bundle", c.bundle, harness.ID(t))
			}
			c.Must("delete", "--force", c.id)
			if got := unitProperty(t, unit, "LoadState"); got != "not-found" {
				t.Errorf("the scope is %s after delete", got)
			}
			c.NothingLeft(c.id)
		})
	}
}

func TestScopePathsThatAreWrong(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b":              "slice:prefix:name",
		"a.service:b:c":     "invalid slice name",
		"a.slice:b:c.slice": "a container is a scope",
	} {
		c := systemd(t, func(s *specs.Spec) { s.Linux.CgroupsPath = path })
		c.fails(want, "create", "--bundle", c.bundle, c.id)
		c.NothingLeft(c.id)
	}
}

// What systemd is told outlives what it does when it is reloaded, and limits that it
// has no word for do so too.
func TestScopeLimits(t *testing.T) {
	c := systemd(t, resources(func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}
		r.CPU = &specs.LinuxCPU{Shares: ptr(uint64(333)), Quota: ptr(int64(33300)), Period: ptr(uint64(50000)), Cpus: "0"}
		r.Pids = &specs.LinuxPids{Limit: ptr(int64(17))}
	}), func(s *specs.Spec) {
		s.Annotations = map[string]string{"org.systemd.property.TimeoutStopSec": "77", "org.systemd.property.KillMode": "'none'"}
	})
	harness.NeedV2(t)
	c.create()
	unit := "berth-" + c.id + ".scope"
	for property, want := range map[string]string{
		"MemoryMax": "67108864", "CPUWeight": "42", "CPUQuotaPerSecUSec": "670ms", "CPUQuotaPeriodUSec": "50ms", "TasksMax": "17",
		"AllowedCPUs": "0", "TimeoutStopUSec": "1min 17s", "KillMode": "none",
	} {
		if got := unitProperty(t, unit, property); got != want {
			t.Errorf("%s is %s, want %s", property, got, want)
		}
	}
	dir := harness.CgroupsOf(t, c.State(c.id).Pid)[""]
	look := func(when string, want map[string]string) {
		t.Helper()
		for file, content := range want {
			if got := harness.ReadFile(t, filepath.Join(dir, file)); got != content {
				t.Errorf("%s: %s is %s, want %s", when, file, got, content)
			}
		}
	}
	exactly := map[string]string{"memory.max": "67108864", "cpu.weight": "42", "cpu.max": "33300 50000", "pids.max": "17", "cpuset.cpus": "0"}
	look("at create", exactly)
	c.Must("update", "--pids-limit", "23", "--memory", "32M", c.id)
	exactly["pids.max"], exactly["memory.max"] = "23", "33554432"
	look("after update", exactly)
	// Neither what was part of it, nor what was not, is cut to what systemd can tell.
	for _, also := range [][]string{{"--memory", "48M"}, {"--cpu-quota", "22200"}} {
		c.fails(`cpuset\.cpus`, append(append([]string{"update", "--cpuset-cpus", "4000"}, also...), c.id)...)
		look("after an update that failed, of "+also[0], exactly)
	}
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	delete(exactly, "cpu.max") // which systemd knows to 10 ms only
	look("after daemon-reload", exactly)
	c.fails(`cpuset\.cpus`, "update", "--cpuset-cpus", "4000", "--pids-limit", "29", c.id)
	look("after an update that failed", exactly)
	if got := unitProperty(t, unit, "TasksMax"); got != "23" {
		t.Errorf("TasksMax is %s after an update that failed", got)
	}
}

func TestScopeTasksMax(t *testing.T) {
	for limit, want := range map[int64]string{0: "1", -1: "infinity", 5: "5"} {
		t.Run(want, func(t *testing.T) {
			c := systemd(t, resources(pids(limit)))
			c.create()
			if got := unitProperty(t, "berth-"+c.id+".scope", "TasksMax"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// A scope whose process was killed for want of memory has failed, and does not bar its
// name.
func TestScopeAfterOOM(t *testing.T) {
	c := systemd(t, resources(memory(specs.LinuxMemory{Limit: ptr(int64(8 << 20))})),
		harness.Args("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"))
	for range 2 {
		if res := c.Do("run", "--bundle", c.bundle, c.id); res.Code != 137 {
			t.Fatalf("exit status %d: %s", res.Code, res.Stderr)
		}
	}
}

// D-Bus that answers late is waited for, and that is said.
func TestScopeOfASlowBus(t *testing.T) {
	c := systemd(t)
	out, err := exec.Command("pgrep", "-o", "-f", "dbus-daemon --system").Output()
	if err != nil {
		t.Skip("no dbus-daemon to slow down")
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(4*time.Second, func() { _ = unix.Kill(pid, unix.SIGCONT) })
	defer func() { _ = unix.Kill(pid, unix.SIGCONT) }()
	res := c.Do("create", "--bundle", c.bundle, c.id)
	if res.Code != 0 || !strings.Contains(res.Stderr, "still waiting for D-Bus to answer") {
		t.Errorf("exit status %d: %s", res.Code, res.Stderr)
	}
}

// A create that is killed while systemd is at work leaves nothing.
func TestScopeKilledAtEveryPoint(t *testing.T) {
	c := systemd(t)
	for point := 1; ; point++ {
		res := c.Do("--inject", "point="+strconv.Itoa(point), "create", "--bundle", c.bundle, c.id)
		if res.Code == 0 {
			break
		}
		if point > 200 {
			t.Fatal("there is no end of points")
		}
		c.Must("delete", "--force", c.id)
		c.NothingLeft(c.id)
		if got := unitProperty(t, "berth-"+c.id+".scope", "LoadState"); got != "not-found" {
			t.Fatalf("point %d leaves the scope %s", point, got)
		}
	}
	c.Must("delete", "--force", c.id)
}

func TestNoSystemd(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	c := newContainer(t, harness.Args("/bin/true"))
	c.Global = []string{"--systemd-cgroup"}
	c.fails("systemd not running on this host", "create", "--bundle", c.bundle, c.id)
	c.Global = []string{"--cgroup-manager", "nobody"}
	c.fails("invalid value for --cgroup-manager", "create", "--bundle", c.bundle, c.id)
	c.Global = []string{"--cgroup-manager", "cgroupfs", "--systemd-cgroup"}
	c.create()
}

// A unit of somebody else's is not taken, nor touched by delete.
func TestScopeOfSomebodyElse(t *testing.T) {
	c := systemd(t)
	unit := "berth-" + c.id + ".scope"
	cmd := exec.Command("systemd-run", "--scope", "--unit", unit, "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Helper(cmd.Process.Pid)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	await(t, "the scope", func() bool { return unitProperty(t, unit, "ActiveState") == "active" })
	c.fails("container's cgroup is not empty: 1 process", "create", "--bundle", c.bundle, c.id)
	c.fails("does not exist", "delete", c.id)
	if got := unitProperty(t, unit, "ActiveState"); got != "active" {
		t.Errorf("the scope is %s", got)
	}
}

// With cgroups disabled the container stays where its caller is, and limits are refused.
func TestCgroupsDisabled(t *testing.T) {
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.Global = []string{"--cgroup-manager", "disabled"}
	res := c.Do("create", "--bundle", c.bundle, c.id)
	if res.Code != 0 || !strings.Contains(res.Stderr, "no rules on devices are in force") {
		t.Fatalf("exit status %d: %s", res.Code, res.Stderr)
	}
	own, theirs := harness.ReadFile(t, "/proc/self/cgroup"), harness.ReadFile(t, "/proc/"+strconv.Itoa(c.State(c.id).Pid)+"/cgroup")
	if own != theirs {
		t.Errorf("moved from\n%s\nto\n%s", own, theirs)
	}
	c.fails("no cgroups|own", "pause", c.id)
	c.Must("delete", "--force", c.id)
	limited := newContainer(t, resources(pids(5)))
	limited.Global = c.Global
	limited.fails("cgroups are disabled: linux.resources", "create", "--bundle", limited.bundle, limited.id)
}
