package cli

import (
	"testing"

	"berth/libcontainer"
	"berth/libcontainer/cgroups"
)

func TestEventJSON(t *testing.T) {
	const cpuset = `"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0}`
	const nothing = `{"limit":0,"failcnt":0}`
	for _, c := range []struct {
		name  string
		stats *cgroups.Stats
		want  string
	}{
		{"out of memory", nil, `{"type":"oom","id":"a.b"}`},
		{"nothing counted", &cgroups.Stats{}, `{"type":"stats","id":"a.b","data":{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},` + cpuset +
			`,"memory":{"usage":` + nothing + `,"swap":` + nothing + `,"kernel":` + nothing + `,"kernelTCP":` + nothing +
			`},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}`},
		{"all counted", &cgroups.Stats{
			CPU: cgroups.CPUStats{
				Total: 1, User: 2, Kernel: 3, PerCPU: []uint64{4, 0}, PerCPUUser: []uint64{5, 6}, PerCPUKernel: []uint64{7, 8},
				Periods: 9, ThrottledPeriods: 10, Throttling: 11,
			},
			CPUSet: cgroups.CPUSetStats{
				CPUs: []uint16{0, 2}, Mems: []uint16{0}, CPUExclusive: 1, MemExclusive: 2, MemHardwall: 3, MemoryMigrate: 4,
				SpreadPage: 5, SpreadSlab: 6, MemoryPressure: 7, SchedLoadBalance: 8, SchedRelaxDomainLevel: -1,
			},
			Memory: cgroups.MemoryStats{
				Memory: cgroups.MemoryCounter{Usage: 1, Max: 2, Limit: 3, Failures: 4}, Swap: cgroups.MemoryCounter{Usage: 5, Max: 6, Limit: 7, Failures: 8},
				Kernel: cgroups.MemoryCounter{Usage: 9}, KernelTCP: cgroups.MemoryCounter{Limit: 1<<64 - 1}, Cache: 12, Raw: map[string]uint64{"rss": 0, "cache": 12},
			},
			Pids: cgroups.PidsStats{Current: 1, Limit: 2},
			BlockIO: cgroups.BlockIOStats{
				Bytes: []cgroups.BlockIOCount{{Major: 254, Op: "Read", Value: 5}, {Major: 8, Minor: 1, Value: 0}}, Operations: []cgroups.BlockIOCount{{Major: 1}},
				Queued: []cgroups.BlockIOCount{{Major: 2}}, ServiceTime: []cgroups.BlockIOCount{{Major: 3}}, WaitTime: []cgroups.BlockIOCount{{Major: 4}},
				Merged: []cgroups.BlockIOCount{{Major: 5}}, Time: []cgroups.BlockIOCount{{Major: 6}}, Sectors: []cgroups.BlockIOCount{{Major: 7}},
			},
			Hugetlb: []cgroups.HugetlbStats{{PageSize: "1GB"}, {PageSize: "2MB", Usage: 1, Max: 2, Failures: 3}},
		}, `{"type":"stats","id":"a.b","data":{"cpu":{"usage":{"total":1,"percpu":[4,0],"percpu_kernel":[7,8],"percpu_user":[5,6],"kernel":3,"user":2},` +
			`"throttling":{"periods":9,"throttledPeriods":10,"throttledTime":11}},` +
			`"cpuset":{"cpus":[0,2],"cpu_exclusive":1,"mems":[0],"mem_hardwall":3,"mem_exclusive":2,"memory_migrate":4,"memory_spread_page":5,"memory_spread_slab":6,"memory_pressure":7,"sched_load_balance":8,"sched_relax_domain_level":-1},` +
			`"memory":{"cache":12,"usage":{"limit":3,"usage":1,"max":2,"failcnt":4},"swap":{"limit":7,"usage":5,"max":6,"failcnt":8},"kernel":{"limit":0,"usage":9,"failcnt":0},"kernelTCP":{"limit":18446744073709551615,"failcnt":0},"raw":{"cache":12,"rss":0}},` +
			`"pids":{"current":1,"limit":2},"blkio":{"ioServiceBytesRecursive":[{"major":254,"op":"Read","value":5},{"major":8,"minor":1}],"ioServicedRecursive":[{"major":1}],"ioQueueRecursive":[{"major":2}],"ioServiceTimeRecursive":[{"major":3}],"ioWaitTimeRecursive":[{"major":4}],"ioMergedRecursive":[{"major":5}],"ioTimeRecursive":[{"major":6}],"sectorsRecursive":[{"major":7}]},` +
			`"hugetlb":{"1GB":{"failcnt":0},"2MB":{"usage":1,"max":2,"failcnt":3}},"intel_rdt":{},"network_interfaces":null}}`},
	} {
		want := c.want + "\n"
		if got := string(eventJSON("a.b", &libcontainer.Event{Stats: c.stats})); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}
