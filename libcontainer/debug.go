package libcontainer

import (
	"berth/libcontainer/program"
)

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
