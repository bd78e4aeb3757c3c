package seccomp

import "math/bits"

// region is a set of arguments of a call: those for which all of its literals are true.
type region struct {
	literals []literal
	max      uint64
	budget   *int
}

// literal is a condition, or its opposite.
type literal struct {
	condition
	not bool
}

// What is looked at before a region is taken to have something in it: real profiles take
// a few hundred steps.
const (
	regionBudget = 20000
	pointBudget  = 1000
)

// newRegion has the arguments that fulfil a rule.
func newRegion(conditions []condition, narrow bool) *region {
	budget := regionBudget
	r := &region{max: ^uint64(0), budget: &budget}
	if narrow {
		r.max = 1<<32 - 1
	}
	for _, c := range conditions {
		r.literals = append(r.literals, literal{c, false})
	}
	return r
}

func (r *region) with(l ...literal) *region {
	n := *r
	n.literals = append(r.literals[:len(r.literals):len(r.literals)], l...)
	return &n
}

// escapes says whether some of the arguments fulfil none of the rules. Where that takes
// too long to find out it says so, too.
func (r *region) escapes(rules []lowered) bool {
	*r.budget--
	if *r.budget < 0 {
		return true
	}
	if !r.any() {
		return false
	}
	for i, rule := range rules {
		inside := make([]literal, len(rule.conditions))
		for k, c := range rule.conditions {
			inside[k] = literal{c, false}
		}
		if !r.with(inside...).any() {
			continue
		}
		for k := range inside {
			inside[k].not = true
			if r.with(inside[k]).escapes(rules[i+1:]) {
				return true
			}
		}
		return false
	}
	return true
}

// any says whether there is anything in the region. Arguments do not depend on each other.
func (r *region) any() bool {
	for arg := range uint8(6) {
		if !r.anyOf(arg) {
			return false
		}
	}
	return true
}

// values are the values of an argument: in a range, with some bits given, but for some.
type values struct {
	lo, hi      uint64
	mask, value uint64
	empty       bool
	but         []condition // of these the mask and the value
}

func (r *region) anyOf(arg uint8) bool {
	v := values{hi: r.max}
	for _, l := range r.literals {
		if l.arg == arg {
			v.add(l, r.max)
		}
	}
	if v.empty {
		return false
	}
	x := v.lo
	for range pointBudget {
		var ok bool
		if x, ok = nextMasked(x, v.mask, v.value); !ok || x > v.hi {
			return false
		}
		skip, excluded := v.excluded(x)
		if !excluded {
			return true
		}
		if x |= skip; x >= v.hi {
			return false
		}
		x++
	}
	return true
}

// excluded says whether x is among the exceptions. Where it is, so is all that differs in the
// bits of skip alone.
func (v *values) excluded(x uint64) (skip uint64, ok bool) {
	for _, c := range v.but {
		if x&c.mask == c.value {
			return 1<<bits.TrailingZeros64(c.mask) - 1, true
		}
	}
	return 0, false
}

var opposite = [...]op{opNE: opEQ, opLT: opGE, opLE: opGT, opEQ: opNE, opGE: opLT, opGT: opLE}

func (v *values) add(l literal, most uint64) {
	o := l.op
	if l.not && o != opMasked {
		o = opposite[o]
	}
	switch o {
	case opLT:
		v.empty = v.empty || l.value == 0
		v.hi = min(v.hi, l.value-1)
	case opLE:
		v.hi = min(v.hi, l.value)
	case opGE:
		v.lo = max(v.lo, l.value)
	case opGT:
		v.empty = v.empty || l.value >= most
		v.lo = max(v.lo, l.value+1)
	case opEQ:
		v.fix(most, l.value)
	case opNE:
		v.but = append(v.but, condition{mask: most, value: l.value})
	case opMasked:
		if l.not {
			v.but = append(v.but, l.condition)
		} else {
			v.fix(l.mask&most, l.value)
		}
	}
}

// fix says what some bits are.
func (v *values) fix(mask, value uint64) {
	v.empty = v.empty || value&^mask != 0 || (v.value^value)&v.mask&mask != 0
	v.mask, v.value = v.mask|mask, v.value|value
}

// nextMasked is the smallest number from x on that has a value under a mask.
func nextMasked(x, mask, value uint64) (uint64, bool) {
	differ := (x ^ value) & mask
	if differ == 0 {
		return x, true
	}
	top := bits.Len64(differ) - 1
	low := uint64(1)<<top - 1
	if value>>top&1 == 1 {
		// x lies below it there: what comes after is as small as can be.
		return x&^low&^mask | value, true
	}
	// x lies above it there: a free bit further up has to rise.
	for q := top + 1; q < 64; q++ {
		bit := uint64(1) << q
		if mask&bit == 0 && x&bit == 0 {
			y := x&^(bit-1) | bit
			return y&^mask | value, true
		}
	}
	return 0, false
}
