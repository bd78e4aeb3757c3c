package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// v1 skips where there are no v1 hierarchies of these controllers.
func v1(t *testing.T, controllers ...string) {
	t.Helper()
	for _, c := range controllers {
		if _, err := os.Stat("/sys/fs/cgroup/" + c + "/cgroup.procs"); err != nil {
			t.Skip("no cgroup v1 hierarchy " + c)
		}
	}
}

// cgroupDirs finds the container's directory in each hierarchy, by its process.
func cgroupDirs(t *testing.T, pid int) map[string]string {
	t.Helper()
	dirs := map[string]string{}
	for _, line := range harness.Lines(harness.ReadFile(t, "/proc/"+strconv.Itoa(pid)+"/cgroup")) {
		f := strings.SplitN(line, ":", 3)
		for name := range strings.SplitSeq(f[1], ",") {
			dirs[name] = filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(name, "name="), f[2])
		}
	}
	return dirs
}

func resources(f func(r *specs.LinuxResources)) change {
	return func(s *specs.Spec) { f(s.Linux.Resources) }
}

// limitCase is a limit and where it must be found.
type limitCase struct {
	name, rows string
	set        func(r *specs.LinuxResources)
	// want has controller/file and content.
	want map[string]string
}

func TestLimits(t *testing.T) {
	v1(t, "memory", "cpu", "cpuset", "pids")
	swap := ""
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"); err == nil {
		swap = "yes"
	}
	list := []limitCase{
		{"memory", "RES-6", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20))} }, map[string]string{"memory/memory.limit_in_bytes": "67108864"}},
		{"memory reservation", "RES-7", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Reservation: ptr(int64(32 << 20))} }, map[string]string{"memory/memory.soft_limit_in_bytes": "33554432"}},
		{"no limit", "RES-6", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(-1))} }, map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712"}},
		{"swappiness", "RES-11", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Swappiness: ptr(uint64(7))} }, map[string]string{"memory/memory.swappiness": "7"}},
		{"cpu shares", "RES-15", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Shares: ptr(uint64(333))} }, map[string]string{"cpu/cpu.shares": "333"}},
		{"cpu quota", "RES-16 RES-18", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: ptr(int64(40000)), Period: ptr(uint64(80000))}
		}, map[string]string{"cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_period_us": "80000"}},
		{"cpu quota below the default period's", "RES-16 RES-18", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: ptr(int64(500000)), Period: ptr(uint64(1000000))}
		}, map[string]string{"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "1000000"}},
		{"cpuset", "RES-21 RES-22", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0", Mems: "0"} }, map[string]string{"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0"}},
		{"pids", "RES-35", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(17))} }, map[string]string{"pids/pids.max": "17"}},
		{"pids without limit", "RES-35", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(-1))} }, map[string]string{"pids/pids.max": "max"}},
	}
	if swap != "" {
		list = append(list, limitCase{"memory and swap", "RES-8", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(64 << 20))}
		}, map[string]string{"memory/memory.memsw.limit_in_bytes": "67108864"}})
	}
	if harness.Berth() { // runc before 1.4 takes 0 for no limit
		list = append(list, limitCase{"pids of 0", "RES-35", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(0))} }, map[string]string{"pids/pids.max": "1"}})
	}
	for _, l := range list {
		t.Run(l.name, func(t *testing.T) {
			c := newContainer(t, resources(l.set), harness.Args("/bin/sleep", "1000"))
			c.create()
			dirs := cgroupDirs(t, c.State(c.id).Pid)
			for file, want := range l.want {
				controller, name, _ := strings.Cut(file, "/")
				if got := harness.ReadFile(t, filepath.Join(dirs[controller], name)); got != want {
					t.Errorf("%s is %s, want %s", file, got, want)
				}
			}
		})
	}
}

// The limits hold from the first instruction, and are enough for what is small.
func TestLimitsHold(t *testing.T) {
	v1(t, "memory", "cpuset", "pids")
	mem := func(n int64) change {
		return resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: &n} })
	}
	pids := func(n int64) change {
		return resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: &n} })
	}
	runAll(t, []scenario{
		{name: "256 KiB", rows: "RES-6", change: on(mem(256<<10), harness.Args("/bin/true")), old: "needs megabytes itself"},
		{name: "one process", rows: "RES-35", change: on(pids(1), harness.Args("/bin/true")), old: "needs threads itself"},
		{name: "one process and no more", rows: "RES-35", change: on(pids(1), harness.Shell("true & wait; (true)")), code: 2, err: "can't fork", old: "needs threads itself"},
		{name: "one process, pid namespace of its own", rows: "RES-35 NS-8", change: on(pids(1), harness.UserNamespace, harness.Namespace(specs.TimeNamespace, ""), harness.Args("/bin/true")), code: 0, old: "has none"},
		{name: "memory is killed for", rows: "RES-6", change: on(mem(8<<20), harness.Args("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")), code: 137},
		{name: "memory that can not be", rows: "RES-6 LIF-1", change: on(mem(4096), harness.Args("/bin/true")), code: 1, err: "."},
		{name: "cpuset in effect", rows: "RES-21", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0"} }), harness.Shell("grep Cpus_allowed_list /proc/self/status | cut -f2")), out: "0"},
		{name: "bad cpuset", rows: "RES-21 LIF-1", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0-x"} })), code: 1, err: "."},
		{name: "cpus that are not there", rows: "RES-21 LIF-1", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "4000"} })), code: 1, err: "."},
		{name: "quota too small", rows: "RES-16 LIF-1", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Quota: ptr(int64(10))} })), code: 1, err: "."},
		{name: "unified on a v1 host", rows: "RES-39", change: on(resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"memory.max": "1"} })), code: 1, err: "unified|v1"},
		{name: "swap below memory", rows: "RES-8", change: on(resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(32 << 20))}
		})), code: 1, err: "."},
	})
}

