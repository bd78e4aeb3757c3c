package cli

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/cgroups"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// The columns of a step: its number, why it is there, and the call.
const (
	numberWidth = 6
	whyColumn   = numberWidth + 2
	callColumn  = whyColumn + 44
)

// phaseTitles are the headings of a program's phases.
var phaseTitles = [...]string{
	program.PhaseHost:    "while the host is still in sight",
	program.PhaseJoin:    "namespaces and cgroups",
	program.PhaseRoot:    "the root file system",
	program.PhaseMounts:  "mounts",
	program.PhaseDevices: "devices and terminal",
	program.PhasePivot:   "leave the host's file systems",
	program.PhaseLimits:  "names, read-only and hidden paths",
	program.PhaseProcess: "session, limits, identity and rights",
	program.PhaseStart:   "start",
}

// explain prints a plan for people.
func (p *page) explain(plan *libcontainer.Setup) []byte {
	p.header(plan)
	actions := p.actions(plan)
	p.birth(plan)
	barriers := p.steps(plan)
	p.line()
	p.line(p.styled(bold, "In all: "+count(actions, "action")+" of the runtime, "+
		count(len(plan.Program.Steps), "step")+" of the child, "+count(barriers, "barrier")))
	return []byte(p.b.String())
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func (p *page) header(plan *libcontainer.Setup) {
	p.line(p.styled(bold, "Container "+plan.ID))
	row := func(name, text string) { p.paragraph("  "+pad(name, 9), text) }
	row("bundle", plan.Bundle.Path)
	row("rootfs", plan.Bundle.Rootfs)
	if pr := plan.Bundle.Spec.Process; pr != nil {
		row("process", strings.Join(pr.Args, " "))
	}
	row("host", hostText(plan))
	if f := plan.Program.Filter; f != nil {
		row("filter", count(len(f.Insns), "instruction")+" on system calls: berth explain --seccomp tells of it")
	}
	for _, w := range planWarnings(plan) {
		row("warning", w)
	}
}

// hostText names the facts of the host that decided something.
func hostText(plan *libcontainer.Setup) string {
	f := plan.Facts
	parts := []string{"Linux " + kernelName(plan)}
	switch {
	case f.UserNS:
		parts = append(parts, "inside a user namespace")
	case f.EUID == 0:
		parts = append(parts, "as root")
	default:
		parts = append(parts, "as user "+strconv.Itoa(f.EUID))
	}
	switch {
	case plan.Cgroups == nil:
		parts = append(parts, "no cgroup of its own")
	case f.Cgroup.Mode == host.Unified:
		parts = append(parts, "cgroup v2")
	default:
		parts = append(parts, "cgroup v1 ("+f.Cgroup.Mode.String()+")")
	}
	if f.AppArmor {
		parts = append(parts, "AppArmor")
	}
	if f.SELinux {
		parts = append(parts, "SELinux")
	}
	if !f.MemfdExec {
		parts = append(parts, "memfds may not be executed")
	}
	return strings.Join(parts, ", ")
}

func (p *page) title(s string) {
	p.line()
	p.line(p.styled(bold, s))
}

// under writes the property that the following lines are there for.
func (p *page) under(path string) {
	if path == "" {
		path = "always"
	}
	p.line("  ", p.styled(dim, path))
}

// actions prints what the runtime does before there is a child.
func (p *page) actions(plan *libcontainer.Setup) int {
	p.title("Before the child is born: the runtime")
	if plan.Cgroups == nil {
		p.line("  makes no cgroup")
		return 0
	}
	all := plan.Cgroups.Actions
	last := "?"
	for i := range all {
		a := &all[i]
		if a.JSONPath != last {
			last = a.JSONPath
			p.under(last)
		}
		p.row(i+1, a.Why, actionText(a))
		if a.Else != "" {
			p.note("or, where the kernel has no such file: " + a.Else)
		}
		if a.Optional {
			p.note("ENOENT is fine")
		}
	}
	return len(all)
}

func actionText(a *cgroups.Action) string {
	switch a.Kind {
	case cgroups.Write:
		return "write " + strconv.Quote(a.Data) + " to " + a.Path
	case cgroups.Inherit:
		return "copy the parent's to " + a.Path
	case cgroups.Enable:
		return "write " + strconv.Quote(a.Data) + " to cgroup.subtree_control of those above " + a.Path + " that lack them"
	case cgroups.Filter:
		return "bpf(BPF_PROG_ATTACH) to " + a.Path + ": " + a.Data
	case cgroups.Scope:
		return "D-Bus: StartTransientUnit " + a.Data
	case cgroups.Chown:
		return "chown " + a.Data + " " + a.Path
	}
	return a.Kind.String() + " " + a.Path
}

// row prints one action or step.
func (p *page) row(n int, why, call string) {
	number := strconv.Itoa(n)
	p.columns(strings.Repeat(" ", max(numberWidth-len(number), 0))+number+"  ", why, callColumn, call)
}

// note prints a line that belongs to the row above it.
func (p *page) note(s string) { p.paragraph(strings.Repeat(" ", whyColumn+2), s) }

func (p *page) birth(plan *libcontainer.Setup) {
	names := namespaceNames(plan.Program.CloneFlags)
	if len(names) == 0 {
		p.title("The child is born into the runtime's own namespaces")
		return
	}
	p.title("The child is born into new namespaces: " + strings.Join(names, ", "))
}

// steps prints the child's program and counts its barriers.
func (p *page) steps(plan *libcontainer.Setup) int {
	prog, hooks := plan.Program.Program, plan.Hooks()
	phase, path, barriers := program.Phase(255), "?", 0
	for i := range prog.Steps {
		st := &prog.Steps[i]
		if st.Phase != phase {
			phase = st.Phase
			path = "?"
			p.title("The child: " + phaseTitles[phase])
		}
		if st.Call == program.CallBarrier {
			barriers++
			p.barrier(i+1, st)
			p.hooks(hooks, program.Barrier(st.Args[0].Number()), "")
			path = "?"
			continue
		}
		if st.JSONPath != path {
			path = st.JSONPath
			p.under(path)
		}
		if st.Call == program.CallExecve {
			p.hooks(hooks, 0, "startContainer")
		}
		p.step(i, st)
	}
	p.hooks(hooks, 0, "poststart")
	p.hooks(hooks, 0, "poststop")
	return barriers
}

// hooks prints the hooks of a place: of a barrier or, behind the last one, of a kind.
func (p *page) hooks(all []libcontainer.PlannedHook, b program.Barrier, kind string) {
	for i := range all {
		h := &all[i]
		if h.Barrier != b || b == 0 && h.Kind != kind {
			continue
		}
		where := "in the runtime's namespaces"
		if h.Inside {
			where = "in the container's namespaces"
		}
		p.columns(strings.Repeat(" ", whyColumn), h.Kind+" hook, "+where, callColumn, h.Path+" "+strings.Join(h.Args, " "))
	}
}

// barrier is a line across the page: here the child waits for the runtime.
func (p *page) barrier(n int, st *program.Step) {
	name := program.Barrier(st.Args[0].Number()).String()
	text := "---- step " + strconv.Itoa(n) + ", barrier " + name + ": " + st.Why + " "
	p.line(p.styled(bold, text+strings.Repeat("-", max(p.width-len([]rune(text)), 4))))
}

func (p *page) step(i int, st *program.Step) {
	if to, ok := jump(i, st); ok {
		p.row(i+1, st.Why, "go on at step "+strconv.Itoa(to))
		return
	}
	p.row(i+1, st.Why, st.Text())
	for _, s := range harmlessText(i, st) {
		p.note(s)
	}
	for k := range st.Fixups {
		p.fixup(&st.Fixups[k])
	}
}

// jump recognises a step that is never true and only leads elsewhere.
func jump(i int, st *program.Step) (to int, ok bool) {
	if st.Call != program.CallExpect || len(st.Harmless) != 1 || len(st.Args) < 5 {
		return 0, false
	}
	for _, a := range st.Args {
		if a.Slot() != nil || a.Data() != nil {
			return 0, false
		}
	}
	a := st.Args
	equal := a[0].Number()&a[1].Number() == a[2].Number()
	if equal == (a[4].Number() == 0) {
		return 0, false
	}
	return i + 2 + st.Harmless[0].Skip, true
}

// harmlessText says for each place to go on at which errnos lead there.
func harmlessText(i int, st *program.Step) []string {
	var out []string
	done := make([]bool, len(st.Harmless))
	for k, h := range st.Harmless {
		if done[k] {
			continue
		}
		var names []string
		for m := k; m < len(st.Harmless); m++ {
			if st.Harmless[m].Skip == h.Skip {
				done[m] = true
				names = append(names, unix.ErrnoName(st.Harmless[m].Errno))
			}
		}
		s := strings.Join(names, " or ")
		if st.Call == program.CallExpect {
			s = "if not"
			if h.Skip == 0 {
				s += ", never mind"
			}
		} else {
			s += " is fine"
		}
		if h.Skip > 0 {
			s += ": go on at step " + strconv.Itoa(i+2+h.Skip)
		}
		out = append(out, s)
	}
	return out
}

// fixup prints what is done when the step fails in a way that can be fixed.
func (p *page) fixup(m *program.Fixup) {
	s := "if " + strings.Join(errnoNames(m.On), " or ") + ": " + m.Why
	if !p.fixups && len(m.Steps) > 0 {
		s += ", " + count(len(m.Steps), "step")
	}
	if m.Then == program.Retry {
		s += ", and try again"
	}
	p.note(s)
	if !p.fixups {
		return
	}
	indent := strings.Repeat(" ", whyColumn+4)
	for i := range m.Steps {
		st := &m.Steps[i]
		p.columns(indent, st.Why, callColumn, st.Text())
		for _, h := range st.Harmless {
			to := " is fine"
			if h.Skip > 0 {
				to += ": leave out " + strconv.Itoa(h.Skip)
			}
			p.paragraph(indent+"  ", unix.ErrnoName(h.Errno)+to)
		}
	}
}
