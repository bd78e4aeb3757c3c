package program

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// good is a program that keeps all rules, with one of everything that they are
// about. Mutants of it are what the tests below try to get past Verify.
type good struct {
	b                       Builder
	root, mount, tty, first *Slot
	stat                    *Data
}

// name of each step that mutants change, by its words.
const (
	sClose     = "close inherited descriptors"
	sMark      = "keep the interpreter's descriptors from the process"
	sSpread    = "keep mounts from spreading"
	sCgroup    = "open the cgroup"
	sJoinCg    = "enter it"
	sGo        = "go to the root file system"
	sRoot      = "open the root"
	sRootMount = "make it a mount"
	sKind      = "see that it is a character device"
	sPrivate   = "make it private"
	sPts       = "open a devpts"
	sBind      = "clone a source"
	sMaster    = "open the multiplexer"
	sSend      = "hand it over"
	sMount     = "make a mount"
	sTarget    = "open the target"
	sStat      = "look at it"
	sDevice    = "see that it is the device"
	sAttach    = "attach it"
	sTTY       = "open the terminal"
	sStdin     = "make it standard input"
	sEnter     = "enter the root"
	sPivot     = "pivot"
	sUmount    = "let go of the old root"
	sCaps      = "drop rights"
	sNoNew     = "get no new privileges"
	sGroups    = "set the groups"
	sGroup     = "become the group"
	sUser      = "become the user"
	sSets      = "set the capabilities"
	sHide      = "hide"
	sCwd       = "enter the working directory"
	sAsk       = "ask where that is"
	sInside    = "see that it is inside"
	sCloseIt   = "close all descriptors"
	sReady     = "ready"
	sStartFIFO = "take the start FIFO"
	sWait      = "wait"
	sExec      = "execute"
)

// withFIFO is the table of a child that waits for start.
func withFIFO() []Descriptor {
	return append(born(0), Descriptor{"start-fifo", 4, FDStartFIFO, KeepUntilExec})
}

// goodRights are those of the good programs' process.
func goodRights() Rights {
	return Rights{UID: 1000, GID: 1001, Groups: []uint32{7}, LastCap: 1, Bounding: 1, Permitted: 1, NoNewPrivileges: true}
}

// become gives the process those rights.
func become(b *Builder) {
	b.Do(CallPrctl, sNoNew, Int(unix.PR_SET_NO_NEW_PRIVS), Int(1), Int(0), Int(0), Int(0))
	b.Do(CallPrctl, sCaps, Int(unix.PR_CAPBSET_DROP), Int(1))
	b.Do(CallSetgroups, sGroups, Int(1), Ptr(Struct(le.AppendUint32(nil, 7), "[7]")))
	b.Do(CallSetresgid, sGroup, Int(1001), Int(1001), Int(1001))
	b.Do(CallSetresuid, sUser, Int(1000), Int(1000), Int(1000))
	sets := make([]byte, 24)
	sets[4] = 1
	b.Do(CallCapset, sSets, Ptr(Struct(le.AppendUint64(nil, unix.LINUX_CAPABILITY_VERSION_3), "head")), Ptr(Struct(sets, "sets")))
}

