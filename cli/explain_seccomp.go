package cli

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/seccomp"
)

// explainSeccomp explains the filter of a bundle or, for a call, what becomes of it.
func (c *call) explainSeccomp(rt *libcontainer.Runtime, opt *libcontainer.CreateOptions) error {
	b, err := rt.LoadBundle(opt)
	if err != nil {
		return err
	}
	if b.Spec.Linux == nil || b.Spec.Linux.Seccomp == nil {
		return fault.At("linux.seccomp", "linux.seccomp is not set: every system call is let through")
	}
	x, err := readFilter(b.Spec.Linux.Seccomp)
	if err != nil {
		return err
	}
	var doc interface{ text(p *page) }
	if len(c.args) > 0 {
		doc, err = x.call(c.args[0])
	} else {
		doc = x.summary()
	}
	if err != nil {
		return err
	}
	var out []byte
	if c.on(&optJSON) {
		if out, err = indented(doc); err != nil {
			return err
		}
	} else {
		p := newPage(1, os.Getenv)
		doc.text(p)
		out = []byte(p.b.String())
	}
	_, err = os.Stdout.Write(out)
	return err
}

// filterReader answers questions about a profile.
type filterReader struct {
	profile  *specs.LinuxSeccomp
	native   seccomp.Arch
	filter   *seccomp.Filter
	analysis *seccomp.Analysis
}

func readFilter(s *specs.LinuxSeccomp) (*filterReader, error) {
	x := &filterReader{profile: s, native: seccomp.Native()}
	var err error
	if x.filter, err = seccomp.Compile(s, x.native); err == nil {
		x.analysis, err = seccomp.Analyze(s, x.native)
	}
	if err != nil {
		return nil, profileError(err)
	}
	return x, nil
}

// The JSON of `explain --seccomp`. As in explainDoc names are stable.
type (
	// explainedCall is what becomes of one call.
	explainedCall struct {
		Call string `json:"call,omitempty"`
		// Since is the version of Linux that it came with, where that is known.
		Since string `json:"since,omitempty"`
		// Args is absent where no arguments were given.
		Args          []uint64        `json:"args,omitempty"`
		Architectures []explainedArch `json:"architectures"`
	}
	explainedArch struct {
		Architecture string `json:"architecture"`
		// Number is absent where the architecture has no such call.
		Number *uint32 `json:"number,omitempty"`
		// Outcomes are one for given arguments; else all that are possible, of which the
		// first whose conditions hold comes about.
		Outcomes []explainedOutcome `json:"outcomes,omitempty"`
		// Instructions are how many the kernel executes for the call with these arguments.
		Instructions int `json:"instructions,omitempty"`
	}
	explainedOutcome struct {
		Action string `json:"action"`
		Errno  string `json:"errno,omitempty"`
		// Path is the property of config.json that decides.
		Path string `json:"path"`
		// Reason is rule, default, newer (than all calls that the profile names) or architecture.
		Reason string                  `json:"reason"`
		When   []specs.LinuxSeccompArg `json:"when,omitempty"`

		verdict seccomp.Verdict
	}
)

var reasonNames = [...]string{seccomp.ByRule: "rule", seccomp.ByDefault: "default", seccomp.ByAge: "newer", seccomp.ByArch: "architecture"}

func outcomeOf(v seccomp.Verdict, when []specs.LinuxSeccompArg) explainedOutcome {
	o := explainedOutcome{Action: seccomp.ActionName(v.Ret), Path: rulePath(v), Reason: reasonNames[v.Reason], When: when, verdict: v}
	if v.Ret&seccomp.RetAction == seccomp.RetErrno {
		o.Errno = errnoText(int(v.Ret & seccomp.RetData))
	}
	return o
}

// call reads NAME[,ARG...], or the number of a call as the kernel's log has it.
func (x *filterReader) call(what string) (*explainedCall, error) {
	parts := strings.Split(what, ",")
	d := &explainedCall{Call: parts[0]}
	number, numErr := strconv.ParseUint(d.Call, 0, 32)
	if numErr == nil {
		d.Call = x.native.CallName(uint32(number))
	} else if !seccomp.Known(d.Call) {
		return nil, fault.New("there is no system call " + strconv.Quote(d.Call))
	}
	args, err := parseCallArgs(parts[1:])
	if err != nil {
		return nil, err
	}
	d.Args, d.Since = args, sinceText(d.Call)
	for _, a := range x.analysis.Archs() {
		e := explainedArch{Architecture: a.String()}
		nr, ok := a.Number(d.Call)
		if numErr == nil && a == x.native {
			nr, ok = uint32(number), true
		}
		if ok {
			e.Number = &nr
			x.outcomes(&e, d, a, nr)
			d.Architectures = append(d.Architectures, e)
		} else if d.Call != "" {
			d.Architectures = append(d.Architectures, e)
		}
	}
	return d, nil
}

