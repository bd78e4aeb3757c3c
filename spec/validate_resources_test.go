package spec

import (
	"math"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// resources returns an edit of the resources alone.
func resources(edit func(*specs.LinuxResources)) func(*specs.Spec) {
	return func(s *specs.Spec) { edit(s.Linux.Resources) }
}

func TestValidateResources(t *testing.T) {
	rule5 := func(d specs.LinuxDeviceCgroup) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) {
			r.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}, d}
		})
	}
	page := func(size string) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: size}}
		})
	}
	pids := func(n int64) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: &n} })
	}
	unified := func(file string) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{file: "a\nb"} })
	}
	rdma := func(l specs.LinuxRdma) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) { r.Rdma = map[string]specs.LinuxRdma{"mlx5_1": l} })
	}
	const path = "linux.resources"
	check(t, []rule{
		{"RES-3 unknown", rule5(specs.LinuxDeviceCgroup{Type: "p", Access: "r"}), path + ".devices[1].type", `invalid cgroup device type "p"`},
		{"RES-3 unset", rule5(specs.LinuxDeviceCgroup{Access: "r"}), "", ""},
		{"RES-4 all", rule5(specs.LinuxDeviceCgroup{Type: "c", Access: "r", Major: ptr(int64(-1)), Minor: ptr(int64(-1))}), "", ""},
		{"RES-4 negative major", rule5(specs.LinuxDeviceCgroup{Access: "r", Major: ptr(int64(-2))}), path + ".devices[1].major", "invalid device number -2"},
		{"RES-4 large minor", rule5(specs.LinuxDeviceCgroup{Access: "r", Minor: ptr(int64(1 << 32))}), path + ".devices[1].minor", "invalid device number"},
		{"RES-5 empty", rule5(specs.LinuxDeviceCgroup{Type: "c"}), path + ".devices[1].access", "device access at 1 field cannot be empty"},
		{"RES-5 letter", rule5(specs.LinuxDeviceCgroup{Type: "c", Access: "rx"}), path + ".devices[1].access", `r, w and m, not "rx"`},
		{"RES-5 letter inside", rule5(specs.LinuxDeviceCgroup{Type: "c", Access: "rxw"}), path + ".devices[1].access", "r, w and m"},
		{"RES-31 no unit", page("2"), path + ".hugepageLimits[0].pageSize", `invalid page size "2"`},
		{"RES-31 no number", page("MB"), path + ".hugepageLimits[0].pageSize", "invalid page size"},
		{"RES-31 no byte", page("2M"), path + ".hugepageLimits[0].pageSize", "invalid page size"},
		{"RES-31 two units", page("2KMB"), path + ".hugepageLimits[0].pageSize", "invalid page size"},
		{"RES-31 zero", page("0MB"), path + ".hugepageLimits[0].pageSize", "invalid page size"},
		{"RES-31 letters", page("2aMB"), path + ".hugepageLimits[0].pageSize", "invalid page size"},
		{"RES-31 path", page("../2MB"), path + ".hugepageLimits[0].pageSize", "invalid page size"},
		{"RES-31 KB", page("64KB"), "", ""},
		{"RES-31 GB", page("16GB"), "", ""},
		{"RES-34 no name", resources(func(r *specs.LinuxResources) {
			r.Network = &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo"}, {}}}
		}), path + ".network.priorities[1].name", "must not be empty"},
		{"RES-35 too low", pids(-2), path + ".pids.limit", "-1 (no limit) or more, not -2"},
		{"RES-35 unlimited", pids(-1), "", ""},
		{"RES-35 zero", pids(0), "", ""},
		{"RES-36 neither", rdma(specs.LinuxRdma{}), path + ".rdma.mlx5_1", "needs hcaHandles or hcaObjects"},
		{"RES-37 handles", rdma(specs.LinuxRdma{HcaHandles: ptr(uint32(0))}), "", ""},
		{"RES-39 slash", unified("a/memory.max"), path + `.unified["a/memory.max"]`, "not the name of a file in a cgroup"},
		{"RES-39 dots", unified(".."), path + `.unified[".."]`, "not the name"},
		{"RES-39 empty", unified(""), path + `.unified[""]`, "not the name"},
		{"RES-43 lines", unified("io.max"), "", ""},
	})
}