func goodProgram() *Program {
	g := &good{stat: Buffer(256, "statx")}
	b := &g.b
	b.Phase = PhaseHost
	b.Do(CallCloseRange, sClose, Int(5), Uint(1<<32-1), Int(0))
	b.Do(CallCloseRange, sMark, Int(3), Int(4), Int(unix.CLOSE_RANGE_CLOEXEC))
	cg := b.Do(CallOpenat, sCgroup, AtCwd, Path("/cg/tasks"), Int(unix.O_WRONLY|unix.O_CLOEXEC), Int(0)).FD("cgroup")
	b.Do(CallWrite, sJoinCg, From(cg), Path("0"), Int(1))
	b.Do(CallClose, "close it", From(cg))
	b.Do(CallChdir, sGo, Path("/rootfs"))
	b.Phase = PhaseRoot
	b.Do(CallMount, sSpread, Int(0), Path("/"), Int(0), Uint(unix.MS_SLAVE|unix.MS_REC), Int(0))
	g.root = b.Do(CallOpenTree, sRoot, AtCwd, Path("."), Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)).FD("root")
	b.Do(CallMoveMount, sRootMount, From(g.root), Path(""), AtCwd, Path("."), Uint(unix.MOVE_MOUNT_F_EMPTY_PATH))
	b.Phase = PhaseMounts
	g.mount = b.Do(CallOpenTree, sMount, AtCwd, Path("/dev/null"), Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).FD("null")
	to := b.Do(CallOpenat2, sTarget, From(g.root), Path("/etc/x"), Ptr(OpenHow(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT)), Int(24)).FD("target")
	b.Do(CallMountSetattr, sPrivate, From(g.mount), Path(""), Int(unix.AT_EMPTY_PATH), Ptr(MountAttr(0, 0, unix.MS_PRIVATE)), Int(32))
	b.Do(CallStatx, sStat, From(g.mount), Path(""), Int(unix.AT_EMPTY_PATH), Uint(unix.STATX_TYPE), Ptr(g.stat))
	b.Expect(From(&Slot{Name: "mode", Home: g.stat, Off: 0x18, Inherited: -1}), unix.S_IFMT<<32, unix.S_IFCHR<<32, unix.ENODEV, sKind)
	rdev := &Slot{Name: "rdev", Home: g.stat, Off: 0x80, Inherited: -1}
	b.Expect(From(rdev), ^uint64(0), 1|3<<32, unix.ENODEV, sDevice)
	b.Do(CallMoveMount, sAttach, From(g.mount), Path(""), From(to), Path(""), Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	b.Phase = PhaseDevices
	fs := b.Do(CallFsopen, sPts, Path("devpts"), Uint(unix.FSOPEN_CLOEXEC)).FD("fs")
	b.Do(CallFsconfig, "create it", From(fs), Int(unix.FSCONFIG_CMD_CREATE), Int(0), Int(0), Int(0))
	pts := b.Do(CallFsmount, "make it a mount", From(fs), Uint(unix.FSMOUNT_CLOEXEC), Uint(0)).FD("pts")
	bind := b.Do(CallOpenTree, sBind, AtCwd, Path("/src"), Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).FD("bind")
	b.Do(CallClose, "close it", From(bind))
	msg, master := FDMessage("master")
	b.Do(CallOpenat, sMaster, From(pts), Path("ptmx"), Int(unix.O_RDWR|unix.O_NOCTTY|unix.O_NOFOLLOW|unix.O_CLOEXEC), Int(0)).Into(master)
	g.tty = b.Do(CallIoctl, sTTY, From(master), Int(unix.TIOCGPTPEER), Int(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)).FD("tty")
	b.Do(CallSendmsg, sSend, Int(3), Ptr(msg), Int(unix.MSG_NOSIGNAL))
	b.Do(CallDup3, sStdin, From(g.tty), Int(0), Int(0))
	b.Phase = PhasePivot
	b.Do(CallFchdir, sEnter, From(g.root))
	b.Do(CallPivotRoot, sPivot, Path("."), Path("."))
	b.Do(CallUmount2, sUmount, Path("."), Int(unix.MNT_DETACH))
	b.Phase = PhaseProcess
	b.Do(CallPrctl, sHide, Int(unix.PR_SET_DUMPABLE), Int(0))
	become(b)
	fd := b.Do(CallOpenat2, sCwd, From(g.root), Path("/w"), Ptr(OpenHow(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT)), Int(24)).FD("cwd")
	b.Do(CallFchdir, sCwd, From(fd))
	buf := Buffer(4096, "cwd")
	b.Do(CallGetcwd, sAsk, Ptr(buf), Int(4096))
	g.first = &Slot{Name: "cwd[0]", Home: buf, Inherited: -1}
	b.Expect(From(g.first), 0xff, '/', unix.ENOENT, sInside)
	b.Do(CallCloseRange, sCloseIt, Int(5), Uint(1<<32-1), Int(0))
	b.Phase = PhaseStart
	b.Barrier(BarrierReady, sReady)
	b.Do(CallDup3, sStartFIFO, Int(4), Int(3), Int(unix.O_CLOEXEC)).Quiet()
	b.Do(CallRead, sWait, Int(3), Ptr(buf), Int(1))
	b.Do(CallExecve, sExec, Path("/bin/true"), Int(0), Int(0))
	return &Program{
		Steps: b.Steps(), Rights: goodRights(), Descriptors: withFIFO(), CloneFlags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Host: Host{Root: "/rootfs", Sources: []string{"/src"}, Devices: []string{"/dev/null"}, Cgroups: []string{"/cg/tasks"}},
	}
}

