package compile

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
	"berth/libcontainer/seccomp"
)

// planFilter compiles the profile to the filter that the process is executed under.
func (c *compiler) planFilter(s *specs.LinuxSeccomp) {
	if s == nil || c.process == nil {
		return
	}
	const path = "linux.seccomp"
	if !c.host.Seccomp {
		c.fail(path, "the kernel has no system call filters", "it is built without CONFIG_SECCOMP_FILTER")
		return
	}
	f, err := seccomp.Compile(s, seccomp.Native())
	if err != nil {
		e, ok := err.(*seccomp.Error)
		if !ok {
			c.fail(path, err.Error(), "")
			return
		}
		at := path
		if e.Path != "" {
			at += "." + e.Path
		}
		c.fail(at, e.Message, "")
		return
	}
	c.filter = f
}

// filterBytes are the filter's instructions, for Verify; nil for none.
func (c *compiler) filterBytes() []byte {
	if c.filter == nil {
		return nil
	}
	return c.filter.Bytes()
}

func (c *compiler) filterFlags() uint32 {
	if c.filter == nil {
		return 0
	}
	return c.filter.Flags
}

// keepForFilter keeps the right to set a filter for as long as it takes, where the
// process may get new privileges: there the kernel asks for CAP_SYS_ADMIN
// (seccomp(2)). So the filter can be set last, and lets all that comes before be. The
// process does not get the capability by that: at execve the kernel works its
// capabilities out anew, from the bounding, inheritable and ambient sets.
func (c *compiler) keepForFilter() {
	if c.filter == nil || c.process.NoNewPrivileges ||
		!c.ns.has(unix.CLONE_NEWUSER) && c.host.Permitted&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return
	}
	c.caps.effective |= 1 << unix.CAP_SYS_ADMIN
	c.caps.permitted |= 1 << unix.CAP_SYS_ADMIN
}

// setFilter is the last step before execve: what the profile forbids, nothing of ours
// needs any more. Nor is it reported in a debug run, which would take another call.
func (c *compiler) setFilter() program.StepRef {
	c.at("linux.seccomp")
	f := c.filter
	words := "filter[" + strconv.Itoa(len(f.Insns)) + "]"
	prog := program.Struct(f.Fprog(0), "{"+strconv.Itoa(len(f.Insns))+", "+words+"}")
	prog.Refs = []program.Ref{{Off: 8, To: program.Struct(f.Bytes(), words)}}
	return c.Do(program.CallSeccomp, "set the filter of system calls", program.Int(unix.SECCOMP_SET_MODE_FILTER), program.Uint(uint64(f.Flags)), program.Ptr(prog)).
		Say(unix.EINVAL, "", "the kernel does not know a flag or an action of the profile: see /proc/sys/kernel/seccomp/actions_avail").
		Say(unix.EACCES, "", "without noNewPrivileges it takes CAP_SYS_ADMIN").
		Say(unix.EBUSY, "", "another filter has a listener already")
}

// askListener sets a filter that asks a listener. That has to have the listener's
// descriptor before the first call that the filter asks about, which may be any of the
// ones below: so the runtime takes it out of the child, which does nothing for that,
// and hands it on. It does so at create, since a listener that is not there is an
// error of that.
func (c *compiler) askListener() {
	c.at("linux.seccomp.listenerPath")
	c.Barrier(program.BarrierListener, "tell the runtime that the listener comes next")
	c.setFilter()
}
