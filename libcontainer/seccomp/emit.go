package seccomp

// Insn is an instruction of classic BPF, struct sock_filter.
type Insn struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// The instructions that seccomp filters are made of (include/uapi/linux/bpf_common.h).
// The kernel knows which calls a filter always allows only if it uses no others on the
// way there (seccomp_is_const_allow), and does not run it for them.
const (
	codeLoad      = 0x20 // BPF_LD|BPF_W|BPF_ABS
	codeAnd       = 0x54 // BPF_ALU|BPF_AND|BPF_K
	codeJump      = 0x05 // BPF_JMP|BPF_JA
	codeEqual     = 0x15 // BPF_JMP|BPF_JEQ|BPF_K
	codeGreater   = 0x25 // BPF_JMP|BPF_JGT|BPF_K
	codeGreaterEq = 0x35 // BPF_JMP|BPF_JGE|BPF_K
	codeSet       = 0x45 // BPF_JMP|BPF_JSET|BPF_K
	codeReturn    = 0x06 // BPF_RET|BPF_K
)

// MaxInsns is the most that the kernel takes (BPF_MAXINSNS).
const MaxInsns = 4096

// entry is where a node is entered: it loads its word, masks it, compares. Who comes
// with the word already loaded skips the first, or both.
type entry uint8

const (
	entryLoad entry = iota
	entryMask
	entryTest
	entryCount
)

// emitter writes the graph as instructions from the last one to the first, so that
// each jump's target is known when it is written.
type emitter struct {
	graph *graph
	// insns are in reverse; a place is an index, and the distance of two of them that
	// of the instructions.
	insns []Insn
	// needs says which entries of a node are used.
	needs [][entryCount]bool
	seen  []bool
	// at is the latest place by which an entry of a node can be reached: its own, or
	// that of a jump to it; -1 where there is none yet.
	at [][entryCount]int32
}

func emit(g *graph, root nodeID) []Insn {
	e := &emitter{graph: g, insns: make([]Insn, 0, 512)}
	e.needs = make([][entryCount]bool, len(g.nodes))
	e.seen = make([]bool, len(g.nodes))
	e.at = make([][entryCount]int32, len(g.nodes))
	e.needs[root][entryLoad] = true
	order := e.visit(root, make([]nodeID, 0, len(g.nodes)))
	for _, id := range order {
		e.node(id)
	}
	for i, j := 0, len(e.insns)-1; i < j; i, j = i+1, j-1 {
		e.insns[i], e.insns[j] = e.insns[j], e.insns[i]
	}
	return e.insns
}

// visit lists the nodes below id, successors first, and notes the entries they need.
func (e *emitter) visit(id nodeID, order []nodeID) []nodeID {
	if e.seen[id] {
		return order
	}
	e.seen[id] = true
	n := &e.graph.nodes[id]
	if n.kind != nodeRet {
		e.needs[n.no][e.entry(n, n.no)] = true
		e.needs[n.yes][e.entry(n, n.yes)] = true
		order = e.visit(n.no, order)
		order = e.visit(n.yes, order)
	}
	return append(order, id)
}

// entry is where next is entered from n, which leaves its word loaded and masked.
func (e *emitter) entry(n *node, next nodeID) entry {
	t := &e.graph.nodes[next]
	switch {
	case t.kind == nodeRet || t.off == n.off && t.mask == n.mask:
		return entryTest
	case t.off == n.off && n.mask == fullMask:
		return entryMask
	}
	return entryLoad
}

func (e *emitter) put(i Insn) int32 {
	e.insns = append(e.insns, i)
	return int32(len(e.insns) - 1)
}

func (e *emitter) node(id nodeID) {
	n := &e.graph.nodes[id]
	if n.kind == nodeRet {
		e.at[id][entryTest] = e.put(Insn{Code: codeReturn, K: n.k})
		return
	}
	i := Insn{Code: codeEqual, K: n.k}
	switch n.kind {
	case nodeGreater:
		i.Code = codeGreater
	case nodeBits:
		i.Code = codeSet
	}
	e.near(n.yes, e.entry(n, n.yes), n.no, e.entry(n, n.no))
	i.Jt, i.Jf = e.distance(n.yes, e.entry(n, n.yes)), e.distance(n.no, e.entry(n, n.no))
	at := e.put(i)
	e.at[id] = [entryCount]int32{at, at, at}
	needs := e.needs[id]
	if n.mask != fullMask && (needs[entryLoad] || needs[entryMask]) {
		e.at[id][entryMask] = e.put(Insn{Code: codeAnd, K: n.mask})
	}
	if needs[entryLoad] {
		e.at[id][entryLoad] = e.put(Insn{Code: codeLoad, K: uint32(n.off)})
	}
}

// distance is how many instructions a jump that is written next skips.
func (e *emitter) distance(to nodeID, in entry) uint8 {
	return uint8(len(e.insns) - int(e.at[to][in]) - 1)
}

func (e *emitter) far(to nodeID, in entry) bool {
	return len(e.insns)-int(e.at[to][in])-1 > 0xff
}

// near puts something within the reach of a conditional jump, 255 instructions, for
// each target that is not: a jump to it, or the return itself once more.
func (e *emitter) near(yes nodeID, inYes entry, no nodeID, inNo entry) {
	for e.far(yes, inYes) || e.far(no, inNo) {
		if e.far(yes, inYes) {
			e.bring(yes, inYes)
		}
		if e.far(no, inNo) {
			e.bring(no, inNo)
		}
	}
}

func (e *emitter) bring(to nodeID, in entry) {
	n := &e.graph.nodes[to]
	i := Insn{Code: codeReturn, K: n.k}
	if n.kind != nodeRet {
		i = Insn{Code: codeJump, K: uint32(len(e.insns)) - uint32(e.at[to][in]) - 1}
	}
	e.at[to][in] = e.put(i)
}
