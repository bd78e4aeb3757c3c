package compile

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// EnterRequest asks for a process in a container that is there.
type EnterRequest struct {
	// ID is the container's, whose session keyring the process shares.
	ID string
	// Process is what the program becomes, and ProcessPath where it stands in JSON:
	// "process" in the container's config.json, empty in a document of its own.
	Process     *specs.Process
	ProcessPath string
	// Namespaces are the CLONE_NEW* flags of the container's namespaces that are not
	// the runtime's. They are joined by one call on the pidfd of its first process.
	Namespaces uintptr
	// CgroupsLate is true when the child is put into the container's cgroups by somebody
	// else, while it waits.
	CgroupsLate bool
	// CgroupEntry are the files of v1 hierarchies into which the child writes itself.
	CgroupEntry  []string
	NoNewKeyring bool
	// PreserveFDs is the number of descriptors from 3 on that the process gets.
	PreserveFDs int
	// Linux has what of the container's config holds for each of its processes: the
	// system call filter, the memory policy, the personality. nil for nothing.
	Linux *specs.Linux
	// Hook, when set, is executed in the place of the process, whose user, rights and
	// working directory it has. Rootfs is the root file system's path, for Hook.
	Hook   *specs.Hook
	Rootfs string
}

// nsAll are the namespaces that there are.
const nsAll = unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWPID |
	unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME | unix.CLONE_NEWUSER | unix.CLONE_NEWNS

// Enter compiles the program of a process that joins a container, from the same
// parts as Create. The process must have passed spec.ValidateProcess.
//
// Its table of descriptors has one for the runtime to fill beside the standard
// ones: the pidfd of the container's first process (program.FDPidFD); and where
// the container has no mount namespace of its own its root directory instead of
// that namespace's (program.FDDirectory).
func Enter(f *host.Facts, r *EnterRequest) (*Result, error) {
	c := newCompiler(&specs.Spec{Process: r.Process, Linux: r.Linux}, f, &Request{
		ID: r.ID, CgroupsLate: r.CgroupsLate, CgroupEntry: r.CgroupEntry, NoNewKeyring: r.NoNewKeyring, PreserveFDs: r.PreserveFDs,
	})
	c.processPath, c.hook = r.ProcessPath, r.Hook
	c.joins = true
	pidfd := c.planJoin(r.Namespaces)
	c.planFilter(c.linux().Seccomp)
	var dir *program.Slot
	if !c.ns.has(unix.CLONE_NEWNS) {
		dir = c.hand("root", program.FDDirectory)
	}
	c.joinContainer(pidfd)
	c.Phase = program.PhaseRoot
	c.enterRoot(dir)
	c.Phase = program.PhaseDevices
	c.terminal()
	c.Phase = program.PhasePivot
	c.openLabels()
	c.Phase = program.PhaseProcess
	c.becomeProcess()
	c.Phase = program.PhaseStart
	c.start()
	return c.result(program.KindEnter)
}

// planJoin notes the namespaces to join, and returns the pidfd by which, nil for none.
func (c *compiler) planJoin(namespaces uintptr) *program.Slot {
	c.ns.joined = namespaces & nsAll
	// A pid or time namespace is for children only (setns(2)); the pid namespace's
	// holds for the first child of a process that joins with it, too.
	c.ns.intermediate = c.ns.joined&unix.CLONE_NEWPID != 0
	if c.ns.joined == 0 {
		return nil
	}
	return c.hand("pidfd", program.FDPidFD)
}

// joinContainer enters the container's cgroups and joins all namespaces in one call:
// either the child is in all of them or in none, and the user namespace gives the rights
// that the others take.
func (c *compiler) joinContainer(pidfd *program.Slot) {
	c.Phase = program.PhaseHost
	c.birth()
	c.initialAffinity()
	c.awaitCgroups()
	c.openCgroups()
	c.Phase = program.PhaseJoin
	c.enterCgroups()
	c.at("")
	// From the first namespace on the container's processes could look into this
	// one, which still has descriptors and memory of the runtime's (CVE-2016-9962).
	c.hide()
	if pidfd != nil {
		c.Do(program.CallSetns, "join the container's namespaces", program.From(pidfd), program.Uint(uint64(c.ns.joined))).
			Say(unix.ESRCH, "", "the container has ended").
			Say(unix.EPERM, "", "joining takes CAP_SYS_ADMIN in the user namespaces of the container")
		c.Do(program.CallClose, "close the pidfd", program.From(pidfd))
	}
	if c.ns.has(unix.CLONE_NEWUSER) {
		c.becomeRoot()
	}
	c.intermediate()
	c.Do(program.CallSetsid, "start a session of its own").Ignore(unix.EPERM)
}

// enterRoot makes the container's root the process's, where joining its mount
// namespace has not done so, and opens it.
func (c *compiler) enterRoot(dir *program.Slot) {
	c.at("")
	if dir != nil {
		c.Do(program.CallFchdir, "go to the container's root", program.From(dir))
		c.Do(program.CallChroot, "make it the root", program.Path("."))
		c.Do(program.CallClose, "close it", program.From(dir))
	}
	c.root = c.Do(program.CallOpenat, "open the container's root", program.AtCwd, program.Path("/"),
		program.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), program.Int(0)).FD("root")
}