// stepOf returns the first step of those words.
func stepOf(t *testing.T, p *Program, why string) int {
	t.Helper()
	for i := range p.Steps {
		if p.Steps[i].Why == why {
			return i
		}
	}
	t.Fatalf("no step %q", why)
	return -1
}

func TestVerifyGood(t *testing.T) {
	p := goodProgram()
	for range 2 { // a second look sees the same
		if err := p.Verify(); err != nil {
			t.Fatal(err)
		}
	}
}

// mutant is a change that makes the good program a dangerous one.
type mutant struct {
	name, rule string
	change     func(t *testing.T, p *Program)
}

func drop(why string) func(*testing.T, *Program) {
	return func(t *testing.T, p *Program) {
		i := stepOf(t, p, why)
		p.Steps = append(p.Steps[:i:i], p.Steps[i+1:]...)
	}
}

func edit(why string, f func(st *Step)) func(*testing.T, *Program) {
	return func(t *testing.T, p *Program) { f(&p.Steps[stepOf(t, p, why)]) }
}

func arg(why string, n int, a Arg) func(*testing.T, *Program) {
	return edit(why, func(st *Step) { st.Args[n] = a })
}

// skip makes a step jump over the next n when it fails with ENOENT.
func skip(why string, n int) func(*testing.T, *Program) {
	return edit(why, func(st *Step) { st.Harmless = append(st.Harmless, Harmless{unix.ENOENT, n}) })
}

// move puts a step behind another one, phase and all.
func move(why, behind string) func(*testing.T, *Program) {
	return func(t *testing.T, p *Program) {
		i := stepOf(t, p, why)
		st := p.Steps[i]
		p.Steps = append(p.Steps[:i:i], p.Steps[i+1:]...)
		j := stepOf(t, p, behind)
		st.Phase = p.Steps[j].Phase
		p.Steps = append(p.Steps[:j+1:j+1], append([]Step{st}, p.Steps[j+1:]...)...)
	}
}

// add puts a new step behind another one.
func add(behind string, st Step) func(*testing.T, *Program) {
	return func(t *testing.T, p *Program) {
		j := stepOf(t, p, behind)
		s := st
		s.Phase, s.Why = p.Steps[j].Phase, "the new step"
		p.Steps = append(p.Steps[:j+1:j+1], append([]Step{s}, p.Steps[j+1:]...)...)
	}
}

func how(flags, resolve uint64) Arg { return Ptr(OpenHow(flags, resolve)) }

func check(t *testing.T, mutants []mutant) {
	t.Helper()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			p := goodProgram()
			m.change(t, p)
			err := p.Verify()
			if err == nil {
				t.Fatal("it passes")
			}
			if !strings.Contains(err.Error(), m.rule) {
				t.Errorf("another rule caught it: %v", err)
			}
		})
	}
}

