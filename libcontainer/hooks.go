package libcontainer

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// Hooks at their places. Those of the runtime's namespaces are its children; those of
// the container's join it, by a program like exec's. Each process of a hook stands in
// the journal, so that delete ends it when its runtime was killed.

// hookKind is the process of a hook: pid, start time. It leads a process group.
var hookKind = state.Kind{Name: "hook", Undo: func(p *sys.Patience, args []string) error {
	killHook(args)
	return state.ProcessKind.Undo(p, args)
}}

// killHook kills a hook's process group, if its leader is the process that was noted.
func killHook(args []string) {
	if len(args) != 2 {
		return
	}
	pid, _ := strconv.Atoi(args[0])
	start, _ := strconv.ParseUint(args[1], 10, 64)
	if p, err := state.OpenProcess(pid, start); err == nil {
		_ = unix.Kill(-pid, unix.SIGKILL)
		p.Close()
	}
}

// killHooks ends the hooks that another command may be waiting for.
func killHooks(d *state.Dir) {
	for _, e := range d.Noted() {
		if e.Kind == hookKind.Name {
			killHook(e.Args)
		}
	}
}

const poststopName = "poststop"

// poststopKind is that the poststop hooks are due. They are those of the config's copy:
// the bundle may be gone. What fails is a warning, the others run (runtime.md,
// Lifecycle).
func (r *Runtime) poststopKind(ctx context.Context, d *state.Dir, j *state.Journal) state.Kind {
	return state.Kind{Name: poststopName, Last: true, Undo: func(*sys.Patience, []string) error {
		hooks, rec, err := keptHooks(d)
		if err != nil {
			r.Log.Warn("the poststop hooks can not run: " + err.Error())
			return nil
		}
		s := stateFor(rec, state.Stopped.String(), 0)
		for i := range hooks.Poststop {
			run := &hookRun{kind: poststopName, index: i, hook: &hooks.Poststop[i], note: j.Note}
			if err := run.run(ctx, s.JSON(""), run.fork(rec.Bundle)); err != nil {
				r.Log.Warn(err.Error())
			}
		}
		return nil
	}}
}

// keptHooks reads hooks and record of a container that exists.
func keptHooks(d *state.Dir) (*specs.Hooks, *state.Record, error) {
	rec, err := d.Record()
	if err != nil {
		return nil, nil, err
	}
	s, _, err := keptConfig(d)
	if err != nil {
		return nil, nil, err
	}
	if s.Hooks == nil {
		return &specs.Hooks{}, rec, nil
	}
	return s.Hooks, rec, nil
}

func hasStartHooks(s *specs.Spec) bool {
	return s.Hooks != nil && len(s.Hooks.StartContainer)+len(s.Hooks.Poststart) > 0
}

// stateFor is what hooks are told of a container.
func stateFor(rec *state.Record, status string, pid int) *State {
	return &State{
		OCIVersion: specs.Version, ID: rec.ID, Status: status, Pid: pid, Bundle: rec.Bundle,
		Rootfs: rec.Rootfs, Created: rec.Created, Annotations: rec.Annotations, uid: rec.UID,
	}
}

// notePoststop notes once that poststop hooks are due: before the first hook that can
// have done what they undo, at the latest when the container is created.
func (c *creation) notePoststop() error {
	h := c.setup.Bundle.Spec.Hooks
	if c.stopDue || h == nil || len(h.Poststop) == 0 {
		return nil
	}
	c.stopDue = true
	return c.note(state.Entry{Kind: poststopName})
}

// hooks runs the hooks of one kind of a container that is being created.
func (c *creation) hooks(kind string, list []specs.Hook) error {
	if len(list) == 0 {
		return nil
	}
	if err := c.notePoststop(); err != nil {
		return err
	}
	err := c.containerHooks(c.machine.PidFD, nil).run(c.watch.ctx, kind, "creating", list)
	if werr := c.watch.err(); werr != nil {
		return werr
	}
	return err
}

// startContainer runs the hooks that come before the process of an attached container.
func (c *creation) startContainer(ctx context.Context) error {
	h := c.setup.Bundle.Spec.Hooks
	if h == nil {
		return nil
	}
	all := c.containerHooks(c.machine.PidFD, c.setup.Bundle.Spec.Process)
	return all.run(ctx, "startContainer", state.Created.String(), h.StartContainer)
}

// poststart runs the hooks that come after it was executed.
func (c *creation) poststart(ctx context.Context) error {
	h := c.setup.Bundle.Spec.Hooks
	if h == nil {
		return nil
	}
	return c.containerHooks(-1, nil).run(ctx, "poststart", state.Running.String(), h.Poststart)
}

func (c *creation) containerHooks(watch int, p *specs.Process) *containerHooks {
	return &containerHooks{rt: c.rt, dir: c.dir, rec: c.record, note: c.note, watch: watch, process: p}
}

// startContainer runs the hooks that come before the process of a created container,
// and returns all that its config has.
func (c *Container) startContainer(ctx context.Context, rec *state.Record, proc *state.Process) (*specs.Hooks, error) {
	s, _, err := keptConfig(c.dir)
	if err != nil || s.Hooks == nil {
		return nil, err
	}
	all := c.startHooks(rec, proc.FD(), s.Process)
	return s.Hooks, all.run(ctx, "startContainer", state.Created.String(), s.Hooks.StartContainer)
}

