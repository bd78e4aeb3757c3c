// Package compile turns a config and the facts of a host into the program that
// sets the container up. It is pure: it asks the system nothing, so every
// program can be looked at, compared and tested without root, and `explain`
// prints the very list that `create` runs.
//
// The order of everything is written once, in Create. One file a domain:
// namespaces, rootfs, mounts, cgroup mounts, devices, tty, sysctl, hidden paths,
// lsm, credentials, process. That the kernel's answers can not be known here is
// met by harmless errnos with jumps, and by fixups (package program).
package compile

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/libcontainer/seccomp"
)

// Request is what a create asks for beside the config.
type Request struct {
	ID string
	// Bundle and Rootfs are absolute paths; Rootfs is a directory that exists.
	Bundle, Rootfs string
	// CgroupsLate is true when the child's cgroups are made around it, after its birth.
	CgroupsLate bool
	// CgroupEntry are the files of v1 hierarchies into which the child writes
	// itself.
	CgroupEntry []string
	// Cgroups is the container's place in each hierarchy, for cgroup mounts.
	Cgroups []CgroupDir

	// StartFIFO is true when the program waits for `start` before it executes.
	StartFIFO bool
	// NoPivot replaces pivot_root by move and chroot, for root file systems on
	// a ramdisk.
	NoPivot bool
	// ProcMounts are where the host has a procfs or sysfs: covered where nobody pivots.
	ProcMounts   []string
	NoNewKeyring bool
	// Env is added to the process's environment, whatever the config says of these.
	Env []string
	// PreserveFDs is the number of descriptors from 3 on that the process gets.
	PreserveFDs int
}

// CgroupDir is the container's place in one cgroup hierarchy.
type CgroupDir struct {
	Controllers []string
	// Path is the container's directory; Mount is where the hierarchy is mounted.
	Path, Mount string
	V2          bool
}

// Result is a compiled program with what the runtime must know to run it.
type Result struct {
	*program.Program
	// Warnings are what the user should hear although all goes on.
	Warnings []*fault.Error
	// Joins are the namespaces of the config to be joined, in the order in which their
	// descriptors stand in the program's table. The runtime opens them.
	Joins []Join
	// Filter is that of system calls, nil for none.
	Filter *seccomp.Filter
	// Home is the memory of the string HOME=... where the config's environment
	// lacks it: the runtime writes it at BarrierReady. nil otherwise.
	Home *program.Data
}

// compiler holds what the parts share.
type compiler struct {
	program.Builder
	spec *specs.Spec
	host *host.Facts
	req  *Request
	// process is the one that the program becomes, nil where the config has none;
	// processPath is where it stands in JSON: "process" in config.json, empty in a
	// document of its own (exec --process).
	process     *specs.Process
	processPath string
	hook        *specs.Hook // what is executed in its place, nil for none
	err         fault.List
	warn        []*fault.Error

	ns   namespaces
	root *program.Slot // the container's root directory, O_PATH

	rootLayer *layer // what the config mounts at /, if it does

	null *program.Slot // the host's /dev/null, verified
	stat *program.Data // struct statx
	text *program.Data // small buffer for reads
	dev  *program.Slot // the container's /dev, O_PATH
	pts  *program.Slot // the mount of the container's devpts
	proc *program.Slot // a procfs of the child's own

	// peers says whether mounts that are cloned now may be peers of the host's: what
	// is mounted below such a clone appears on the host.
	peers bool

	stack     stack                 // what the config mounts
	taken     int                   // how many of its layers are mounted already
	sources   map[int]*program.Slot // bind sources opened before the user namespace
	entries   []*program.Slot       // cgroup files opened before it
	caps      *capabilities         // the process's
	joins     bool                  // the process joins a container that is there
	filter    *seccomp.Filter       // of system calls; nil for none
	exe       *program.Slot         // holds the address of the path to execute
	home      *program.Data
	handed    []program.Descriptor // what the runtime opened, beside socket and start FIFO
	socket    int
	startFIFO int
}