func TestVerifyForm(t *testing.T) {
	check(t, []mutant{
		{"empty", "empty", func(_ *testing.T, p *Program) { p.Steps = nil }},
		{"unknown call", "unknown call", edit(sAsk, func(st *Step) { st.Call = numCalls })},
		{"too many arguments", "at most six", edit(sAsk, func(st *Step) { st.Args = append(st.Args, Int(0), Int(0), Int(0), Int(0), Int(0)) })},
		{"missing argument", "arguments are missing", edit(sAttach, func(st *Step) { st.Args = st.Args[:4] })},
		{"five harmless errnos", "at most four", edit(sAttach, func(st *Step) {
			for no := unix.Errno(1); no < 6; no++ {
				st.Harmless = append(st.Harmless, Harmless{Errno: no})
			}
		})},
		{"jump out", "leads out", skip(sWait, 1)},
		{"jump out of the last", "leads out", skip(sExec, 0)},
		{"jump back", "leads out", skip(sWait, -1)},
		{"success as an errno", "leads out", edit(sWait, func(st *Step) { st.Harmless = []Harmless{{0, 0}} })},
		{"no end", "last step", drop(sExec)},
		{"dead steps", "no way leads", edit(sStat, func(st *Step) {
			*st = Step{Call: CallExitGroup, Args: []Arg{Int(0)}, Phase: st.Phase}
		})},
		{"fixup that waits", "may not wait", edit(sAttach, func(st *Step) {
			st.Fixups = []Fixup{{On: []unix.Errno{unix.ENOENT}, Steps: []Step{{Call: CallBarrier, Args: []Arg{Int(1)}}}}}
		})},
		{"fixup that executes", "may not wait", edit(sAttach, func(st *Step) {
			st.Fixups = []Fixup{{On: []unix.Errno{unix.ENOENT}, Steps: []Step{{Call: CallExecve, Args: []Arg{Int(1), Int(0), Int(0)}}}}}
		})},
		{"too large", "too large", func(_ *testing.T, p *Program) {
			last := p.Steps[len(p.Steps)-1]
			for len(p.Steps) <= MaxSteps {
				p.Steps = append(p.Steps, last)
			}
		}},
	})
}

func TestVerifySlots(t *testing.T) {
	never := &Slot{Name: "never", Inherited: -1}
	check(t, []mutant{
		{"never set", "may not be set", arg(sEnter, 0, From(never))},
		{"set on one way", "may not be set", skip(sTarget, 0)},
		{"set later", "may not be set", move(sTarget, sAttach)},
		{"used after it was closed", "may not be set", func(t *testing.T, p *Program) {
			add(sTarget, Step{Call: CallClose, Args: []Arg{From(p.Steps[stepOf(t, p, sTarget)].Result)}})(t, p)
		}},
		{"memory that nobody wrote", "may not be set", drop(sStat)},
		{"memory of another call", "may not be set", func(t *testing.T, p *Program) {
			// An earlier look at something else does not stand in for this one.
			st := p.Steps[stepOf(t, p, sStat)]
			drop(sStat)(t, p)
			st.Phase = PhaseRoot
			st.Args = append([]Arg{From(p.Steps[stepOf(t, p, sRoot)].Result)}, st.Args[1:]...)
			add(sRoot, st)(t, p)
		}},
		{"memory of a call that failed", "may not be set", skip(sStat, 0)},
		{"fixup that does not set", "must set the step's result", edit(sTarget, func(st *Step) {
			st.Fixups = []Fixup{{On: []unix.Errno{unix.ENOENT}, Then: Next}}
		})},
	})
}

