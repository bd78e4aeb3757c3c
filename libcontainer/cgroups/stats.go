package cgroups

import (
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Stats is what the kernel has counted for a container, of its processes and all that
// have ended. What a controller that is not there, or a file that the kernel lacks, would
// say is zero.
type Stats struct {
	CPU     CPUStats
	CPUSet  CPUSetStats
	Memory  MemoryStats
	Pids    PidsStats
	BlockIO BlockIOStats
	Hugetlb []HugetlbStats // by page size
}

// CPUStats are times in nanoseconds, and numbers of periods.
type CPUStats struct {
	Total, User, Kernel                   uint64
	PerCPU, PerCPUUser, PerCPUKernel      []uint64
	Periods, ThrottledPeriods, Throttling uint64
	PSI                                   *PSI // nil where the kernel does not say
}

// PSI says for how long processes were kept from going on for want of something: some of
// them, or all at once (Documentation/accounting/psi.rst). v2 alone has it.
type PSI struct{ Some, Full Stall }

// Stall has the shares of the last 10, 60 and 300 seconds in percent, as the kernel
// writes them, and the time in microseconds.
type Stall struct {
	Avg10, Avg60, Avg300 string
	Total                uint64
}

// CPUSetStats is the cpuset, with its flags (cpuset(7)).
type CPUSetStats struct {
	CPUs, Mems                              []uint16
	CPUExclusive, MemExclusive, MemHardwall uint64
	MemoryMigrate, SpreadPage, SpreadSlab   uint64
	MemoryPressure, SchedLoadBalance        uint64
	SchedRelaxDomainLevel                   int64
}

// MemoryCounter is a use of memory, in bytes. No limit is a number of some exabytes.
type MemoryCounter struct {
	Usage, Max, Limit uint64
	Failures          uint64 // how often the limit was hit
}

// MemoryStats has what memory.stat says as it is, by name, in Raw.
type MemoryStats struct {
	Memory, Swap, Kernel, KernelTCP MemoryCounter // Swap is memory and swap together
	SwapOnly                        MemoryCounter // v2
	Cache                           uint64        // of files
	Raw                             map[string]uint64
	PSI                             *PSI
}

// PidsStats are numbers of tasks; without a limit that is 0.
type PidsStats struct{ Current, Limit uint64 }

// HugetlbStats are bytes of huge pages of one size.
type HugetlbStats struct {
	PageSize             string
	Usage, Max, Failures uint64
}

// BlockIOStats are counts by device and operation. Which there are depends on the I/O
// scheduler: bytes and operations nearly always, the others for BFQ in a kernel that is
// built to debug it.
type BlockIOStats struct {
	Bytes, Operations, Queued, ServiceTime, WaitTime, Merged, Time, Sectors []BlockIOCount
	PSI                                                                     *PSI
}

// BlockIOCount is one of them; Op may be empty.
type BlockIOCount struct {
	Major, Minor uint64
	Op           string
	Value        uint64
}

func (h *handle) Stats() (*Stats, error) {
	s := &Stats{}
	for _, part := range [...]struct {
		v1, v2       string // the controller
		read1, read2 func(*statReader, *Stats)
	}{
		{"cpuacct", "", cpuUsage, nil},
		{"cpu", "cgroup", cpuThrottling, cpu2Stats}, // counted also where nothing is limited
		{"cpuset", "", cpusetStats, nil},
		{"memory", "memory", memoryStats, memory2Stats},
		{"pids", "pids", pidsStats, pidsStats},
		{"blkio", "io", blockIOStats, ioStats},
		{"hugetlb", "hugetlb", hugetlbStats, hugetlb2Stats},
	} {
		c, read := h.counted(part.v1), part.read1
		if c == nil {
			c, read = h.counts2(part.v2), part.read2
		}
		if c == nil {
			continue
		}
		fd, err := h.open(c)
		if err != nil {
			return nil, cannotOpen(c, err)
		}
		r := &statReader{fd: fd, dir: c.dir()}
		if read(r, s); r.err != nil {
			return nil, r.err
		}
	}
	return s, nil
}

// counted is the v1 cgroup that counts for a controller.
func (h *handle) counted(controller string) *cgroup {
	for _, c := range h.cgroups {
		if c.has(controller) && !c.v2() {
			return c
		}
	}
	return nil
}

// counts2 is the v2 cgroup, if that counts for a controller: beside v1 only where it has
// it.
func (h *handle) counts2(controller string) *cgroup {
	for _, c := range h.cgroups {
		if c.v2() && controller != "" && (len(h.cgroups) == 1 || controller != "cgroup" && c.offer(controller)) {
			return c
		}
	}
	return nil
}

// statReader reads control files until one can not be read or understood.
type statReader struct {
	fd  int
	dir string
	err error
}

// text is what a file holds; ok is false for one that is not there.
func (r *statReader) text(file string) (text string, ok bool) {
	if r.err != nil {
		return "", false
	}
	text, err := readFile(r.fd, file)
	switch err {
	case nil:
		return strings.TrimSpace(text), true
	case unix.ENOENT, unix.EOPNOTSUPP:
	default:
		r.err = fault.Wrap("cannot read "+r.dir+"/"+file, err)
	}
	return "", false
}

// parse is a number in a file; "max" is the largest one.
func (r *statReader) parse(file, text string) uint64 {
	if text == "max" {
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && r.err == nil {
		r.err = fault.New("cannot understand " + r.dir + "/" + file + ": " + strconv.Quote(text) + " is no number")
	}
	return n
}

// number is that of a file that holds one.
func (r *statReader) number(file string) uint64 {
	text, ok := r.text(file)
	if !ok {
		return 0
	}
	return r.parse(file, text)
}

// pairs calls f with each line of a file that is a name and a number.
func (r *statReader) pairs(file string, f func(name string, n uint64)) {
	text, _ := r.text(file)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok {
			f(name, r.parse(file, value))
		}
	}
}

// tick is the unit of cpuacct.stat: USER_HZ is 100 on all that Go runs on.
const tick = 1e9 / 100

func cpuUsage(r *statReader, s *Stats) {
	c := &s.CPU
	c.Total = r.number("cpuacct.usage")
	r.pairs("cpuacct.stat", func(name string, n uint64) {
		switch name {
		case "user":
			c.User = n * tick
		case "system":
			c.Kernel = n * tick
		}
	})
	text, _ := r.text("cpuacct.usage_percpu")
	for f := range strings.FieldsSeq(text) {
		c.PerCPU = append(c.PerCPU, r.parse("cpuacct.usage_percpu", f))
	}
	// The first line is a title: cpu user system.
	const all = "cpuacct.usage_all"
	text, _ = r.text(all)
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 3 {
			c.PerCPUUser = append(c.PerCPUUser, r.parse(all, f[1]))
			c.PerCPUKernel = append(c.PerCPUKernel, r.parse(all, f[2]))
		}
	}
}

