package program

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// noRule stands for the rule of a step that none permits: what it sets is good for
// anything, so that one mistake is one error.
var noRule rule

// judge finds the rule that permits a step, and notes a violation where there is none.
func (f *flow) judge(i int, st *Step, k *known) *rule {
	f.now = k
	best, why := -1, ""
	rules := rulesOf[st.Call]
	for j := range rules {
		r := &rules[j]
		n := f.match(r, st, k)
		reason := ""
		switch {
		case n < len(st.Args) && n < len(r.args):
			reason = r.args[n].refusal(n, st.Args[n], k)
		case len(st.Args) > len(r.args) || len(st.Args) < len(r.args) && !optional(st.Call, len(st.Args)):
			reason = "the number of its arguments"
		default:
			if reason = f.conditions(r, st, k); reason == "" {
				return r
			}
			n++
		}
		if n > best || n == best && reason != "" {
			best, why = n, reason
		}
	}
	if why == "" {
		why = "none of its arguments"
	}
	f.v.violation(i, st, "no rule permits the step: "+why)
	return &noRule
}

// refusal is why an argument is not permitted.
func (p *permit) refusal(n int, a Arg, k *known) string {
	reason := "argument " + strconv.Itoa(n+1)
	if s := a.slot; s != nil {
		switch h := k.holds(s); {
		case h&unset != 0:
			return reason + ": the slot " + s.Name + " may not be set here"
		case p.slot != 0:
			reason += ": the slot " + s.Name + " holds something else"
		}
	}
	switch {
	case p.zero:
		return reason + ": zero"
	case p.words == "":
		return ""
	}
	return reason + ": " + p.words
}

// optional says whether a call may end after n arguments.
func optional(c Call, n int) bool { return n >= least(c) }

// match is the number of arguments that a rule permits, from the first on.
func (f *flow) match(r *rule, st *Step, k *known) int {
	for n, a := range st.Args {
		if n >= len(r.args) || !f.permits(&r.args[n], st, a, k) {
			return n
		}
	}
	return len(st.Args)
}

func (f *flow) permits(p *permit, st *Step, a Arg, k *known) bool {
	switch {
	case a.data != nil:
		return p.data != nil && p.data(f, st, a.data)
	case a.slot != nil:
		return !a.IsAddr() && k.holds(a.slot)&^p.slot == 0
	case p.any || p.zero && a.n == 0:
		return true
	case p.flags:
		return a.n&^p.bits == 0 && a.n&p.must == p.must
	}
	for _, n := range p.is {
		if a.n == n {
			return true
		}
	}
	if p.born == 0 || a.n > maxDescriptor {
		return false
	}
	d := f.v.p.inherited(int(a.n))
	return d != nil && p.born&only(d.Kind) != 0
}

// conditions is why a rule whose arguments fit does not permit the step yet.
func (f *flow) conditions(r *rule, st *Step, k *known) string {
	switch {
	case r.in != 0 && r.in&(1<<f.v.p.Kind) == 0:
		return whyCreates
	case f.v.filtered && !r.filtered:
		return "behind the system call filter only a few calls may stand"
	case f.v.falling && !r.late:
		return "mounts and namespaces must be made before capabilities fall"
	case k.facts&r.needs != r.needs:
		return r.why
	case r.result&anyFD != 0 && st.Result == nil:
		return "a descriptor must have a slot"
	case r.result == 0 && st.Result != nil && st.Call != CallBarrier:
		return "there is no result to keep"
	case pieceOf(st.Result) && (st.Call != CallSet || r.result != 1<<vNumber):
		return "a text is written by set alone"
	case st.Quiet && r.gives&(factFIFO|factFiltered) == 0:
		return "only what puts the start FIFO into the socket's place, and the filter, are not reported"
	}
	if r.also != nil {
		return r.also(f, st, k)
	}
	return ""
}

