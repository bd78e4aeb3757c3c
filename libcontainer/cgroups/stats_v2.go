package cgroups

import (
	"math"
	"strings"
)

// The counters of v2 in the terms of Stats, which are those of v1, as runc has them.

func cpu2Stats(r *statReader, s *Stats) {
	c := &s.CPU
	r.pairs("cpu.stat", func(name string, n uint64) {
		const micro = 1000 // nanoseconds
		switch name {
		case "usage_usec":
			c.Total = n * micro
		case "user_usec":
			c.User = n * micro
		case "system_usec":
			c.Kernel = n * micro
		case "nr_periods":
			c.Periods = n
		case "nr_throttled":
			c.ThrottledPeriods = n
		case "throttled_usec":
			c.Throttling = n * micro
		}
	})
	c.PSI = r.psi("cpu.pressure")
}

// memory2Stats adds memory to swap, since v1 counts them together.
func memory2Stats(r *statReader, s *Stats) {
	m := &s.Memory
	m.Raw = map[string]uint64{}
	r.pairs("memory.stat", func(name string, n uint64) { m.Raw[name] = n })
	m.Cache = m.Raw["file"]
	failures := func(file string) (n uint64) {
		r.pairs(file, func(name string, count uint64) {
			if name == "max" {
				n = count
			}
		})
		return n
	}
	m.Memory = MemoryCounter{
		Usage: r.number("memory.current"), Max: r.number("memory.peak"),
		Limit: r.number("memory.max"), Failures: failures("memory.events"),
	}
	m.SwapOnly = MemoryCounter{
		Usage: r.number("memory.swap.current"), Max: r.number("memory.swap.peak"),
		Limit: r.number("memory.swap.max"), Failures: failures("memory.swap.events"),
	}
	m.Swap = MemoryCounter{Usage: m.Memory.Usage + m.SwapOnly.Usage, Limit: math.MaxUint64}
	if m.Memory.Limit != math.MaxUint64 && m.SwapOnly.Limit != math.MaxUint64 {
		m.Swap.Limit = m.Memory.Limit + m.SwapOnly.Limit
	}
	m.PSI = r.psi("memory.pressure")
}

func hugetlb2Stats(r *statReader, s *Stats) {
	for _, size := range hugePageSizes(r.fd, ".max") {
		h := HugetlbStats{PageSize: size}
		prefix := "hugetlb." + size + "."
		r.pairs(prefix+"events", func(name string, n uint64) {
			if name == "max" {
				h.Failures = n
			}
		})
		if _, ok := r.text(prefix + "rsvd.current"); ok {
			prefix += "rsvd."
		}
		h.Usage = r.number(prefix + "current")
		s.Hugetlb = append(s.Hugetlb, h)
	}
}

// ioStats reads lines such as "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".
func ioStats(r *statReader, s *Stats) {
	b := &s.BlockIO
	b.PSI = r.psi("io.pressure")
	const file = "io.stat"
	text, _ := r.text(file)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		major, minor, ok := strings.Cut(f[0], ":")
		if !ok {
			continue
		}
		c := BlockIOCount{Major: r.parse(file, major), Minor: r.parse(file, minor)}
		for _, pair := range f[1:] {
			name, value, _ := strings.Cut(pair, "=")
			list := &b.Bytes
			switch name {
			case "rbytes":
				c.Op = "Read"
			case "wbytes":
				c.Op = "Write"
			case "dbytes":
				c.Op = "Discard"
			case "rios":
				list, c.Op = &b.Operations, "Read"
			case "wios":
				list, c.Op = &b.Operations, "Write"
			case "dios":
				list, c.Op = &b.Operations, "Discard"
			default:
				continue
			}
			c.Value = r.parse(file, value)
			*list = append(*list, c)
		}
	}
}

// psi reads lines such as "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func (r *statReader) psi(file string) *PSI {
	text, ok := r.text(file)
	if !ok || text == "" {
		return nil
	}
	p := &PSI{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		stall := &p.Some
		if f[0] == "full" {
			stall = &p.Full
		}
		for _, pair := range f[1:] {
			name, value, _ := strings.Cut(pair, "=")
			switch name {
			case "avg10":
				stall.Avg10 = value
			case "avg60":
				stall.Avg60 = value
			case "avg300":
				stall.Avg300 = value
			case "total":
				stall.Total = r.parse(file, value)
			}
		}
	}
	return p
}