// Create compiles the program of `create` and `run`. The config must have passed
// spec.Validate. Errors are about what this host or this request can not do.
func Create(s *specs.Spec, f *host.Facts, r *Request) (*Result, error) {
	c := newCompiler(s, f, r)
	c.measure()
	c.planNamespaces()
	c.planFilter(c.linux().Seccomp)
	if err := c.err.OrNil(); err != nil {
		return nil, err
	}
	c.planMounts()
	c.Phase = program.PhaseHost
	c.birth()
	c.awaitCgroups()
	c.openCgroups()
	c.openHost()
	c.Phase = program.PhaseJoin
	c.joinNamespaces()
	c.enterCgroups()
	c.finishNamespaces()
	c.Phase = program.PhaseRoot
	c.rootfs()
	c.Phase = program.PhaseMounts
	c.mounts()
	c.makeCwd()
	c.Phase = program.PhaseDevices
	c.devices()
	c.terminal()
	c.hookBarriers()
	c.readonlyMounts()
	c.Phase = program.PhasePivot
	c.sysctls()
	c.openLabels()
	c.pivot()
	c.Phase = program.PhaseLimits
	c.names()
	c.readonlyRoot()
	c.hiddenPaths()
	c.finalPropagation()
	c.Phase = program.PhaseProcess
	c.becomeProcess()
	c.Phase = program.PhaseStart
	c.start()
	return c.result(program.KindCreate)
}

// result is what was compiled, or all that was found wrong.
func (c *compiler) result(kind program.Kind) (*Result, error) {
	if err := c.err.OrNil(); err != nil {
		return nil, err
	}
	p := &program.Program{
		Kind:         kind,
		Steps:        c.Steps(),
		Host:         c.hostPaths(),
		Namespaces:   c.ns.fresh | c.ns.joined,
		Rights:       c.rights(),
		Filter:       c.filterBytes(),
		FilterFlags:  c.filterFlags(),
		CloneFlags:   c.ns.born,
		Descriptors:  c.descriptors(),
		Intermediate: c.ns.intermediate,
	}
	r := &Result{Program: p, Warnings: c.warn, Home: c.home, Filter: c.filter}
	for i := range c.ns.joins {
		r.Joins = append(r.Joins, c.ns.joins[i].Join)
	}
	return r, nil
}

func newCompiler(s *specs.Spec, f *host.Facts, r *Request) *compiler {
	c := &compiler{
		spec: s, host: f, req: r,
		process: s.Process, processPath: "process",
		stat:      program.Buffer(256, "statx"),
		text:      program.Buffer(64, "buffer"),
		socket:    3 + r.PreserveFDs,
		startFIFO: -1,
		peers:     true,
	}
	if r.StartFIFO {
		c.startFIFO = c.socket + 1
	}
	return c
}

// descriptors are those that the child is born with.
func (c *compiler) descriptors() []program.Descriptor {
	list := append(program.Stdio(c.req.PreserveFDs),
		program.Descriptor{Name: "socket", Number: c.socket, Kind: program.FDSocket, Keep: program.KeepUntilExec})
	if c.startFIFO >= 0 {
		list = append(list, program.Descriptor{Name: "start-fifo", Number: c.startFIFO, Kind: program.FDStartFIFO, Keep: program.KeepUntilExec})
	}
	return append(list, c.handed...)
}

// lastOwn is the highest descriptor that the interpreter keeps until execve.
func (c *compiler) lastOwn() int {
	if c.startFIFO >= 0 {
		return c.startFIFO
	}
	return c.socket
}

// hand adds a descriptor that the runtime opens and the child is born with, until
// the container is ready.
func (c *compiler) hand(name string, kind program.FD) *program.Slot {
	c.handed = append(c.handed, program.Descriptor{
		Name: name, Number: c.lastOwn() + 1 + len(c.handed), Kind: kind, Keep: program.KeepUntilReady,
	})
	return c.handed[len(c.handed)-1].Slot()
}

// maxItems bounds the lists of which each element is several steps. The bound of
// program.Verify is the exact one; this one keeps what is beyond all reason from
// being compiled at all. An image has a say in it: PATH is its own.
const maxItems = 4096

// measure refuses lists that are beyond all reason.
func (c *compiler) measure() {
	l := c.linux()
	for _, list := range [...]struct {
		path string
		n    int
	}{
		{"mounts", len(c.spec.Mounts)},
		{"linux.devices", len(l.Devices)},
		{"linux.maskedPaths", len(l.MaskedPaths)},
		{"linux.readonlyPaths", len(l.ReadonlyPaths)},
		{"linux.sysctl", len(l.Sysctl)},
	} {
		if list.n > maxItems {
			c.fail(list.path, strconv.Itoa(list.n)+" are too many: "+strconv.Itoa(maxItems)+" is the most", "")
		}
	}
}

