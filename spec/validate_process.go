package spec

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// checkProcess is the PRO rows.
func (c *checker) checkProcess(path string, p *specs.Process) {
	switch {
	case p.Cwd == "":
		c.add(path+".cwd", "Cwd property must not be empty")
	case p.Cwd[0] != '/':
		c.add(path+".cwd", "Cwd must be an absolute path")
	default:
		c.noNUL(path+".cwd", p.Cwd)
	}
	if len(p.Args) == 0 {
		c.add(path+".args", "args must not be empty")
	}
	for i, arg := range p.Args {
		if strings.IndexByte(arg, 0) >= 0 {
			c.add(index(path+".args", i), "must not contain a NUL byte")
		}
	}
	for i, entry := range p.Env {
		if msg := badEnv(entry); msg != "" {
			c.add(index(path+".env", i), msg)
		}
	}
	if p.Terminal && p.ConsoleSize != nil {
		c.checkConsole(path+".consoleSize", p.ConsoleSize)
	}
	c.checkUser(path+".user", &p.User)
	c.checkRlimits(path+".rlimits", p.Rlimits)
	if p.OOMScoreAdj != nil && (*p.OOMScoreAdj < -1000 || *p.OOMScoreAdj > 1000) {
		c.add(path+".oomScoreAdj", "must be between -1000 and 1000, not "+decimal(*p.OOMScoreAdj))
	}
	c.noNUL(path+".apparmorProfile", p.ApparmorProfile)
	c.noNUL(path+".selinuxLabel", p.SelinuxLabel)
	if p.Scheduler != nil {
		c.checkScheduler(path+".scheduler", p.Scheduler)
	}
	if p.IOPriority != nil {
		c.checkIOPriority(path+".ioPriority", p.IOPriority)
	}
	if a := p.ExecCPUAffinity; a != nil {
		if msg := badList(a.Initial); msg != "" {
			c.add(path+".execCPUAffinity.initial", msg)
		}
		if msg := badList(a.Final); msg != "" {
			c.add(path+".execCPUAffinity.final", msg)
		}
	}
}

// checkConsole is PRO-4. A size of 0 by 0 is that of a terminal which nobody has
// sized yet, so an engine may well pass it on; half a size is a mistake.
func (c *checker) checkConsole(path string, b *specs.Box) {
	if b.Height == 0 && b.Width == 0 {
		return
	}
	for _, n := range [...]struct {
		name  string
		value uint
	}{{".height", b.Height}, {".width", b.Width}} {
		// The kernel keeps both in 16 bits (struct winsize).
		if n.value == 0 || n.value > 65535 {
			c.add(path+n.name, "must be between 1 and 65535, not "+unsigned(n.value))
		}
	}
}

// checkUser is PRO-37 to PRO-41. Ids can be held against the mappings only where
// the configuration makes the user namespace; one that is joined has its own.
func (c *checker) checkUser(path string, u *specs.User) {
	if u.Umask != nil && *u.Umask > 0o777 {
		c.add(path+".umask", "must be at most 511 (0777), not "+unsigned(*u.Umask))
	}
	c.checkID(path+".uid", u.UID)
	c.checkID(path+".gid", u.GID)
	for i, gid := range u.AdditionalGids {
		c.checkID(index(path+".additionalGids", i), gid)
	}
	ns := namespace(c.s, specs.UserNamespace)
	if ns == nil || ns.Path != "" {
		return
	}
	l := c.s.Linux
	if len(l.UIDMappings) > 0 && !mapped(l.UIDMappings, u.UID) {
		c.add(path+".uid", "cannot setuid to unmapped uid "+unsigned(u.UID)+" in user namespace")
	}
	if len(l.GIDMappings) == 0 {
		return
	}
	if !mapped(l.GIDMappings, u.GID) {
		c.add(path+".gid", "cannot setgid to unmapped gid "+unsigned(u.GID)+" in user namespace")
	}
	for i, gid := range u.AdditionalGids {
		if !mapped(l.GIDMappings, gid) {
			c.add(index(path+".additionalGids", i), "cannot add unmapped gid "+unsigned(gid)+" in user namespace")
		}
	}
}

// checkID refuses the id that stands for none. To setresuid(2) and setresgid(2) it
// says "leave it as it is": the process would stay root.
func (c *checker) checkID(path string, id uint32) {
	if id == 1<<32-1 {
		c.add(path, "must not be 4294967295, which stands for no id")
	}
}

// mapped says whether an id inside the container is in one of the mappings.
func mapped(list []specs.LinuxIDMapping, id uint32) bool {
	for _, m := range list {
		if id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return true
		}
	}
	return false
}

