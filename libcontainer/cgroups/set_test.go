package cgroups

import (
	"math"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// What the kernel refuses leaves everything as it was: what was written before has its
// old value again, in every hierarchy.
func TestSetIsAllOrNothing(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20)), Reservation: ptr(int64(32 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Shares: ptr(uint64(300)), Cpus: "0"},
	})
	files := [][2]string{
		{"memory", "memory.limit_in_bytes"},
		{"memory", "memory.memsw.limit_in_bytes"},
		{"memory", "memory.soft_limit_in_bytes"},
		{"memory", "memory.swappiness"},
		{"memory", "memory.oom_control"},
		{"cpu", "cpu.cfs_quota_us"},
		{"cpu", "cpu.cfs_period_us"},
		{"cpu", "cpu.shares"},
		{"cpu", "cpu.idle"},
		{"cpuset", "cpuset.cpus"},
		{"cpuset", "cpuset.mems"},
		{"pids", "pids.max"},
	}
	all := func() string {
		var b strings.Builder
		for _, file := range files {
			b.WriteString(file[1] + " " + get(t, m, file[0], file[1]) + "\n")
		}
		return b.String()
	}
	before := all()
	for _, c := range []struct {
		name string
		r    specs.LinuxResources
		err  string
	}{
		{"larger, and a cpu that is not there", specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(128 << 20)), Swap: ptr(int64(256 << 20)), Reservation: ptr(int64(64 << 20)), Swappiness: ptr(uint64(7)), DisableOOMKiller: ptr(true)},
			CPU:    &specs.LinuxCPU{Quota: ptr(int64(500000)), Period: ptr(uint64(1000000)), Shares: ptr(uint64(500)), Cpus: "4000"},
		}, "cannot bind to these cpus: "},
		{"smaller, and a cpu that is not there", specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(16 << 20)), Swap: ptr(int64(16 << 20))},
			CPU:    &specs.LinuxCPU{Quota: ptr(int64(2000)), Period: ptr(uint64(4000)), Idle: ptr(int64(1)), Cpus: "4000"},
		}, "cannot bind to these cpus: "},
		{
			"memory above memory and swap",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(128 << 20))}},
			"cannot limit memory: linux.resources.memory.limit: write \"134217728\" to " + m.Dirs["memory"] + "/memory.limit_in_bytes: invalid argument (in force: memory.limit_in_bytes 67108864, memory.memsw.limit_in_bytes 100663296)",
		},
		{
			"memory and swap below memory",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(32 << 20))}},
			"cannot limit memory and swap together: linux.resources.memory.swap: write \"33554432\" to " + m.Dirs["memory"] + "/memory.memsw.limit_in_bytes: invalid argument (in force: ",
		},
		{
			"a burst above the quota",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Burst: ptr(uint64(60000)), Shares: ptr(uint64(400))}},
			"cannot let unused cpu time be caught up: linux.resources.cpu.burst: write \"60000\" to " + m.Dirs["cpu"] + "/cpu.cfs_burst_us: invalid argument (in force: cpu.cfs_period_us 100000, cpu.cfs_quota_us 50000, cpu.cfs_burst_us 0)",
		},
		{"a controller that is not there", specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(32 << 20))}, Network: &specs.LinuxNetwork{ClassID: ptr(uint32(5))},
		}, "linux.resources.network.classID needs the cgroup controller net_cls, which is not mounted"},
	} {
		if find(m.again(t).(*handle).cgroups, "net_cls") != nil && c.r.Network != nil {
			continue
		}
		_, err := m.again(t).Set(&c.r)
		if err == nil || !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %v, want %s", c.name, err, c.err)
		}
		if now := all(); now != before {
			t.Errorf("%s: it is now\n%sand was\n%s", c.name, now, before)
		}
	}
	// What is named is changed, and nothing else.
	for i, c := range []struct {
		r    specs.LinuxResources
		want [2]string
	}{
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(9))}}, [2]string{"memory.swappiness " + get(t, m, "memory", "memory.swappiness"), "memory.swappiness 9"}},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(400))}}, [2]string{"cpu.shares 300", "cpu.shares 400"}},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, [2]string{"cpu.cfs_quota_us 50000", "cpu.cfs_quota_us -1"}},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}}, [2]string{"cpu.idle 0", "cpu.idle 1"}},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(12))}}, [2]string{"pids.max max", "pids.max 12"}},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(math.MaxUint64))}}, [2]string{}},
		{specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(0)), Swap: ptr(int64(0)), Reservation: ptr(int64(0))},
			CPU:    &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(0)), Period: ptr(uint64(0))}, BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))},
		}, [2]string{}},
	} {
		before := all()
		if _, err := m.again(t).Set(&c.r); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		want := strings.Replace(before, c.want[0]+"\n", c.want[1]+"\n", 1)
		if now := all(); now != want && !(i == 3 && strings.Contains(now, "cpu.idle 1")) {
			t.Errorf("%d: it is now\n%swant\n%s", i, now, want)
		}
	}
}

// The content of a file, as what has to be written for it to be so again.
func TestPresent(t *testing.T) {
	for _, c := range []struct{ file, data, content, want string }{
		{"pids.max", "5", "max", "max"},
		{"cpuset.cpus", "0", "0-1,3", "0-1,3"},
		{"memory.max", " 45002752", "50003968", "50003968"}, // and not 0 for the key "", which kills
		{"pids.max", "7 \n", "50", "50"},
		{"memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3", "0"},
		{"blkio.throttle.read_bps_device", "8:0 5", "8:16 7\n8:0 100", "8:0 100"},
		{"blkio.throttle.read_bps_device", "8:1 5", "8:16 7\n8:0 100", "8:1 0"},
		{"blkio.throttle.read_bps_device", "8:1 5", "", "8:1 0"},
		{"rdma.max", "mlx hca_handle=2", "mlx hca_handle=max hca_object=max", "mlx hca_handle=max hca_object=max"},
	} {
		if got := present(c.file, c.data, c.content); got != c.want {
			t.Errorf("%s with %q, written %q: %q, want %q", c.file, c.content, c.data, got, c.want)
		}
	}
}