func cpuThrottling(r *statReader, s *Stats) {
	r.pairs("cpu.stat", func(name string, n uint64) {
		switch name {
		case "nr_periods":
			s.CPU.Periods = n
		case "nr_throttled":
			s.CPU.ThrottledPeriods = n
		case "throttled_time":
			s.CPU.Throttling = n
		}
	})
}

func cpusetStats(r *statReader, s *Stats) {
	c := &s.CPUSet
	c.CPUs, c.Mems = r.list("cpuset.cpus"), r.list("cpuset.mems")
	for _, f := range [...]struct {
		file string
		n    *uint64
	}{
		{"cpu_exclusive", &c.CPUExclusive},
		{"mem_exclusive", &c.MemExclusive},
		{"mem_hardwall", &c.MemHardwall},
		{"memory_migrate", &c.MemoryMigrate},
		{"memory_spread_page", &c.SpreadPage},
		{"memory_spread_slab", &c.SpreadSlab},
		{"memory_pressure", &c.MemoryPressure},
		{"sched_load_balance", &c.SchedLoadBalance},
	} {
		*f.n = r.number("cpuset." + f.file)
	}
	const level = "cpuset.sched_relax_domain_level"
	if text, ok := r.text(level); ok {
		var err error
		if c.SchedRelaxDomainLevel, err = strconv.ParseInt(text, 10, 64); err != nil {
			r.parse(level, text)
		}
	}
}

// list is a list of numbers and ranges: 0-3,8.
func (r *statReader) list(file string) []uint16 {
	text, _ := r.text(file)
	var all []uint16
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		if part == "" {
			continue
		}
		from, to := r.parse(file, first), r.parse(file, last)
		for n := from; n <= to && n <= math.MaxUint16; n++ {
			all = append(all, uint16(n))
		}
	}
	return all
}

func memoryStats(r *statReader, s *Stats) {
	m := &s.Memory
	m.Raw = map[string]uint64{}
	r.pairs("memory.stat", func(name string, n uint64) { m.Raw[name] = n })
	m.Cache = m.Raw["cache"]
	for _, f := range [...]struct {
		prefix string
		c      *MemoryCounter
	}{{"memory.", &m.Memory}, {"memory.memsw.", &m.Swap}, {"memory.kmem.", &m.Kernel}, {"memory.kmem.tcp.", &m.KernelTCP}} {
		*f.c = MemoryCounter{
			Usage: r.number(f.prefix + "usage_in_bytes"), Max: r.number(f.prefix + "max_usage_in_bytes"),
			Limit: r.number(f.prefix + "limit_in_bytes"), Failures: r.number(f.prefix + "failcnt"),
		}
	}
}

func pidsStats(r *statReader, s *Stats) {
	s.Pids = PidsStats{Current: r.number("pids.current"), Limit: r.number("pids.max")}
	if s.Pids.Limit == math.MaxUint64 {
		s.Pids.Limit = 0
	}
}

// hugetlbStats counts what is reserved where the kernel (5.7) does.
func hugetlbStats(r *statReader, s *Stats) {
	for _, size := range hugePageSizes(r.fd, ".limit_in_bytes") {
		prefix := "hugetlb." + size + "."
		if _, ok := r.text(prefix + "rsvd.usage_in_bytes"); ok {
			prefix += "rsvd."
		}
		s.Hugetlb = append(s.Hugetlb, HugetlbStats{
			PageSize: size, Usage: r.number(prefix + "usage_in_bytes"), Max: r.number(prefix + "max_usage_in_bytes"),
			Failures: r.number(prefix + "failcnt"),
		})
	}
}

// blockIOStats takes the first of the sets of files that has counted something: those
// of BFQ, those of CFQ, which is gone since Linux 5.0, and those of the throttling, which
// see all I/O.
func blockIOStats(r *statReader, s *Stats) {
	b := &s.BlockIO
	for _, set := range [...]struct {
		prefix, suffix string
		scheduler      bool
	}{{"blkio.bfq.", "_recursive", true}, {"blkio.", "_recursive", true}, {"blkio.throttle.", "_recursive", false}, {"blkio.throttle.", "", false}} {
		b.Bytes = r.counts(set.prefix + "io_service_bytes" + set.suffix)
		b.Operations = r.counts(set.prefix + "io_serviced" + set.suffix)
		if len(b.Bytes) == 0 && len(b.Operations) == 0 {
			continue
		}
		if set.scheduler {
			b.Queued = r.counts(set.prefix + "io_queued" + set.suffix)
			b.ServiceTime = r.counts(set.prefix + "io_service_time" + set.suffix)
			b.WaitTime = r.counts(set.prefix + "io_wait_time" + set.suffix)
			b.Merged = r.counts(set.prefix + "io_merged" + set.suffix)
			b.Time = r.counts(set.prefix + "time" + set.suffix)
			b.Sectors = r.counts(set.prefix + "sectors" + set.suffix)
		}
		return
	}
}

// counts reads lines such as "8:0 Read 4096" and "8:0 12"; what has no device is a sum.
func (r *statReader) counts(file string) []BlockIOCount {
	text, _ := r.text(file)
	var all []BlockIOCount
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.Contains(f[0], ":") {
			continue
		}
		major, minor, _ := strings.Cut(f[0], ":")
		c := BlockIOCount{Major: r.parse(file, major), Minor: r.parse(file, minor), Value: r.parse(file, f[len(f)-1])}
		if len(f) > 2 {
			c.Op = f[1]
		}
		all = append(all, c)
	}
	return all
}