func TestVerifyPaths(t *testing.T) {
	root := func(p *Program, t *testing.T) Arg { return From(p.Steps[stepOf(t, p, sRoot)].Result) }
	below := func(call Call, args ...Arg) func(*testing.T, *Program) {
		return func(t *testing.T, p *Program) {
			add(sTarget, Step{Call: call, Args: append([]Arg{root(p, t)}, args...)})(t, p)
		}
	}
	const rule, exec = "below a descriptor", "close-on-exec"
	check(t, []mutant{
		{"openat2 at large", rule, arg(sTarget, 2, how(unix.O_PATH|unix.O_CLOEXEC, 0))},
		{"openat2 that only bars links", rule, arg(sTarget, 2, how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_NO_SYMLINKS))},
		{"openat of two components", rule, below(CallOpenat, Path("a/b"), Int(unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC), Int(0))},
		{"openat that follows", exec, below(CallOpenat, Path("a"), Int(unix.O_PATH|unix.O_CLOEXEC), Int(0))},
		{"openat of ..", rule, below(CallOpenat, Path(".."), Int(unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC), Int(0))},
		{"mkdirat of two components", rule, below(CallMkdirat, Path("a/b"), Int(0o755))},
		{"mkdirat of an absolute path", rule, below(CallMkdirat, Path("/a"), Int(0o755))},
		{"statx that follows", rule, below(CallStatx, Path("a"), Int(0), Int(0), Ptr(Buffer(256, "")))},
		{"chown that follows", rule, below(CallFchownat, Path("a"), Int(0), Int(0), Int(0))},
		{"faccessat2", rule, below(CallFaccessat2, Path("a"), Int(0), Int(0))},
		{"readlinkat", "a link", below(CallReadlinkat, Path("a"), Ptr(Buffer(64, "")), Int(64))},
		{"open_tree of a name", rule, below(CallOpenTree, Path("a"), Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))},
		{"move_mount to a name", rule, func(t *testing.T, p *Program) { arg(sAttach, 3, Path("etc"))(t, p) }},
		{"a path after pivot_root", "after the root has changed", add(sUmount, Step{Call: CallOpenat, Args: []Arg{AtCwd, Path("/etc/passwd"), Int(unix.O_CLOEXEC), Int(0)}})},
		{"chdir after pivot_root", "after pivot_root", add(sUmount, Step{Call: CallChdir, Args: []Arg{Path("/w")}})},
	})
}

func TestVerifyChanges(t *testing.T) {
	const host, opens, named = "may not be changed", "nothing made or truncated", "must be one that the program names"
	check(t, []mutant{
		{"mkdir on the host", host, add(sMount, Step{Call: CallMkdirat, Args: []Arg{AtCwd, Path("/x"), Int(0)}})},
		{"mount on the host", host, arg(sAttach, 2, AtCwd)},
		{"mount over a path", host, add(sMount, Step{Call: CallMount, Args: []Arg{Path("."), Path("/etc"), Int(0), Uint(unix.MS_MOVE), Int(0)}})},
		{"mount attributes of the host", host, add(sMount, Step{Call: CallMountSetattr, Args: []Arg{AtCwd, Path("/etc"), Int(0), Ptr(MountAttr(1, 0, 0)), Int(32)}})},
		{"unlink on the host", host, add(sMount, Step{Call: CallUnlinkat, Args: []Arg{AtCwd, Path("/etc/passwd"), Int(0)}})},
		{"bind by mount(2)", "made detached", add(sMount, Step{Call: CallMount, Args: []Arg{Path("/etc"), Path("."), Int(0), Uint(unix.MS_BIND), Int(0)}})},
		{"move by mount(2)", "made detached", add(sMount, Step{Call: CallMount, Args: []Arg{Path("/etc"), Path("."), Int(0), Uint(unix.MS_MOVE), Int(0)}})},
		{"open that makes", named, add(sMount, Step{Call: CallOpenat, Args: []Arg{AtCwd, Path("/x"), Int(unix.O_CREAT | unix.O_WRONLY | unix.O_CLOEXEC), Int(0)}})},
		{"open that truncates", named, add(sMount, Step{Call: CallOpenat, Args: []Arg{AtCwd, Path("/x"), Int(unix.O_TRUNC | unix.O_WRONLY | unix.O_CLOEXEC), Int(0)}})},
		{"open of a nameless file", opens, add(sMount, Step{Call: CallOpenat, Args: []Arg{AtCwd, Path("/"), Int(unix.O_TMPFILE | unix.O_WRONLY | unix.O_CLOEXEC), Int(0)}})},
		{"openat2 that makes", opens, arg(sTarget, 2, how(unix.O_CREAT|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT))},
		{"openat2 without a how", opens, arg(sTarget, 2, Int(0))},
	})
}

