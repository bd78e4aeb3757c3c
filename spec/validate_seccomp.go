package spec

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

var (
	seccompActions = []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActLog,
		specs.ActNotify, specs.ActTrace, specs.ActTrap,
	}
	seccompOperators = []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual,
		specs.OpGreaterThan, specs.OpMaskedEqual,
	}
	// The Go types have no name for TSYNC; the text of the runtime-spec has.
	seccompFlags = []specs.LinuxSeccompFlag{
		"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow,
		specs.LinuxSeccompFlagWaitKillableRecv,
	}
	seccompArchs = []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS,
		specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC,
		specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	}
)

// checkSeccomp is the SCP rows.
func (c *checker) checkSeccomp(path string, s *specs.LinuxSeccomp) {
	switch {
	case s.DefaultAction == "" && len(s.Syscalls) == 0:
		// No profile at all; runc takes it so.
	case s.DefaultAction == specs.ActNotify:
		c.add(path+".defaultAction", "SCMP_ACT_NOTIFY cannot be the default: the agent would have to allow every system call")
	default:
		oneOf(c, path+".defaultAction", "seccomp action", s.DefaultAction, seccompActions)
	}
	c.checkErrno(path+".defaultErrnoRet", s.DefaultAction, s.DefaultErrnoRet)
	for i, a := range s.Architectures {
		oneOf(c, index(path+".architectures", i), "seccomp architecture", a, seccompArchs)
	}
	for i, f := range s.Flags {
		oneOf(c, index(path+".flags", i), "seccomp flag", f, seccompFlags)
	}
	notify := false
	for i := range s.Syscalls {
		c.checkSyscall(path, i, &s.Syscalls[i])
		notify = notify || s.Syscalls[i].Action == specs.ActNotify
	}
	if notify && s.ListenerPath == "" {
		c.add(path+".listenerPath", "seccomp listenerPath is not set")
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		c.add(path+".listenerMetadata", "must not be set without listenerPath")
	}
	c.noNUL(path+".listenerPath", s.ListenerPath)
}

// checkErrno is SCP-2 and SCP-25.
func (c *checker) checkErrno(path string, action specs.LinuxSeccompAction, errno *uint) {
	switch {
	case errno == nil:
	case action != specs.ActErrno && action != specs.ActTrace:
		c.add(path, "can only be set for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not for "+quote(string(action)))
	case *errno > 65535:
		// SECCOMP_RET_DATA has 16 bits.
		c.add(path, "must be at most 65535, not "+unsigned(*errno))
	}
}

// checkSyscall is SCP-15 to SCP-29.
func (c *checker) checkSyscall(path string, i int, s *specs.LinuxSyscall) {
	at := index(path+".syscalls", i)
	if len(s.Names) == 0 {
		c.add(at+".names", "must have at least one name")
	}
	oneOf(c, at+".action", "seccomp action", s.Action, seccompActions)
	c.checkErrno(at+".errnoRet", s.Action, s.ErrnoRet)
	for j := range s.Args {
		a := &s.Args[j]
		if a.Index > 5 {
			c.add(index(at+".args", j)+".index", "must be between 0 and 5, not "+unsigned(a.Index))
		}
		oneOf(c, index(at+".args", j)+".op", "seccomp operator", a.Op, seccompOperators)
	}
}