func (x *filterReader) outcomes(e *explainedArch, d *explainedCall, a seccomp.Arch, nr uint32) {
	c := &seccomp.Call{Nr: nr, Arch: a.Audit()}
	copy(c.Args[:], d.Args)
	if d.Args == nil && d.Call != "" {
		for _, o := range x.analysis.Outcomes(a, d.Call) {
			e.Outcomes = append(e.Outcomes, outcomeOf(o.Verdict, o.Args))
		}
	} else {
		e.Outcomes = []explainedOutcome{outcomeOf(x.analysis.Explain(c), nil)}
	}
	if len(e.Outcomes) == 1 {
		_, e.Instructions = x.filter.Run(c)
	}
}

func parseCallArgs(words []string) ([]uint64, error) {
	if len(words) > 6 {
		return nil, fault.New("a system call has six arguments at most")
	}
	var args []uint64
	for _, w := range words {
		n, err := strconv.ParseUint(w, 0, 64)
		if err != nil {
			var signed int64
			if signed, err = strconv.ParseInt(w, 0, 64); err != nil {
				return nil, fault.New("the argument " + strconv.Quote(w) + " of the system call is no number of 64 bits")
			}
			n = uint64(signed)
		}
		args = append(args, n)
	}
	return args, nil
}

func (d *explainedCall) text(p *page) {
	var args []string
	for _, a := range d.Args {
		args = append(args, numberText(a))
	}
	title := d.Call
	if title == "" {
		title = "A call without a name"
	}
	if d.Args != nil {
		title += "(" + strings.Join(args, ", ") + ")"
	}
	if d.Since != "" {
		title += ", since Linux " + d.Since
	}
	p.line(p.styled(bold, title))
	for rest := d.Architectures; len(rest) > 0; {
		n := same(rest, func(a, b *explainedArch) bool { return a.same(b) })
		p.architectures(rest[:n])
		rest = rest[n:]
	}
}

// same says whether a call ends on two architectures as the same entries say.
func (e *explainedArch) same(o *explainedArch) bool {
	return (e.Number == nil) == (o.Number == nil) && slices.EqualFunc(e.Outcomes, o.Outcomes, func(a, b explainedOutcome) bool {
		return a.verdict == b.verdict && slices.Equal(a.When, b.When)
	})
}

// The columns of outcomes: when, what, why.
const (
	whenWidth   = 40
	becomeWidth = 28
)

// architectures prints what becomes of a call on architectures where that is the same.
func (p *page) architectures(list []explainedArch) {
	var names []string
	least, most := list[0].Instructions, list[0].Instructions
	for _, e := range list {
		name := e.Architecture
		if e.Number != nil {
			name += " " + numberText(uint64(*e.Number))
		}
		names = append(names, name)
		least, most = min(least, e.Instructions), max(most, e.Instructions)
	}
	p.paragraph("  ", strings.Join(names, ", "))
	if list[0].Number == nil {
		p.line("    has no such call")
	}
	for i, o := range list[0].Outcomes {
		when, why := "", o.why()
		switch {
		case len(list[0].Outcomes) == 1:
			why += ", after "
			if least != most {
				why += strconv.Itoa(least) + " to "
			}
			why += count(most, "instruction")
		case i == len(list[0].Outcomes)-1:
			when = pad("else", whenWidth)
		default:
			when = pad("if "+conditionText(o.When), whenWidth-1) + " "
		}
		become := verdictText(o.verdict.Ret)
		p.columns("    "+when+pad(become, becomeWidth)+" ", "", len([]rune(when))+max(becomeWidth, len(become))+6, why)
	}
}

func (o *explainedOutcome) why() string {
	switch o.verdict.Reason {
	case seccomp.ByAge:
		return "newer than all that " + o.Path + " names"
	case seccomp.ByArch:
		return "not among " + o.Path
	}
	return o.Path
}
