package compile

import (
	"sort"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
	"berth/spec"
)

// procfs makes a procfs of the child's own, detached: nobody can have mounted
// anything over it (CVE-2025-52881). Where a user namespace may not make one, the
// host's is taken, as it is seen before pivot_root; not in a joined mount
// namespace, whose /proc may be anything: what is written must go to the kernel.
func (c *compiler) procfs(why string) *program.Slot {
	if c.proc != nil {
		return c.proc
	}
	fs := c.newFS("proc", "open a procfs of its own, "+why)
	create := c.createFS(fs, "create it")
	proc := c.Slot("proc")
	made := c.mountFS(fs, 0, "make it a mount that is never attached").Into(proc)
	if c.inUserNS() && c.ns.joined&unix.CLONE_NEWNS == 0 {
		refused, done := c.Label(), c.Label()
		create.On(unix.EPERM, refused)
		made.On(unix.EPERM, refused)
		c.Jump(done, "go on")
		c.Here(refused)
		c.Do(program.CallOpenat, "open the host's /proc instead", program.AtCwd, program.Path("/proc"),
			program.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), program.Int(0)).Into(proc)
		c.Here(done)
	}
	c.closeFS(fs)
	c.proc = proc
	return proc
}

// openProc opens a file of that procfs for writing.
func (c *compiler) openProc(file, why string) *program.Slot {
	return c.Do(program.CallOpenat2, why, program.From(c.proc), program.Path(file),
		program.Ptr(openHow(unix.O_WRONLY, unix.RESOLVE_BENEATH)), program.Int(24)).FD("file")
}

func (c *compiler) writeFD(fd *program.Slot, value, why string) program.StepRef {
	return c.Do(program.CallWrite, why, program.From(fd), program.Ptr(program.String(value)), program.Int(len(value)))
}

// sysctls sets kernel parameters of the container's own namespaces. Validation
// has seen that each belongs to one.
func (c *compiler) sysctls() {
	m := c.linux().Sysctl
	if len(m) == 0 {
		return
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		c.at(`linux.sysctl["` + k + `"]`)
		c.procfs("to set kernel parameters")
		fd := c.openProc("sys/"+spec.SysctlPath(k), "open the parameter "+k)
		c.writeFD(fd, m[k], "set "+k+" to "+m[k])
		c.Do(program.CallClose, "close it", program.From(fd))
	}
}

// names sets host and domain name.
func (c *compiler) names() {
	if h := c.spec.Hostname; h != "" {
		c.at("hostname")
		c.Do(program.CallSethostname, "set the host name", program.Path(h), program.Int(len(h)))
	}
	if d := c.spec.Domainname; d != "" {
		c.at("domainname")
		c.Do(program.CallSetdomainname, "set the domain name", program.Path(d), program.Int(len(d)))
	}
}
