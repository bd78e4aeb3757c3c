package cgroups

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// linux.resources is written in the terms of cgroup v1. What v2 has in other terms is
// converted as runc and crun do, so that a config means the same under each. What v2
// does not have at all is refused where it limits, and a warning where it tunes.

// memory2 has the limits on memory. v2 limits swap by itself, the config swap and
// memory together.
func (l *limits) memory2(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	if err := checkMemory(m); err != nil {
		return err
	}
	limit := value(m.Limit)
	swap, err := l.swap2(m)
	if err != nil {
		return err
	}
	if swap != "" {
		w := l.add("memory", "swap.max", swap, "limit swap", "memory.swap")
		// Without swap in the kernel there is none to be had, and none to be limited.
		w.optional = swap == "max" || swap == "0"
		if m.Swap == nil {
			w.json = resources + "memory.limit"
		}
	}
	if limit != 0 {
		l.add("memory", "max", orMax(limit), "limit memory", "memory.limit")
	}
	if v := value(m.Reservation); v != 0 {
		l.add("memory", "low", orMax(v), "reserve memory", "memory.reservation")
	}
	if m.Swappiness != nil && *m.Swappiness != math.MaxUint64 {
		l.warn("memory.swappiness is ignored: cgroup v2 has no swappiness of a cgroup")
	}
	if value(m.DisableOOMKiller) {
		l.warn("memory.disableOOMKiller is ignored: in cgroup v2 the OOM killer can not be disabled")
	}
	l.memoryWarnings(m)
	return nil
}

// swap2 is what goes to memory.swap.max; empty for nothing.
func (l *limits) swap2(m *specs.LinuxMemory) (string, error) {
	limit, swap := value(m.Limit), value(m.Swap)
	switch {
	case swap == 0 && limit == -1, swap == -1:
		// No limit on memory makes no sense while one on both is in force.
		return "max", nil
	case swap == 0:
		return "", nil
	case limit == 0 && l.inForce != nil:
		limit, _ = strconv.ParseInt(l.inForce("memory.max"), 10, 64) // 0 for max
	}
	if limit <= 0 {
		return "", wrong("memory.swap", "unable to set swap limit without memory limit")
	}
	if swap < limit {
		return "", wrong("memory.swap", "memory and swap together, "+itoa(swap)+", is less than the memory limit, "+itoa(limit))
	}
	return itoa(swap - limit), nil
}

// cpu2 has shares as a weight, and quota and period in one file.
func (l *limits) cpu2(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if err := checkCPU(c); err != nil {
		return err
	}
	if value(c.RealtimeRuntime) != 0 || value(c.RealtimePeriod) != 0 {
		return wrong("cpu.realtimeRuntime", "cgroup v2 has no limits on realtime scheduling")
	}
	// cpu.idle of 1 bars cpu.weight.
	l.joined(func() {
		if v := value(c.Shares); v != 0 {
			l.add("cpu", "weight", utoa(cpuWeight(v)), "weigh cpu time", "cpu.shares")
		}
		if c.Idle != nil {
			l.add("cpu", "idle", itoa(*c.Idle), "run only when others are idle", "cpu.idle")
		}
	})
	l.joined(func() {
		if data, json := l.cpuMax(c); data != "" {
			l.add("cpu", "max", data, "limit cpu time per period", json)
		}
		if c.Burst != nil {
			l.add("cpu", "max.burst", utoa(*c.Burst), "let unused cpu time be caught up", "cpu.burst")
		}
	})
	return nil
}

// cpuMax is what goes to cpu.max, and what of the config it comes from. The kernel keeps
// a period that is not given, but wants a quota in any case.
func (l *limits) cpuMax(c *specs.LinuxCPU) (data, json string) {
	quota, period := value(c.Quota), value(c.Period)
	switch {
	case quota > 0:
		data, json = itoa(quota), "cpu.quota"
	case quota < 0:
		data, json = "max", "cpu.quota"
	case period == 0:
		return "", ""
	default:
		data, json = "max", "cpu.period"
	}
	now, per := "", ""
	if l.inForce != nil {
		now, per, _ = strings.Cut(l.inForce("cpu.max"), " ")
	}
	if quota == 0 && now != "" {
		data = now
	}
	switch {
	case period != 0:
		data += " " + utoa(period)
	case per != "":
		// systemd has put the period back to 100 ms when it lifted a quota.
		data += " " + per
	}
	return data, json
}

