package compile

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// What the kernel is to do with the process: when it runs and on which CPUs, where its
// memory comes from, how its I/O is queued, and which machine it sees. Some of it takes
// CAP_SYS_NICE, so all of it comes before rights fall.
func (c *compiler) scheduling() {
	c.scheduler()
	c.ioPriority()
	c.memoryPolicy()
	c.personality()
}

// The numbers of names are made when they are asked for: tables of a package would be
// set up at every start.

func schedPolicy(p specs.LinuxSchedulerPolicy) uint32 {
	return map[specs.LinuxSchedulerPolicy]uint32{
		specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
	}[p]
}

func schedFlag(f specs.LinuxSchedulerFlag) uint64 {
	return map[specs.LinuxSchedulerFlag]uint64{
		specs.SchedFlagResetOnFork: 1, specs.SchedFlagReclaim: 2, specs.SchedFlagDLOverrun: 4, specs.SchedFlagKeepPolicy: 8,
		specs.SchedFlagKeepParams: 16, specs.SchedFlagUtilClampMin: 32, specs.SchedFlagUtilClampMax: 64,
	}[f]
}

func (c *compiler) scheduler() {
	s := c.process.Scheduler
	if s == nil {
		return
	}
	c.atProcess("scheduler")
	flags := uint64(0)
	for _, f := range s.Flags {
		flags |= schedFlag(f)
	}
	// struct sched_attr of the first version: size, policy, flags, nice, priority,
	// runtime, deadline, period.
	b := make([]byte, 48)
	le := binary.LittleEndian
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[4:], schedPolicy(s.Policy))
	le.PutUint64(b[8:], flags)
	le.PutUint32(b[16:], uint32(s.Nice))
	le.PutUint32(b[20:], uint32(s.Priority))
	le.PutUint64(b[24:], s.Runtime)
	le.PutUint64(b[32:], s.Deadline)
	le.PutUint64(b[40:], s.Period)
	text := "{" + string(s.Policy) + ", nice " + strconv.Itoa(int(s.Nice)) + ", priority " + strconv.Itoa(int(s.Priority)) + "}"
	c.Do(program.CallSchedSetattr, "set the scheduling policy to "+string(s.Policy), program.Int(0), program.Ptr(program.Struct(b, text)), program.Int(0)).
		Say(unix.EPERM, "", "it takes CAP_SYS_NICE in the first user namespace, and for realtime policies time in the cgroup (cpu.rt_runtime_us)").
		Say(unix.EINVAL, "", "the kernel does not know the policy or a flag, or they do not go together").
		Say(unix.EBUSY, "", "the time that SCHED_DEADLINE asks for is not to be had")
}

func (c *compiler) ioPriority() {
	p := c.process.IOPriority
	if p == nil {
		return
	}
	c.atProcess("ioPriority")
	class := map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}[p.Class]
	const whoProcess, classShift = 1, 13 // IOPRIO_WHO_PROCESS, IOPRIO_CLASS_SHIFT
	c.Do(program.CallIoprioSet, "set the I/O priority to "+string(p.Class)+" "+strconv.Itoa(p.Priority),
		program.Int(whoProcess), program.Int(0), program.Int(class<<classShift|p.Priority)).
		Say(unix.EPERM, "", "the class RT takes CAP_SYS_NICE or CAP_SYS_ADMIN in the first user namespace")
}

func memoryMode(m specs.MemoryPolicyModeType) uint64 {
	return map[specs.MemoryPolicyModeType]uint64{
		specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3, specs.MpolLocal: 4,
		specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
	}[m]
}

func memoryFlag(f specs.MemoryPolicyFlagType) uint64 {
	return map[specs.MemoryPolicyFlagType]uint64{
		specs.MpolFNumaBalancing: 1 << 13, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFStaticNodes: 1 << 15,
	}[f]
}

func (c *compiler) memoryPolicy() {
	m := c.linux().MemoryPolicy
	if m == nil {
		return
	}
	c.at("linux.memoryPolicy")
	mode := memoryMode(m.Mode)
	for _, f := range m.Flags {
		mode |= memoryFlag(f)
	}
	set, length := program.Int(0), program.Int(0)
	if bits := bitmap(m.Nodes); len(bits) > 0 {
		// The kernel takes one bit less than it is told.
		set, length = program.Ptr(program.Struct(bits, "{"+m.Nodes+"}")), program.Int(8*len(bits)+1)
	}
	c.Do(program.CallSetMempolicy, "take memory by "+string(m.Mode), program.Uint(mode), set, length).
		Say(unix.EINVAL, "", "not all of these nodes are there, or the kernel does not know the mode or a flag").
		Say(unix.ENOSYS, "", "the kernel is built without NUMA")
}

func (c *compiler) personality() {
	p := c.linux().Personality
	if p == nil {
		return
	}
	c.at("linux.personality")
	domain := 0 // PER_LINUX
	if p.Domain == specs.PerLinux32 {
		domain = 8
	}
	c.Do(program.CallPersonality, "see the machine as "+string(p.Domain)+" does", program.Int(domain))
}

// affinity lets the process run on the CPUs of a list alone.
func (c *compiler) affinity(list, why string) program.StepRef {
	bits := bitmap(list)
	return c.Do(program.CallSchedSetaffinity, why, program.Int(0), program.Int(len(bits)), program.Ptr(program.Struct(bits, "{"+list+"}")))
}

// initialAffinity is where a process that joins runs before it is in the container's
// cgroups. Those may be in force already, by which none of these CPUs may be left.
func (c *compiler) initialAffinity() {
	if a := c.execAffinity(); a != nil && bitmap(a.Initial) != nil {
		c.atProcess("execCPUAffinity.initial")
		c.affinity(a.Initial, "run on CPUs "+a.Initial+" at first").Ignore(unix.EINVAL)
	}
}

// execAffinity is for processes that join alone; nil for none.
func (c *compiler) execAffinity() *specs.CPUAffinity {
	if !c.joins || c.process == nil {
		return nil
	}
	return c.process.ExecCPUAffinity
}

// bitmap is a list of numbers and ranges, which validation has seen, as bits in whole
// words of the kernel's; nil for an empty one.
func bitmap(list string) []byte {
	var bits []byte
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil || to > mostCPUs {
			continue
		}
		for n := from; n <= to; n++ {
			for len(bits) <= n/8 {
				bits = append(bits, make([]byte, 8)...)
			}
			bits[n/8] |= 1 << (n % 8)
		}
	}
	return bits
}

// mostCPUs is more than any kernel is built for.
const mostCPUs = 8191
