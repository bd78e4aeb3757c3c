package spec

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// checkIntelRdt is RDT-3 to RDT-6. A newline would add a line to what is written
// to the schemata file.
func (c *checker) checkIntelRdt(r *specs.LinuxIntelRdt) {
	const path = "linux.intelRdt"
	if id := r.ClosID; id == "." || id == ".." || id != "/" && strings.ContainsAny(id, "/\x00") {
		c.add(path+".closID", "invalid closID "+quote(id)+": must be the name of a directory in resctrl, or /")
	}
	if strings.Contains(r.L3CacheSchema, "\n") {
		c.add(path+".l3CacheSchema", "must be one line")
	}
	if s := r.MemBwSchema; s != "" && !strings.HasPrefix(s, "MB:") {
		c.add(path+".memBwSchema", "must begin with MB:, but is "+quote(s))
	}
	if strings.Contains(r.MemBwSchema, "\n") {
		c.add(path+".memBwSchema", "must be one line")
	}
	for i, s := range r.Schemata {
		if strings.Contains(s, "\n") {
			c.add(index(path+".schemata", i), "must be one line")
		}
	}
}

var (
	memoryModes = []specs.MemoryPolicyModeType{
		specs.MpolDefault, specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave,
		specs.MpolPreferred, specs.MpolPreferredMany, specs.MpolLocal,
	}
	memoryFlags = []specs.MemoryPolicyFlagType{
		specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes,
	}
)

// checkMemoryPolicy is MEM-1 to MEM-3. set_mempolicy(2) says which modes take
// nodes; MPOL_PREFERRED without any prefers the local node.
func (c *checker) checkMemoryPolicy(p *specs.LinuxMemoryPolicy) {
	const path = "linux.memoryPolicy"
	oneOf(c, path+".mode", "memory policy mode", p.Mode, memoryModes)
	for i, f := range p.Flags {
		oneOf(c, index(path+".flags", i), "memory policy flag", f, memoryFlags)
	}
	if slices.Contains(p.Flags, specs.MpolFStaticNodes) && slices.Contains(p.Flags, specs.MpolFRelativeNodes) {
		c.add(path+".flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")
	}
	empty := strings.Trim(p.Nodes, ", \t\n") == ""
	switch p.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if !empty {
			c.add(path+".nodes", string(p.Mode)+" takes no nodes, but has "+quote(p.Nodes))
		}
	case specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave, specs.MpolPreferredMany:
		if empty {
			c.add(path+".nodes", "memory policy mode requires at least one node: "+string(p.Mode))
		}
	}
	if msg := badList(p.Nodes); msg != "" {
		c.add(path+".nodes", msg)
	}
}

// rdtWarning is RDT-4. resctrl has other lines that make sense here, where code
// and data are kept apart (L3CODE, L3DATA), so another prefix is no error.
func rdtWarning(r *specs.LinuxIntelRdt) []*fault.Error {
	if r == nil || r.L3CacheSchema == "" || strings.HasPrefix(r.L3CacheSchema, "L3:") {
		return nil
	}
	return []*fault.Error{fault.At("linux.intelRdt.l3CacheSchema", "does not begin with L3:, but is "+quote(r.L3CacheSchema))}
}
