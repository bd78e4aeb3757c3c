package seccomp

// balance rearranges comparisons of one word that follow each other, as a long list of
// allowed values has them, into a search by halves. The nodes below are balanced as well.
func (g *graph) balance(id nodeID) nodeID {
	n := g.nodes[id]
	if n.kind == nodeRet {
		return id
	}
	if m := g.memo[id]; m.round == g.round {
		return m.node
	}
	var s spans
	if n.splits(n.off) {
		g.outcomes(id, n.off, 0, fullMask, &s)
	}
	var r nodeID
	if len(s) > 3 {
		for i := range s {
			s[i].node = g.balance(s[i].node)
		}
		r = g.search(n.off, s.joined())
	} else {
		yes, no := g.balance(n.yes), g.balance(n.no)
		r = g.join(n.test, yes, no)
	}
	g.memo[id] = restricted{g.round, r}
	return r
}

// splits says whether a node is a comparison that parts the values of a word at a
// place, so that outcomes can follow it.
func (n *node) splits(off uint8) bool {
	return n.off == off && n.mask == fullMask && (n.kind == nodeEqual || n.kind == nodeGreater)
}

// outcomes adds what follows for each value of a word from lo to hi, as far as
// comparisons of this word alone decide it.
func (g *graph) outcomes(id nodeID, off uint8, lo, hi uint32, s *spans) {
	n := g.nodes[id]
	for n.kind != nodeRet && n.splits(off) {
		k := n.k
		switch {
		case n.kind == nodeGreater && k >= hi, n.kind == nodeEqual && (k < lo || k > hi):
			id = n.no
		case n.kind == nodeGreater && k < lo, n.kind == nodeEqual && lo == hi:
			id = n.yes
		case n.kind == nodeGreater:
			g.outcomes(n.no, off, lo, k, s)
			id, lo = n.yes, k+1
		default:
			if k > lo {
				g.outcomes(n.no, off, lo, k-1, s)
			}
			g.outcomes(n.yes, off, k, k, s)
			if k == hi {
				return
			}
			id, lo = n.no, k+1
		}
		n = g.nodes[id]
	}
	s.from(lo, id)
}

// joined are the spans once more, those next to each other with one node as one.
func (s spans) joined() spans {
	j := s[:0]
	for _, v := range s {
		j.from(v.first, v.node)
	}
	return j
}
