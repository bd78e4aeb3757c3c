package seccomp

import (
	"math/bits"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// op is how an argument is compared.
type op uint8

const (
	opNE op = iota
	opLT
	opLE
	opEQ
	opGE
	opGT
	opMasked
)

var operators = [...]string{opNE: "SCMP_CMP_NE", opLT: "SCMP_CMP_LT", opLE: "SCMP_CMP_LE", opEQ: "SCMP_CMP_EQ", opGE: "SCMP_CMP_GE", opGT: "SCMP_CMP_GT", opMasked: "SCMP_CMP_MASKED_EQ"}

// Operators are the names of the operators.
func Operators() []string {
	names := slices.Clone(operators[:])
	slices.Sort(names)
	return names
}

// condition compares an argument of a call: all of it, but for opMasked.
type condition struct {
	arg   uint8
	op    op
	value uint64
	mask  uint64
}

func (c condition) holds(arg uint64) bool {
	switch c.op {
	case opNE:
		return arg != c.value
	case opLT:
		return arg < c.value
	case opLE:
		return arg <= c.value
	case opGE:
		return arg >= c.value
	case opGT:
		return arg > c.value
	}
	return arg&c.mask == c.value
}

// rule is one call of one entry of the profile's syscalls.
type rule struct {
	call int
	// conditions hold all of them, in the order of their arguments, of which each
	// occurs once.
	conditions []condition
	action     uint32
	// index is that of the entry.
	index int
}

// profile is a profile that was found to be sound.
type profile struct {
	action uint32
	// archs are the architectures, the native one first, each once.
	archs   []Arch
	flags   uint32
	notify  bool
	rules   []rule
	named   []int // all calls named in it, rules or not
	skipped []string
}

func parse(s *specs.LinuxSeccomp, native Arch) (*profile, error) {
	p := &profile{}
	var err error
	if p.action, err = parseAction(string(s.DefaultAction), s.DefaultErrnoRet, "defaultAction", "defaultErrnoRet"); err != nil {
		return nil, err
	}
	p.notify = p.action == RetUserNotif
	if p.archs, err = parseArchs(s.Architectures, native); err != nil {
		return nil, err
	}
	n := 0
	for i := range s.Syscalls {
		n += len(s.Syscalls[i].Names)
	}
	p.rules, p.named = make([]rule, 0, n), make([]int, 0, n)
	for i := range s.Syscalls {
		if err := p.entry(&s.Syscalls[i], i); err != nil {
			return nil, err
		}
	}
	return p, p.parseFlags(s.Flags)
}

// parseArchs adds the native architecture where it is missing, as libseccomp does:
// moby's profile does not name ppc64le on ppc64le.
func parseArchs(names []specs.Arch, native Arch) ([]Arch, error) {
	if native == 0 || native >= archCount {
		return nil, bad("", "there are no system call tables for this machine's architecture")
	}
	archs := []Arch{native}
	for i, name := range names {
		a, ok := ParseArch(string(name))
		path := "architectures[" + strconv.Itoa(i) + "]"
		if !ok {
			return nil, bad(path, strconv.Quote(string(name))+" is no architecture of seccomp")
		}
		if a.BigEndian() != native.BigEndian() {
			return nil, bad(path, a.String()+" has the other byte order than "+native.String()+": no process of this machine can have it")
		}
		if !slices.Contains(archs, a) {
			archs = append(archs, a)
		}
	}
	return archs, nil
}

func (p *profile) parseFlags(names []specs.LinuxSeccompFlag) error {
	if p.notify {
		p.flags |= FlagNewListener
	}
	if names == nil {
		// As runc: without it, each process of the container pays for a mitigation of
		// Spectre that Linux before 5.16 ties to having a filter.
		p.flags |= FlagSpecAllow
	}
	for i, name := range names {
		path := "flags[" + strconv.Itoa(i) + "]"
		f, ok := Flag(string(name))
		if !ok {
			return bad(path, strconv.Quote(string(name))+" is no flag of seccomp")
		}
		if f == FlagWaitKillableRecv && !p.notify {
			return bad(path, string(name)+" is for profiles that notify: the kernel refuses it without SCMP_ACT_NOTIFY")
		}
		p.flags |= f
	}
	return nil
}

func (p *profile) entry(s *specs.LinuxSyscall, index int) error {
	path := "syscalls[" + strconv.Itoa(index) + "]"
	action, err := parseAction(string(s.Action), s.ErrnoRet, path+".action", path+".errnoRet")
	if err != nil {
		return err
	}
	if len(s.Names) == 0 {
		return bad(path+".names", "is empty")
	}
	conditions, alternatives, err := parseArgs(s.Args, path)
	if err != nil {
		return err
	}
	p.notify = p.notify || action == RetUserNotif
	for i, name := range s.Names {
		if name == "" {
			return bad(path+".names["+strconv.Itoa(i)+"]", "is empty")
		}
		call, ok := findCall(name)
		if !ok {
			p.skipped = append(p.skipped, name)
			continue
		}
		p.named = append(p.named, call)
		if action == p.action {
			continue
		}
		if !alternatives {
			p.rules = append(p.rules, rule{call, conditions, action, index})
			continue
		}
		for i := range conditions {
			p.rules = append(p.rules, rule{call, conditions[i : i+1 : i+1], action, index})
		}
	}
	return nil
}

// parseArgs reads the conditions of an entry. They must hold together; but where two
// are about one argument, each is a rule of its own, so that any of them is enough. That is
// what runc and crun do, and what profiles were written for.
func parseArgs(args []specs.LinuxSeccompArg, path string) (conditions []condition, alternatives bool, err error) {
	if len(args) == 0 {
		return nil, false, nil
	}
	var seen [6]bool
	conditions = make([]condition, 0, len(args))
	for i := range args {
		a := &args[i]
		at := path + ".args[" + strconv.Itoa(i) + "]"
		if a.Index >= uint(len(seen)) {
			return nil, false, bad(at+".index", strconv.FormatUint(uint64(a.Index), 10)+" is no argument of a system call: they are numbered from 0 to 5")
		}
		o := slices.Index(operators[:], string(a.Op))
		if o < 0 {
			if a.Op == "" {
				return nil, false, bad(at+".op", "is missing")
			}
			return nil, false, bad(at+".op", strconv.Quote(string(a.Op))+" is no operator of seccomp")
		}
		alternatives = alternatives || seen[a.Index]
		seen[a.Index] = true
		c := condition{arg: uint8(a.Index), op: op(o), value: a.Value, mask: ^uint64(0)}
		if c.op == opMasked {
			// libseccomp takes no notice of bits outside of the mask either.
			c.mask, c.value = a.Value, a.ValueTwo&a.Value
		}
		conditions = append(conditions, c)
	}
	if !alternatives {
		slices.SortFunc(conditions, func(a, b condition) int { return int(a.arg) - int(b.arg) })
	}
	return conditions, alternatives, nil
}

// on is what the rule's conditions are on an architecture: where only lower halves
// are compared the values are cut down to them, as libseccomp does, and a mask of 0 is
// no condition.
func (r *rule) on(a Arch) []condition {
	narrow := arches[a].narrow
	same := true
	for i := range r.conditions {
		c := &r.conditions[i]
		if c.mask == 0 || narrow && (c.value>>32 != 0 || c.mask>>32 != 0) {
			same = false
		}
	}
	if same {
		return r.conditions
	}
	cs := make([]condition, 0, len(r.conditions))
	for _, c := range r.conditions {
		if narrow {
			c.value, c.mask = uint64(uint32(c.value)), uint64(uint32(c.mask))
		}
		if c.mask != 0 {
			cs = append(cs, c)
		}
	}
	return cs
}

// single says whether a mask is of one bit.
func single(mask uint32) bool { return bits.OnesCount32(mask) == 1 }
