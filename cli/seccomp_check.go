package cli

import (
	"os"
	"strings"

	"berth/libcontainer/seccomp"
	"berth/libcontainer/seccomp/audit"
)

var optStrict = option{name: "strict", kind: toggle, usage: "fail for minor findings, too"}

// checkFailed is the exit status for a profile with findings: 1 is for one that can
// not be read.
const checkFailed = 2

var seccompCheckCommand = command{
	name:  "check",
	args:  "<profile | bundle>",
	usage: "say what a profile allows that is dangerous",
	about: `Looks at the profile of a bundle, or at a file with one: a config.json, an object as
linux.seccomp is, or a profile as Docker and Podman take it, which is worked out for
this machine and for a container with their default capabilities. It prints

  - system calls that are let through and are dangerous, with the reason, the
    capability that they take, and the entry that lets them through. Minor is what
    default profiles allow as well, what the bundle's process lacks the capability
    for, and what a listener decides;
  - names that no architecture has as a system call, and entries that never decide
    about a call that they name, since others go before them;
  - what Docker's default profile lets through and this one does not, and the
    other way round.

The exit status is 2 where there is a serious finding, with --strict any.`,
	options: []*option{&optStrict, &optJSON},
	least:   1, most: 1,
	run: func(c *call) (int, error) {
		f, err := readProfile(c.args[0])
		if err != nil {
			return 1, err
		}
		report, err := audit.Profile(f.profile, seccomp.Native(), f.rights)
		if err != nil {
			return 1, f.blame(profileError(err))
		}
		var out []byte
		if doc := newCheckDoc(f, report); c.on(&optJSON) {
			if out, err = indented(doc); err != nil {
				return 1, err
			}
		} else {
			p := newPage(1, os.Getenv)
			doc.text(p)
			out = []byte(p.b.String())
		}
		if _, err := os.Stdout.Write(out); err != nil {
			return 1, err
		}
		if report.Serious() || c.on(&optStrict) && !report.Clean() {
			return checkFailed, nil
		}
		return 0, nil
	},
}

// The JSON of `seccomp check --json`. As in explainDoc names are stable.
type (
	checkDoc struct {
		File          string         `json:"file"`
		Architectures []string       `json:"architectures"`
		Notes         []string       `json:"notes,omitempty"`
		Dangerous     []checkFinding `json:"dangerous"`
		Unknown       []checkName    `json:"unknown"`
		Shadowed      []checkName    `json:"shadowed"`
		// Missing are calls that Docker's default profile lets through and this one does
		// not, Beyond the other way round, without the dangerous ones.
		Missing []string `json:"missing"`
		Beyond  []string `json:"beyond"`
	}
	checkFinding struct {
		Call  string `json:"call"`
		Grade string `json:"grade"` // serious, minor
		Why   string `json:"why"`
		// When are the dangerous arguments that are let through, absent for all.
		When       []string `json:"when,omitempty"`
		Capability string   `json:"capability,omitempty"`
		// Lacking says that the bundle's process can not have the capability.
		Lacking bool `json:"lacking,omitempty"`
		// Asked says that a listener or a tracer decides.
		Asked         bool     `json:"asked,omitempty"`
		Path          string   `json:"path"`
		Architectures []string `json:"architectures"`
	}
	checkName struct {
		Path string `json:"path"`
		Name string `json:"name"`
	}
)

func newCheckDoc(f *profileFile, r *audit.Report) *checkDoc {
	d := &checkDoc{
		File: f.file, Architectures: archNames(r.Archs),
		Dangerous: []checkFinding{}, Unknown: f.names(r.Unknown), Shadowed: f.names(r.Shadowed),
		Missing: append([]string{}, r.Missing...), Beyond: append([]string{}, r.Beyond...),
	}
	if f.none {
		d.Notes = append(d.Notes, "linux.seccomp is not set: every system call is let through")
	}
	if f.docker {
		d.Notes = append(d.Notes, "includes and excludes are worked out for this machine and for a container with default capabilities")
	}
	for i := range r.Findings {
		x := &r.Findings[i]
		d.Dangerous = append(d.Dangerous, checkFinding{
			Call: x.Call, Grade: x.Grade.String(), Why: x.Why, When: x.When, Capability: x.Capability, Lacking: x.Lacking, Asked: x.Asked,
			Path: f.at(x.Rule), Architectures: archNames(x.Archs),
		})
	}
	return d
}