// cpuWeight converts shares, 2 to 262144 with 1024 as the default, to a weight, 1 to
// 10000 with 100 as the default. runc (1.3.2) and crun (1.23) came to this quadratic
// function of the logarithm, which has the three points in common; the linear one before
// it gave a container with the default shares a weight of 39.
func cpuWeight(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	log := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (log*log+125*log)/612-7.0/34)))
}

// io has the weights of BFQ, and where the kernel has none those of the controller
// (io.cost), which range from 1 to 10000 and not from 10 to 1000.
func (l *limits) io(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	if v := value(b.Weight); v != 0 {
		if err := checkWeight(v, "blockIO.weight"); err != nil {
			return err
		}
		l.weight2("default ", v, "weigh block I/O", "blockIO.weight")
	}
	if value(b.LeafWeight) != 0 {
		return wrong("blockIO.leafWeight", "cgroup v2 has no leaf weights")
	}
	for i := range b.WeightDevice {
		d, json := &b.WeightDevice[i], "blockIO.weightDevice["+strconv.Itoa(i)+"]"
		if value(d.LeafWeight) != 0 {
			return wrong(json+".leafWeight", "cgroup v2 has no leaf weights")
		}
		if d.Weight == nil {
			return wrong(json, "neither weight nor leafWeight is given")
		}
		v := *d.Weight
		if v == 0 {
			continue
		}
		if err := checkWeight(v, json+".weight"); err != nil {
			return err
		}
		l.weight2(device(&d.LinuxBlockIODevice)+" ", v, "weigh I/O of one device", json+".weight")
	}
	for _, t := range throttles(b) {
		for i := range t.devices {
			d, rate := &t.devices[i], "max"
			if d.Rate != 0 {
				rate = utoa(d.Rate)
			}
			l.add("io", "max", device(&d.LinuxBlockIODevice)+" "+t.key+"="+rate, t.why, "blockIO."+t.json+"["+strconv.Itoa(i)+"]")
		}
	}
	return nil
}

func (l *limits) weight2(prefix string, v uint16, why, json string) {
	w := l.add("io", "bfq.weight", prefix+utoa(uint64(v)), why, json)
	w.alt, w.altData = "io.weight", prefix+utoa(1+(uint64(v)-10)*9999/990)
}

func (l *limits) hugepages2(r *specs.LinuxResources) error {
	return l.hugepageFiles(r, ".max", ".rsvd.max")
}

func (l *limits) network2(r *specs.LinuxResources) error {
	if n := r.Network; n != nil && (value(n.ClassID) != 0 || len(n.Priorities) > 0) {
		return wrong("network", "cgroup v2 has neither network classes nor priorities")
	}
	return nil
}

// unified has files of cgroup v2 as they are. They come last: whoever knows v2 has the
// last word.
func (l *limits) unified(r *specs.LinuxResources) error {
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		json := `unified["` + file + `"]`
		controller, _, ok := strings.Cut(file, ".")
		switch {
		case strings.Contains(file, "/"):
			return wrong(json, strconv.Quote(file)+" must be a file name (no slashes)")
		case !ok || controller == "" || strings.IndexByte(file, 0) >= 0:
			return wrong(json, strconv.Quote(file)+" is not of the form controller.name")
		case controller == "cgroup" && !slices.Contains(coreFiles[:], file):
			return wrong(json, file+" is not a limit, but part of how the container is run")
		}
		l.writes = append(l.writes, write{
			controller: controller, file: file, data: r.Unified[file], why: "set what the config has for cgroup v2", json: resources + json,
		})
	}
	return nil
}

// coreFiles are those that limit, of the files that belong to no controller.
var coreFiles = [...]string{"cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"}

func orMax(v int64) string {
	if v == -1 {
		return "max"
	}
	return itoa(v)
}

func (l *limits) warn(what string) { l.warnings = append(l.warnings, resources+what) }

// missing2 is the error for a controller that the v2 hierarchy does not have.
func missing2(w *write, has []string, mount string) *fault.Error {
	hint := "cgroup.controllers of " + mount + " lists: " + strings.Join(has, " ")
	if len(has) == 0 {
		hint = "cgroup.controllers of " + mount + " is empty"
	}
	return &fault.Error{
		Msg:      w.json + " needs the cgroup controller " + w.controller + ", which is not available",
		JSONPath: w.json, Hint: hint,
	}
}
