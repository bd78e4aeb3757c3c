package libcontainer

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/libcontainer/state"
	"berth/spec"
)

// ExecOptions is what exec is told beside the id.
type ExecOptions struct {
	// Process is what is run, and ProcessPath where it stands in JSON: "process" for
	// one that is made of the container's own config, empty for a document of its own.
	Process     *specs.Process
	ProcessPath string
	// Stdin, Stdout and Stderr are as in CreateOptions.
	Stdin, Stdout, Stderr *os.File
	// Foreground says that the caller takes the terminal's master (Process).
	Foreground bool
	// ConsoleSocket, PidFDSocket and PidFile are as in CreateOptions.
	ConsoleSocket, PidFDSocket, PidFile string
	// PreserveFDs is the number of descriptors from 3 on that the process keeps.
	PreserveFDs int
	// IgnorePaused lets the process be made in a paused container, where it waits.
	IgnorePaused bool
	// Cgroups are cgroups below the container's to put the process into, each
	// "path" or "controller,controller:path".
	Cgroups []string
}

// Execution is a process that joins a container.
type Execution struct {
	*Process
	rt      *Runtime
	dir     *state.Dir
	rec     *state.Record
	opt     *ExecOptions
	init    *state.Process
	facts   *host.Facts
	result  *compile.Result
	waits   bool // for Start
	pidFile string
	ctx     context.Context // of the command
	// seccomp is the container's profile, nil for none.
	seccomp   *specs.LinuxSeccomp
	listening *listening
	// attach puts the child into the container's cgroups while it waits; nil where it
	// enters them by itself.
	attach func(ctx context.Context, pid int) error
	watch  *interruption
	hook   *containerHook // what is run instead, nil for a process
}

// Exec makes a process in the container that waits for Start. When ctx ends before
// that, it ends.
func (c *Container) Exec(ctx context.Context, o *ExecOptions) (*Execution, error) {
	rec, err := c.record(cmdExec)
	if err != nil {
		return nil, err
	}
	if err := spec.ValidateProcess(o.Process, nil, o.ProcessPath).OrNil(); err != nil {
		return nil, err
	}
	if err := checkExecStdio(o); err != nil {
		return nil, err
	}
	j := &Execution{ctx: ctx, rt: c.rt, dir: c.dir, rec: rec, opt: o, Process: &Process{master: -1}}
	if err = j.find(); err == nil {
		j.watch = watch(ctx)
		if err = j.prepare(); err != nil && ctx.Err() == nil && j.init.Signal(0) == state.ErrGone {
			err = errExecStopped // while it was being prepared: what failed failed of that
		}
	}
	if err != nil {
		err = j.undo(err)
		j.free()
		return nil, err
	}
	j.waits = true
	return j, nil
}

// Start lets the process be executed. It returns when that has happened.
func (j *Execution) Start(context.Context) error {
	j.waits = false
	if err := j.release(); err != nil {
		return j.undo(err)
	}
	return nil
}

// Close gives back what is held. A process that was never started ends.
func (j *Execution) Close() {
	if j.waits {
		j.waits = false
		_ = j.undo(nil)
	}
	j.free()
}

// checkExecStdio refuses terminals without a place for them, and descriptors that are
// to be preserved and are not there.
func checkExecStdio(o *ExecOptions) error {
	if err := checkPreserved(o.PreserveFDs); err != nil {
		return err
	}
	return checkTerminal(o.Process, o.ConsoleSocket, !o.Foreground)
}

