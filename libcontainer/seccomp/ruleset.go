package seccomp

import (
	"slices"
	"strconv"
)

// lowered is a rule as it is on one architecture.
type lowered struct {
	conditions []condition
	action     uint32
	index      int
	// original are the conditions before they were cut down.
	original []condition
}

// ruleset has the rules of a profile on one architecture.
type ruleset struct {
	arch Arch
	// byRaw has for each number of the table the rules on it, as they decide; none
	// where the default action does.
	byRaw []callRules
	// last is the newest number that the profile names: what lies beyond has ENOSYS.
	// Absent where that does not apply.
	last    uint32
	hasLast bool
}

type callRules []lowered

// permissive says of a default action that calls which the profile can not know need
// no ENOSYS: they are let through, or somebody decides who can know them.
func permissive(action uint32) bool {
	switch action & RetAction {
	case RetAllow, RetLog, RetTrace, RetUserNotif:
		return true
	}
	return false
}

func (p *profile) ruleset(a Arch) (*ruleset, error) {
	s := &ruleset{arch: a, byRaw: make([]callRules, 512)}
	if a == ARM {
		s.byRaw = make([]callRules, armSlot+8)
	}
	_, mux := a.socketcall()
	for i := range p.rules {
		s.add(&p.rules[i], mux)
	}
	s.last, s.hasLast = p.newest(a)
	return s, s.settle()
}

func (a Arch) socketcall() (uint32, bool) {
	i, _ := findCall("socketcall")
	return a.raw(i)
}

// newest finds the largest number of the calls that the profile names, as runc does: also
// of those whose rule says no more than the default. ARM's private calls are no
// measure of age; with runc they are, so that on ARM nothing is newer. There is none
// where the default action needs no ENOSYS, or where all that is named is call 0.
func (p *profile) newest(a Arch) (last uint32, ok bool) {
	if permissive(p.action) {
		return 0, false
	}
	for _, call := range p.named {
		if n, ok := a.raw(call); ok && (a != ARM || n < armTable) {
			last = max(last, a.full(n))
		}
	}
	return last, last > arches[a].base
}

// beyond says whether a number is that of a call which the profile can not know. On
// ARM only what lies below the private calls is.
func (s *ruleset) beyond(nr uint32) bool {
	return s.hasLast && nr > s.last && (s.arch != ARM || nr < armBase)
}

func (s *ruleset) add(r *rule, mux bool) {
	l := lowered{r.on(s.arch), r.action, r.index, r.conditions}
	if mux {
		if by, code, ipc, ok := s.arch.multiplexer(r.call); ok {
			m := l
			m.conditions = s.multiplexed(l.conditions, code, ipc)
			s.put(by, m)
		}
	}
	if n, ok := s.arch.raw(r.call); ok {
		s.put(n, l)
	}
}

// multiplexed are the conditions of a call that comes by socketcall or ipc: that it is
// this one, in place of any condition on the first argument. The others are kept,
// as libseccomp does, though they see other values there: the call's own arguments lie
// in memory, where no filter can look.
//
// The kernel cuts the code down to 32 bits, and that of ipc to 16, the rest being a
// version. libseccomp compares all of it, so that ipc(1<<16|SHMAT) goes past a rule on shmat.
func (s *ruleset) multiplexed(conditions []condition, code uint8, ipc bool) []condition {
	c := condition{op: opEQ, value: uint64(code), mask: ^uint64(0)}
	switch {
	case ipc:
		c.op, c.mask = opMasked, 0xffff
	case !arches[s.arch].narrow:
		c.op, c.mask = opMasked, 0xffffffff
	}
	cs := append(make([]condition, 0, len(conditions)+1), c)
	for _, c := range conditions {
		if c.arg != 0 {
			cs = append(cs, c)
		}
	}
	return cs
}

func (s *ruleset) put(raw uint32, l lowered) {
	i := s.slot(raw)
	for i >= len(s.byRaw) {
		s.byRaw = append(s.byRaw, nil)
	}
	have := s.byRaw[i]
	switch {
	case len(have) != 0 && len(have[0].conditions) == 0:
		return
	case len(l.conditions) == 0:
		s.byRaw[i] = callRules{l}
		return
	}
	s.byRaw[i] = append(have, l)
}

// armSlot is where ARM's private calls begin in byRaw.
const armSlot = 512

// slot keeps ARM's private calls from making the table long.
func (s *ruleset) slot(raw uint32) int {
	if s.arch == ARM && raw >= armTable {
		return int(raw-armTable) + armSlot
	}
	return int(raw)
}

// number is the number of a slot, with the base of the ABI.
func (s *ruleset) number(slot int) uint32 {
	if s.arch == ARM && slot >= armSlot {
		return uint32(slot) - armSlot + armBase
	}
	return s.arch.full(uint32(slot))
}

// settle puts the rules on each call in order, and refuses those that contradict each
// other: same conditions, different actions. libseccomp refuses them as well.
func (s *ruleset) settle() error {
	for i, rules := range s.byRaw {
		if len(rules) < 2 {
			continue
		}
		for j := range rules {
			for k := range j {
				if rules[j].action != rules[k].action && slices.Equal(rules[j].original, rules[k].original) && slices.Equal(rules[j].conditions, rules[k].conditions) {
					return bad("syscalls["+strconv.Itoa(rules[j].index)+"]", "has the same conditions for "+s.arch.CallName(s.number(i))+" as syscalls["+strconv.Itoa(rules[k].index)+"], and another action")
				}
			}
		}
		s.byRaw[i] = sortRules(rules, arches[s.arch].narrow)
	}
	return nil
}

// rules are those on a call by its number.
func (s *ruleset) rules(nr uint32) callRules {
	for i := range s.byRaw {
		if s.byRaw[i] != nil && s.number(i) == nr {
			return s.byRaw[i]
		}
	}
	return nil
}
