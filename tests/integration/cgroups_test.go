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

// byVersion is the one of two things that is about this machine's cgroups.
func byVersion[T any](v1, v2 T) T {
	if harness.Unified() {
		return v2
	}
	return v1
}

func resources(f func(r *specs.LinuxResources)) change {
	return func(s *specs.Spec) { f(s.Linux.Resources) }
}

// limitCase is a limit and where it must be found.
type limitCase struct {
	name, rows string
	set        func(r *specs.LinuxResources)
	// v1 has controller/file and content, v2 file and content.
	v1, v2 map[string]string
	// warns is what is said on v2 of what it can not do.
	warns string
	// needs is a file, named as in v1 and v2, that not every kernel has.
	needs string
	old   string
}

func memory(m specs.LinuxMemory) func(*specs.LinuxResources) {
	return func(r *specs.LinuxResources) { r.Memory = &m }
}

func cpu(c specs.LinuxCPU) func(*specs.LinuxResources) {
	return func(r *specs.LinuxResources) { r.CPU = &c }
}

func blockIO(b specs.LinuxBlockIO) func(*specs.LinuxResources) {
	return func(r *specs.LinuxResources) { r.BlockIO = &b }
}

func pids(n int64) func(*specs.LinuxResources) {
	return func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: &n} }
}

