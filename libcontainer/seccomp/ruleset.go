package seccomp

import (
	"slices"
	"strconv"
)

// lowered is a rule as it is on one architecture.
type lowered struct {
	*rule
	// conditions are the rule's, cut down to what the architecture compares.
	conditions []condition
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
	// store is where single rules are kept.
	store []lowered
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
	s := &ruleset{arch: a, byRaw: make([]callRules, 512), store: make([]lowered, 0, len(p.rules))}
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
	// ipc has the larger number of the two.
	if ipc, ok := a.Number("ipc"); ok && last < ipc {
		for _, call := range p.named {
			if by, _, _, ok := a.multiplexer(call); ok {
				last = max(last, a.full(by))
			}
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
	l := lowered{r, r.on(s.arch)}
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
	case len(l.conditions) == 0 || len(have) == 0:
		s.store = append(s.store, l)
		n := len(s.store)
		s.byRaw[i] = s.store[n-1 : n : n]
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

// settle puts the rules on each call in order. Of rules with one action it is all
// the same which decides.
func (s *ruleset) settle() error {
	for i, rules := range s.byRaw {
		if !slices.ContainsFunc(rules, func(l lowered) bool { return l.action != rules[0].action }) {
			continue
		}
		if err := s.contradiction(s.number(i), rules); err != nil {
			return err
		}
		s.byRaw[i] = sortRules(rules, arches[s.arch].narrow)
	}
	return nil
}

// contradiction refuses rules with the same conditions and different actions, as
// libseccomp does.
func (s *ruleset) contradiction(nr uint32, rules callRules) error {
	for j := range rules {
		for k := range j {
			a, b := &rules[j], &rules[k]
			if a.action != b.action && slices.Equal(a.conditions, b.conditions) && slices.Equal(a.rule.conditions, b.rule.conditions) {
				return bad("syscalls["+strconv.Itoa(a.index)+"]", "has the same conditions for "+s.arch.CallName(nr)+" as syscalls["+strconv.Itoa(b.index)+"], and another action")
			}
		}
	}
	return nil
}

// rules are those on a call by its number.
func (s *ruleset) rules(nr uint32) callRules {
	slot := nr - arches[s.arch].base
	if s.arch == ARM && nr >= armBase {
		slot = nr - armBase + armSlot
	} else if s.arch == ARM && nr >= armSlot {
		return nil
	}
	if slot >= uint32(len(s.byRaw)) {
		return nil
	}
	return s.byRaw[slot]
}
