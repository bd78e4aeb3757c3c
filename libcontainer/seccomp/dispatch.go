package seccomp

// common are the calls that programs make most: the search for a call's number is
// arranged so that these are found with few comparisons.
var common = [...]string{
	"read", "write", "openat", "close", "fstat", "newfstatat", "mmap", "munmap",
	"futex", "epoll_wait", "epoll_pwait", "rt_sigaction", "rt_sigprocmask",
	"clock_nanosleep", "recvfrom", "sendto", "poll", "ppoll", "lseek", "brk",
}

const commonWeight = 16

// span is a range of numbers of calls with one fate: from first to the next span's.
type span struct {
	first  uint32
	weight uint32
	node   nodeID
}

type spans []span

// from says that the numbers from first on, until further notice, go to a node.
func (s *spans) from(first uint32, n nodeID) {
	if i := len(*s) - 1; i >= 0 && (*s)[i].first == first {
		*s = (*s)[:i]
	}
	if len(*s) == 0 || (*s)[len(*s)-1].node != n {
		*s = append(*s, span{first: first, weight: 1, node: n})
	}
}

// weigh adds the weight of the common calls of an architecture.
func (s spans) weigh(a Arch) {
	for _, name := range common {
		nr, ok := a.Number(name)
		if !ok {
			continue
		}
		i := len(s) - 1
		for i > 0 && s[i].first > nr {
			i--
		}
		s[i].weight += commonWeight
	}
}

const nrOff, archOff = 0, 4

// search finds the span of a word, that of the call's number above all: by halves of equal weight, or by one
// comparison where a single number lies between spans of one fate.
func (g *graph) search(off uint8, s spans) nodeID {
	if len(s) == 1 {
		return s[0].node
	}
	var total uint32
	for i := range s {
		total += s[i].weight
	}
	if i := s.lone(total); i > 0 {
		rest := append(make(spans, 0, len(s)), s[:i]...)
		rest[i-1].weight += s[i+1].weight
		rest = append(rest, s[i+2:]...)
		return g.join(test{nodeEqual, off, fullMask, s[i].first}, s[i].node, g.search(off, rest))
	}
	var sum uint32
	cut, best := 1, total
	for i := 1; i < len(s); i++ {
		sum += s[i-1].weight
		if d := max(sum, total-sum); d < best {
			cut, best = i, d
		}
	}
	return g.join(test{nodeGreater, off, fullMask, s[cut].first - 1}, g.search(off, s[cut:]), g.search(off, s[:cut]))
}

// lone is a span of one number between two of one node, the heaviest one, when it is
// worth a comparison of its own: it has half of the weight, or few are left.
func (s spans) lone(total uint32) int {
	found := 0
	for i := 1; i+1 < len(s); i++ {
		if s[i+1].first-s[i].first == 1 && s[i-1].node == s[i+1].node && (found == 0 || s[i].weight > s[found].weight) {
			found = i
		}
	}
	if found > 0 && (len(s) <= 5 || s[found].weight*2 >= total) {
		return found
	}
	return 0
}

// builder makes the graph of a profile.
type builder struct {
	*graph
	profile   *profile
	byDefault nodeID
	badArch   nodeID
	enosys    nodeID
	// balanced has the rules on a call rearranged (graph.balance).
	balanced bool
}

// fill adds the spans of an architecture, from the number first on.
func (b *builder) fill(s *spans, first uint32, set *ruleset) {
	none := func(nr uint32) nodeID {
		if set.beyond(nr) {
			return b.enosys
		}
		return b.byDefault
	}
	ended := !set.hasLast
	end := func() {
		if !ended {
			s.from(set.last+1, none(set.last+1))
		}
		ended = true
	}
	s.from(first, b.byDefault)
	for i, rules := range set.byRaw {
		nr := set.number(i)
		if nr > set.last {
			end()
		}
		if set.arch == ARM && nr == armBase {
			s.from(nr, b.byDefault)
		}
		if rules != nil {
			s.from(nr, b.graph.call(rules, set.arch, b.byDefault, b.balanced))
			s.from(nr+1, none(nr+1))
		}
	}
	end()
	if set.hasLast && (set.arch == S390 || set.arch == S390X) {
		b.setup(s)
	}
}

// setup gives the call 0 of s390 ENOSYS, as runc does: by it come the calls that the
// kernel does not know, if their number is too large for the instruction itself.
func (b *builder) setup(s *spans) {
	old := *s
	*s = spans{{first: 0, weight: 1, node: b.enosys}}
	for i := range old {
		switch {
		case old[i].first == 0 && (len(old) == 1 || old[1].first > 1):
			s.from(1, old[i].node)
		case old[i].first != 0:
			s.from(old[i].first, old[i].node)
		}
	}
}

// arch is the graph for an AUDIT_ARCH_ value: of one architecture, or of x86-64 and
// x32, which share it and are told apart by the number.
func (b *builder) arch(a Arch, sets map[Arch]*ruleset) nodeID {
	var s spans
	if a == AMD64 || a == X32 {
		b.amd64(&s, sets[AMD64], sets[X32])
	} else {
		b.fill(&s, 0, sets[a])
	}
	s.weigh(a)
	return b.search(nrOff, s)
}

// noABI are the numbers with the highest bit alone: neither x86-64 nor x32 has them. To
// libseccomp they are x32, to runc, when it looks for what is new, x86-64.
const (
	noABI    = 1 << 31
	noABIEnd = 1<<31 | x32Bit
)

func (b *builder) amd64(s *spans, amd64, x32 *ruleset) {
	s.from(0, b.badArch)
	if amd64 != nil {
		b.fill(s, 0, amd64)
	}
	s.from(x32Bit, b.badArch)
	if x32 != nil {
		b.fill(s, x32Bit, x32)
	}
	end := (*s)[len(*s)-1].node
	switch {
	case amd64 != nil && amd64.hasLast:
		s.from(noABI, b.enosys)
	case x32 != nil:
		s.from(noABI, b.byDefault)
	}
	s.from(noABIEnd, end)
	if x32 == nil {
		// A tracer skips a call by making it number -1, and the filter sees that.
		s.from(fullMask, b.byDefault)
	}
}

// root is the whole graph.
func (b *builder) root() (nodeID, error) {
	sets := make(map[Arch]*ruleset, len(b.profile.archs))
	for _, a := range b.profile.archs {
		set, err := b.profile.ruleset(a)
		if err != nil {
			return 0, err
		}
		sets[a] = set
	}
	next := b.badArch
	for i := len(b.profile.archs) - 1; i >= 0; i-- {
		a := b.profile.archs[i]
		if first := b.first(a); first != i {
			continue
		}
		next = b.join(test{nodeEqual, archOff, fullMask, a.Audit()}, b.arch(a, sets), next)
	}
	return next, nil
}

// first is the place of the first architecture with the same AUDIT_ARCH_ value.
func (b *builder) first(a Arch) int {
	for i, other := range b.profile.archs {
		if other.Audit() == a.Audit() {
			return i
		}
	}
	return -1
}
