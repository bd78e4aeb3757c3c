package cli

import (
	"sort"
	"strconv"
	"strings"

	"berth/libcontainer/seccomp"
)

// explainedFilter is what a profile does as a whole.
type explainedFilter struct {
	Architectures []string `json:"architectures"`
	Default       string   `json:"defaultAction"`
	DefaultErrno  string   `json:"defaultErrno,omitempty"`
	Flags         []string `json:"flags,omitempty"`
	ListenerPath  string   `json:"listenerPath,omitempty"`
	// Instructions are those of the filter, of which Linux takes 4096.
	Instructions int `json:"instructions"`
	// Calls are the system calls of the machine's own architecture by what becomes of them.
	Calls []explainedCount `json:"calls"`
	// Common are calls that programs make most, and what the filter costs them.
	Common []explainedCost `json:"common"`
	// Skipped are names that no architecture has as a system call.
	Skipped []string `json:"skipped,omitempty"`
	// Shadowed are names in entries that never decide about them.
	Shadowed []explainedIdle `json:"shadowed,omitempty"`

	byDefault uint32
}

type (
	explainedCount struct {
		Action string `json:"action"`
		Errno  string `json:"errno,omitempty"`
		// Calls always end so; Sometimes do for some arguments.
		Calls     int `json:"calls"`
		Sometimes int `json:"sometimes,omitempty"`

		ret uint32
	}
	explainedCost struct {
		Call         string `json:"call"`
		Action       string `json:"action"`
		Instructions int    `json:"instructions"`
	}
	explainedIdle struct {
		Path string `json:"path"`
		Name string `json:"name"`
	}
)

// commonCalls are those that programs make most.
var commonCalls = []string{"read", "write", "openat", "close", "fstat", "mmap", "futex", "epoll_pwait", "newfstatat", "rt_sigaction", "clone", "socket"}

func (x *filterReader) summary() *explainedFilter {
	s := x.profile
	d := &explainedFilter{Instructions: len(x.filter.Insns), Skipped: x.filter.Skipped, ListenerPath: s.ListenerPath}
	for _, a := range x.analysis.Archs() {
		d.Architectures = append(d.Architectures, a.String())
	}
	for _, f := range s.Flags {
		d.Flags = append(d.Flags, string(f))
	}
	o := outcomeOf(seccomp.Verdict{Ret: x.analysis.Default()}, nil)
	d.Default, d.DefaultErrno, d.byDefault = o.Action, o.Errno, o.verdict.Ret
	x.count(d)
	for _, name := range commonCalls {
		if nr, ok := x.native.Number(name); ok {
			ret, n := x.filter.Run(&seccomp.Call{Nr: nr, Arch: x.native.Audit()})
			d.Common = append(d.Common, explainedCost{name, seccomp.ActionName(ret), n})
		}
	}
	for _, i := range x.analysis.Idle() {
		if i.Why == seccomp.Shadowed {
			d.Shadowed = append(d.Shadowed, explainedIdle{entryPath(i.Rule), i.Name})
		}
	}
	return d
}

// count counts what becomes of the calls of the machine's own architecture.
func (x *filterReader) count(d *explainedFilter) {
	at := map[uint32]int{}
	slot := func(ret uint32) *explainedCount {
		i, ok := at[ret]
		if !ok {
			i = len(d.Calls)
			at[ret] = i
			o := outcomeOf(seccomp.Verdict{Ret: ret}, nil)
			d.Calls = append(d.Calls, explainedCount{Action: o.Action, Errno: o.Errno, ret: ret})
		}
		return &d.Calls[i]
	}
	for _, name := range x.native.Calls() {
		seen := map[uint32]bool{}
		for _, o := range x.analysis.Outcomes(x.native, name) {
			seen[o.Ret] = true
		}
		for ret := range seen {
			if len(seen) == 1 {
				slot(ret).Calls++
			} else {
				slot(ret).Sometimes++
			}
		}
	}
	sort.Slice(d.Calls, func(i, j int) bool {
		a, b := &d.Calls[i], &d.Calls[j]
		if a.Calls+a.Sometimes != b.Calls+b.Sometimes {
			return a.Calls+a.Sometimes > b.Calls+b.Sometimes
		}
		return a.ret > b.ret
	})
}

func (d *explainedFilter) text(p *page) {
	row := func(name, text string) {
		if text != "" {
			p.paragraph("  "+pad(name, 16), text)
		}
	}
	p.line(p.styled(bold, "The filter of system calls: "+count(d.Instructions, "instruction")))
	row("architectures", strings.Join(d.Architectures, ", "))
	row("by default", "a call "+verdictText(d.byDefault))
	row("flags", strings.Join(d.Flags, ", "))
	row("listener", d.ListenerPath)
	p.line()
	p.line(p.styled(bold, "Of the system calls of "+d.Architectures[0]))
	for _, c := range d.Calls {
		text := strconv.Itoa(c.Calls) + " always"
		if c.Sometimes > 0 {
			text += ", " + strconv.Itoa(c.Sometimes) + " for some arguments"
		}
		p.line("  ", pad(verdictText(c.ret), 56), " ", text)
	}
	p.line()
	p.line(p.styled(bold, "Instructions executed for common calls"))
	var costs []string
	for _, c := range d.Common {
		costs = append(costs, c.Call+" "+strconv.Itoa(c.Instructions))
	}
	p.paragraph("  ", strings.Join(costs, ", "))
	d.faults(p)
}

// faults are what in the profile has no effect.
func (d *explainedFilter) faults(p *page) {
	if len(d.Skipped) > 0 {
		p.line()
		p.line(p.styled(bold, "Names that no architecture has as a system call"))
		p.paragraph("  ", strings.Join(d.Skipped, ", "))
	}
	if len(d.Shadowed) > 0 {
		p.line()
		p.line(p.styled(bold, "Entries that never decide about a call that they name"))
		for _, i := range d.Shadowed {
			p.line("  ", pad(i.Path, 32), i.Name)
		}
	}
}
