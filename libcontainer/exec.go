package libcontainer

import (
	"context"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/console"
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
	// Detach returns when the process runs.
	Detach bool
	// ConsoleSocket, PidFDSocket and PidFile are as in CreateOptions.
	ConsoleSocket, PidFDSocket, PidFile string
	// PreserveFDs is the number of descriptors from 3 on that the process keeps.
	PreserveFDs int
	// IgnorePaused lets the process be made in a paused container, where it waits.
	IgnorePaused bool
	// Running, where not nil, is called when the process runs in the foreground and
	// gets the signals: the context means nothing any more.
	Running func()
	// Cgroups are cgroups below the container's to put the process into, each
	// "path" or "controller,controller:path".
	Cgroups []string
}

// joining is an exec in progress.
type joining struct {
	rt      *Runtime
	dir     *state.Dir
	rec     *state.Record
	opt     *ExecOptions
	init    *state.Process
	facts   *host.Facts
	result  *compile.Result
	machine *program.Machine
	master  int // the pty's master, -1 until the child has sent it
	pidFile string
	watch   *interruption
}

// Exec runs a process in a container. In the foreground it stays as Run does, and
// returns the process's exit status; detached it returns 0 when the process runs.
func (r *Runtime) Exec(ctx context.Context, id string, o *ExecOptions) (int, error) {
	d, rec, err := r.record(id, state.Unlocked)
	if err != nil {
		return -1, err
	}
	defer d.Close()
	if err := spec.ValidateProcess(o.Process, nil, o.ProcessPath).OrNil(); err != nil {
		return -1, err
	}
	if err := checkExecStdio(o); err != nil {
		return -1, err
	}
	j := &joining{rt: r, dir: d, rec: rec, opt: o, master: -1}
	defer j.close()
	if err := j.find(); err != nil {
		return -1, err
	}
	return j.run(ctx)
}

// checkExecStdio refuses terminals without a place for them, and descriptors that are
// to be preserved and are not there.
func checkExecStdio(o *ExecOptions) error {
	if err := checkPreserved(o.PreserveFDs); err != nil {
		return err
	}
	return checkTerminal(o.Process, o.ConsoleSocket, o.Detach)
}