func limitCases(t *testing.T) []limitCase {
	t.Helper()
	list := []limitCase{
		{name: "memory", rows: "RES-6", set: memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))}), v1: content{"memory/memory.limit_in_bytes": "67108864"}, v2: content{"memory.max": "67108864"}},
		{name: "memory reservation", rows: "RES-7", set: memory(specs.LinuxMemory{Reservation: ptr(int64(32 << 20))}), v1: content{"memory/memory.soft_limit_in_bytes": "33554432"}, v2: content{"memory.low": "33554432", "memory.max": "max"}},
		{name: "no limit", rows: "RES-6", set: memory(specs.LinuxMemory{Limit: ptr(int64(-1))}), v1: content{"memory/memory.limit_in_bytes": "9223372036854771712"}, v2: content{"memory.max": "max"}},
		{name: "swappiness", rows: "RES-11", set: memory(specs.LinuxMemory{Swappiness: ptr(uint64(7))}), v1: content{"memory/memory.swappiness": "7"}, warns: "linux.resources.memory.swappiness is ignored"},
		{name: "no OOM killer", rows: "RES-12", set: memory(specs.LinuxMemory{DisableOOMKiller: ptr(true), Limit: ptr(int64(64 << 20))}), v1: content{"memory/memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0"}, v2: content{"memory.max": "67108864"}, warns: "linux.resources.memory.disableOOMKiller is ignored"},
		{name: "memory and swap", rows: "RES-8", set: memory(specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(64 << 20))}), v1: content{"memory/memory.limit_in_bytes": "33554432", "memory/memory.memsw.limit_in_bytes": "67108864"}, v2: content{"memory.max": "33554432", "memory.swap.max": "33554432"}, needs: "memory/memory.memsw.limit_in_bytes memory.swap.max"},
		{name: "no swap", rows: "RES-8", set: memory(specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(32 << 20))}), v1: content{"memory/memory.memsw.limit_in_bytes": "33554432"}, v2: content{"memory.swap.max": "0"}, needs: "memory/memory.memsw.limit_in_bytes memory.swap.max"},
		{name: "cpu shares", rows: "RES-15", set: cpu(specs.LinuxCPU{Shares: ptr(uint64(333))}), v1: content{"cpu/cpu.shares": "333"}, v2: content{"cpu.weight": "42"}},
		{name: "the default cpu shares", rows: "RES-15", set: cpu(specs.LinuxCPU{Shares: ptr(uint64(1024))}), v1: content{"cpu/cpu.shares": "1024"}, v2: content{"cpu.weight": "100"}},
		{name: "the most cpu shares", rows: "RES-15", set: cpu(specs.LinuxCPU{Shares: ptr(uint64(262144))}), v1: content{"cpu/cpu.shares": "262144"}, v2: content{"cpu.weight": "10000"}},
		{name: "cpu quota", rows: "RES-16 RES-18", set: cpu(specs.LinuxCPU{Quota: ptr(int64(40000)), Period: ptr(uint64(80000))}), v1: content{"cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_period_us": "80000"}, v2: content{"cpu.max": "40000 80000"}},
		{name: "cpu quota below the default period's", rows: "RES-16 RES-18", set: cpu(specs.LinuxCPU{Quota: ptr(int64(500000)), Period: ptr(uint64(1000000))}), v1: content{"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "1000000"}, v2: content{"cpu.max": "500000 1000000"}},
		{name: "cpu period alone", rows: "RES-18", set: cpu(specs.LinuxCPU{Period: ptr(uint64(80000))}), v1: content{"cpu/cpu.cfs_period_us": "80000", "cpu/cpu.cfs_quota_us": "-1"}, v2: content{"cpu.max": "max 80000"}},
		{name: "cpu burst", rows: "RES-17", set: cpu(specs.LinuxCPU{Quota: ptr(int64(40000)), Burst: ptr(uint64(5000))}), v1: content{"cpu/cpu.cfs_burst_us": "5000"}, v2: content{"cpu.max": "40000 100000", "cpu.max.burst": "5000"}, old: "does not know it"},
		{name: "cpu idle", rows: "RES-23", set: cpu(specs.LinuxCPU{Idle: ptr(int64(1))}), v1: content{"cpu/cpu.idle": "1"}, v2: content{"cpu.idle": "1"}, needs: "cpu/cpu.idle cpu.idle", old: "does not know it"},
		{name: "cpuset", rows: "RES-21 RES-22", set: cpu(specs.LinuxCPU{Cpus: "0", Mems: "0"}), v1: content{"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0"}, v2: content{"cpuset.cpus": "0", "cpuset.mems": "0", "cpuset.cpus.effective": "0"}},
		{name: "pids", rows: "RES-35", set: pids(17), v1: content{"pids/pids.max": "17"}, v2: content{"pids.max": "17"}},
		{name: "pids without limit", rows: "RES-35", set: pids(-1), v1: content{"pids/pids.max": "max"}, v2: content{"pids.max": "max"}},
		{name: "pids of 0", rows: "RES-35", set: pids(0), v1: content{"pids/pids.max": "1"}, v2: content{"pids.max": "1"}, old: "takes 0 for no limit"},
		{name: "I/O weight", rows: "RES-24", set: blockIO(specs.LinuxBlockIO{Weight: ptr(uint16(321))}), v1: content{"blkio/blkio.bfq.weight": "321"}, v2: content{"io.weight": "default 3142"}, needs: "blkio/blkio.bfq.weight io.weight"},
		{name: "huge pages", rows: "RES-31 RES-32", set: func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}
		}, v1: content{"hugetlb/hugetlb.2MB.limit_in_bytes": "4194304"}, v2: content{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304"}, needs: "hugetlb/hugetlb.2MB.limit_in_bytes hugetlb.2MB.max"},
	}
	if major, minor, ok := strings.Cut(wholeDisk(), ":"); ok {
		number := func(s string) int64 {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		dev := major + ":" + minor
		disk := specs.LinuxBlockIODevice{Major: number(major), Minor: number(minor)}
		list = append(list, limitCase{name: "throttles of a disk", rows: "RES-27 RES-30", set: blockIO(specs.LinuxBlockIO{
			ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 1048576}},
			ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 77}},
		}), v1: content{
			"blkio/blkio.throttle.read_bps_device": dev + " 1048576", "blkio/blkio.throttle.write_iops_device": dev + " 77",
		}, v2: content{"io.max": dev + " rbps=1048576 wbps=max riops=max wiops=77"}})
	}
	return list
}

// content has files of a cgroup and what is in them.
type content = map[string]string

func TestLimits(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpu", "cpuset", "pids", "blkio")
	for _, l := range limitCases(t) {
		t.Run(l.name, func(t *testing.T) {
			skipOld(t, l.old)
			c := newContainer(t, resources(l.set), harness.Args("/bin/sleep", "1000"))
			if need1, need2, ok := strings.Cut(l.needs, " "); ok {
				needFile(t, byVersion(need1, "memory/"+need2))
			}
			res := c.Do("create", "--bundle", c.bundle, c.id)
			if warns := byVersion("", l.warns); res.Code != 0 || !fits(t, warns, res.Stderr) || warns == "" && res.Stderr != "" && harness.Berth() {
				t.Fatalf("%d %s", res.Code, res.Stderr)
			}
			dirs := harness.CgroupsOf(t, c.State(c.id).Pid)
			for file, want := range byVersion(l.v1, l.v2) {
				controller, name, ok := strings.Cut(file, "/")
				if !ok {
					controller, name = "", file
				}
				if got := harness.ReadFile(t, filepath.Join(dirs[controller], name)); got != want {
					t.Errorf("%s is %s, want %s", file, got, want)
				}
			}
		})
	}
}

