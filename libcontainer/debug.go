package libcontainer

import (
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/program"
)

// beforeAction injects faults into the runtime's own actions.
func (r *Runtime) beforeAction(i int, a *cgroups.Action) error {
	r.point()
	in := r.Inject
	if in == nil || in.Action != i+1 {
		return nil
	}
	if in.Kill {
		killSelf()
	}
	return &fault.Error{Msg: "cannot " + a.Why, JSONPath: a.JSONPath, Call: a.Kind.String() + " " + a.Path, Errno: unix.Errno(in.Errno), Hint: "injected"}
}

// point is a place between two effects on the host, where a runtime that is killed
// must leave nothing that delete does not find. They are counted as they are passed,
// and one can be chosen to be killed at.
func (r *Runtime) point() {
	if r.Inject == nil || r.Inject.Point == 0 {
		return
	}
	if r.points++; r.points == r.Inject.Point {
		killSelf()
	}
}

func killSelf() {
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	// The signal is taken before this returns to user space.
	select {}
}

// stopAt is the step at which an injected kill comes, as an index; -1 for none.
func (r *Runtime) stopAt() int {
	if r.Inject != nil && r.Inject.Kill && r.Inject.Step > 0 {
		return r.Inject.Step - 1
	}
	return -1
}

// traceOrKill is what hears of each step that was run: the log in a debug run,
// and the injected kill, which comes when the chosen step is reported while the
// child goes on.
func (r *Runtime) traceOrKill(p *program.Program) func(program.Traced) {
	log := r.traced(p)
	at := r.stopAt()
	if at < 0 {
		return log
	}
	return func(t program.Traced) {
		if t.Step >= at {
			killSelf()
		}
		if log != nil {
			log(t)
		}
	}
}
