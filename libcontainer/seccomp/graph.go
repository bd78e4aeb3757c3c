package seccomp

// A filter is compiled by way of a graph of decisions: each node is one comparison of
// a word of struct seccomp_data with two successors, or an end. Equal nodes are one
// node, so that rules, calls and architectures share what they have in common.

type nodeKind uint8

const (
	nodeRet nodeKind = iota
	// nodeEqual: word & mask == k.
	nodeEqual
	// nodeGreater: word > k, unsigned; the mask is full.
	nodeGreater
	// nodeBits: word & k != 0; the mask is full, so that the word itself is kept.
	nodeBits
)

const fullMask = ^uint32(0)

// test is a comparison; for nodeRet k is what the filter returns.
type test struct {
	kind nodeKind
	off  uint8
	mask uint32
	k    uint32
}

type nodeID int32

type node struct {
	test
	yes, no nodeID
}

type graph struct {
	nodes []node
	index map[node]nodeID
	// memo holds what restrict has made of a node in the round of that number.
	memo  []restricted
	round int32
	// rets are the ends; there are few, and they are asked for often.
	rets []nodeID
}

type restricted struct {
	round int32
	node  nodeID
}

func newGraph() *graph {
	return &graph{nodes: make([]node, 0, 256), index: make(map[node]nodeID, 256), memo: make([]restricted, 0, 256)}
}

func (g *graph) intern(n node) nodeID {
	if id, ok := g.index[n]; ok {
		return id
	}
	id := g.add(n)
	g.index[n] = id
	return id
}

func (g *graph) add(n node) nodeID {
	g.nodes = append(g.nodes, n)
	g.memo = append(g.memo, restricted{})
	return nodeID(len(g.nodes) - 1)
}

func (g *graph) ret(value uint32) nodeID {
	for _, id := range g.rets {
		if g.nodes[id].k == value {
			return id
		}
	}
	id := g.add(node{test: test{kind: nodeRet, k: value}})
	g.rets = append(g.rets, id)
	return id
}

// decide is a node for t, made as simple as it can be: in what follows, all that
// the outcome of t decides is decided.
func (g *graph) decide(t test, yes, no nodeID) nodeID {
	t, yes, no = simplify(t, yes, no)
	if yes == no {
		return yes
	}
	g.round++
	yes = g.restrict(yes, t, true)
	g.round++
	no = g.restrict(no, t, false)
	return g.join(t, yes, no)
}

// join is decide where nothing that follows is about the same word.
func (g *graph) join(t test, yes, no nodeID) nodeID {
	if yes == no {
		return yes
	}
	return g.intern(node{t, yes, no})
}

// simplify gives t a form that needs no masking where there is one.
func simplify(t test, yes, no nodeID) (test, nodeID, nodeID) {
	if t.kind == nodeGreater && t.k == fullMask {
		return t, no, no
	}
	if t.kind != nodeEqual || t.mask == fullMask {
		return t, yes, no
	}
	switch {
	case t.mask == 0:
		return t, yes, yes
	case t.k == 0:
		return test{nodeBits, t.off, fullMask, t.mask}, no, yes
	case t.k == t.mask && single(t.mask):
		return test{nodeBits, t.off, fullMask, t.mask}, yes, no
	}
	return t, yes, no
}

// restrict is what remains of a node where the outcome of fact is known.
func (g *graph) restrict(id nodeID, fact test, outcome bool) nodeID {
	n := g.nodes[id]
	if n.kind == nodeRet {
		return id
	}
	if m := g.memo[id]; m.round == g.round {
		return m.node
	}
	var r nodeID
	switch decided, value := implied(n.test, fact, outcome); {
	case decided && value:
		r = g.restrict(n.yes, fact, outcome)
	case decided:
		r = g.restrict(n.no, fact, outcome)
	default:
		yes, no := g.restrict(n.yes, fact, outcome), g.restrict(n.no, fact, outcome)
		r = id
		if yes != n.yes || no != n.no {
			r = g.join(n.test, yes, no)
		}
	}
	g.memo[id] = restricted{g.round, r}
	return r
}