// fail notes an error at a JSON path.
func (c *compiler) fail(path, msg, hint string) {
	c.err = append(c.err, &fault.Error{Msg: msg, JSONPath: path, Hint: hint})
}

func (c *compiler) warning(path, msg string) {
	c.warn = append(c.warn, &fault.Error{Msg: msg, JSONPath: path})
}

// at sets the JSON path of the steps that follow.
func (c *compiler) at(path string) { c.JSONPath = path }

// atProcess sets the JSON path to a property of the process.
func (c *compiler) atProcess(name string) { c.at(c.ofProcess(name)) }

// ofProcess is the JSON path of a property of the process.
func (c *compiler) ofProcess(name string) string {
	if c.processPath == "" {
		return name
	}
	return c.processPath + "." + name
}

// item is the path of an element: item("mounts", 3) is mounts[3].
func item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// birth makes the child one that can leave nothing behind.
func (c *compiler) birth() {
	c.at("")
	c.dieWithParent()
	c.Do(program.CallPrctl, "name the process for ps", program.Int(unix.PR_SET_NAME), program.Path("berth-init"))
	last := c.lastOwn() + len(c.handed)
	// Whatever the engine had open (conmon's pipes, the shim's socket) is not
	// the container's: CVE-2024-21626 began with such a descriptor.
	c.Do(program.CallCloseRange, "close every descriptor that is not the container's",
		program.Int(last+1), program.Uint(maxUint32), program.Int(0))
	c.Do(program.CallCloseRange, "keep the runtime's descriptors from the user's process",
		program.Int(c.socket), program.Int(last), program.Int(unix.CLOSE_RANGE_CLOEXEC))
	// Modes of what is made below are meant exactly.
	c.Do(program.CallUmask, "make files with exactly the modes that are asked for", program.Int(0))
	c.oomScore()
}

const maxUint32 = 1<<32 - 1

// dieWithParent covers the time in which only the runtime knows of the child. It
// is taken back before the container is ready. The socket's end covers the rest:
// a child without a runtime ends at its next word.
func (c *compiler) dieWithParent() {
	c.Do(program.CallPrctl, "die with the runtime until the container is ready",
		program.Int(unix.PR_SET_PDEATHSIG), program.Int(int(unix.SIGKILL)))
}

// linux returns spec.linux, or an empty one: the object is optional.
func (c *compiler) linux() *specs.Linux {
	if c.spec.Linux != nil {
		return c.spec.Linux
	}
	return &specs.Linux{}
}

// awaitCgroups waits for cgroups that can not be made for a process that is not there:
// systemd makes a scope of processes. All that follows is in them.
func (c *compiler) awaitCgroups() {
	if c.req.CgroupsLate {
		c.at("linux.cgroupsPath")
		c.Barrier(program.BarrierCgroups, "let the runtime have systemd put it into the container's scope")
	}
}

// openCgroups opens the files through which the child enters its cgroups, while
// it still has the rights to. It writes to them in enterCgroups.
func (c *compiler) openCgroups() {
	c.at("linux.cgroupsPath")
	for _, path := range c.req.CgroupEntry {
		fd := c.Do(program.CallOpenat, "open the cgroup to enter", program.AtCwd, program.Path(path),
			program.Int(unix.O_WRONLY|unix.O_CLOEXEC), program.Int(0)).FD("cgroup")
		c.entries = append(c.entries, fd)
	}
}

// enterCgroups lets the child, single-threaded as it is, write itself to each
// `tasks` file. A pid written to cgroup.procs from outside would wait for an RCU
// grace period, up to 10 ms, and the limits would hold only from then on.
func (c *compiler) enterCgroups() {
	c.at("linux.cgroupsPath")
	zero := program.String("0")
	for _, fd := range c.entries {
		c.Do(program.CallWrite, "enter the cgroup", program.From(fd), program.Ptr(zero), program.Int(1)).
			Say(unix.ENOSPC, "", "a cpuset needs cpus and mems before a process can enter")
		c.Do(program.CallClose, "close the cgroup", program.From(fd))
	}
}