// find opens the container's first process, whose namespaces are joined.
func (j *Execution) find() error {
	status, init, err := j.dir.Probe(j.rec)
	if err != nil {
		return err
	}
	j.init = init
	switch status {
	case state.Stopped:
		return errExecStopped
	case state.Creating:
		return fault.New("cannot exec in a container that is still being created")
	}
	if paused(j.rec) && !j.opt.IgnorePaused {
		return fault.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	return nil
}

// prepare brings the process up to where it waits at the ready barrier.
func (j *Execution) prepare() error {
	var err error
	if j.facts, err = host.Gather(); err != nil {
		return err
	}
	req := &compile.EnterRequest{
		ID: j.rec.ID, Process: j.opt.Process, ProcessPath: j.opt.ProcessPath,
		NoNewKeyring: j.rec.NoNewKeyring, PreserveFDs: j.opt.PreserveFDs,
	}
	if req.Namespaces, err = j.namespaces(); err != nil {
		return err
	}
	if j.rec.ForEach {
		s, _, err := keptConfig(j.dir)
		if err != nil {
			return err
		}
		j.seccomp = s.Linux.Seccomp
		req.Linux = &specs.Linux{Seccomp: s.Linux.Seccomp, MemoryPolicy: s.Linux.MemoryPolicy, Personality: s.Linux.Personality}
	}
	v2, err := j.cgroups(req)
	if err != nil {
		return err
	}
	if v2 >= 0 {
		defer unix.Close(v2)
	}
	if j.result, err = j.compile(req); err != nil {
		return err
	}
	if err := j.result.Verify(); err != nil {
		return err
	}
	for _, w := range j.result.Warnings {
		j.rt.Log.Warn(w.Error())
	}
	if err := j.spawn(v2); err != nil {
		return err
	}
	err = j.machine.Run(j, program.BarrierReady)
	if err = j.listening.wait(err); err != nil {
		if werr := j.watch.err(); werr != nil {
			return werr // the child did not die of itself
		}
		return err
	}
	return j.ready()
}

func (j *Execution) compile(req *compile.EnterRequest) (*compile.Result, error) {
	if j.hook == nil {
		return compile.Enter(j.facts, req)
	}
	return j.hook.compile(j.facts, req)
}

// namespaces are those of the container that are not the runtime's own.
func (j *Execution) namespaces() (uintptr, error) {
	var set uintptr
	dir := "/proc/" + strconv.Itoa(j.init.PID()) + "/ns/"
	for _, ns := range compile.Namespaces() {
		theirs, err := os.Readlink(dir + ns.File)
		if err != nil {
			if j.init.Signal(0) == state.ErrGone {
				return 0, errExecStopped
			}
			if os.IsNotExist(err) {
				continue // a kernel without it
			}
			return 0, fault.Wrap("cannot see the container's namespaces", err)
		}
		if ours, err := os.Readlink("/proc/self/ns/" + ns.File); err != nil || ours != theirs {
			set |= ns.Type
		}
	}
	return set, nil
}

// cgroups finds the way into the container's cgroups. The result is the directory of
// the v2 one, open, or -1.
func (j *Execution) cgroups(req *compile.EnterRequest) (int, error) {
	h, err := openCgroups(j.rec)
	if err != nil {
		return -1, err
	}
	if h == nil {
		if len(j.opt.Cgroups) > 0 {
			return -1, errNoCgroups
		}
		return -1, nil
	}
	defer h.Close()
	entry, err := h.Entry(j.opt.Cgroups)
	if err != nil {
		return -1, err
	}
	req.CgroupsLate, req.CgroupEntry = entry.Late != nil, entry.Files
	j.attach = entry.Late
	return openEntry(entry.Dir)
}

// spawn starts the child, in the cgroup v2 directory v2 if that is not -1.
func (j *Execution) spawn(v2 int) error {
	p := j.result.Program
	fds := make([]int, len(p.Descriptors))
	for i, d := range p.Descriptors {
		switch fds[i] = -1; d.Kind {
		case program.FDStdio:
			fds[i] = stdio(d.Number, j.opt.Stdin, j.opt.Stdout, j.opt.Stderr)
		case program.FDPreserved:
			fds[i] = d.Number // the caller's own
		case program.FDPidFD:
			fds[i] = j.init.FD()
		case program.FDDirectory:
			root, err := j.rootDirectory()
			if err != nil {
				return err
			}
			defer unix.Close(root)
			fds[i] = root
		}
	}
	img := &image{p, j.facts, j.dir, j.rt.Debug}
	err := j.spawnFrom(img, fds, v2)
	if errors.Is(err, unix.EBUSY) && v2 >= 0 && len(j.opt.Cgroups) == 0 {
		err = j.spawnBesideInit(img, fds, err)
	}
	if err != nil {
		return err
	}
	j.machine.Trace = j.rt.traced(p)
	j.watch.follow(j.machine.PidFD, nil)
	return nil
}

// spawnBesideInit starts the child in the cgroup of the container's first process: the
// container's own takes none once there are cgroups below it that have controllers.
func (j *Execution) spawnBesideInit(img *image, fds []int, busy error) error {
	h, err := openCgroups(j.rec)
	if err != nil {
		return err
	}
	defer h.Close()
	dir, err := h.EntryOf(j.init.PID())
	if err != nil {
		return busy
	}
	v2, err := openEntry(dir)
	if err != nil {
		return err
	}
	defer unix.Close(v2)
	return j.spawnFrom(img, fds, v2)
}

// errExecStopped is the error for a container whose process has ended.
var errExecStopped = fault.New("cannot exec in a stopped container")

// rootDirectory is the root of a container that has no mount namespace of its own.
func (j *Execution) rootDirectory() (int, error) {
	path := "/proc/" + strconv.Itoa(j.init.PID()) + "/root"
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ESRCH { // it is there, but has given up its files: it ends
		return -1, errExecStopped
	}
	if err != nil {
		return -1, &fault.Error{Msg: "cannot open the container's root", Call: "open " + path, Err: err}
	}
	// Between the look at the process and this it may have ended, and its pid be
	// another's.
	if j.init.Signal(0) == state.ErrGone {
		unix.Close(fd)
		return -1, errExecStopped
	}
	return fd, nil
}

// Barrier does the runtime's part while the child waits (program.Handler).
func (j *Execution) Barrier(m *program.Machine, b program.Barrier, _ uint64) error {
	switch b {
	case program.BarrierBorn:
		j.watch.follow(m.PidFD, nil)
		return nil
	case program.BarrierListener:
		l, err := listen(m, j.seccomp, stateFor(j.rec, "running", j.init.PID()))
		j.listening = l
		return err
	case program.BarrierCgroups:
		return j.attach(j.ctx, m.Pid)
	}
	return fault.New("the process waits at the barrier " + b.String() + ", where there is nothing to do for it")
}

// ready is called with the child waiting at its last barrier.
func (j *Execution) ready() error {
	if home := j.result.Home; home != nil {
		if err := j.rt.setHome(j.machine, home, j.opt.Process.User.UID); err != nil {
			return err
		}
	}
	out := handles{console: j.opt.ConsoleSocket, pidfd: j.opt.PidFDSocket, pidFile: j.opt.PidFile, payload: "setns"}
	return out.give(j.machine, j.master, func(written bool) {
		if written {
			j.pidFile = j.opt.PidFile
		}
	})
}

// release lets the child execute the process.
func (j *Execution) release() error {
	if err := j.watch.end(); err != nil {
		return err
	}
	if err := j.machine.Release(); err != nil {
		return err
	}
	return j.machine.Run(j, 0)
}

// undo ends an exec that failed. Nothing of it is in the container's journal: the
// child dies with the runtime until it is ready.
func (j *Execution) undo(cause error) error {
	_ = j.watch.end()
	if j.machine != nil {
		j.machine.Kill()
	}
	if j.pidFile != "" {
		os.Remove(j.pidFile)
	}
	return cause
}

// free gives descriptors back.
func (j *Execution) free() {
	if j.machine != nil {
		j.machine.Close()
	}
	if j.init != nil {
		j.init.Close()
	}
	if j.master >= 0 {
		unix.Close(j.master)
	}
}