func archNames(list []seccomp.Arch) []string {
	var names []string
	for _, a := range list {
		names = append(names, a.String())
	}
	return names
}

func (f *profileFile) names(list []seccomp.IdleName) []checkName {
	names := []checkName{}
	for _, i := range list {
		names = append(names, checkName{f.at(i.Rule), i.Name})
	}
	return names
}

func (d *checkDoc) text(p *page) {
	p.line(p.styled(bold, d.File))
	p.line("  for ", strings.Join(d.Architectures, ", "))
	for _, n := range d.Notes {
		p.paragraph("  ", n)
	}
	d.dangers(p)
	d.list(p, "Names that no architecture has as a system call", d.Unknown)
	d.list(p, "Entries that never decide about a call that they name", d.Shadowed)
	calls := func(title string, names []string) {
		if len(names) > 0 {
			p.line()
			p.line(p.styled(bold, title+": "+count(len(names), "call")))
			p.paragraph("  ", strings.Join(names, " "))
		}
	}
	calls("Let through by Docker's default profile, and not by this one", d.Missing)
	calls("Let through by this one, and not by Docker's default profile", d.Beyond)
}

// dangers prints findings, those with one reason together.
func (d *checkDoc) dangers(p *page) {
	p.line()
	if len(d.Dangerous) == 0 {
		p.line("Nothing dangerous is let through.")
		return
	}
	p.line(p.styled(bold, "Dangerous calls that are let through"))
	for rest := d.Dangerous; len(rest) > 0; {
		n := same(rest, func(a, b *checkFinding) bool { return a.with(b) })
		var names []string
		for i := range rest[:n] {
			names = append(names, rest[i].name(len(d.Architectures)))
		}
		f := &rest[0]
		p.paragraph("  "+pad(f.Grade, 9), p.styled(bold, strings.Join(names, " ")))
		p.paragraph(strings.Repeat(" ", 11), f.Why)
		p.paragraph(strings.Repeat(" ", 11), f.circumstances())
		rest = rest[n:]
	}
}

// with says whether two findings differ in nothing but the call.
func (f *checkFinding) with(o *checkFinding) bool {
	return f.Grade == o.Grade && f.Why == o.Why && f.circumstances() == o.circumstances()
}

// name is the call, with the architectures on which it is let through where these are not
// all that the profile has.
func (f *checkFinding) name(all int) string {
	if len(f.Architectures) == all {
		return f.Call
	}
	return f.Call + " (" + strings.Join(f.Architectures, ", ") + ")"
}

// circumstances say by what and when a call is let through.
func (f *checkFinding) circumstances() string {
	s := "by " + f.Path
	if len(f.When) > 0 {
		s += ", with " + strings.Join(f.When, ", ")
	}
	if f.Asked {
		s += ", if the listener or tracer lets it"
	}
	switch {
	case f.Lacking:
		s += "; only with " + f.Capability + ", which the process can not have"
	case f.Capability != "":
		s += "; only with " + f.Capability
	}
	return s
}

func (d *checkDoc) list(p *page, title string, names []checkName) {
	if len(names) == 0 {
		return
	}
	p.line()
	p.line(p.styled(bold, title))
	for rest := names; len(rest) > 0; {
		n := same(rest, func(a, b *checkName) bool { return a.Path == b.Path })
		var calls []string
		for _, x := range rest[:n] {
			calls = append(calls, x.Name)
		}
		p.paragraph("  "+pad(rest[0].Path, 32), strings.Join(calls, " "))
		rest = rest[n:]
	}
}