// call changes what is known as a call does, when it succeeds or fails. A call that
// fails takes facts away as one that succeeds does, and gives none.
func (f *flow) call(st *Step, r *rule, k *known, ok bool) {
	if r.result&anyFD != 0 {
		k.facts &^= factClosed
	}
	k.facts &^= r.takes
	if ok {
		k.facts |= r.gives
		if st.Result != nil && st.Result.id > 0 {
			k.slots[st.Result.id] = r.result
			k.used = max(k.used, st.Result.id+1)
		}
	}
	if r == &noRule {
		return // its arguments may be anything
	}
	switch st.Call {
	case CallExpect:
		f.learn(st, k, ok)
		return
	case CallSet:
		if s := st.Result; pieceOf(s) && s.Home.memory == k.fresh {
			// No longer what the call wrote there.
			k.fresh, k.about, k.by, k.saw = 0, 0, 0, looked{}
		}
		return
	}
	// What earlier calls wrote is no longer what the next check is about.
	k.fresh, k.about, k.by, k.saw = 0, 0, 0, looked{}
	if ok {
		k.wrote(st)
	}
	f.effect(st, k, ok)
}

// wrote notes the memory that a call has written to, and what about.
func (k *known) wrote(st *Step) {
	for _, a := range st.Args {
		if a.data != nil && a.data.memory != 0 {
			k.fresh = a.data.memory
		}
	}
	k.by = st.Call
	if len(st.Args) == 0 || st.Args[0].slot == nil {
		return
	}
	if st.Call == CallFstatfs || st.Call == CallStatx && st.isPath(1, "") && st.Args[3].n&unix.STATX_TYPE != 0 {
		k.about = st.Args[0].slot.id
	}
}

// Offsets in struct statx (statx(2)).
const (
	statxMode   = 0x18 // stx_gid in the low half, stx_mode above it
	statxRdev   = 0x80
	statxFormat = unix.S_IFMT << 32
	devNull     = 1 | 3<<32
)

// learn is what a check shows, where it holds and where it does not.
func (f *flow) learn(st *Step, k *known, ok bool) {
	s, mask, want := st.Args[0].slot, st.Args[1].n, st.Args[2].n
	if s == nil || ok == (st.Args[4].n != 0) {
		return // the values differ
	}
	if k.holds(s) == only(vPid) && mask == ^uint64(0) && want == 0 {
		k.facts |= factOne // the clone's answer in the new process
	}
	if s.Home == nil || s.Home.memory == 0 || s.Home.memory != k.fresh {
		return
	}
	switch {
	case k.by == CallGetcwd:
		if s.Off == 0 && mask == 0xff && want == '/' {
			k.facts |= factInside
		}
		return
	case k.by == CallFstatfs:
		if s.Off == 0 && mask == ^uint64(0) && want == unix.DEVPTS_SUPER_MAGIC && k.about > 0 && k.slots[k.about]&^aPlace == 0 {
			k.slots[k.about] = only(fdPts)
		}
		return
	case k.by != CallStatx:
		return
	case s.Off == statxMode && mask == statxFormat:
		k.saw.kind, k.saw.sawKind = want>>32, true
	case s.Off == statxRdev && mask == ^uint64(0):
		k.saw.device, k.saw.sawDevice = want, true
	}
	if k.about <= 0 || !k.saw.sawKind || !k.saw.sawDevice {
		return
	}
	switch h := &k.slots[k.about]; {
	case *h == only(fdNode):
		*h = only(fdClone)
	case *h == only(fdOwnNode):
		*h = only(FDMount)
	case *h == only(fdFile) && k.saw.kind == unix.S_IFCHR && k.saw.device == devNull:
		*h = only(fdNull)
	}
}

// effect is what a call does beyond its row of the table.
func (f *flow) effect(st *Step, k *known, ok bool) {
	switch st.Call {
	case CallClose:
		if s := st.Args[0].slot; s != nil && s.id > 0 {
			k.slots[s.id] = unset
		}
	case CallCloseRange:
		if ok && f.v.keeps.closesRest(st) {
			k.facts |= factClosed
			f.closed(k)
		}
	case CallMount:
		if st.Args[0].data == nil {
			k.spread(st, ok)
		}
	case CallMountSetattr:
		if ok {
			k.settled(st)
		}
	case CallOpenTree:
		if ok {
			f.cloned(st, k)
		}
	case CallSetresuid, CallSetresgid, CallSetgroups, CallPrctl:
		f.become(st, k, ok)
	case CallMoveMount:
		from, to := st.Args[0].slot, st.Args[2].slot
		if ok && from != nil && from.id > 0 && (k.holds(from) == aTree || to != nil && k.holds(to) == only(fdTop)) {
			k.slots[from.id] = aRoot
		}
	case CallUnshare:
		if st.Args[0].n&unix.CLONE_NEWCGROUP != 0 {
			k.facts &^= factUnrooted
		}
		if ok {
			if st.Args[0].n&unix.CLONE_NEWNS != 0 && k.own&unix.CLONE_NEWUSER != 0 {
				k.facts |= factSlaves
			}
			k.namespaces(st.Args[0].n, unix.CLONE_NEWPID|unix.CLONE_NEWTIME)
		}
	case CallSetns:
		f.joined(k, st.Args[1].n, ok)
	case CallClone:
		k.own, k.pending = k.own|k.pending, 0
	case CallWrite:
		if s := st.Args[0].slot; ok && s != nil && k.holds(s) == only(fdCgroup) {
			k.entered++
		}
	}
}

