package cgroups

import (
	"sort"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// blockIO writes the weights, which belong to the I/O scheduler (BFQ has files of
// its own), and the throttles, which belong to the block layer.
func (l *limits) blockIO(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	if v := value(b.Weight); v != 0 {
		if err := checkWeight(v, "blockIO.weight"); err != nil {
			return err
		}
		l.add("blkio", "weight", utoa(uint64(v)), "weigh block I/O", "blockIO.weight").alt = "blkio.bfq.weight"
	}
	if v := value(b.LeafWeight); v != 0 {
		if err := checkWeight(v, "blockIO.leafWeight"); err != nil {
			return err
		}
		l.add("blkio", "leaf_weight", utoa(uint64(v)), "weigh block I/O against child cgroups", "blockIO.leafWeight")
	}
	for i := range b.WeightDevice {
		if err := l.weightDevice(&b.WeightDevice[i], "blockIO.weightDevice["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	for _, t := range throttles(b) {
		for i := range t.devices {
			d := &t.devices[i]
			l.add("blkio", t.file, device(&d.LinuxBlockIODevice)+" "+utoa(d.Rate), t.why,
				"blockIO."+t.json+"["+strconv.Itoa(i)+"]")
		}
	}
	return nil
}

// throttle is one kind of limit on a device: its file in v1, its key in v2's io.max.
type throttle struct {
	devices              []specs.LinuxThrottleDevice
	file, key, why, json string
}

func throttles(b *specs.LinuxBlockIO) [4]throttle {
	return [...]throttle{
		{b.ThrottleReadBpsDevice, "throttle.read_bps_device", "rbps", "limit bytes read per second", "throttleReadBpsDevice"},
		{b.ThrottleWriteBpsDevice, "throttle.write_bps_device", "wbps", "limit bytes written per second", "throttleWriteBpsDevice"},
		{b.ThrottleReadIOPSDevice, "throttle.read_iops_device", "riops", "limit reads per second", "throttleReadIOPSDevice"},
		{b.ThrottleWriteIOPSDevice, "throttle.write_iops_device", "wiops", "limit writes per second", "throttleWriteIOPSDevice"},
	}
}

func (l *limits) weightDevice(d *specs.LinuxWeightDevice, json string) error {
	if d.Weight == nil && d.LeafWeight == nil {
		return wrong(json, "neither weight nor leafWeight is given")
	}
	if v := value(d.Weight); v != 0 {
		if err := checkWeight(v, json+".weight"); err != nil {
			return err
		}
		l.add("blkio", "weight_device", device(&d.LinuxBlockIODevice)+" "+utoa(uint64(v)),
			"weigh I/O of one device", json+".weight").alt = "blkio.bfq.weight_device"
	}
	if v := value(d.LeafWeight); v != 0 {
		if err := checkWeight(v, json+".leafWeight"); err != nil {
			return err
		}
		l.add("blkio", "leaf_weight_device", device(&d.LinuxBlockIODevice)+" "+utoa(uint64(v)),
			"weigh I/O of one device against child cgroups", json+".leafWeight")
	}
	return nil
}

func checkWeight(v uint16, json string) error {
	if v < 10 || v > 1000 {
		return wrong(json, utoa(uint64(v))+" is not in 10..1000")
	}
	return nil
}

func device(d *specs.LinuxBlockIODevice) string { return itoa(d.Major) + ":" + itoa(d.Minor) }

// hugepages limits both what is used and, where the kernel (5.7) can, what is
// reserved. The latter makes an excess an error of mmap; the former, by itself,
// a SIGBUS later.
func (l *limits) hugepages(r *specs.LinuxResources) error {
	return l.hugepageFiles(r, ".limit_in_bytes", ".rsvd.limit_in_bytes")
}

func (l *limits) hugepageFiles(r *specs.LinuxResources, used, reserved string) error {
	for i := range r.HugepageLimits {
		h := &r.HugepageLimits[i]
		json := "hugepageLimits[" + strconv.Itoa(i) + "]"
		if !pageSize(h.Pagesize) {
			return wrong(json+".pageSize", strconv.Quote(h.Pagesize)+" is not of the form <number>KB, <number>MB or <number>GB")
		}
		limit := utoa(h.Limit)
		l.add("hugetlb", h.Pagesize+used, limit, "limit huge pages in use", json)
		l.add("hugetlb", h.Pagesize+reserved, limit, "limit huge pages reserved", json).optional = true
	}
	return nil
}

// pageSize checks the form, since it becomes part of a file's name.
func pageSize(s string) bool {
	n := len(s) - 2
	if n < 1 || s[n+1] != 'B' || s[n] != 'K' && s[n] != 'M' && s[n] != 'G' {
		return false
	}
	_, err := strconv.ParseUint(s[:n], 10, 64)
	return err == nil
}

func (l *limits) network(r *specs.LinuxResources) error {
	n := r.Network
	if n == nil {
		return nil
	}
	if v := value(n.ClassID); v != 0 {
		l.add("net_cls", "classid", utoa(uint64(v)), "tag network packets", "network.classID")
	}
	for i := range n.Priorities {
		p := &n.Priorities[i]
		l.add("net_prio", "ifpriomap", p.Name+" "+utoa(uint64(p.Priority)),
			"set the priority of network traffic", "network.priorities["+strconv.Itoa(i)+"]")
	}
	return nil
}

func (l *limits) rdma(r *specs.LinuxResources) error {
	names := make([]string, 0, len(r.Rdma))
	for name := range r.Rdma {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		d, data := r.Rdma[name], name
		if d.HcaHandles == nil && d.HcaObjects == nil {
			return wrong("rdma."+name, "neither hcaHandles nor hcaObjects is given")
		}
		if d.HcaHandles != nil {
			data += " hca_handle=" + utoa(uint64(*d.HcaHandles))
		}
		if d.HcaObjects != nil {
			data += " hca_object=" + utoa(uint64(*d.HcaObjects))
		}
		l.add("rdma", "max", data, "limit RDMA resources", "rdma."+name)
	}
	return nil
}
