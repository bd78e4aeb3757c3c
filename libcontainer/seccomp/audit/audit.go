// Package audit says what a seccomp profile allows that is dangerous, what a default
// profile allows that it lacks, and what in it has no effect.
package audit

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/seccomp"
)

// Grade is how bad something is.
type Grade uint8

const (
	// Serious is what containers do not need but for a purpose.
	Serious Grade = iota
	// Minor is to be known.
	Minor
)

func (g Grade) String() string {
	if g == Minor {
		return "minor"
	}
	return "serious"
}

// Rights is what is known of the process under the profile.
type Rights struct {
	// Bounding are the capabilities (CAP_CHOWN) that it may come to have; nil where
	// nothing is known.
	Bounding []string
	// UserNamespace says that it is in one of its own: no capability of its is one on the host.
	UserNamespace bool
}

// Finding is a dangerous system call that a profile lets through.
type Finding struct {
	Call  string
	Grade Grade
	Why   string
	// When are the dangerous arguments that are let through, by name; nil where all are.
	When []string
	// Capability is what the call takes; Lacking says that the process can not have it.
	Capability string
	Lacking    bool
	// Asked says that a listener or a tracer decides.
	Asked bool
	// Rule is the entry of syscalls that lets it through, -1 for the default action.
	Rule int
	// Archs are the architectures on which it is let through.
	Archs []seccomp.Arch
}

// Report is what was found.
type Report struct {
	Archs    []seccomp.Arch
	Findings []Finding
	// Shadowed are names in entries that never decide about them, Unknown those that no
	// architecture has.
	Shadowed, Unknown []seccomp.IdleName
	// Missing are calls of the machine's own architecture that a default profile lets through
	// and this one does not; Beyond those that it does not and this one does, the
	// dangerous ones left out.
	Missing, Beyond []string
}

// Serious says whether there is anything that should not be.
func (r *Report) Serious() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Grade == Serious })
}

// Clean says whether nothing at all was found, but for what a default profile does differently.
func (r *Report) Clean() bool { return len(r.Findings)+len(r.Shadowed)+len(r.Unknown) == 0 }

// Profile looks at a profile, for a machine of an architecture.
func Profile(s *specs.LinuxSeccomp, native seccomp.Arch, rights *Rights) (*Report, error) {
	n, err := seccomp.Analyze(s, native)
	if err != nil {
		return nil, err
	}
	x := &auditor{n, rights, false}
	for i := range namespaces {
		x.roams = x.roams || slices.ContainsFunc(x.check(&namespaces[i]), func(f Finding) bool { return f.Capability == "" })
	}
	r := &Report{Archs: n.Archs()}
	for i := range dangers {
		r.Findings = append(r.Findings, x.check(&dangers[i])...)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(a.Grade) - int(b.Grade) })
	for _, idle := range n.Idle() {
		switch idle.Why {
		case seccomp.Shadowed:
			r.Shadowed = append(r.Shadowed, idle)
		case seccomp.Unknown:
			r.Unknown = append(r.Unknown, idle)
		}
	}
	x.compare(r, native)
	return r, nil
}

type auditor struct {
	*seccomp.Analysis
	rights *Rights
	// roams says that the process can make a user namespace, in which it has all capabilities.
	roams bool
}

// passes says whether a filter's answer lets a call be done.
func passes(ret uint32) (yes, asked bool) {
	switch ret & seccomp.RetAction {
	case seccomp.RetAllow, seccomp.RetLog:
		return true, false
	case seccomp.RetTrace, seccomp.RetUserNotif:
		return true, true
	}
	return false, false
}

// check looks for a danger: one finding for each of its calls.
func (x *auditor) check(d *danger) []Finding {
	var all []Finding
	for _, call := range d.calls {
		f := Finding{Call: call, Grade: d.grade, Why: d.why, Capability: d.capability, Asked: true}
		for _, a := range x.Archs() {
			if d.when == nil {
				x.any(&f, a)
			} else {
				x.some(&f, a, d.when)
			}
		}
		if len(f.Archs) == 0 {
			continue
		}
		if len(f.When) == len(d.when) {
			f.When = nil
		}
		if f.When != nil && d.when[0] == newUser && f.When[0] != newUser.text {
			f.Capability = "CAP_SYS_ADMIN"
		}
		f.Lacking = x.lacks(f.Capability, d.first)
		if f.Asked || f.Lacking {
			f.Grade = Minor
		}
		all = append(all, f)
	}
	return all
}

// any is for calls that are dangerous with any arguments.
func (x *auditor) any(f *Finding, a seccomp.Arch) {
	for _, o := range x.Outcomes(a, f.Call) {
		if yes, asked := passes(o.Ret); yes {
			f.note(a, o.Rule, asked)
		}
	}
}

// some is for calls that are dangerous with some arguments.
func (x *auditor) some(f *Finding, a seccomp.Arch, when []arguments) {
	nr, ok := a.Number(f.Call)
	if !ok {
		return
	}
	for _, w := range when {
		c := &seccomp.Call{Nr: nr, Arch: a.Audit(), Args: w.args}
		if f.Call == "clone" && (a == seccomp.S390X || a == seccomp.S390) {
			c.Args[0], c.Args[1] = 0, c.Args[0] // CONFIG_CLONE_BACKWARDS2
		}
		v := x.Explain(c)
		if yes, asked := passes(v.Ret); yes {
			f.note(a, v.Rule, asked)
			if !slices.Contains(f.When, w.text) {
				f.When = append(f.When, w.text)
			}
		}
	}
}

func (f *Finding) note(a seccomp.Arch, rule int, asked bool) {
	if len(f.Archs) == 0 || f.Asked && !asked {
		f.Rule = rule
	}
	f.Asked = f.Asked && asked
	if !slices.Contains(f.Archs, a) {
		f.Archs = append(f.Archs, a)
	}
}

// lacks says whether the process can not have a capability, which may have to be one of
// the first user namespace.
func (x *auditor) lacks(capability string, first bool) bool {
	if x.rights == nil || capability == "" {
		return false
	}
	has := slices.Contains(x.rights.Bounding, capability)
	if first {
		return !has || x.rights.UserNamespace
	}
	return !has && !x.roams
}

// compare holds the profile against a default one.
func (x *auditor) compare(r *Report, native seccomp.Arch) {
	standard := defaultCalls()
	for _, call := range native.Calls() {
		through := slices.ContainsFunc(x.Outcomes(native, call), func(o seccomp.Outcome) bool {
			yes, _ := passes(o.Ret)
			return yes
		})
		switch standard := slices.Contains(standard, call); {
		case standard && !through:
			r.Missing = append(r.Missing, call)
		case !standard && through && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Call == call }):
			r.Beyond = append(r.Beyond, call)
		}
	}
}