// rows: CGP-2 CGP-3 CGP-4 CGP-5 CGP-7 CGP-10 LIF-19 LIF-20
func TestCgroupsPath(t *testing.T) {
	v1(t, "memory", "pids")
	own := harness.ReadFile(t, "/proc/self/cgroup")
	for _, s := range []struct {
		name, path, ends string
	}{
		{"absent", "", "/ID"},
		{"absolute", "/bt-parent-ID/ID", "/bt-parent-ID/ID"},
		{"relative", "bt-parent-ID/ID", "/bt-parent-ID/ID"},
		{"deep", "/bt-parent-ID/a/b/c/ID", "/bt-parent-ID/a/b/c/ID"},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newContainer(t, harness.Args("/bin/sleep", "1000"))
			spec := harness.Default()
			harness.Args("/bin/sleep", "1000")(spec)
			spec.Linux.CgroupsPath = strings.ReplaceAll(s.path, "ID", c.id)
			harness.WriteConfig(t, c.bundle, spec)
			want := strings.ReplaceAll(s.ends, "ID", c.id)
			for range 2 { // the same value is the same place, always
				c.create()
				for name, dir := range cgroupDirs(t, c.State(c.id).Pid) {
					if name == "" && !harness.Berth() {
						continue // runc 1.1.5 leaves v2 alone in hybrid mode
					}
					if !strings.HasSuffix(dir, want) {
						t.Errorf("%s: %s does not end in %s", name, dir, want)
					}
					if s.name == "absolute" && !strings.HasPrefix(dir, "/sys/fs/cgroup/"+strings.TrimPrefix(name, "name=")+"/bt-") && name != "" {
						t.Errorf("%s: %s is not at the top of the hierarchy", name, dir)
					}
				}
				c.Must("delete", c.id)
				c.NothingLeft(c.id)
			}
			removeParents(t, "bt-parent-"+c.id)
		})
	}
	if got := harness.ReadFile(t, "/proc/self/cgroup"); got != own {
		t.Errorf("the caller was moved:\n%s\n%s", own, got)
	}
}

// removeParents takes away what a container's delete keeps, or should have taken.
func removeParents(t *testing.T, name string) {
	t.Helper()
	out, _ := exec.Command("find", "/sys/fs/cgroup", "-depth", "-path", "*/"+name+"*", "-type", "d").Output()
	for _, d := range harness.Lines(string(out)) {
		if harness.Berth() {
			t.Errorf("left by delete: %s", d)
		}
		_ = os.Remove(d)
	}
}

// rows: CGP-1 CGP-7 LIF-20
func TestCgroupThatExists(t *testing.T) {
	v1(t, "memory", "pids")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	spec := harness.Default()
	harness.Args("/bin/sleep", "1000")(spec)
	spec.Linux.CgroupsPath = "/bt-there-" + c.id
	harness.WriteConfig(t, c.bundle, spec)
	dirs := []string{"/sys/fs/cgroup/memory" + spec.Linux.CgroupsPath, "/sys/fs/cgroup/pids" + spec.Linux.CgroupsPath}
	for _, d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(d) })
	}
	t.Run("empty ones stay at delete", func(t *testing.T) {
		skipOld(t, "removes them")
		c.create()
		c.Must("delete", "--force", c.id)
		for _, d := range dirs {
			if _, err := os.Stat(d); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat("/sys/fs/cgroup/freezer" + spec.Linux.CgroupsPath); err == nil {
			t.Error("one that create made is left")
		}
	})
	t.Run("one with a process is refused", func(t *testing.T) {
		skipOld(t, "warns only")
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness.Helper(cmd.Process.Pid)
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		if err := os.WriteFile(dirs[1]+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
		c.fails("container's cgroup is not empty: 1 process", "create", "--bundle", c.bundle, c.id)
		if err := unix.Kill(cmd.Process.Pid, 0); err != nil {
			t.Error("the process in it suffered: ", err)
		}
	})
}

// rows: CGP-6
func TestBadCgroupsPath(t *testing.T) {
	path := func(p string) change { return func(s *specs.Spec) { s.Linux.CgroupsPath = p } }
	runAll(t, []scenario{
		{name: "climbs", rows: "CGP-2", change: on(path("/../bt-x")), code: 1, err: "cgroupsPath", old: "cleans it"},
		{name: "climbs, relative", rows: "CGP-2", change: on(path("../../bt-x")), code: 1, err: "cgroupsPath", old: "cleans it"},
		{name: "NUL", rows: "CGP-2", change: on(path("/a\x00b")), code: 1, err: "cgroupsPath|NUL|invalid argument"},
	})
}