// implied says whether the outcome of fact decides t, and how.
func implied(t, fact test, outcome bool) (decided, value bool) {
	if t.off != fact.off {
		return false, false
	}
	if t == fact {
		return true, outcome
	}
	switch fact.kind {
	case nodeEqual:
		if outcome {
			return impliedByEqual(t, fact)
		}
	case nodeGreater:
		return impliedByGreater(t, fact.k, outcome)
	case nodeBits:
		return impliedByBits(t, fact.k, outcome)
	}
	return false, false
}

// impliedByEqual: the bits of the mask are known.
func impliedByEqual(t, fact test) (decided, value bool) {
	switch t.kind {
	case nodeEqual:
		if (t.k^fact.k)&t.mask&fact.mask != 0 {
			return true, false
		}
		return t.mask&^fact.mask == 0, true
	case nodeGreater:
		return fact.mask == fullMask, fact.k > t.k
	case nodeBits:
		if fact.k&t.k != 0 {
			return true, true
		}
		return t.k&^fact.mask == 0, false
	}
	return false, false
}

// impliedByGreater: the word is larger than k, or it is not.
func impliedByGreater(t test, k uint32, larger bool) (decided, value bool) {
	switch t.kind {
	case nodeEqual:
		if larger {
			return t.mask == fullMask && t.k <= k, false
		}
		// Whatever the mask, a word with the bits of t.k is not smaller than it.
		return t.k > k, false
	case nodeGreater:
		if larger {
			return t.k <= k, true
		}
		return t.k >= k, false
	}
	return false, false
}

// impliedByBits: one of these bits is set, or none is.
func impliedByBits(t test, bits uint32, set bool) (decided, value bool) {
	switch t.kind {
	case nodeEqual:
		if set {
			return bits&^t.mask == 0 && t.k&bits == 0, false
		}
		return t.k&bits != 0, false
	case nodeBits:
		if set {
			return bits&^t.k == 0, true
		}
		return t.k&^bits == 0, false
	}
	return false, false
}

// condition is a node that goes to yes where c holds, and else to no.
func (g *graph) condition(c condition, a Arch, yes, no nodeID) nodeID {
	lo, hi := a.low(c.arg), a.high(c.arg)
	switch c.op {
	case opEQ, opMasked:
		yes = g.decide(test{nodeEqual, lo, uint32(c.mask), uint32(c.value)}, yes, no)
		if arches[a].narrow {
			return yes
		}
		return g.decide(test{nodeEqual, hi, uint32(c.mask >> 32), uint32(c.value >> 32)}, yes, no)
	case opNE:
		c.op = opEQ
		return g.condition(c, a, no, yes)
	case opLE:
		c.op = opGT
		return g.condition(c, a, no, yes)
	case opLT:
		c.op = opGE
		return g.condition(c, a, no, yes)
	case opGE:
		if c.value == 0 {
			return yes
		}
		c.value--
	}
	k := uint32(c.value >> 32)
	low := g.decide(test{nodeGreater, lo, fullMask, uint32(c.value)}, yes, no)
	if arches[a].narrow {
		return low
	}
	no = g.decide(test{nodeEqual, hi, fullMask, k}, low, no)
	return g.decide(test{nodeGreater, hi, fullMask, k}, yes, no)
}

// call is what becomes of a call with these rules.
func (g *graph) call(rules callRules, a Arch, none nodeID, balanced bool) nodeID {
	next := none
	for i := len(rules) - 1; i >= 0; i-- {
		yes := g.ret(rules[i].action)
		for j := len(rules[i].conditions) - 1; j >= 0; j-- {
			yes = g.condition(rules[i].conditions[j], a, yes, next)
		}
		next = yes
	}
	if balanced && len(rules) > 2 {
		g.round++
		return g.balance(next)
	}
	return next
}
