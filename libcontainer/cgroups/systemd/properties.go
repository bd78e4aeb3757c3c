package systemd

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"berth/libcontainer/fault"
)

// File is a control file with what is written to it.
type File struct{ Name, Data string }

// Properties says the same as control files in properties of a unit, as far as there
// are such: systemd writes its own values whenever it is reloaded, so it has to know
// ours. What it has no property for, it leaves alone.
//
// inForce reads a file of the cgroup, where that is there already.
func Properties(files []File, inForce func(file string) string) []Property {
	p := &translation{inForce: inForce, period: 0}
	for _, f := range files {
		p.file(f.Name, f.Data)
	}
	p.finish()
	return p.list
}

type translation struct {
	list    []Property
	inForce func(string) string
	// quota is in microseconds in a period, -1 for no limit and 0 for not given.
	quota  int64
	period uint64
	// idle is cpu.idle, empty for not given.
	idle string
	// allowed are the devices of v1's list, where that denies all others.
	allowed []device
	strict  bool
}

type device struct{ Path, Access string }

func (p *translation) add(prop Property) { p.list = append(p.list, prop) }

func (p *translation) file(name, data string) {
	switch name {
	case "memory.max":
		p.number("MemoryMax", data)
	case "memory.high":
		p.number("MemoryHigh", data)
	case "memory.low":
		p.number("MemoryLow", data)
	case "memory.min":
		p.number("MemoryMin", data)
	case "memory.swap.max":
		p.number("MemorySwapMax", data)
	case "memory.limit_in_bytes":
		p.number("MemoryLimit", data)
	case "pids.max":
		p.number("TasksMax", data)
	case "cpu.weight":
		p.number("CPUWeight", data)
	case "cpu.idle":
		p.idle = data
	case "cpu.shares":
		p.number("CPUShares", data)
	case "io.weight":
		p.number("IOWeight", strings.TrimPrefix(data, "default "))
	case "blkio.weight":
		p.number("BlockIOWeight", data)
	case "cpuset.cpus":
		p.set("AllowedCPUs", data)
	case "cpuset.mems":
		p.set("AllowedMemoryNodes", data)
	case "cpu.max":
		quota, period, _ := strings.Cut(data, " ")
		p.quota = microseconds(quota)
		p.period, _ = strconv.ParseUint(period, 10, 64)
	case "cpu.cfs_quota_us":
		p.quota = microseconds(data)
	case "cpu.cfs_period_us":
		p.period, _ = strconv.ParseUint(data, 10, 64)
	case "devices.allow", "devices.deny":
		p.device(name == "devices.allow", data)
	}
}

// number is a property that is one number. Those that are none, which only unified can
// hold, the kernel judges: they are written to the file.
func (p *translation) number(name, data string) {
	if data == "max" || data == "-1" {
		p.add(property(name, uint64(math.MaxUint64)))
		return
	}
	if n, err := strconv.ParseUint(data, 10, 64); err == nil {
		p.add(property(name, n))
	}
}

// set is a property that is a set of numbers: a bit for each, from the lowest of the
// first byte on.
func (p *translation) set(name, list string) {
	var bits []byte
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil {
			return
		}
		if to > mostCPUs {
			return // systemd takes no such set; what the kernel says of it is clearer
		}
		for n := from; n <= to; n++ {
			for uint64(len(bits)) <= n/8 {
				bits = append(bits, 0)
			}
			bits[n/8] |= 1 << (n % 8)
		}
	}
	p.add(property(name, bits))
}

// mostCPUs is more than any kernel is built for.
const mostCPUs = 8191

func microseconds(quota string) int64 {
	n, err := strconv.ParseInt(quota, 10, 64)
	if err != nil || n < 0 { // max
		return -1
	}
	return n
}

// device is an entry of v1's list. systemd knows devices by paths, of which those in
// /dev/char and /dev/block are by number, and by major number alone (systemd 240).
func (p *translation) device(allow bool, entry string) {
	if entry == "a" {
		p.strict, p.allowed = !allow, nil
		return
	}
	f := strings.Fields(entry)
	if !p.strict || !allow || len(f) != 3 {
		return
	}
	major, minor, _ := strings.Cut(f[1], ":")
	class := map[string]string{"c": "char", "b": "block"}[f[0]]
	switch {
	case major == "*" && minor == "*":
		p.allowed = append(p.allowed, device{class + "-*", f[2]})
	case major == "*":
		p.strict = false // systemd has no such rule, and would deny what is allowed
	case minor == "*":
		p.allowed = append(p.allowed, device{class + "-" + major, f[2]})
	default:
		p.allowed = append(p.allowed, device{"/dev/" + class + "/" + f[1], f[2]})
	}
}