// closed forgets the descriptors that close_range has closed.
func (f *flow) closed(k *known) {
	for i, h := range k.slots {
		if h&anyFD == 0 || i > 0 && i <= len(f.v.p.Descriptors) && f.v.p.Descriptors[i-1].Keep != KeepUntilReady {
			continue
		}
		k.slots[i] = unset
	}
}

// spread is what mount(2) does to the propagation of a tree.
func (k *known) spread(st *Step, ok bool) {
	if !st.isPath(1, "/") && !st.isPath(1, ".") {
		return
	}
	flags := st.Args[3].n
	if flags&unix.MS_SHARED != 0 || flags&unix.MS_REC == 0 {
		k.facts &^= factQuiet
	} else if ok && flags&(unix.MS_SLAVE|unix.MS_PRIVATE) != 0 && (k.facts&factOutside != 0 || st.isPath(1, ".")) {
		// Behind pivot_root / is the new root, and says nothing of the old one.
		k.facts |= factQuiet
	}
	if ok {
		k.facts |= factSpread
	}
}

// namespaces notes those that were made or joined; later are those that hold for
// the next process: pid namespaces always, a time namespace when it is new.
func (k *known) namespaces(flags, later uint64) {
	k.pending |= uint32(flags & later)
	k.own |= uint32(flags &^ later)
	if flags&unix.CLONE_NEWNS != 0 {
		k.facts |= factMounts
	}
}

// cloned is what a clone of something of the host's may be: a peer of the host's
// mount, below which nothing may be mounted, as it would appear on the host. It is
// none where the whole tree was made slave or private before, and where the config
// wants it.
func (f *flow) cloned(st *Step, k *known) {
	if st.Result == nil || st.Result.id == 0 {
		return
	}
	h, p := &k.slots[st.Result.id], f.v.p
	own := k.facts&(factQuiet|factSlaves) != 0
	switch *h {
	case aTree:
		if !own && !p.Host.SharedRoot {
			*h = only(fdPeerTree)
		}
	case only(fdClone), only(fdCloneTree):
		if own || slices.Contains(p.Host.Shared, st.Args[1].data.Value()) {
			*h = only(FDMount)
		}
	}
}

// settled is what mount_setattr makes of a clone: no peer any more, where it was
// made slave or private with all below it.
func (k *known) settled(st *Step) {
	s, d := st.Args[0].slot, st.Args[3].data
	if s == nil || s.id == 0 || d == nil || le.Uint64(d.Bytes[16:])&(unix.MS_SLAVE|unix.MS_PRIVATE) == 0 {
		return
	}
	tree := st.Args[2].n&unix.AT_RECURSIVE != 0
	switch h := &k.slots[s.id]; {
	case *h == only(fdHostMount):
		*h = only(fdAlone)
	case *h == only(fdNode):
		*h = only(fdOwnNode)
	case *h == only(fdClone) || *h == only(fdCloneTree) && tree:
		*h = only(FDMount)
	case *h == only(fdPeerTree) && tree:
		*h = aTree
	}
}

func (f *flow) joined(k *known, flags uint64, ok bool) {
	if flags&unix.CLONE_NEWNS != 0 {
		// The kernel changes root and working directory to the namespace's.
		k.facts &^= cwdFacts | factSpread | factQuiet
		if f.v.p.Kind != KindCreate {
			k.facts &^= factOutside
		}
	}
	if !ok {
		return
	}
	k.namespaces(flags, unix.CLONE_NEWPID)
	if flags&unix.CLONE_NEWNS != 0 && f.v.p.Kind != KindCreate {
		k.facts |= factRoot
	}
}

func (st *Step) isPath(arg int, path string) bool {
	d := st.Args[arg].data
	return d != nil && d.str && d.Value() == path
}