func TestVerifyDescriptors(t *testing.T) {
	const exec, std, closed, marked = "close-on-exec", "standard files must be", "must be closed before the container is ready", "interpreter's descriptors"
	check(t, []mutant{
		{"open_tree", exec, arg(sMount, 2, Uint(unix.OPEN_TREE_CLONE))},
		{"openat2", exec, arg(sTarget, 2, how(unix.O_PATH, unix.RESOLVE_IN_ROOT))},
		{"openat", "names for this", add(sMount, Step{Call: CallOpenat, Args: []Arg{AtCwd, Path("/x"), Int(unix.O_PATH), Int(0)}})},
		{"fsopen", exec, add(sMount, Step{Call: CallFsopen, Args: []Arg{Path("tmpfs"), Int(0)}})},
		{"socket", exec, add(sMount, Step{Call: CallSocket, Args: []Arg{Int(unix.AF_INET), Int(unix.SOCK_DGRAM), Int(0)}})},
		{"terminal", exec, arg(sTTY, 2, Int(unix.O_RDWR))},
		{"dup3", std, arg(sStdin, 1, Int(7))},
		{"the root as standard input", std, func(t *testing.T, p *Program) { arg(sStdin, 0, From(p.Steps[stepOf(t, p, sRoot)].Result))(t, p) }},
		{"the socket as standard input", std, arg(sStdin, 0, Int(3))},
		{"shared table", "nothing shared", add(sClose, Step{Call: CallClone, Args: []Arg{Int(unix.CLONE_FILES)}})},
		{"not closed", closed, drop(sCloseIt)},
		{"closed on one way", closed, skip(sInside, 1)},
		{"only some closed", closed, arg(sCloseIt, 0, Int(6))},
		{"only up to some closed", closed, arg(sCloseIt, 1, Int(10))},
		{"only marked", closed, arg(sCloseIt, 2, Int(unix.CLOSE_RANGE_CLOEXEC))},
		{"used after all is closed", "may not be set", move(sCwd, sCloseIt)},
		{"closing may fail", closed, skip(sCloseIt, 0)},
		{"the interpreter's are not marked", marked, drop(sMark)},
		{"only some are marked", marked, arg(sMark, 1, Int(3))},
		{"the process's own are marked", marked, arg(sMark, 0, Int(2))},
		{"marking may fail", marked, skip(sMark, 0)},
	})
	// A fixup that opens a descriptor behind the closing. (A place in the container
	// is all that may still be opened there.)
	p := goodProgram()
	i := stepOf(t, p, sCloseIt)
	root := p.Steps[stepOf(t, p, sRoot)].Result
	p.Descriptors = append(p.Descriptors, Descriptor{"dir", 5, FDDirectory, KeepUntilReady})
	open := func(dir *Slot) Step {
		return Step{Call: CallOpenat2, Args: []Arg{From(dir), Path("x"), how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT), Int(24)}, Result: &Slot{Name: "x", Inherited: -1}, Phase: PhaseProcess}
	}
	st := open(root)
	st.Fixups = []Fixup{{On: []unix.Errno{unix.EINVAL}, Then: Next, Steps: []Step{open(root)}}}
	p.Steps = append(p.Steps[:i:i], append([]Step{st}, p.Steps[i:]...)...)
	p.Steps[i].Fixups[0].Steps[0].Result = st.Result
	if err := p.Verify(); err != nil {
		t.Errorf("a fixup before the closing: %v", err)
	}
	p.Steps[i], p.Steps[i+1] = p.Steps[i+1], p.Steps[i]
	if err := p.Verify(); err == nil || !strings.Contains(err.Error(), "may not be set") {
		t.Errorf("a fixup opens a descriptor behind the closing: %v", err)
	}
}

