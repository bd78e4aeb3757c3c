package cgroups

import (
	"math"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// write is one value for a control file of a controller, before it is known
// where that controller is mounted.
type write struct {
	controller string
	file, alt  string
	data       string
	altData    string // for alt, where that is not data
	why, json  string
	optional   bool
	group      int
}

// limits turns linux.resources into writes. It checks what the kernel would
// refuse without saying why.
type limits struct {
	// on2 says whether a controller, by its v2 name, is one of the v2 hierarchy.
	on2 func(controller string) bool
	// inForce reads a control file of a cgroup that is there already, for values that
	// share a file; nil for a new cgroup. It is empty where there is no such file.
	inForce func(file string) string

	writes   []write
	warnings []string
	group    int // that new writes belong to
	groups   int // how many there are
}

// resources is linux.resources in config.json.
const resources = "linux.resources."

func (l *limits) add(controller, file, data, why, json string) *write {
	l.writes = append(l.writes, write{
		controller: controller, file: controller + "." + file, data: data, why: why,
		json: resources + json, group: l.group,
	})
	return &l.writes[len(l.writes)-1]
}

// joined calls f, whose writes the kernel checks against each other.
func (l *limits) joined(f func()) {
	l.groups++
	l.group = l.groups
	f()
	l.group = 0
}

func wrong(json, msg string) error { return fault.At(resources+json, resources+json+": "+msg) }

// collect goes through all of r but its devices.
func (l *limits) collect(r *specs.LinuxResources) error {
	for _, part := range [...]struct {
		controller string // its v2 name
		v1, v2     func(*specs.LinuxResources) error
	}{
		{"memory", l.memory, l.memory2},
		{"cpu", l.cpu, l.cpu2},
		{"cpuset", l.cpuset, l.cpuset},
		{"pids", l.pids, l.pids},
		{"io", l.blockIO, l.io},
		{"hugetlb", l.hugepages, l.hugepages2},
		{"network", l.network, l.network2},
		{"rdma", l.rdma, l.rdma},
		{"unified", l.noUnified, l.unified},
	} {
		f := part.v1
		if l.on2(part.controller) {
			f = part.v2
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// memory follows runc in that 0 leaves a value alone: engines send zeros for
// what was not asked.
func (l *limits) memory(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	if err := checkMemory(m); err != nil {
		return err
	}
	limit, swap := value(m.Limit), value(m.Swap)
	// Memory and swap together may never be less than memory alone, so the right
	// order depends on the values in force. Joined, either is tried first.
	l.joined(func() {
		if limit != 0 {
			l.add("memory", "limit_in_bytes", itoa(limit), "limit memory", "memory.limit")
		}
		if swap != 0 {
			l.add("memory", "memsw.limit_in_bytes", itoa(swap), "limit memory and swap together", "memory.swap")
		} else if limit == -1 {
			// No limit on memory makes no sense while one on both is in force.
			w := l.add("memory", "memsw.limit_in_bytes", "-1", "lift the limit on memory and swap together", "memory.limit")
			w.optional = true
		}
	})
	if v := value(m.Reservation); v != 0 {
		l.add("memory", "soft_limit_in_bytes", itoa(v), "reserve memory", "memory.reservation")
	}
	// The largest number is -1 without its sign, by which engines mean "not set".
	if m.Swappiness != nil && *m.Swappiness != math.MaxUint64 {
		l.add("memory", "swappiness", utoa(*m.Swappiness), "set the tendency to swap", "memory.swappiness")
	}
	if value(m.DisableOOMKiller) {
		l.add("memory", "oom_control", "1", "pause at the limit instead of killing", "memory.disableOOMKiller")
	}
	l.memoryWarnings(m)
	return nil
}

// checkMemory refuses what is no limit, and a limit on memory and swap together that is
// less than that on memory alone.
func checkMemory(m *specs.LinuxMemory) error {
	limit, swap := value(m.Limit), value(m.Swap)
	for _, c := range [...]struct {
		json  string
		bytes int64
	}{{"limit", limit}, {"swap", swap}, {"reservation", value(m.Reservation)}} {
		if c.bytes < -1 {
			return wrong("memory."+c.json, itoa(c.bytes)+" is neither a number of bytes nor -1")
		}
	}
	if swap > 0 && limit > 0 && swap < limit {
		return wrong("memory.swap", "memory and swap together, "+itoa(swap)+", is less than the memory limit, "+itoa(limit))
	}
	if v := value(m.Swappiness); m.Swappiness != nil && v != math.MaxUint64 && v > 100 {
		return wrong("memory.swappiness", utoa(v)+" is not in 0..100")
	}
	return nil
}

func (l *limits) memoryWarnings(m *specs.LinuxMemory) {
	//lint:ignore SA1019 engines still send it, and its user should know that it has no effect
	if value(m.Kernel) != 0 {
		l.warnings = append(l.warnings, "linux.resources.memory.kernel is ignored: the kernel dropped this limit")
	}
	if value(m.KernelTCP) != 0 {
		l.warnings = append(l.warnings, "linux.resources.memory.kernelTCP is ignored: the kernel deprecates this limit")
	}
	if m.UseHierarchy != nil && !*m.UseHierarchy {
		l.warnings = append(l.warnings,
			"linux.resources.memory.useHierarchy is ignored: since Linux 5.11 memory is always accounted hierarchically")
	}
}

func (l *limits) cpu(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if err := checkCPU(c); err != nil {
		return err
	}
	// cpu.idle of 1 bars cpu.shares, so leaving idle has to come first and entering
	// it last.
	l.joined(func() {
		if v := value(c.Shares); v != 0 {
			l.add("cpu", "shares", utoa(v), "weigh cpu time", "cpu.shares")
		}
		if c.Idle != nil {
			l.add("cpu", "idle", itoa(*c.Idle), "run only when others are idle", "cpu.idle")
		}
	})
	l.joined(func() {
		if v := value(c.Period); v != 0 {
			l.add("cpu", "cfs_period_us", utoa(v), "set the period of the cpu quota", "cpu.period")
		}
		if v := value(c.Quota); v != 0 {
			l.add("cpu", "cfs_quota_us", itoa(v), "limit cpu time per period", "cpu.quota")
		}
		if c.Burst != nil {
			l.add("cpu", "cfs_burst_us", utoa(*c.Burst), "let unused cpu time be caught up", "cpu.burst")
		}
	})
	l.joined(func() {
		if v := value(c.RealtimePeriod); v != 0 {
			l.add("cpu", "rt_period_us", utoa(v), "set the period of realtime scheduling", "cpu.realtimePeriod")
		}
		if v := value(c.RealtimeRuntime); v != 0 {
			l.add("cpu", "rt_runtime_us", itoa(v), "allow realtime scheduling", "cpu.realtimeRuntime")
		}
	})
	return nil
}

// checkCPU knows the ranges of kernel/sched/core.c, where all of these are one
// EINVAL.
func checkCPU(c *specs.LinuxCPU) error {
	switch v := value(c.Shares); {
	case v == 1:
		return wrong("cpu.shares", "the minimum allowed cpu-shares is 2")
	case v > 262144:
		return wrong("cpu.shares", "the maximum allowed cpu-shares is 262144")
	}
	if c.Idle != nil && *c.Idle != 0 && *c.Idle != 1 {
		return wrong("cpu.idle", itoa(*c.Idle)+" is neither 0 nor 1")
	}
	if v := value(c.Period); v != 0 && (v < 1000 || v > 1000000) {
		return wrong("cpu.period", utoa(v)+" is not in 1000..1000000 microseconds")
	}
	quota := value(c.Quota)
	if quota > 0 && quota < 1000 {
		return wrong("cpu.quota", itoa(quota)+" is less than 1000 microseconds")
	}
	if quota > 0 && c.Burst != nil && *c.Burst > uint64(quota) {
		return wrong("cpu.burst", utoa(*c.Burst)+" is more than the quota, "+itoa(quota))
	}
	return nil
}

func (l *limits) cpuset(r *specs.LinuxResources) error {
	if r.CPU != nil && r.CPU.Cpus != "" {
		l.add("cpuset", "cpus", r.CPU.Cpus, "bind to these cpus", "cpu.cpus")
	}
	if r.CPU != nil && r.CPU.Mems != "" {
		l.add("cpuset", "mems", r.CPU.Mems, "bind to these memory nodes", "cpu.mems")
	}
	return nil
}

// pids takes 0 for a limit, as runtime-spec 1.3 has it, and writes 1 for it, as
// runc does since 1.4: systemd knows no TasksMax=0, and the two drivers shall not
// differ. Either way the container's process can't fork. Absent leaves it alone.
func (l *limits) pids(r *specs.LinuxResources) error {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil
	}
	data := "max"
	switch v := *r.Pids.Limit; {
	case v < -1:
		return wrong("pids.limit", itoa(v)+" is neither a number of processes nor -1")
	case v >= 0:
		data = itoa(max(v, 1))
	}
	l.add("pids", "max", data, "limit the number of processes", "pids.limit")
	return nil
}

// noUnified refuses what only cgroup v2 has.
func (l *limits) noUnified(r *specs.LinuxResources) error {
	if len(r.Unified) == 0 {
		return nil
	}
	return fault.At("linux.resources.unified",
		"invalid configuration: linux.resources.unified holds cgroup v2 files, and this host has cgroup v1")
}

// value is what p points to; zero where it is absent.
func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func itoa(n int64) string  { return strconv.FormatInt(n, 10) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }
