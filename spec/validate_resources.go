package spec

import (
	"math"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// checkResources is the RES rows. Most of what it refuses the kernel would
// refuse too, though with a bare EINVAL and after the cgroup has been made.
func (c *checker) checkResources(path string, r *specs.LinuxResources) {
	for i := range r.Devices {
		c.checkDeviceRule(path, i, &r.Devices[i])
	}
	if r.Memory != nil {
		c.checkMemory(path+".memory", r.Memory)
	}
	if r.CPU != nil {
		c.checkCPU(path+".cpu", r.CPU)
	}
	if r.BlockIO != nil {
		c.checkBlockIO(path+".blockIO", r.BlockIO)
	}
	for i := range r.HugepageLimits {
		if size := r.HugepageLimits[i].Pagesize; !pageSize(size) {
			c.add(index(path+".hugepageLimits", i)+".pageSize",
				"invalid page size "+quote(size)+": must be a number and one of KB, MB, GB")
		}
	}
	if r.Network != nil {
		for i := range r.Network.Priorities {
			if r.Network.Priorities[i].Name == "" {
				c.add(index(path+".network.priorities", i)+".name", "must not be empty")
			}
		}
	}
	if r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit < -1 {
		c.add(path+".pids.limit", "must be -1 (no limit) or more, not "+decimal(*r.Pids.Limit))
	}
	for _, device := range keys(r.Rdma) {
		if l := r.Rdma[device]; l.HcaHandles == nil && l.HcaObjects == nil {
			c.add(field(path+".rdma", device), "needs hcaHandles or hcaObjects")
		}
	}
	for _, file := range keys(r.Unified) {
		if file == "" || file == "." || file == ".." || strings.ContainsAny(file, "/\x00") {
			c.add(field(path+".unified", file), quote(file)+" is not the name of a file in a cgroup")
		}
	}
}

// checkDeviceRule is RES-3 and RES-5.
func (c *checker) checkDeviceRule(path string, i int, d *specs.LinuxDeviceCgroup) {
	switch d.Type {
	case "", "a", "b", "c":
	default:
		c.add(index(path+".devices", i)+".type",
			"invalid cgroup device type "+quote(d.Type)+": must be one of a, b, c")
	}
	if d.Access == "" {
		c.add(index(path+".devices", i)+".access", "device access at "+decimal(i)+" field cannot be empty")
	}
	if bad := strings.Trim(d.Access, "rwm"); bad != "" {
		c.add(index(path+".devices", i)+".access", "must be made of r, w and m, not "+quote(d.Access))
	}
	// -1 stands for all, in the rules that engines write.
	if d.Major != nil && (*d.Major < -1 || *d.Major > math.MaxUint32) {
		c.add(index(path+".devices", i)+".major", "invalid device number "+decimal(*d.Major))
	}
	if d.Minor != nil && (*d.Minor < -1 || *d.Minor > math.MaxUint32) {
		c.add(index(path+".devices", i)+".minor", "invalid device number "+decimal(*d.Minor))
	}
}

// value is what a pointer points to, or 0, which means "not set" for every
// limit it is used for.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// checkMemory is RES-6 to RES-11.
func (c *checker) checkMemory(path string, m *specs.LinuxMemory) {
	for _, l := range [...]struct {
		name  string
		limit int64
	}{{".limit", value(m.Limit)}, {".reservation", value(m.Reservation)}, {".swap", value(m.Swap)}} {
		if l.limit < -1 {
			c.add(path+l.name, "must be -1 (no limit) or more, not "+decimal(l.limit))
		}
	}
	limit, swap := value(m.Limit), value(m.Swap)
	switch {
	case swap <= 0 || limit < 0:
		// Unlimited, not set, or more than nothing to compare with.
	case limit == 0 && c.change:
	case limit == 0:
		c.add(path+".swap", "a limit of memory and swap together needs a limit of memory")
	case swap < limit:
		c.add(path+".swap", "memory and swap together, "+decimal(swap)+
			", must not be less than the memory limit, "+decimal(limit))
	}
	// The largest number is -1 without its sign: "not set", as in runc.
	if s := m.Swappiness; s != nil && *s > 100 && *s != math.MaxUint64 {
		c.add(path+".swappiness", "must be between 0 and 100, not "+unsigned(*s))
	}
}

// checkCPU is RES-16 to RES-18 and RES-21 to RES-23. A value of 0 means not set.
func (c *checker) checkCPU(path string, p *specs.LinuxCPU) {
	quota, burst, period := value(p.Quota), value(p.Burst), value(p.Period)
	if quota > 0 && quota < 1000 {
		c.add(path+".quota", "must be at least 1000 microseconds, not "+decimal(quota))
	}
	if quota > 0 && burst > uint64(quota) {
		c.add(path+".burst", "must not be more than the quota, "+decimal(quota)+", but is "+unsigned(burst))
	}
	if period != 0 && (period < 1000 || period > 1000000) {
		c.add(path+".period", "must be between 1000 and 1000000 microseconds, not "+unsigned(period))
	}
	if msg := badList(p.Cpus); msg != "" {
		c.add(path+".cpus", msg)
	}
	if msg := badList(p.Mems); msg != "" {
		c.add(path+".mems", msg)
	}
	if idle := value(p.Idle); idle != 0 && idle != 1 {
		c.add(path+".idle", "must be 0 or 1, not "+decimal(idle))
	}
}

// checkWeight is RES-24. Docker writes 0 for "not set".
func (c *checker) checkWeight(path string, w *uint16) {
	if n := value(w); n != 0 && (n < 10 || n > 1000) {
		c.add(path, "must be between 10 and 1000, not "+unsigned(n))
	}
}

// checkBlockIO is RES-24 to RES-30.
func (c *checker) checkBlockIO(path string, b *specs.LinuxBlockIO) {
	c.checkWeight(path+".weight", b.Weight)
	c.checkWeight(path+".leafWeight", b.LeafWeight)
	for i := range b.WeightDevice {
		d := &b.WeightDevice[i]
		at := index(path+".weightDevice", i)
		if d.Weight == nil && d.LeafWeight == nil {
			c.add(at, "needs weight or leafWeight")
		}
		c.checkWeight(at+".weight", d.Weight)
		c.checkWeight(at+".leafWeight", d.LeafWeight)
		c.checkNumbers(at, d.Major, d.Minor)
	}
	for _, set := range [...]struct {
		name string
		list []specs.LinuxThrottleDevice
	}{
		{".throttleReadBpsDevice", b.ThrottleReadBpsDevice},
		{".throttleWriteBpsDevice", b.ThrottleWriteBpsDevice},
		{".throttleReadIOPSDevice", b.ThrottleReadIOPSDevice},
		{".throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice},
	} {
		for i := range set.list {
			c.checkNumbers(index(path+set.name, i), set.list[i].Major, set.list[i].Minor)
		}
	}
}

func (c *checker) checkNumbers(path string, major, minor int64) {
	if major < 0 {
		c.add(path+".major", "must not be negative")
	}
	if minor < 0 {
		c.add(path+".minor", "must not be negative")
	}
}

// pageSize is RES-31, as far as the host need not be asked: 2MB, 1GB, 64KB.
func pageSize(s string) bool {
	digits := strings.TrimRight(s, "KMGB")
	unit := s[len(digits):]
	if unit != "KB" && unit != "MB" && unit != "GB" || digits == "" || digits[0] == '0' {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

// resourceWarnings is RES-9 and RES-10.
func resourceWarnings(path string, r *specs.LinuxResources) []*fault.Error {
	if r == nil || r.Memory == nil {
		return nil
	}
	var list []*fault.Error
	//lint:ignore SA1019 it is looked at only to say that it is ignored
	if value(r.Memory.Kernel) > 0 {
		list = append(list, fault.At(path+".memory.kernel", "a limit of kernel memory is not supported, and ignored"))
	}
	if value(r.Memory.KernelTCP) > 0 {
		list = append(list, fault.At(path+".memory.kernelTCP", "a limit of TCP memory is not recommended by the runtime-spec"))
	}
	return list
}
