package program

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestVerifyProcess is about rights that are not those that Program.Rights has.
func TestVerifyProcess(t *testing.T) {
	const bounding, user, groups, caps, sets = "the bounding set must be", "the user and the group", "no groups but", "the capabilities of the config", "the sets of the config"
	check(t, []mutant{
		{"the bounding set stays", bounding, drop(sCaps)},
		{"it may stay", bounding, skip(sCaps, 0)},
		{"what is to stay is dropped", "is to have", arg(sCaps, 1, Int(0))},
		{"root stays", user, drop(sUser)},
		{"root may stay", user, skip(sUser, 0)},
		{"another user", user, func(t *testing.T, p *Program) {
			edit(sUser, func(st *Step) { st.Args = []Arg{Int(0), Int(0), Int(0)} })(t, p)
		}},
		{"root's group stays", user, drop(sGroup)},
		{"only one of its ids changes", "all three", arg(sUser, 1, Uint(1<<32-1))},
		{"a user that is none", "-1 changes nothing", func(t *testing.T, p *Program) {
			p.Rights.UID = 1<<32 - 1
			edit(sUser, func(st *Step) { st.Args = []Arg{Uint(1<<32 - 1), Uint(1<<32 - 1), Uint(1<<32 - 1)} })(t, p)
		}},
		{"a group that is none", "-1 changes nothing", func(t *testing.T, p *Program) {
			edit(sGroup, func(st *Step) { st.Args = []Arg{Int(-1), Int(-1), Int(-1)} })(t, p)
		}},
		{"the caller's groups stay", groups, drop(sGroups)},
		{"they may stay", groups, skip(sGroups, 0)},
		{"another group", groups, arg(sGroups, 1, Ptr(Struct(le.AppendUint32(nil, 8), "[8]")))},
		{"capabilities stay", caps, drop(sSets)},
		{"they may stay", caps, skip(sSets, 0)},
		{"capabilities before the user", caps, move(sSets, sGroups)},
		{"more capabilities", sets, edit(sSets, func(st *Step) { st.Args[1].data.Bytes[4] = 3 })},
		{"an ambient capability", "not to have", add(sSets, Step{Call: CallPrctl, Args: []Arg{Int(unix.PR_CAP_AMBIENT), Int(2), Int(0), Int(0), Int(0)}})},
		{"new privileges", "no new privileges", drop(sNoNew)},
		{"new privileges may come", "no new privileges", skip(sNoNew, 0)},
	})
	// An ordinary user's map may forbid setgroups, where no groups are asked for.
	p := goodProgram()
	p.Rights.Groups = nil
	skip(sGroups, 0)(t, p)
	edit(sGroups, func(st *Step) { st.Args = []Arg{Int(0), Ptr(Struct(nil, "[]"))} })(t, p)
	if p.Verify() == nil {
		t.Error("the caller's groups may stay outside a user namespace")
	}
}

// TestVerifyPeers is about clones of mounts of the host's: what is mounted below a
// peer of the host's mount appears on the host.
func TestVerifyPeers(t *testing.T) {
	shared := func(t *testing.T, p *Program) {
		arg(sSpread, 3, Uint(unix.MS_SHARED|unix.MS_REC))(t, p)
		st := Step{Call: CallMount, Args: []Arg{Int(0), Path("/"), Int(0), Uint(unix.MS_SLAVE | unix.MS_REC), Int(0)}}
		add(sSend, st)(t, p) // before the old root is unmounted
		settle := Step{Call: CallMountSetattr, Args: []Arg{From(p.Steps[stepOf(t, p, sRoot)].Result), Path(""), Int(unix.AT_EMPTY_PATH | unix.AT_RECURSIVE), Ptr(MountAttr(0, 0, unix.MS_SLAVE)), Int(32)}}
		p.Steps[stepOf(t, p, "the new step")].Why = "slave"
		add(sRoot, settle)(t, p)
		p.Steps[stepOf(t, p, "the new step")].Why = "settle"
	}
	p := goodProgram()
	shared(t, p)
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	with := func(f func(*testing.T, *Program)) func(*testing.T, *Program) {
		return func(t *testing.T, p *Program) { shared(t, p); f(t, p) }
	}
	bind := func(t *testing.T, p *Program) {
		to := p.Steps[stepOf(t, p, sTarget)].Result
		move := p.Steps[stepOf(t, p, sAttach)]
		move.Args = []Arg{From(p.Steps[stepOf(t, p, sBind)].Result), Path(""), From(to), Path(""), move.Args[4]}
		add(sBind, move)(t, p)
	}
	const peer = "holds something else"
	check(t, []mutant{
		{"the root", peer, with(drop("settle"))},
		{"the root may be", peer, with(skip("settle", 0))},
		{"the root's top alone", peer, with(arg("settle", 2, Int(unix.AT_EMPTY_PATH)))},
		{"the root made shared", peer, with(arg("settle", 3, Ptr(MountAttr(0, 0, unix.MS_SHARED))))},
		{"a bind", peer, with(bind)},
		{"a device", peer, drop(sPrivate)},
		{"a device may be", peer, skip(sPrivate, 0)},
	})
	p = goodProgram()
	bind(t, p)
	if err := p.Verify(); err != nil {
		t.Errorf("a bind where all mounts are slaves: %v", err)
	}
	p = goodProgram()
	p.Host.Shared = p.Host.Sources
	with(bind)(t, p)
	if err := p.Verify(); err != nil {
		t.Errorf("a bind that the config wants shared: %v", err)
	}
}
