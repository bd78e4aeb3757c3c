package program

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestVerifyHoles is about programs that an earlier verifier let pass.
func TestVerifyHoles(t *testing.T) {
	slot := func(t *testing.T, p *Program, why string) Arg { return From(p.Steps[stepOf(t, p, why)].Result) }
	withSlot := func(why string, n int) func(*testing.T, *Program) {
		return func(t *testing.T, p *Program) { arg(why, n, slot(t, p, sRoot))(t, p) }
	}
	one := func(call Call, args ...Arg) Step { return Step{Call: call, Args: args} }
	const number = "argument"
	check(t, []mutant{
		{"no mount namespace of its own", "mounts must be the child's own", func(_ *testing.T, p *Program) { p.CloneFlags = 0 }},
		{"no pid namespace of its own", "in each namespace of the container", func(_ *testing.T, p *Program) { p.CloneFlags &^= unix.CLONE_NEWPID }},
		{"born with shared memory", "nothing shared", func(_ *testing.T, p *Program) { p.CloneFlags |= unix.CLONE_VM }},
		{"a namespace that is not asked for", "in no other of its own", func(_ *testing.T, p *Program) { p.CloneFlags |= unix.CLONE_NEWNET }},
		{"a path by a slot", number, withSlot(sTarget, 1)},
		{"a path of the host by a slot", number, withSlot(sMount, 1)},
		{"setns to anything, late", number, func(t *testing.T, p *Program) {
			p.Descriptors = append(p.Descriptors, Descriptor{"ns", 5, FDNamespace, KeepUntilReady})
			add(sInside, one(CallSetns, From(p.Descriptors[5].Slot()), Int(0)))(t, p)
		}},
		{"setns to any kind", number, func(t *testing.T, p *Program) {
			p.Descriptors = append(p.Descriptors, Descriptor{"ns", 5, FDNamespace, KeepUntilReady})
			add(sMark, one(CallSetns, From(p.Descriptors[5].Slot()), Int(0)))(t, p)
		}},
		{"the host's root read-only", number, add(sSpread, one(CallMount, Int(0), Path("/"), Int(0), Uint(unix.MS_REMOUNT|unix.MS_RDONLY), Int(0)))},
		{"a slot as where to begin to close", number, withSlot(sCloseIt, 0)},
		{"a slot as where to end to close", number, withSlot(sCloseIt, 1)},
		{"a slot as a check's negation", number, withSlot(sInside, 4)},
		{"a slot as a check's mask", number, withSlot(sInside, 1)},
		{"a slot as what a check wants", number, withSlot(sInside, 2)},
		{"the host's root as root, cloned", "names for this", arg(sRoot, 1, Path("/"))},
		{"the host's root as root, gone to", "a root of its own before it goes", arg(sGo, 0, Path("/"))},
		{"the wrong directory as root", "root file system", arg(sGo, 0, Path("/etc"))},
		{"chroot to the host's root", "entered by its descriptor", func(t *testing.T, p *Program) {
			p.CloneFlags, p.Namespaces = 0, 0
			for _, why := range []string{sEnter, sPivot, sUmount} {
				drop(why)(t, p)
			}
			st := one(CallChroot, Path("."))
			st.Phase, st.Why = PhasePivot, "chroot"
			i := stepOf(t, p, sHide)
			p.Steps = append(p.Steps[:i:i], append([]Step{st}, p.Steps[i:]...)...)
		}},
		{"clone with shared memory", "nothing shared", add(sMark, one(CallClone, Uint(unix.CLONE_VM|uint64(unix.SIGCHLD)), Int(0), Int(0), Int(0), Int(0)))},
		{"a file of the host to write to", "names for this", arg(sCgroup, 1, Path("/etc/passwd"))},
		{"a write to what is no cgroup file", "may be written", arg(sJoinCg, 0, Int(0))},
		{"a write of something else", "may be written", arg(sJoinCg, 1, Path("1"))},
		{"the cgroup is not entered", "in its cgroups", drop(sJoinCg)},
		{"a device that was not looked at", "was made for the container", drop(sDevice)},
		{"a device of which only the number was seen", "was made for the container", drop(sKind)},
		{"another descriptor handed over", "a pty's master", func(t *testing.T, p *Program) {
			msg, null := FDMessage("null")
			p.Steps[stepOf(t, p, sMount)].Result = null
			arg(sStat, 0, From(null))(t, p)
			arg(sAttach, 0, From(null))(t, p)
			arg(sSend, 1, Ptr(msg))(t, p)
		}},
		{"a multiplexer below what is no devpts", "close-on-exec", func(t *testing.T, p *Program) { arg(sMaster, 0, slot(t, p, sRoot))(t, p) }},
		{"a text over what getcwd wrote", "argument 1", func(t *testing.T, p *Program) {
			buf := p.Steps[stepOf(t, p, sAsk)].Args[0].data
			add(sAsk, Step{Call: CallSet, Args: []Arg{Int('/')}, Result: &Slot{Name: "piece", Home: buf, Inherited: -1}})(t, p)
		}},
		{"a text that a call writes", "by set alone", func(t *testing.T, p *Program) {
			edit(sMaster, func(st *Step) { st.Result = &Slot{Name: "piece", Home: Buffer(16, "text"), Inherited: -1} })(t, p)
		}},
		{"the new root made a slave in place of the old one", "spreads to the host", func(t *testing.T, p *Program) {
			arg(sSpread, 3, Uint(unix.MS_SHARED|unix.MS_REC))(t, p)
			p.Host.SharedRoot, p.Host.Shared = true, p.Host.Sources
			add(sPivot, one(CallMount, Int(0), Path("/"), Int(0), Uint(unix.MS_SLAVE|unix.MS_REC), Int(0)))(t, p)
		}},
		{"executed before the word to start", "wait for start", func(t *testing.T, p *Program) {
			drop(sStartFIFO)(t, p)
			drop(sWait)(t, p)
		}},
		{"two processes go on", "one process goes on", func(t *testing.T, p *Program) {
			p.Intermediate = true
			p.CloneFlags &^= unix.CLONE_NEWPID
			add(sMark, one(CallUnshare, Uint(unix.CLONE_NEWPID)))(t, p)
			p.Steps[stepOf(t, p, "the new step")].Why = "unshare"
			clone := one(CallClone, Uint(unix.CLONE_PARENT|uint64(unix.SIGCHLD)), Int(0), Int(0), Int(0), Int(0))
			clone.Result = &Slot{Name: "pid", Inherited: -1}
			add("unshare", clone)(t, p)
			p.Steps[stepOf(t, p, "the new step")].Why = "clone"
			add("clone", one(CallBarrier, Int(int(BarrierBorn))))(t, p)
		}},
	})
}