// finish adds what several files tell together.
func (p *translation) finish() {
	if p.quota != 0 || p.period != 0 {
		p.cpuQuota()
	}
	p.cpuIdle()
	if p.strict {
		p.add(property("DevicePolicy", "strict"))
		p.add(property("DeviceAllow", p.allowed))
	}
}

// cpuIdle tells systemd of a cgroup that is idle, which it spells as a weight of 0. One
// that is no longer has the default weight.
func (p *translation) cpuIdle() {
	weighs := slices.ContainsFunc(p.list, func(q Property) bool { return q.Name == "CPUWeight" })
	switch {
	case p.idle == "1":
		p.list = slices.DeleteFunc(p.list, func(q Property) bool { return q.Name == "CPUWeight" })
		p.add(property(idleWeight, uint64(0)))
	case p.idle == "0" && !weighs && p.inForce != nil:
		p.add(property(idleWeight, uint64(100)))
	}
}

// idleWeight is the property that can say that a cgroup is idle (systemd 252).
const idleWeight = "CPUWeight"

// defaultPeriod is the kernel's, in microseconds.
const defaultPeriod = 100000

func (p *translation) cpuQuota() {
	quota, period := p.quota, p.period
	if period != 0 {
		// systemd 242 has it; older ones stay at 100 ms.
		p.add(property("CPUQuotaPeriodUSec", period))
	}
	if p.inForce != nil {
		now, per, v2 := strings.Cut(p.inForce("cpu.max"), " ")
		if !v2 {
			now, per = p.inForce("cpu.cfs_quota_us"), p.inForce("cpu.cfs_period_us")
		}
		if quota == 0 {
			quota = microseconds(now)
		}
		if period == 0 {
			period, _ = strconv.ParseUint(per, 10, 64)
		}
	}
	if period == 0 {
		period = defaultPeriod
	}
	switch {
	case quota < 0:
		p.add(property("CPUQuotaPerSecUSec", uint64(math.MaxUint64)))
	case quota > 0:
		perSec := uint64(quota) * 1000000 / period
		// systemd cuts to whole 10 ms: what is less would be less than was asked for.
		const step = 10000
		p.add(property("CPUQuotaPerSecUSec", (perSec+step-1)/step*step))
	}
}

// annotation is how an annotation begins that names a property.
const annotation = "org.systemd.property."

// Annotated are the properties that annotations of the config ask for:
// org.systemd.property.NAME with a value in the text form of GVariant. A time in seconds is
// one in microseconds on the bus, by another name.
func Annotated(annotations map[string]string) ([]Property, error) {
	var list []Property
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, annotation)
		if !ok {
			continue
		}
		wrong := func(why string) error {
			return fault.At(`annotations["`+key+`"]`, "annotation "+key+"="+strconv.Quote(annotations[key])+" "+why)
		}
		if !letters(name) {
			return nil, wrong("does not name a property: at least three letters are wanted")
		}
		if slices.Contains(barred[:], name) {
			return nil, wrong("is for the runtime alone to set")
		}
		v, err := dbus.ParseVariant(annotations[key], dbus.Signature{})
		if err != nil {
			return nil, wrong("cannot be understood: " + err.Error())
		}
		if short, ok := strings.CutSuffix(name, "Sec"); ok && short != "" && !strings.HasSuffix(name, "USec") {
			usec, ok := microsecondsOf(v)
			if !ok {
				return nil, wrong("is not a number of seconds")
			}
			name, v = short+"USec", dbus.MakeVariant(usec)
		}
		list = append(list, Property{name, v})
	}
	return list, nil
}

// barred are the properties that say which processes are in the scope, where it is and
// whose. By PIDs a config could have processes of the host moved into the container's
// scope, and killed with it.
var barred = [...]string{"PIDs", "PIDFDs", "Slice", "Description", "Delegate"}

func letters(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) >= 3
}

func microsecondsOf(v dbus.Variant) (uint64, bool) {
	const second = 1000000
	switch n := v.Value().(type) {
	case int16:
		return uint64(n) * second, n >= 0
	case uint16:
		return uint64(n) * second, true
	case int32:
		return uint64(n) * second, n >= 0
	case uint32:
		return uint64(n) * second, true
	case int64:
		return uint64(n) * second, n >= 0
	case uint64:
		return n * second, true
	case float64:
		return uint64(n * second), n >= 0
	}
	return 0, false
}
