package cli

import (
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/logs"
	"berth/spec"
)

var (
	optResources         = option{name: "resources", short: "r", usage: "take the limits from `FILE`, or from standard input if that is -, and from no other option"}
	optBlkioWeight       = option{name: "blkio-weight", kind: number, usage: "weigh block I/O with `N`, from 10 to 1000"}
	optCPUPeriod         = option{name: "cpu-period", usage: "the period of the cpu quota is `USECS`"}
	optCPUQuota          = option{name: "cpu-quota", usage: "allow `USECS` of cpu time per period; -1 for no limit"}
	optCPUBurst          = option{name: "cpu-burst", usage: "let up to `USECS` of unused cpu time be caught up in a period"}
	optCPUShare          = option{name: "cpu-share", usage: "weigh cpu time with `N` against other containers"}
	optCPURTPeriod       = option{name: "cpu-rt-period", usage: "the period of realtime scheduling is `USECS`"}
	optCPURTRuntime      = option{name: "cpu-rt-runtime", usage: "allow `USECS` of realtime scheduling per period"}
	optCpusetCPUs        = option{name: "cpuset-cpus", usage: "run on these CPUs alone: a `LIST` such as 0-2,4"}
	optCpusetMems        = option{name: "cpuset-mems", usage: "use these memory nodes alone: a `LIST` such as 0,1"}
	optCPUIdle           = option{name: "cpu-idle", usage: "`1` to run only when others are idle, 0 not to"}
	optKernelMemory      = option{name: "kernel-memory", usage: "ignored: the kernel dropped this limit", hidden: true}
	optKernelMemoryTCP   = option{name: "kernel-memory-tcp", usage: "ignored: the kernel deprecates this limit", hidden: true}
	optMemory            = option{name: "memory", usage: "limit memory to `SIZE`: bytes, or with k, m, g, t, p behind the number; -1 for no limit"}
	optMemoryReservation = option{name: "memory-reservation", usage: "reserve memory of `SIZE`, for when it is scarce"}
	optMemorySwap        = option{name: "memory-swap", usage: "limit memory and swap together to `SIZE`; -1 for no limit"}
	optPidsLimit         = option{name: "pids-limit", kind: number, usage: "allow `N` processes at most; -1 for no limit"}
	optL3CacheSchema     = option{name: "l3-cache-schema", usage: "the schema of the L3 cache (not supported)", hidden: true}
	optMemBWSchema       = option{name: "mem-bw-schema", usage: "the schema of memory bandwidth (not supported)", hidden: true}
)

var updateCommand = command{
	name:  "update",
	args:  "<container-id>",
	usage: "change the limits of a container",
	about: `What no option names stays as it is. When one of the limits is refused none is
changed. A file holds a JSON object that is as linux.resources in config.json:

    {
      "memory": {"limit": 0, "reservation": 0, "swap": 0, "checkBeforeUpdate": true},
      "cpu": {"shares": 0, "quota": 0, "burst": 0, "period": 0, "realtimeRuntime": 0,
              "realtimePeriod": 0, "cpus": "", "mems": "", "idle": 0},
      "pids": {"limit": 0},
      "blockIO": {"weight": 0}
    }

and whatever else is in linux.resources, but for the rules on devices, which stay.`,
	options: []*option{
		&optResources, &optBlkioWeight, &optCPUPeriod, &optCPUQuota, &optCPUBurst, &optCPUShare, &optCPURTPeriod, &optCPURTRuntime,
		&optCpusetCPUs, &optCpusetMems, &optCPUIdle, &optKernelMemory, &optKernelMemoryTCP, &optMemory, &optMemoryReservation,
		&optMemorySwap, &optPidsLimit, &optL3CacheSchema, &optMemBWSchema,
	},
	least: 1, most: 1,
	run: func(c *call) (int, error) {
		return c.onContainer(func(ct *libcontainer.Container) error {
			r, err := c.resources()
			if err != nil {
				return err
			}
			return ct.Update(r)
		})
	},
}

// resources are the limits that the command line names.
func (c *call) resources() (*specs.LinuxResources, error) {
	if file := c.text(&optResources); file != "" {
		return c.readResources(file)
	}
	return c.namedResources()
}

