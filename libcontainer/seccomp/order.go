package seccomp

import (
	"cmp"
	"slices"
)

// Which of several rules on one call decides is nowhere specified; libseccomp
// settles it by the order in which its filters compare. Berth has the same order,
// so that a profile means the same everywhere:
//
//   - A rule without conditions, the first of them, makes all others void.
//   - Else the first rule in this order whose conditions hold: by the first
//     condition (that of the lowest argument), then by the second and so on; the one
//     about the higher argument first; then EQ, NE and MASKED_EQ before LT and LE before
//     GE and GT; then larger values first, but for LT and LE the smaller ones; then as they
//     stand in the profile. A rule whose conditions are the beginning of another's
//     goes before it.
//
// Where arguments have 64 bits it is the upper halves that are so compared, all of
// them, and below equal ones the lower halves. (Two rules with NE on one argument, each with
// another action, have no order in libseccomp: which decides depends on where a value differs.)

// key is half of a condition, as far as order goes.
type key struct {
	arg   uint8
	low   bool
	kind  uint8
	value uint32
	mask  uint32
}

// class is the rank of an operator.
func class(o op) int {
	switch o {
	case opLT, opLE:
		return 2
	case opGE, opGT:
		return 1
	}
	return 3
}

// Kinds of key: what is one comparison in libseccomp's filter and can be shared.
const (
	kindEqual = iota
	kindMasked
	kindGreater
	kindGreaterEqual
)

// chain is a rule on its way through the sort.
type chain struct {
	rule  lowered
	keys  []key
	ranks []op
}

func (l lowered) chain(narrow bool) *chain {
	c := &chain{rule: l}
	for _, d := range l.conditions {
		hi := key{arg: d.arg, value: uint32(d.value >> 32), mask: uint32(d.mask >> 32)}
		lo := key{arg: d.arg, low: true, value: uint32(d.value), mask: uint32(d.mask)}
		switch d.op {
		case opMasked:
			hi.kind, lo.kind = kindMasked, kindMasked
		case opGT, opLE:
			hi.kind, lo.kind = kindGreater, kindGreater
		case opGE, opLT:
			hi.kind, lo.kind = kindGreater, kindGreaterEqual
		}
		if !narrow {
			c.keys, c.ranks = append(c.keys, hi), append(c.ranks, d.op)
		}
		c.keys, c.ranks = append(c.keys, lo), append(c.ranks, d.op)
	}
	return c
}

// sortRules puts the rules on one call into the order in which they decide.
func sortRules(rules callRules, narrow bool) callRules {
	chains := make([]*chain, len(rules))
	for i := range rules {
		chains[i] = rules[i].chain(narrow)
	}
	sorted := make(callRules, 0, len(rules))
	sortChains(chains, 0, func(c *chain) { sorted = append(sorted, c.rule) })
	return sorted
}

// sortChains sorts by the keys at depth, and what has the same key by the next ones.
func sortChains(chains []*chain, depth int, out func(*chain)) {
	var groups [][]*chain
	for _, c := range chains {
		if len(c.keys) == depth {
			out(c)
			continue
		}
		i := slices.IndexFunc(groups, func(g []*chain) bool { return g[0].keys[depth] == c.keys[depth] })
		if i < 0 {
			i = len(groups)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	slices.SortStableFunc(groups, func(a, b []*chain) int {
		return compareKeys(a[0].keys[depth], b[0].keys[depth], a[0].ranks[depth], b[0].ranks[depth])
	})
	for _, g := range groups {
		sortChains(g, depth+1, out)
	}
}

func compareKeys(a, b key, opA, opB op) int {
	if c := cmp.Compare(b.arg, a.arg); c != 0 {
		return c
	}
	if a.low != b.low {
		// Only where one of them has no upper half to compare.
		if a.low {
			return 1
		}
		return -1
	}
	if c := cmp.Compare(class(opB), class(opA)); c != 0 {
		return c
	}
	if class(opA) == 2 {
		return cmp.Compare(a.value, b.value)
	}
	return cmp.Compare(b.value, a.value)
}