func TestValidateMemory(t *testing.T) {
	memory := func(m specs.LinuxMemory) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) { r.Memory = &m })
	}
	limits := func(limit, swap int64) func(*specs.Spec) {
		return memory(specs.LinuxMemory{Limit: &limit, Swap: &swap})
	}
	const path = "linux.resources.memory"
	check(t, []rule{
		{"RES-6 too low", memory(specs.LinuxMemory{Limit: ptr(int64(-2))}), path + ".limit", "-1 (no limit) or more, not -2"},
		{"RES-6 unlimited", memory(specs.LinuxMemory{Limit: ptr(int64(-1))}), "", ""},
		{"RES-7 too low", memory(specs.LinuxMemory{Reservation: ptr(int64(-2))}), path + ".reservation", "not -2"},
		{"RES-8 too low", memory(specs.LinuxMemory{Swap: ptr(int64(-2))}), path + ".swap", "not -2"},
		{"RES-8 below limit", limits(2048, 1024), path + ".swap", "memory and swap together, 1024, must not be less than the memory limit, 2048"},
		{"RES-8 equal", limits(2048, 2048), "", ""},
		{"RES-8 without limit", memory(specs.LinuxMemory{Swap: ptr(int64(1024))}), path + ".swap", "needs a limit of memory"},
		{"RES-8 limit unset", limits(0, 1024), path + ".swap", "needs a limit of memory"},
		{"RES-8 limit unlimited", limits(-1, 1024), "", ""},
		{"RES-8 swap unlimited", limits(1024, -1), "", ""},
		{"RES-8 swap unlimited without limit", memory(specs.LinuxMemory{Swap: ptr(int64(-1))}), "", ""},
		{"RES-8 swap unset", limits(1024, 0), "", ""},
		{"RES-11 too high", memory(specs.LinuxMemory{Swappiness: ptr(uint64(101))}), path + ".swappiness", "between 0 and 100, not 101"},
		{"RES-11 highest", memory(specs.LinuxMemory{Swappiness: ptr(uint64(100))}), "", ""},
		{"RES-11 minus one", memory(specs.LinuxMemory{Swappiness: ptr(uint64(math.MaxUint64))}), "", ""},
	})
}

func TestValidateCPU(t *testing.T) {
	cpu := func(c specs.LinuxCPU) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) { r.CPU = &c })
	}
	const path = "linux.resources.cpu"
	check(t, []rule{
		{"RES-15 zero", cpu(specs.LinuxCPU{Shares: ptr(uint64(0))}), "", ""},
		{"RES-16 too small", cpu(specs.LinuxCPU{Quota: ptr(int64(999))}), path + ".quota", "at least 1000 microseconds, not 999"},
		{"RES-16 unlimited", cpu(specs.LinuxCPU{Quota: ptr(int64(-1)), Burst: ptr(uint64(5000))}), "", ""},
		{"RES-17 above quota", cpu(specs.LinuxCPU{Quota: ptr(int64(1000)), Burst: ptr(uint64(1001))}), path + ".burst", "more than the quota, 1000, but is 1001"},
		{"RES-17 equal", cpu(specs.LinuxCPU{Quota: ptr(int64(1000)), Burst: ptr(uint64(1000))}), "", ""},
		{"RES-18 too short", cpu(specs.LinuxCPU{Period: ptr(uint64(999))}), path + ".period", "between 1000 and 1000000 microseconds, not 999"},
		{"RES-18 too long", cpu(specs.LinuxCPU{Period: ptr(uint64(1000001))}), path + ".period", "not 1000001"},
		{"RES-18 unset", cpu(specs.LinuxCPU{Period: ptr(uint64(0))}), "", ""},
		{"RES-21 bad list", cpu(specs.LinuxCPU{Cpus: "0-3,x"}), path + ".cpus", `bad list "0-3,x" at character 5`},
		{"RES-22 bad list", cpu(specs.LinuxCPU{Mems: "3-1"}), path + ".mems", "bad list"},
		{"RES-22 good lists", cpu(specs.LinuxCPU{Cpus: "0-3,7", Mems: "0"}), "", ""},
		{"RES-23 other", cpu(specs.LinuxCPU{Idle: ptr(int64(2))}), path + ".idle", "0 or 1, not 2"},
		{"RES-23 one", cpu(specs.LinuxCPU{Idle: ptr(int64(1))}), "", ""},
	})
}