// readResources reads them from a file.
func (c *call) readResources(file string) (*specs.LinuxResources, error) {
	var text []byte
	var err error
	if file == "-" {
		file = "standard input"
		text, err = io.ReadAll(io.LimitReader(os.Stdin, spec.MaxSize+1))
	} else {
		text, err = spec.ReadFile(file)
	}
	if err != nil {
		return nil, fault.Wrap("cannot read the limits", err)
	}
	r, unknown, err := spec.DecodeResources(text)
	if err != nil {
		return nil, fault.Wrap("cannot understand the limits in "+file, err)
	}
	for _, path := range unknown {
		c.log.record(logs.Debug, "a limit that is not known is ignored", logs.Field{Name: "path", Value: path})
	}
	return r, nil
}

// namedResources reads them from options.
func (c *call) namedResources() (*specs.LinuxResources, error) {
	cpu, mem := &specs.LinuxCPU{Cpus: c.text(&optCpusetCPUs), Mems: c.text(&optCpusetMems)}, &specs.LinuxMemory{}
	r := &specs.LinuxResources{CPU: cpu, Memory: mem}
	for _, o := range []*option{&optL3CacheSchema, &optMemBWSchema} {
		if c.text(o) != "" {
			return nil, fault.New("Intel RDT: --" + o.name + " is not supported by this version")
		}
	}
	var err error
	for _, f := range []struct {
		option *option
		read   func(string) error
	}{
		{&optCPUPeriod, into(&cpu.Period, parseUnsigned)},
		{&optCPUBurst, into(&cpu.Burst, parseUnsigned)},
		{&optCPUShare, into(&cpu.Shares, parseUnsigned)},
		{&optCPURTPeriod, into(&cpu.RealtimePeriod, parseUnsigned)},
		{&optCPUQuota, into(&cpu.Quota, parseInteger)},
		{&optCPURTRuntime, into(&cpu.RealtimeRuntime, parseInteger)},
		{&optCPUIdle, into(&cpu.Idle, parseInteger)},
		{&optMemory, into(&mem.Limit, parseLimit)},
		{&optMemorySwap, into(&mem.Swap, parseLimit)},
		{&optMemoryReservation, into(&mem.Reservation, parseLimit)},
		//lint:ignore SA1019 whoever still asks for it is told that it has no effect
		{&optKernelMemory, into(&mem.Kernel, parseLimit)},
		{&optKernelMemoryTCP, into(&mem.KernelTCP, parseLimit)},
	} {
		text := c.text(f.option)
		if text == "" {
			continue
		}
		if err = f.read(text); err != nil {
			return nil, &fault.Error{Msg: "invalid value for " + f.option.name, Err: err}
		}
	}
	if n := c.number(&optBlkioWeight); n != 0 {
		if n < 0 || n > math.MaxUint16 {
			return nil, fault.New("invalid value for " + optBlkioWeight.name + ": must be between 10 and 1000, not " + strconv.Itoa(n))
		}
		weight := uint16(n)
		r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	}
	if _, given := c.given(&optPidsLimit); given {
		limit := int64(c.number(&optPidsLimit))
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return r, nil
}

// into returns a function that reads a value into what dest points to.
func into[T any](dest **T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		v, err := parse(text)
		*dest = &v
		return err
	}
}

func parseUnsigned(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func parseInteger(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// parseLimit reads a size, or -1 for none.
func parseLimit(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	return parseSize(s)
}

// parseSize reads a number of bytes as runc's users write it: 512, 64k, 1.5 GiB. All
// units are powers of 1024.
func parseSize(s string) (int64, error) {
	end := len(s)
	for end > 0 && (s[end-1] < '0' || s[end-1] > '9') && s[end-1] != '.' {
		end--
	}
	digits, unit := s[:end], strings.ToLower(strings.TrimPrefix(s[end:], " "))
	shift, ok := 0, true
	if unit != "" && unit != "b" {
		n := strings.IndexByte("kmgtp", unit[0])
		shift = 10 * (n + 1)
		rest := unit[1:]
		ok = n >= 0 && (rest == "" || rest == "b" || rest == "ib")
	}
	if !ok || strings.Trim(digits, "0123456789.") != "" {
		return 0, fault.New("invalid size: '" + s + "'")
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n <= math.MaxInt64>>shift {
		return n << shift, nil
	}
	// A fraction, or too large.
	f, err := strconv.ParseFloat(digits, 64)
	if f *= float64(int64(1) << shift); err != nil || f >= math.MaxInt64 {
		return 0, fault.New("invalid size: '" + s + "'")
	}
	return int64(f), nil
}