func TestVerifyRights(t *testing.T) {
	const before, seen = "before capabilities fall", "made visible"
	check(t, []mutant{
		{"mount after capset", before, move(sCaps, sSpread)},
		{"namespace after capset", before, add(sCaps, Step{Call: CallUnshare, Args: []Arg{Int(unix.CLONE_NEWNET)}})},
		{"clone of a tree after capset", before, move(sPts, sCaps)},
		{"clone after capset", before, add(sCaps, Step{Call: CallClone, Args: []Arg{Uint(unix.CLONE_PARENT | uint64(unix.SIGCHLD)), Int(0), Int(0), Int(0), Int(0)}})},
		{"visible", seen, arg(sHide, 1, Int(1))},
		{"any prctl", seen, func(t *testing.T, p *Program) { arg(sHide, 0, From(p.Steps[stepOf(t, p, sRoot)].Result))(t, p) }},
	})
}

func TestVerifyFilter(t *testing.T) {
	insns := []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f} // return SECCOMP_RET_ALLOW
	made := func(count byte, insns []byte) Step {
		return Step{Call: CallSeccomp, Args: []Arg{Int(1), Int(0), Ptr(&Data{Bytes: append([]byte{count}, make([]byte, 15)...), Refs: []Ref{{Off: 8, To: Struct(insns, "")}}})}}
	}
	filter := made(1, insns)
	const rule = "behind the system call filter"
	after := func(st Step) func(*testing.T, *Program) {
		return func(t *testing.T, p *Program) {
			add(sReady, filter)(t, p)
			p.Steps[stepOf(t, p, "the new step")].Why = "filter"
			add("filter", st)(t, p)
		}
	}
	check(t, []mutant{
		{"ioctl", rule, after(Step{Call: CallIoctl, Args: []Arg{Int(0), Int(unix.TIOCSCTTY), Int(0)}})},
		{"setsid", rule, after(Step{Call: CallSetsid})},
		{"fchown", rule, after(Step{Call: CallFchown, Args: []Arg{Int(0), Int(0), Int(0)}})},
	})
	const form = "the filter of the config"
	with := func(want []byte, st Step) func(*testing.T, *Program) {
		return func(t *testing.T, p *Program) {
			p.Filter = want
			add(sReady, st)(t, p)
		}
	}
	check(t, []mutant{
		{"nobody asked for one", "must be that of the config", with(nil, filter)},
		{"another one", "must be that of the config", with([]byte{6, 0, 0, 0, 0, 0, 0, 0}, filter)},
		{"another flag", "flags must be those", with(insns, Step{Call: CallSeccomp, Args: []Arg{Int(1), Int(2), filter.Args[2]}})},
		{"more than is there", form, with(insns, made(2, insns))},
		{"empty", form, with(insns, made(0, nil))},
		{"a buffer", form, with(insns, Step{Call: CallSeccomp, Args: []Arg{Int(1), Int(0), Ptr(Buffer(16, ""))}})},
		{"strict mode", "SECCOMP_SET_MODE_FILTER", with(insns, Step{Call: CallSeccomp, Args: []Arg{Int(0), Int(0), filter.Args[2]}})},
		{"none at all", "under the system call filter", func(_ *testing.T, p *Program) { p.Filter = insns }},
	})
	p := goodProgram()
	p.Filter = insns
	add(sReady, filter)(t, p)
	if err := p.Verify(); err != nil {
		t.Errorf("a filter at its place: %v", err)
	}
}

func TestVerifyOrder(t *testing.T) {
	check(t, []mutant{
		{"barriers descend", "barriers must ascend", add(sReady, Step{Call: CallBarrier, Args: []Arg{Int(int(BarrierBorn))}})},
		{"barrier twice", "barriers must ascend", add(sReady, Step{Call: CallBarrier, Args: []Arg{Int(int(BarrierReady))}})},
		{"unknown barrier", "barriers must ascend", add(sReady, Step{Call: CallBarrier, Args: []Arg{Int(99)}})},
		{"a step before the wait for start", "the start FIFO must be read", add(sStartFIFO, Step{Call: CallUmask, Args: []Arg{Int(0)}})},
		{"phases descend", "phases must ascend", edit(sAttach, func(st *Step) { st.Phase = PhaseHost })},
		{"past ready", "before the start FIFO took", skip(sCloseIt, 2)},
	})
}

