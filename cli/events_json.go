package cli

import (
	"maps"
	"slices"
	"strconv"

	"berth/libcontainer"
	"berth/libcontainer/cgroups"
	"berth/libcontainer/jsonw"
)

// eventJSON is an event as a line. Names, shapes and what is left out when it is zero
// are runc's.
func eventJSON(id string, e *libcontainer.Event) []byte {
	j := jsonw.New("")
	j.Begin('{')
	if e.Stats == nil {
		j.Key("type").Str("oom")
		j.Key("id").Str(id)
		return j.End()
	}
	j.Key("type").Str("stats")
	j.Key("id").Str(id)
	j.Key("data").Begin('{')
	cpuJSON(j, &e.Stats.CPU)
	cpusetJSON(j, &e.Stats.CPUSet)
	memoryJSON(j, &e.Stats.Memory)
	j.Key("pids").Begin('{')
	some(j, "current", e.Stats.Pids.Current)
	some(j, "limit", e.Stats.Pids.Limit)
	j.Close('}')
	blockIOJSON(j, &e.Stats.BlockIO)
	j.Key("hugetlb").Begin('{')
	for i := range e.Stats.Hugetlb {
		h := &e.Stats.Hugetlb[i]
		j.Key(h.PageSize).Begin('{')
		some(j, "usage", h.Usage)
		some(j, "max", h.Max)
		j.Key("failcnt").Uint(h.Failures)
		j.Close('}')
	}
	j.Close('}')
	// Not done yet, and of a kind of network that no config can ask for.
	j.Key("intel_rdt").Begin('{')
	j.Close('}')
	j.Key("network_interfaces").Raw("null")
	j.Close('}')
	return j.End()
}

// some is a number that is left out when it is 0.
func some(j *jsonw.Writer, name string, n uint64) {
	if n != 0 {
		j.Key(name).Uint(n)
	}
}

// numbers is a list that is left out when it is empty.
func numbers[T uint16 | uint64](j *jsonw.Writer, name string, list []T) {
	if len(list) == 0 {
		return
	}
	j.Key(name).Begin('[')
	for _, n := range list {
		j.Item().Uint(uint64(n))
	}
	j.Close(']')
}

func cpuJSON(j *jsonw.Writer, c *cgroups.CPUStats) {
	j.Key("cpu").Begin('{')
	j.Key("usage").Begin('{')
	some(j, "total", c.Total)
	numbers(j, "percpu", c.PerCPU)
	numbers(j, "percpu_kernel", c.PerCPUKernel)
	numbers(j, "percpu_user", c.PerCPUUser)
	j.Key("kernel").Uint(c.Kernel)
	j.Key("user").Uint(c.User)
	j.Close('}')
	j.Key("throttling").Begin('{')
	some(j, "periods", c.Periods)
	some(j, "throttledPeriods", c.ThrottledPeriods)
	some(j, "throttledTime", c.Throttling)
	j.Close('}')
	psiJSON(j, c.PSI)
	j.Close('}')
}

func cpusetJSON(j *jsonw.Writer, c *cgroups.CPUSetStats) {
	j.Key("cpuset").Begin('{')
	numbers(j, "cpus", c.CPUs)
	j.Key("cpu_exclusive").Uint(c.CPUExclusive)
	numbers(j, "mems", c.Mems)
	j.Key("mem_hardwall").Uint(c.MemHardwall)
	j.Key("mem_exclusive").Uint(c.MemExclusive)
	j.Key("memory_migrate").Uint(c.MemoryMigrate)
	j.Key("memory_spread_page").Uint(c.SpreadPage)
	j.Key("memory_spread_slab").Uint(c.SpreadSlab)
	j.Key("memory_pressure").Uint(c.MemoryPressure)
	j.Key("sched_load_balance").Uint(c.SchedLoadBalance)
	j.Key("sched_relax_domain_level").Int(int(c.SchedRelaxDomainLevel))
	j.Close('}')
}

func memoryJSON(j *jsonw.Writer, m *cgroups.MemoryStats) {
	j.Key("memory").Begin('{')
	some(j, "cache", m.Cache)
	for _, f := range [...]struct {
		name string
		c    *cgroups.MemoryCounter
	}{{"usage", &m.Memory}, {"swap", &m.Swap}, {"kernel", &m.Kernel}, {"kernelTCP", &m.KernelTCP}} {
		j.Key(f.name).Begin('{')
		j.Key("limit").Uint(f.c.Limit)
		some(j, "usage", f.c.Usage)
		some(j, "max", f.c.Max)
		j.Key("failcnt").Uint(f.c.Failures)
		j.Close('}')
	}
	if len(m.Raw) > 0 {
		j.Key("raw").Begin('{')
		for _, name := range slices.Sorted(maps.Keys(m.Raw)) {
			j.Key(name).Uint(m.Raw[name])
		}
		j.Close('}')
	}
	psiJSON(j, m.PSI)
	j.Close('}')
}

// psiJSON is left out where the kernel does not say (v1).
func psiJSON(j *jsonw.Writer, p *cgroups.PSI) {
	if p == nil {
		return
	}
	j.Key("psi").Begin('{')
	for _, f := range [...]struct {
		name string
		s    *cgroups.Stall
	}{{"some", &p.Some}, {"full", &p.Full}} {
		j.Key(f.name).Begin('{')
		j.Key("avg10").Raw(fraction(f.s.Avg10))
		j.Key("avg60").Raw(fraction(f.s.Avg60))
		j.Key("avg300").Raw(fraction(f.s.Avg300))
		j.Key("total").Uint(f.s.Total)
		j.Close('}')
	}
	j.Close('}')
}

// fraction is a decimal fraction of the kernel's, such as 1.50, as JSON has them.
func fraction(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return "0"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func blockIOJSON(j *jsonw.Writer, b *cgroups.BlockIOStats) {
	j.Key("blkio").Begin('{')
	for _, f := range [...]struct {
		name string
		list []cgroups.BlockIOCount
	}{
		{"ioServiceBytesRecursive", b.Bytes},
		{"ioServicedRecursive", b.Operations},
		{"ioQueueRecursive", b.Queued},
		{"ioServiceTimeRecursive", b.ServiceTime},
		{"ioWaitTimeRecursive", b.WaitTime},
		{"ioMergedRecursive", b.Merged},
		{"ioTimeRecursive", b.Time},
		{"sectorsRecursive", b.Sectors},
	} {
		if len(f.list) == 0 {
			continue
		}
		j.Key(f.name).Begin('[')
		for i := range f.list {
			n := &f.list[i]
			j.Item().Begin('{')
			some(j, "major", n.Major)
			some(j, "minor", n.Minor)
			if n.Op != "" {
				j.Key("op").Str(n.Op)
			}
			some(j, "value", n.Value)
			j.Close('}')
		}
		j.Close(']')
	}
	psiJSON(j, b.PSI)
	j.Close('}')
}
