package program

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Words of the steps of a program that enters a container.
const (
	sJoin  = "join the container's namespaces"
	sSlash = "open the container's root"
	sProc  = "open a procfs of its own"
)

// enterProgram joins a container by a pidfd and executes there.
func enterProgram() *Program {
	b := &Builder{}
	pid := Descriptor{"pidfd", 4, FDPidFD, KeepUntilReady}
	b.Phase = PhaseHost
	b.Do(CallCloseRange, sClose, Int(5), Uint(1<<32-1), Int(0))
	b.Do(CallCloseRange, sMark, Int(3), Int(3), Int(unix.CLOSE_RANGE_CLOEXEC))
	b.Phase = PhaseJoin
	b.Do(CallPrctl, sHide, Int(unix.PR_SET_DUMPABLE), Int(0))
	b.Do(CallSetns, sJoin, From(pid.Slot()), Uint(unix.CLONE_NEWNS|unix.CLONE_NEWUTS))
	b.Phase = PhaseRoot
	root := b.Do(CallOpenat, sSlash, AtCwd, Path("/"), Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), Int(0)).FD("root")
	fs := b.Do(CallFsopen, sProc, Path("proc"), Uint(unix.FSOPEN_CLOEXEC)).FD("fs")
	b.Do(CallFsconfig, "create it", From(fs), Int(unix.FSCONFIG_CMD_CREATE), Int(0), Int(0), Int(0))
	b.Do(CallFsmount, "make it a mount that is attached nowhere", From(fs), Uint(unix.FSMOUNT_CLOEXEC), Uint(0)).FD("proc")
	b.Phase = PhaseProcess
	become(b)
	fd := b.Do(CallOpenat2, sCwd, From(root), Path("/w"), how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT), Int(24)).FD("cwd")
	b.Do(CallFchdir, sEnter, From(fd))
	buf := Buffer(4096, "cwd")
	b.Do(CallGetcwd, sAsk, Ptr(buf), Int(4096))
	b.Expect(From(&Slot{Name: "cwd[0]", Home: buf, Inherited: -1}), 0xff, '/', unix.ENOENT, sInside)
	b.Do(CallCloseRange, sCloseIt, Int(4), Uint(1<<32-1), Int(0))
	b.Phase = PhaseStart
	b.Barrier(BarrierReady, sReady)
	b.Do(CallExecve, sExec, Path("/bin/true"), Int(0), Int(0))
	return &Program{Kind: KindEnter, Steps: b.Steps(), Rights: goodRights(), Host: Host{Sources: []string{"/"}}, Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWUTS, Descriptors: append(born(0), pid)}
}

// hookProgram executes a program of the host in the runtime's namespaces.
func hookProgram() *Program {
	b := &Builder{}
	b.Phase = PhaseHost
	b.Do(CallCloseRange, sMark, Int(3), Int(3), Int(unix.CLOSE_RANGE_CLOEXEC))
	b.Do(CallCloseRange, sCloseIt, Int(4), Uint(1<<32-1), Int(0))
	b.Phase = PhaseStart
	b.Do(CallExecve, sExec, Path("/usr/bin/hook"), Int(0), Int(0))
	return &Program{Kind: KindHook, Steps: b.Steps(), Host: Host{Sources: []string{"/"}}, Descriptors: born(0)}
}

func TestVerifyKinds(t *testing.T) {
	for _, p := range []*Program{enterProgram(), hookProgram()} {
		if err := p.Verify(); err != nil {
			t.Errorf("%s: %v", p.Kind, err)
		}
	}
	const root, inside, only, marked = "the root file system is the directory", "working directory is inside", "only a program that creates", "interpreter's descriptors"
	host := Step{Call: CallOpenTree, Args: []Arg{AtCwd, Path("/"), Uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)}}
	for _, m := range []struct {
		mutant
		of func() *Program
	}{
		{mutant{"enters nothing", root, drop(sJoin)}, enterProgram},
		{mutant{"joins no mount namespace", root, arg(sJoin, 1, Uint(unix.CLONE_NEWUTS))}, enterProgram},
		{mutant{"joining may fail", root, skip(sJoin, 0)}, enterProgram},
		{mutant{"nobody looks", inside, drop(sInside)}, enterProgram},
		{mutant{"pivots", only, add(sSlash, Step{Call: CallPivotRoot, Args: []Arg{Path("."), Path(".")}})}, enterProgram},
		{mutant{"unshares", only, add(sSlash, Step{Call: CallUnshare, Args: []Arg{Uint(unix.CLONE_NEWNS)}})}, enterProgram},
		{mutant{"clones a tree", only, add(sSlash, host)}, enterProgram},
		{mutant{"mounts a tmpfs", only, arg(sProc, 0, Path("tmpfs"))}, enterProgram},
		{mutant{"a hook that mounts", only, add(sMark, host)}, hookProgram},
		{mutant{"a hook with the socket", marked, drop(sMark)}, hookProgram},
		{mutant{"a hook with a process's rights", "no rights that are checked", func(_ *testing.T, p *Program) { p.Rights.LastCap = 40 }}, hookProgram},
	} {
		p := m.of()
		m.change(t, p)
		if err := p.Verify(); err == nil || !strings.Contains(err.Error(), m.rule) {
			t.Errorf("%s: %v, want %q", m.name, err, m.rule)
		}
	}
}