func TestValidateBlockIO(t *testing.T) {
	block := func(b specs.LinuxBlockIO) func(*specs.Spec) {
		return resources(func(r *specs.LinuxResources) { r.BlockIO = &b })
	}
	weigh := func(d specs.LinuxWeightDevice) func(*specs.Spec) {
		return block(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{d}})
	}
	bad := []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: -1}}}
	const path = "linux.resources.blockIO"
	check(t, []rule{
		{"RES-24 too low", block(specs.LinuxBlockIO{Weight: ptr(uint16(9))}), path + ".weight", "between 10 and 1000, not 9"},
		{"RES-24 too high", block(specs.LinuxBlockIO{Weight: ptr(uint16(1001))}), path + ".weight", "not 1001"},
		{"RES-24 unset", block(specs.LinuxBlockIO{Weight: ptr(uint16(0))}), "", ""},
		{"RES-25 too low", block(specs.LinuxBlockIO{LeafWeight: ptr(uint16(1))}), path + ".leafWeight", "not 1"},
		{"RES-26 none", weigh(specs.LinuxWeightDevice{}), path + ".weightDevice[0]", "needs weight or leafWeight"},
		{"RES-26 too low", weigh(specs.LinuxWeightDevice{Weight: ptr(uint16(9))}), path + ".weightDevice[0].weight", "not 9"},
		{"RES-26 leaf too high", weigh(specs.LinuxWeightDevice{LeafWeight: ptr(uint16(1001))}), path + ".weightDevice[0].leafWeight", "not 1001"},
		{"RES-26 good", weigh(specs.LinuxWeightDevice{Weight: ptr(uint16(10))}), "", ""},
		{"RES-26 negative minor", weigh(specs.LinuxWeightDevice{
			LinuxBlockIODevice: specs.LinuxBlockIODevice{Minor: -1}, Weight: ptr(uint16(10)),
		}), path + ".weightDevice[0].minor", "must not be negative"},
		{"RES-27 negative", block(specs.LinuxBlockIO{ThrottleReadBpsDevice: bad}), path + ".throttleReadBpsDevice[0].major", "must not be negative"},
		{"RES-28 negative", block(specs.LinuxBlockIO{ThrottleWriteBpsDevice: bad}), path + ".throttleWriteBpsDevice[0].major", "must not be negative"},
		{"RES-29 negative", block(specs.LinuxBlockIO{ThrottleReadIOPSDevice: bad}), path + ".throttleReadIOPSDevice[0].major", "must not be negative"},
		{"RES-30 negative", block(specs.LinuxBlockIO{ThrottleWriteIOPSDevice: bad}), path + ".throttleWriteIOPSDevice[0].major", "must not be negative"},
	})
}

// TestResourcesAlone is how update validates.
func TestResourcesAlone(t *testing.T) {
	list := ValidateResources(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-2))}}, "resources")
	if len(list) != 1 || list[0].JSONPath != "resources.pids.limit" {
		t.Error(list)
	}
	// What swap needs is in force already, or the kernel says that it is not.
	for _, r := range []*specs.LinuxResources{{}, {Memory: &specs.LinuxMemory{Swap: ptr(int64(1 << 30))}}} {
		if list := ValidateResources(r, "resources"); len(list) > 0 {
			t.Error(list)
		}
	}
}