// find opens the container's first process, whose namespaces are joined.
func (j *joining) find() error {
	status, init, err := j.dir.Probe(j.rec)
	if err != nil {
		return err
	}
	j.init = init
	switch status {
	case state.Stopped:
		return fault.New("cannot exec in a stopped container")
	case state.Creating:
		return fault.New("cannot exec in a container that is still being created")
	}
	if paused(j.rec) && !j.opt.IgnorePaused {
		return fault.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	return nil
}

func (j *joining) run(ctx context.Context) (int, error) {
	var fwd *forwarder
	if !j.opt.Detach {
		fwd = newForwarder()
	}
	j.watch = watch(ctx)
	if err := j.start(); err != nil {
		return -1, j.undo(err)
	}
	var term *console.Terminal
	if j.opt.Process.Terminal && !j.opt.Detach {
		master := j.master
		j.master = -1 // Foreground closes it, also when it fails
		var err error
		if term, err = console.Foreground(master); err != nil {
			return -1, j.undo(err)
		}
		defer term.Close()
	}
	if fwd != nil {
		fwd.ready()
	}
	if err := j.release(); err != nil {
		j.machine.Kill()
		if term != nil {
			term.Close()
		}
		return -1, j.undo(err)
	}
	if j.opt.Detach {
		return 0, nil
	}
	if j.opt.Running != nil {
		j.opt.Running()
	}
	status := fwd.wait(j.machine.Pid, j.machine.PidFD, term)
	j.machine.Pid = 0
	return status, nil
}

// start brings the process up to where it waits at the ready barrier.
func (j *joining) start() error {
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
	v2, err := j.cgroups(req)
	if err != nil {
		return err
	}
	if v2 >= 0 {
		defer unix.Close(v2)
	}
	if j.result, err = compile.Enter(j.facts, req); err != nil {
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
	if err := j.machine.Run(j, program.BarrierReady); err != nil {
		if werr := j.watch.err(); werr != nil {
			return werr // the child did not die of itself
		}
		return err
	}
	return j.ready()
}

// namespaces are those of the container that are not the runtime's own.
func (j *joining) namespaces() (uintptr, error) {
	var set uintptr
	dir := "/proc/" + strconv.Itoa(j.init.PID()) + "/ns/"
	for _, ns := range compile.Namespaces() {
		theirs, err := os.Readlink(dir + ns.File)
		if err != nil {
			if j.init.Signal(0) == state.ErrGone {
				return 0, fault.New("cannot exec in a stopped container")
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
func (j *joining) cgroups(req *compile.EnterRequest) (int, error) {
	h, err := openCgroups(j.rec)
	if err != nil {
		return -1, err
	}
	if h == nil {
		if len(j.opt.Cgroups) > 0 {
			return -1, fault.New("the container has no cgroups of its own")
		}
		return -1, nil
	}
	defer h.Close()
	entry, err := h.Entry(j.opt.Cgroups)
	if err != nil {
		return -1, err
	}
	req.CgroupEntry = entry.Files
	if entry.Dir == "" {
		return -1, nil
	}
	fd, err := unix.Open(entry.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fault.Error{Msg: "cannot open the container's cgroup", Call: "open " + entry.Dir, Err: err}
	}
	return fd, nil
}

// spawn starts the child, in the cgroup v2 directory v2 if that is not -1.
func (j *joining) spawn(v2 int) error {
	p := j.result.Program
	img, err := p.Image(j.rt.Debug, j.facts.PageSize)
	if err != nil {
		return err
	}
	image, err := seal(img, j.facts, j.dir.ImageDirs())
	if err != nil {
		return err
	}
	defer unix.Close(image)
	fds := make([]int, len(p.Descriptors))
	for i, d := range p.Descriptors {
		switch fds[i] = -1; d.Kind {
		case program.FDStdio, program.FDPreserved:
			fds[i] = d.Number // the caller's own
		case program.FDPidFD:
			fds[i] = j.init.FD()
		case program.FDDirectory:
			if fds[i], err = j.rootDirectory(); err != nil {
				return err
			}
			defer unix.Close(fds[i])
		}
	}
	if j.machine, err = p.Start(image, fds, v2); err != nil {
		return err
	}
	j.machine.Trace = j.rt.traced(p)
	j.machine.FD = func(fd int) {
		if j.master >= 0 {
			unix.Close(fd)
			return
		}
		j.master = fd
	}
	j.watch.follow(j.machine.PidFD, nil)
	return nil
}

// rootDirectory is the root of a container that has no mount namespace of its own.
func (j *joining) rootDirectory() (int, error) {
	path := "/proc/" + strconv.Itoa(j.init.PID()) + "/root"
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fault.Error{Msg: "cannot open the container's root", Call: "open " + path, Err: err}
	}
	// Between the look at the process and this it may have ended, and its pid be
	// another's.
	if j.init.Signal(0) == state.ErrGone {
		unix.Close(fd)
		return -1, fault.New("cannot exec in a stopped container")
	}
	return fd, nil
}

// Barrier does the runtime's part while the child waits (program.Handler).
func (j *joining) Barrier(m *program.Machine, b program.Barrier, _ uint64) error {
	if b == program.BarrierBorn {
		j.watch.follow(m.PidFD, nil)
		return nil
	}
	return fault.New("the process waits at the barrier " + b.String() + ", where there is nothing to do for it")
}

// ready is called with the child waiting at its last barrier.
func (j *joining) ready() error {
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
func (j *joining) release() error {
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
func (j *joining) undo(cause error) error {
	_ = j.watch.end()
	if j.machine != nil {
		j.machine.Kill()
	}
	if j.pidFile != "" {
		os.Remove(j.pidFile)
	}
	return cause
}

// close gives descriptors back.
func (j *joining) close() {
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