// needFile skips where a new cgroup has no such control, as controller/file.
func needFile(t *testing.T, name string) {
	t.Helper()
	controller, file, _ := strings.Cut(name, "/")
	mount := harness.CgroupMounts()[controller]
	if mount == "" {
		t.Skip("no cgroup controller " + controller)
	}
	dir := mount + "/" + harness.ID(t)
	harness.MakeCgroup(t, dir)
	if _, err := os.Stat(dir + "/" + file); err != nil {
		t.Skip("this kernel has no " + file)
	}
}

// The limits hold from the first instruction, and are enough for what is small.
func TestLimitsHold(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpuset", "pids", "cpu")
	mem := func(n int64) change { return resources(memory(specs.LinuxMemory{Limit: &n})) }
	pids := func(n int64) change { return resources(pids(n)) }
	unified := func(file, value string) change {
		return resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{file: value} })
	}
	runAll(t, []scenario{
		// In v2 the exec itself is charged to the cgroup that the child is born into.
		{name: "little memory", rows: "RES-6", change: on(mem(byVersion[int64](256<<10, 2<<20)), harness.Args("/bin/true")), old: "needs megabytes itself"},
		{name: "one process", rows: "RES-35", change: on(pids(1), harness.Args("/bin/true")), old: "needs threads itself"},
		{name: "one process and no more", rows: "RES-35", change: on(pids(1), harness.Shell("true & wait; (true)")), code: 2, err: "can't fork", old: "needs threads itself"},
		{name: "one process, pid namespace of its own", rows: "RES-35 NS-8", change: on(pids(1), harness.UserNamespace, harness.Namespace(specs.TimeNamespace, ""), harness.Args("/bin/true")), code: 0, old: "has none"},
		{name: "memory is killed for", rows: "RES-6", change: on(mem(8<<20), harness.Args("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")), code: 137},
		{name: "memory that can not be", rows: "RES-6 LIF-1", change: on(mem(4096), harness.Args("/bin/true")), code: 1, err: "."},
		{name: "cpuset in effect", rows: "RES-21", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0"} }), harness.Shell("grep Cpus_allowed_list /proc/self/status | cut -f2")), out: "0"},
		{name: "bad cpuset", rows: "RES-21 LIF-1", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0-x"} })), code: 1, err: "."},
		{name: "cpus that are not there", rows: "RES-21 LIF-1", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "4000"} })), code: 1, err: "."},
		{name: "quota too small", rows: "RES-16 LIF-1", change: on(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Quota: ptr(int64(10))} })), code: 1, err: "."},
		byVersion(
			scenario{name: "unified on a v1 host", rows: "RES-39", change: on(unified("memory.max", "1")), code: 1, err: "unified|v1"},
			scenario{name: "unified that the kernel refuses", rows: "RES-39", change: on(unified("memory.max", "much")), code: 1, err: `write "much" to /.*/memory.max: invalid argument`},
		),
		{name: "swap below memory", rows: "RES-8", change: on(resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(32 << 20))}
		})), code: 1, err: "."},
	})
}