func TestVerifySpreading(t *testing.T) {
	const mounted, unmounted = "how mounts spread", "spreads to the host"
	check(t, []mutant{
		{"not said", mounted, drop(sSpread)},
		{"said too late", mounted, move(sSpread, sAttach)},
		{"may fail", mounted, skip(sSpread, 0)},
		{"of another mount", mounted, arg(sSpread, 1, Path("/etc"))},
		{"no propagation at all", "one of four", arg(sSpread, 3, Uint(unix.MS_REC))},
		{"unmount of shared mounts", unmounted, arg(sSpread, 3, Uint(unix.MS_SHARED|unix.MS_REC))},
		{"unmount of what is shared below", unmounted, arg(sSpread, 3, Uint(unix.MS_PRIVATE))},
		{"unmount without pivot_root", unmounted, drop(sPivot)},
	})
}

func TestVerifyInside(t *testing.T) {
	const root, inside = "root of its own", "working directory is inside"
	check(t, []mutant{
		{"no pivot_root", root, func(t *testing.T, p *Program) { drop(sPivot)(t, p); drop(sUmount)(t, p) }},
		{"the old root stays", root, drop(sUmount)},
		{"unmounting may fail", root, skip(sUmount, 0)},
		{"unmount that may do nothing", root, arg(sUmount, 1, Int(unix.MNT_EXPIRE))},
		{"the root is not entered", "entered by its descriptor", drop(sEnter)},
		{"pivot_root to elsewhere", "must be the working directory", arg(sPivot, 0, Path("/"))},
		{"chroot to the host", "must be the working directory", func(t *testing.T, p *Program) {
			drop(sUmount)(t, p)
			edit(sPivot, func(st *Step) { st.Call, st.Args = CallChroot, []Arg{Path("/")} })(t, p)
		}},
		{"chroot without a descriptor", "entered by its descriptor", func(t *testing.T, p *Program) {
			drop(sUmount)(t, p)
			edit(sPivot, func(st *Step) { st.Call, st.Args = CallChroot, []Arg{Path(".")} })(t, p)
			edit(sEnter, func(st *Step) { st.Call, st.Args = CallChdir, []Arg{Path("/")} })(t, p)
		}},
		{"nobody asks", inside, func(t *testing.T, p *Program) { drop(sAsk)(t, p); drop(sInside)(t, p) }},
		{"nobody looks", inside, drop(sInside)},
		{"a look that always holds", inside, arg(sInside, 1, Uint(0))},
		{"a look for something else", inside, arg(sInside, 2, Uint('('))},
		{"a look that is no matter", inside, skip(sInside, 0)},
		{"elsewhere afterwards", inside, func(t *testing.T, p *Program) {
			add(sInside, Step{Call: CallFchdir, Args: []Arg{From(p.Steps[stepOf(t, p, sCwd)].Result)}})(t, p)
		}},
	})
}

// TestVerifyScales verifies the largest program there may be: in a moment, and
// without memory by the square of its steps.
func TestVerifyScales(t *testing.T) {
	var b Builder
	end := b.Label()
	for i := range MaxSteps/2 - 100 {
		fd := b.Do(CallOpenTree, "open "+strconv.Itoa(i), AtCwd, Path("/a"), Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).On(unix.ENOENT, end).FD("fd")
		b.Do(CallClose, "close it", From(fd))
	}
	b.Here(end)
	b.Do(CallExitGroup, "end", Int(0))
	p := &Program{Steps: b.Steps(), Descriptors: born(0), Host: Host{Sources: []string{"/a"}}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d bytes", got)
	}
	t.Logf("%d steps: %s, %d bytes", len(p.Steps), time.Since(start), after.TotalAlloc-before.TotalAlloc)
}