// poststart runs the hooks that come after it was executed.
func (c *Container) poststart(ctx context.Context, rec *state.Record, h *specs.Hooks) error {
	return c.startHooks(rec, -1, nil).run(ctx, "poststart", state.Running.String(), h.Poststart)
}

func (c *Container) startHooks(rec *state.Record, watch int, p *specs.Process) *containerHooks {
	note := func(e ...state.Entry) error {
		j, err := c.dir.Journal()
		if err != nil {
			return err
		}
		defer j.Close()
		return j.Note(e...)
	}
	return &containerHooks{rt: c.rt, dir: c.dir, rec: rec, note: note, watch: watch, process: p}
}

// failStart destroys a container of which a hook has failed.
func (c *Container) failStart(cause error) error {
	ctx := context.Background()
	if err := c.rt.destroy(ctx, c.dir, true, c.rt.patience(ctx)); err != nil {
		c.rt.Log.Warn("not all of the container could be undone, delete can try again: " + err.Error())
	}
	return cause
}

// containerHooks run hooks of a container whose process lives.
type containerHooks struct {
	rt    *Runtime
	dir   *state.Dir
	rec   *state.Record
	note  func(...state.Entry) error
	watch int // a pidfd: with that process hooks end; -1 for none
	// process is the container's, whose rights a startContainer hook has.
	process *specs.Process
}

func (a *containerHooks) run(ctx context.Context, kind, status string, list []specs.Hook) error {
	for i := range list {
		run := &hookRun{kind: kind, index: i, hook: &list[i], note: a.note, watch: a.watch}
		pid, launch := a.rec.PID, run.fork(a.rec.Bundle)
		if kind == "createContainer" || kind == "startContainer" {
			// Its own pid, as the container sees it (runtime.md, State).
			pid = pidInside(pid)
			launch = a.enter(ctx, run)
		}
		err := run.run(ctx, stateFor(a.rec, status, pid).JSON(""), launch)
		a.rt.point()
		if err != nil {
			return err
		}
	}
	return nil
}

// pidInside is a process's pid in its own pid namespace: the last of NSpid,
// proc_pid_status(5).
func pidInside(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return pid
	}
	n, _ := strconv.Atoi(fields[len(fields)-1])
	return n
}

// containerHook is what an Execution runs that is a hook.
type containerHook struct {
	hook    *specs.Hook
	rootfs  string
	process *specs.Process // nil for createContainer
}

func (h *containerHook) compile(f *host.Facts, req *compile.EnterRequest) (*compile.Result, error) {
	k := *h.hook
	req.Hook, req.Rootfs = &k, h.rootfs
	if h.process == nil {
		if k.Env == nil {
			k.Env = os.Environ()
		}
		return compile.Hook(f, req)
	}
	if k.Env == nil {
		k.Env = h.process.Env
	}
	return compile.Enter(f, req)
}

// enter makes a hook a process that joins the container.
func (a *containerHooks) enter(ctx context.Context, run *hookRun) launch {
	return func(files [3]*os.File) (int, int, func(), error) {
		init, err := state.OpenProcess(a.rec.PID, a.rec.StartTime)
		if err == state.ErrGone {
			err = ErrStopped
		}
		if err != nil {
			return 0, -1, nil, err
		}
		j := &Execution{
			ctx: ctx, rt: a.rt, dir: a.dir, rec: a.rec, init: init, Process: &Process{master: -1}, watch: watch(ctx),
			hook: &containerHook{hook: run.hook, rootfs: a.rec.Rootfs},
			opt:  &ExecOptions{Stdin: files[0], Stdout: files[1], Stderr: files[2]},
		}
		if run.kind == "startContainer" {
			p := *a.process
			p.Terminal, p.Args = false, compile.HookArgs(run.hook)
			j.opt.Process, j.hook.process, j.opt.ProcessPath = &p, &p, "process"
		}
		if err = j.prepare(); err == nil {
			// It dies with the runtime until here.
			if err = run.noteProcess(j.machine.Pid); err == nil {
				err = j.release()
			}
		}
		if err != nil {
			err = j.undo(err)
			j.free()
			return 0, -1, nil, err
		}
		return j.machine.Pid, j.machine.PidFD, j.free, nil
	}
}

// fork makes a hook a child in the runtime's namespaces, in the bundle as long as
// there is one.
func (h *hookRun) fork(bundle string) launch {
	return func(files [3]*os.File) (int, int, func(), error) {
		env := h.hook.Env
		if env == nil {
			env = os.Environ()
		}
		if fi, err := os.Stat(bundle); err != nil || !fi.IsDir() {
			bundle = ""
		}
		pidfd := -1
		pid, err := syscall.ForkExec(h.hook.Path, compile.HookArgs(h.hook), &syscall.ProcAttr{
			Dir: bundle, Env: env,
			Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
			Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
		})
		if err != nil {
			return 0, -1, nil, &fault.Error{Msg: "cannot execute the hook", Call: "execve " + h.hook.Path, Err: err}
		}
		free := func() { unix.Close(pidfd) }
		if err := h.noteProcess(pid); err != nil {
			_ = unix.Kill(-pid, unix.SIGKILL)
			_, _ = sys.Retry(func() (int, error) { return unix.Wait4(pid, nil, 0, nil) })
			free()
			return 0, -1, nil, err
		}
		return pid, pidfd, free, nil
	}
}
