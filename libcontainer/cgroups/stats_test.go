package cgroups

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// fake is a Handle of plain directories with these files, by controller.
func fake(t *testing.T, files map[string]string) *handle {
	t.Helper()
	mount := t.TempDir()
	h := &handle{mark: "m"}
	t.Cleanup(h.Close)
	for _, controllers := range []string{"cpu,cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb"} {
		dir := filepath.Join(mount, controllers, "x")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c := &cgroup{controllers: controllers, mount: filepath.Join(mount, controllers), levels: []string{"x"}, fd: -1}
		for name, text := range files {
			if controller, _, _ := strings.Cut(name, "."); !c.has(controller) {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		h.cgroups = append(h.cgroups, c)
	}
	return h
}

func TestStats(t *testing.T) {
	empty := func(change func(*Stats)) *Stats {
		s := &Stats{Memory: MemoryStats{Raw: map[string]uint64{}}}
		change(s)
		return s
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  *Stats
	}{
		{"no file at all", nil, empty(func(*Stats) {})},
		{"cpu", map[string]string{
			"cpuacct.usage": "77\n", "cpuacct.stat": "user 3\nsystem 5\n", "cpuacct.usage_percpu": "70 7 \n",
			"cpuacct.usage_all": "cpu user system\n0 40 30\n1 4 3\n",
			"cpu.stat":          "nr_periods 9\nnr_throttled 4\nthrottled_time 123456789012\nnr_bursts 0\nburst_time 0\n",
		}, empty(func(s *Stats) {
			s.CPU = CPUStats{
				Total: 77, User: 30000000, Kernel: 50000000, PerCPU: []uint64{70, 7}, PerCPUUser: []uint64{40, 4},
				PerCPUKernel: []uint64{30, 3}, Periods: 9, ThrottledPeriods: 4, Throttling: 123456789012,
			}
		})},
		{"cpuset", map[string]string{
			"cpuset.cpus": "0-2,5\n", "cpuset.mems": "0\n", "cpuset.cpu_exclusive": "1\n", "cpuset.mem_exclusive": "2\n", "cpuset.mem_hardwall": "3\n",
			"cpuset.memory_migrate": "4\n", "cpuset.memory_spread_page": "5\n", "cpuset.memory_spread_slab": "6\n",
			"cpuset.memory_pressure": "7\n", "cpuset.sched_load_balance": "8\n", "cpuset.sched_relax_domain_level": "-1\n",
		}, empty(func(s *Stats) {
			s.CPUSet = CPUSetStats{
				CPUs: []uint16{0, 1, 2, 5}, Mems: []uint16{0}, CPUExclusive: 1, MemExclusive: 2, MemHardwall: 3, MemoryMigrate: 4,
				SpreadPage: 5, SpreadSlab: 6, MemoryPressure: 7, SchedLoadBalance: 8, SchedRelaxDomainLevel: -1,
			}
		})},
		{"an empty cpuset", map[string]string{"cpuset.cpus": "\n"}, empty(func(*Stats) {})},
		{"memory", map[string]string{
			"memory.stat": "cache 5\nrss 6\nhierarchical_memory_limit 9223372036854771712\n", "memory.usage_in_bytes": "1\n", "memory.max_usage_in_bytes": "2\n",
			"memory.limit_in_bytes": "3\n", "memory.failcnt": "4\n", "memory.kmem.usage_in_bytes": "7\n", "memory.kmem.tcp.limit_in_bytes": "8\n",
			"memory.memsw.usage_in_bytes": "9\n", "memory.memsw.max_usage_in_bytes": "10\n", "memory.memsw.limit_in_bytes": "11\n", "memory.memsw.failcnt": "12\n",
		}, empty(func(s *Stats) {
			s.Memory = MemoryStats{
				Memory: MemoryCounter{1, 2, 3, 4}, Swap: MemoryCounter{9, 10, 11, 12}, Kernel: MemoryCounter{Usage: 7}, KernelTCP: MemoryCounter{Limit: 8},
				Cache: 5, Raw: map[string]uint64{"cache": 5, "rss": 6, "hierarchical_memory_limit": 9223372036854771712},
			}
		})},
		{"pids", map[string]string{"pids.current": "3\n", "pids.max": "40\n"}, empty(func(s *Stats) { s.Pids = PidsStats{3, 40} })},
		{"pids without limit", map[string]string{"pids.current": "3\n", "pids.max": "max\n"}, empty(func(s *Stats) { s.Pids = PidsStats{3, 0} })},
		{"I/O by BFQ", map[string]string{
			"blkio.bfq.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n", "blkio.bfq.io_serviced_recursive": "8:0 Read 1\nTotal 1\n",
			"blkio.bfq.sectors_recursive": "8:0 8\n", "blkio.bfq.io_queued_recursive": "8:0 Read 2\nTotal 2\n",
			"blkio.throttle.io_service_bytes_recursive": "8:16 Read 9\n",
		}, empty(func(s *Stats) {
			s.BlockIO = BlockIOStats{
				Bytes: []BlockIOCount{{8, 0, "Read", 4096}, {8, 0, "Total", 4096}}, Operations: []BlockIOCount{{8, 0, "Read", 1}},
				Sectors: []BlockIOCount{{8, 0, "", 8}}, Queued: []BlockIOCount{{8, 0, "Read", 2}},
			}
		})},
		{"I/O that BFQ does not see", map[string]string{
			"blkio.bfq.io_service_bytes_recursive": "Total 0\n", "blkio.bfq.io_serviced_recursive": "Total 0\n",
			"blkio.throttle.io_service_bytes_recursive": "254:0 Read 9\nTotal 9\n", "blkio.throttle.io_serviced_recursive": "254:0 Read 1\nTotal 1\n",
			"blkio.throttle.io_service_bytes": "254:0 Read 5\n",
		}, empty(func(s *Stats) {
			s.BlockIO = BlockIOStats{Bytes: []BlockIOCount{{254, 0, "Read", 9}}, Operations: []BlockIOCount{{254, 0, "Read", 1}}}
		})},
		{"I/O of an older kernel", map[string]string{"blkio.throttle.io_service_bytes": "254:0 Read 5\n"}, empty(func(s *Stats) {
			s.BlockIO = BlockIOStats{Bytes: []BlockIOCount{{254, 0, "Read", 5}}}
		})},
		{"huge pages", map[string]string{
			"hugetlb.2MB.limit_in_bytes": "9\n", "hugetlb.2MB.usage_in_bytes": "1\n", "hugetlb.2MB.max_usage_in_bytes": "2\n", "hugetlb.2MB.failcnt": "3\n",
			"hugetlb.1GB.limit_in_bytes": "9\n", "hugetlb.1GB.usage_in_bytes": "1\n", "hugetlb.1GB.rsvd.usage_in_bytes": "4\n",
			"hugetlb.1GB.rsvd.max_usage_in_bytes": "5\n", "hugetlb.1GB.rsvd.failcnt": "6\n",
		}, empty(func(s *Stats) {
			s.Hugetlb = []HugetlbStats{{"1GB", 4, 5, 6}, {"2MB", 1, 2, 3}}
		})},
	} {
		got, err := fake(t, c.files).Stats()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v\n%+v\nwant\n%+v", c.name, err, got, c.want)
		}
	}
	for file, text := range map[string]string{
		"pids.current": "x", "memory.usage_in_bytes": "-1", "memory.stat": "cache x", "cpuset.cpus": "0-x",
		"cpuset.sched_relax_domain_level": "y", "cpuacct.usage_all": "t\n0 a b", "blkio.throttle.io_serviced": "8:x Read 5",
	} {
		_, err := fake(t, map[string]string{file: text}).Stats()
		if err == nil || !strings.Contains(err.Error(), "/x/"+file+": ") || !strings.HasSuffix(err.Error(), " is no number") {
			t.Errorf("%s of %q: %v", file, text, err)
		}
	}
	if _, err := (&handle{}).Stats(); err != nil {
		t.Errorf("no controllers: %v", err)
	}
}

// What the kernel says of real cgroups is what the files say.
func TestStatsOfRealCgroups(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(20))},
		CPU: &specs.LinuxCPU{Quota: ptr(int64(1000)), Period: ptr(uint64(10000))},
	})
	cmd := inside(t, m, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo; kill -STOP $$")
	number := func(controller, file string) uint64 {
		t.Helper()
		n, err := strconv.ParseUint(get(t, m, controller, file), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	until(t, "it stops, with all that is counted", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat")
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	s, err := m.again(t).Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.CPU.Total == 0 || s.CPU.Total != number("cpuacct", "cpuacct.usage") {
		t.Errorf("cpu time %d, %s", s.CPU.Total, get(t, m, "cpuacct", "cpuacct.usage"))
	}
	if s.CPU.Periods == 0 || s.CPU.ThrottledPeriods == 0 || s.CPU.Throttling == 0 {
		t.Errorf("no throttling: %+v", s.CPU)
	}
	var sum uint64
	for _, n := range s.CPU.PerCPU {
		sum += n
	}
	if sum != s.CPU.Total || len(s.CPU.PerCPUUser) != len(s.CPU.PerCPU) || len(s.CPU.PerCPUKernel) != len(s.CPU.PerCPU) {
		t.Errorf("cpu time of each: %+v", s.CPU)
	}
	mem := s.Memory
	if mem.Memory.Limit != 64<<20 || mem.Memory.Usage != number("memory", "memory.usage_in_bytes") || mem.Memory.Max != number("memory", "memory.max_usage_in_bytes") ||
		mem.Kernel.Usage != number("memory", "memory.kmem.usage_in_bytes") || len(mem.Raw) < 20 || mem.Raw["hierarchical_memory_limit"] != 64<<20 {
		t.Errorf("memory: %+v", mem)
	}
	if s.Pids != (PidsStats{number("pids", "pids.current"), 20}) || s.Pids.Current == 0 {
		t.Errorf("pids: %+v", s.Pids)
	}
	if len(s.CPUSet.CPUs) == 0 || len(s.CPUSet.Mems) == 0 || s.CPUSet.SchedRelaxDomainLevel != -1 {
		t.Errorf("cpuset: %+v", s.CPUSet)
	}
	if s.Memory.KernelTCP.Limit > math.MaxInt64 {
		t.Errorf("no limit: %d", s.Memory.KernelTCP.Limit)
	}
}