// rows: CGP-2 CGP-3 CGP-4 CGP-5 CGP-7 CGP-10 LIF-19 LIF-20
func TestCgroupsPath(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedControllers(t, "memory", "pids")
	own := harness.ReadFile(t, "/proc/self/cgroup")
	mounts, caller := harness.CgroupMounts(), harness.CgroupsOf(t, os.Getpid())
	for _, s := range []struct {
		name, path string
	}{
		{"absent", ""},
		{"absolute", "/bt-parent-ID/ID"},
		{"relative", "bt-parent-ID/ID"},
		{"deep", "/bt-parent-ID/a/b/c/ID"},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newContainer(t, harness.Args("/bin/sleep", "1000"))
			path := strings.ReplaceAll(s.path, "ID", c.id)
			c.placed(path)
			for range 2 { // the same value is the same place, always
				c.create()
				for name, dir := range harness.CgroupsOf(t, c.State(c.id).Pid) {
					if name == "" && !harness.Unified() && !harness.Berth() {
						continue // runc 1.1.5 leaves v2 alone in hybrid mode
					}
					// There are processes in the caller's own, so in v2 it gives those below it
					// no controllers: beside it, then.
					want := byVersion(caller[name], filepath.Dir(caller[name]))
					switch {
					case path == "":
						want = filepath.Join(want, c.id)
					case path[0] == '/':
						want = mounts[name] + path
					default:
						want = filepath.Join(want, path)
					}
					if dir != want {
						t.Errorf("%s: %s, want %s", name, dir, want)
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

// placed writes the config anew: a process that sleeps, in that cgroup.
func (c *container) placed(path string, more ...change) {
	c.t.Helper()
	s := harness.Default()
	for _, f := range append(on(harness.Args("/bin/sleep", "1000")), more...) {
		f(s)
	}
	s.Linux.CgroupsPath = path
	harness.WriteConfig(c.t, c.bundle, s)
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

// inhabit puts a process of the test's into a cgroup, until the test ends or leave is
// called.
func inhabit(t *testing.T, dirs ...string) (pid int, leave func()) {
	t.Helper()
	p := exec.Command("sleep", "1000")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Helper(p.Process.Pid)
	leave = func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	t.Cleanup(leave)
	for _, d := range dirs {
		if err := os.WriteFile(d+"/cgroup.procs", []byte(strconv.Itoa(p.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	return p.Process.Pid, leave
}

// rows: CGP-1 CGP-7 LIF-20
func TestCgroupThatExists(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedControllers(t, "memory", "pids", "freezer")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	path := "/bt-there-" + c.id
	c.placed(path)
	mounts := harness.CgroupMounts()
	dirs := byVersion([]string{mounts["memory"] + path, mounts["pids"] + path}, []string{mounts[""] + path})
	harness.MakeCgroup(t, dirs...)
	last := dirs[len(dirs)-1]
	t.Run("empty ones stay at delete", func(t *testing.T) {
		skipOld(t, "removes them")
		c.create()
		c.Must("delete", "--force", c.id)
		for _, d := range dirs {
			if _, err := os.Stat(d); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(mounts["freezer"] + path); err == nil && !harness.Unified() {
			t.Error("one that create made is left")
		}
		if harness.Unified() {
			if n := len(harness.DevicePrograms(t, last)); n > 0 {
				t.Errorf("%d programs on devices are left", n)
			}
		}
	})
	t.Run("one with processes is refused", func(t *testing.T) {
		skipOld(t, "warns only")
		pid, _ := inhabit(t, last)
		c.fails(`container's cgroup is not empty: 1 process.es. found`, "create", "--bundle", c.bundle, c.id)
		below := last + "/below"
		harness.MakeCgroup(t, below)
		other, _ := inhabit(t, below)
		c.fails(`container's cgroup is not empty: 2 process.es. found`, "create", "--bundle", c.bundle, c.id)
		for _, p := range []int{pid, other} {
			if err := unix.Kill(p, 0); err != nil {
				t.Error("a process in it suffered: ", err)
			}
		}
	})
	t.Run("a frozen one is refused", func(t *testing.T) {
		skipOld(t, "hangs")
		dir := mounts["freezer"] + path
		if !harness.Unified() {
			harness.MakeCgroup(t, dir)
		}
		await(t, "the cgroup to be empty", func() bool { return harness.ReadFile(t, last+"/cgroup.procs") == "" })
		harness.Freeze(t, dir, true)
		t.Cleanup(func() { harness.Freeze(t, dir, false) })
		c.fails("container's cgroup unexpectedly frozen", "create", "--bundle", c.bundle, c.id)
		if !harness.Frozen(t, dir) {
			t.Error("it is thawed")
		}
	})
}

// rows: CGP-6
func TestBadCgroupsPath(t *testing.T) {
	harness.NeedCgroupfs(t)
	path := func(p string) change { return func(s *specs.Spec) { s.Linux.CgroupsPath = p } }
	runAll(t, []scenario{
		{name: "climbs", rows: "CGP-2", change: on(path("/../bt-x")), code: 1, err: "cgroupsPath", old: "cleans it"},
		{name: "climbs, relative", rows: "CGP-2", change: on(path("../../bt-x")), code: 1, err: "cgroupsPath", old: "cleans it"},
		{name: "NUL", rows: "CGP-2", change: on(path("/a\x00b")), code: 1, err: "cgroupsPath|NUL|invalid argument"},
	})
}