// A check of a slot is no jump, whatever number the slot's argument has beside it.
func TestNeverReadsNoSlots(t *testing.T) {
	s := &Slot{Name: "s", Inherited: -1}
	for n := range 3 {
		args := []Arg{Int(0), Int(0), Int(1), Int(2), Int(0)}
		if st := (Step{Call: CallExpect, Args: args}); !never(&st) {
			t.Fatal("a check that can not hold is no jump")
		}
		args[n] = From(s)
		if st := (Step{Call: CallExpect, Args: args}); never(&st) {
			t.Errorf("a slot as argument %d makes a jump", n)
		}
	}
	args := []Arg{Int(0), Int(0), Int(0), Int(2), Int(1)}
	if st := (Step{Call: CallExpect, Args: args}); !never(&st) {
		t.Error("a negated check that can not hold is no jump")
	}
}

// What a fixup does on links that are found while it runs is judged with all that
// is certain there: the same steps are right before pivot_root and wrong behind the
// closing of descriptors.
func TestVerifyLinksWithFlow(t *testing.T) {
	p := goodProgram()
	i := stepOf(t, p, sTarget)
	root, dir := p.Steps[stepOf(t, p, sRoot)].Result, &Slot{Name: "dir", Inherited: -1}
	steps := func(path string) []Step {
		return []Step{
			{Call: CallOpenat2, Args: []Arg{From(root), Path("/"), how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT), Int(24)}, Result: dir},
			{Call: CallMkdirat, Args: []Arg{From(dir), Path(path), Int(0o755)}},
			{Call: CallClose, Args: []Arg{From(dir)}},
		}
	}
	fixup := Fixup{On: []unix.Errno{unix.ENOENT}, Steps: steps("x"), Then: Retry, Links: &Links{Root: root, Dir: dir, Path: "/x", Steps: steps}}
	p.Steps[i].Fixups = []Fixup{fixup}
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	m := &p.Steps[i].Fixups[0]
	if err := p.verifyFixup(i, m, steps("y")); err != nil {
		t.Errorf("right steps: %v", err)
	}
	host := []Step{{Call: CallOpenTree, Args: []Arg{AtCwd, Path("/src"), Uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)}, Result: dir}}
	late := stepOf(t, p, sAsk)
	for name, c := range map[string]struct {
		step  int
		steps []Step
	}{
		"a path that leads away":             {i, steps("../x")},
		"a slot that nobody has set":         {i, steps("y")[1:]},
		"a path of the host after the pivot": {late, host},
		"a directory after rights fell":      {late, steps("y")},
		"an end":                             {i, []Step{{Call: CallExitGroup, Args: []Arg{Int(0)}}}},
	} {
		if err := p.verifyFixup(c.step, m, c.steps); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	p.Steps[i].Fixups[0].Links.Root = p.Steps[stepOf(t, p, sCgroup)].Result
	if p.Verify() == nil {
		t.Error("links are followed below what is no directory of the container")
	}
}