// checkRlimits is PRO-10, PRO-11 and PRO-13.
func (c *checker) checkRlimits(path string, list []specs.POSIXRlimit) {
	var seen uint32
	for i, r := range list {
		n, ok := sys.Rlimit(r.Type)
		switch {
		case !ok:
			c.add(index(path, i)+".type", "wrong rlimit value: "+r.Type)
		case seen&(1<<n) != 0:
			c.add(index(path, i)+".type", r.Type+" is listed twice")
		default:
			seen |= 1 << n
		}
		if r.Soft > r.Hard {
			c.add(index(path, i)+".soft",
				"the soft limit "+unsigned(r.Soft)+" is above the hard limit "+unsigned(r.Hard)+" of "+r.Type)
		}
	}
}

var (
	schedPolicies = []specs.LinuxSchedulerPolicy{
		specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline,
	}
	schedFlags = []specs.LinuxSchedulerFlag{
		specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
	}
)

// checkScheduler is PRO-24 to PRO-30: what sched_setattr(2) would refuse with a
// bare EINVAL.
func (c *checker) checkScheduler(path string, s *specs.Scheduler) {
	oneOf(c, path+".policy", "scheduler policy", s.Policy, schedPolicies)
	for i, f := range s.Flags {
		oneOf(c, index(path+".flags", i), "scheduler flag", f, schedFlags)
	}
	if (s.Policy == specs.SchedOther || s.Policy == specs.SchedBatch) && (s.Nice < -20 || s.Nice > 19) {
		c.add(path+".nice", "must be between -20 and 19, not "+decimal(s.Nice))
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	switch {
	case realtime && (s.Priority < 1 || s.Priority > 99):
		c.add(path+".priority", "must be between 1 and 99 for "+string(s.Policy)+", not "+decimal(s.Priority))
	case !realtime && s.Priority != 0:
		c.add(path+".priority", "can only be set for SCHED_FIFO and SCHED_RR")
	}
	c.checkDeadline(path, s)
}

func (c *checker) checkDeadline(path string, s *specs.Scheduler) {
	if s.Policy != specs.SchedDeadline {
		for _, n := range [...]struct {
			name  string
			value uint64
		}{{".runtime", s.Runtime}, {".deadline", s.Deadline}, {".period", s.Period}} {
			if n.value != 0 {
				c.add(path+n.name, "can only be set for SCHED_DEADLINE")
			}
		}
		return
	}
	if s.Runtime == 0 {
		c.add(path+".runtime", "SCHED_DEADLINE needs a runtime above 0")
	}
	if s.Runtime > s.Deadline {
		c.add(path+".deadline", "must not be less than the runtime, "+unsigned(s.Runtime)+" ns")
	}
	if s.Period != 0 && s.Deadline > s.Period {
		c.add(path+".period", "must not be less than the deadline, "+unsigned(s.Deadline)+" ns")
	}
}

var ioClasses = []specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}

// checkIOPriority is PRO-32 and PRO-33.
func (c *checker) checkIOPriority(path string, p *specs.LinuxIOPriority) {
	oneOf(c, path+".class", "I/O priority class", p.Class, ioClasses)
	if p.Priority < 0 || p.Priority > 7 {
		c.add(path+".priority", "invalid ioPriority.Priority: "+decimal(p.Priority)+": must be between 0 and 7")
	}
}

// Capabilities are the capabilities by number, as of Linux 5.9, which added the last
// of them (capabilities(7)).
var Capabilities = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
	"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

func knownCapability(name string) bool { return slices.Contains(Capabilities[:], name) }

// capabilityWarnings is PRO-16, PRO-19 and PRO-20: the runtime-spec wants an
// unknown capability logged, not refused.
func capabilityWarnings(path string, p *specs.Process) []*fault.Error {
	if p == nil || p.Capabilities == nil {
		return nil
	}
	k := p.Capabilities
	var list []*fault.Error
	warn := func(set string, i int, name, msg string) {
		list = append(list, fault.At(index(path+".capabilities."+set, i), name+msg))
	}
	for _, set := range [...]struct {
		name string
		caps []string
	}{
		{"bounding", k.Bounding},
		{"effective", k.Effective},
		{"inheritable", k.Inheritable},
		{"permitted", k.Permitted},
		{"ambient", k.Ambient},
	} {
		for i, name := range set.caps {
			switch {
			case !knownCapability(name):
				warn(set.name, i, quote(name), " is not a capability, and ignored")
			case set.name == "effective" && !slices.Contains(k.Permitted, name):
				warn(set.name, i, name, " is not in the permitted set, so it cannot be effective")
			case set.name == "ambient" && !(slices.Contains(k.Permitted, name) && slices.Contains(k.Inheritable, name)):
				// The words that engines know from runc, whose kernel says no only then.
				warn(set.name, i, "", "can't raise ambient capability "+name+": it is not both permitted and inheritable")
			}
		}
	}
	return list
}
