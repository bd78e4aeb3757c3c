package record

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/seccomp"
)

func call(t *testing.T, a seccomp.Arch, name string, args ...uint64) *seccomp.Call {
	t.Helper()
	nr, ok := a.Number(name)
	if !ok {
		t.Fatalf("%s has no %s", a, name)
	}
	c := &seccomp.Call{Nr: nr, Arch: a.Audit()}
	copy(c.Args[:], args)
	return c
}

// profile is what comes of calls, merged with a profile.
func profile(t *testing.T, native seccomp.Arch, base *specs.LinuxSeccomp, calls ...*seccomp.Call) *specs.LinuxSeccomp {
	t.Helper()
	r, err := New(native, base)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range calls {
		r.note(c)
	}
	s, err := r.Result()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ends is what becomes of a call under a profile.
func ends(t *testing.T, s *specs.LinuxSeccomp, native seccomp.Arch, c *seccomp.Call) uint32 {
	t.Helper()
	f, err := seccomp.Compile(s, native)
	if err != nil {
		t.Fatal(err)
	}
	ret, _ := f.Run(c)
	return ret
}

func TestMerge(t *testing.T) {
	const a = seccomp.AMD64
	kill := []specs.LinuxSeccompArg{{Index: 0, Value: 5, Op: specs.OpEqualTo}}
	masked := []specs.LinuxSeccompArg{{Index: 0, Value: namespaceFlags, Op: specs.OpMaskedEqual}}
	for name, x := range map[string]struct {
		base  *specs.LinuxSeccomp
		calls []*seccomp.Call
	}{
		"refused altogether": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "rmdir"}, Action: specs.ActErrno}}},
			[]*seccomp.Call{call(t, a, "mkdir")},
		},
		"refused for an argument": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"dup"}, Action: specs.ActKill, Args: kill}}},
			[]*seccomp.Call{call(t, a, "dup", 5), call(t, a, "dup", 6)},
		},
		"allowed for another argument": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"dup"}, Action: specs.ActAllow, Args: kill}}},
			[]*seccomp.Call{call(t, a, "dup", 6)},
		},
		"clone is killed for": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"clone"}, Action: specs.ActKillProcess}}},
			[]*seccomp.Call{call(t, a, "clone", uint64(unix.SIGCHLD))},
		},
		"clone is refused for just what was done": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"clone"}, Action: specs.ActErrno, Args: masked}}},
			[]*seccomp.Call{call(t, a, "clone", uint64(unix.SIGCHLD))},
		},
		"clone for a namespace": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"clone"}, Action: specs.ActAllow, Args: masked}}},
			[]*seccomp.Call{call(t, a, "clone", uint64(unix.SIGCHLD)), call(t, a, "clone", unix.CLONE_NEWUTS)},
		},
		"another architecture": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64}},
			[]*seccomp.Call{call(t, seccomp.X86, "stat64"), call(t, a, "read"), call(t, seccomp.X32, "read")},
		},
		"who is to be asked": {
			&specs.LinuxSeccomp{DefaultAction: specs.ActTrace, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActNotify}}},
			[]*seccomp.Call{call(t, a, "read"), call(t, a, "write")},
		},
	} {
		text, _ := json.Marshal(x.base)
		s := profile(t, a, x.base, x.calls...)
		for _, c := range append(x.calls, call(t, a, "exit_group"), call(t, a, "rt_sigreturn"), call(t, a, "clock_gettime")) {
			if ret := ends(t, s, a, c); !through(ret) {
				t.Errorf("%s: %+v gets %#x from %+v", name, c, ret, s)
			}
		}
		if now, _ := json.Marshal(x.base); string(now) != string(text) {
			t.Errorf("%s: the profile to merge with was changed: %s", name, now)
		}
	}
}

// TestSmallest: nothing else is allowed.
func TestSmallest(t *testing.T) {
	const a = seccomp.AMD64
	s := profile(t, a, nil, call(t, a, "write"), call(t, a, "read"), call(t, a, "clone", unix.CLONE_VM), call(t, seccomp.X86, "read"), call(t, a, "clone3"))
	var allowed []string
	for _, name := range a.Calls() {
		if ret := ends(t, s, a, call(t, a, name)); through(ret) {
			allowed = append(allowed, name)
		}
	}
	if got := strings.Join(allowed, " "); got != "clock_getres clock_gettime clone exit exit_group getcpu gettimeofday read restart_syscall rt_sigreturn time write" {
		t.Error(got)
	}
	if ret := ends(t, s, a, call(t, a, "clone", unix.CLONE_NEWNS)); through(ret) {
		t.Error("namespaces are allowed")
	}
	if ret := ends(t, s, a, call(t, a, "clone3")); ret != seccomp.RetErrno|uint32(unix.ENOSYS) {
		t.Errorf("clone3 gets %#x", ret)
	}
	if !slices.Equal(s.Architectures, []specs.Arch{specs.ArchX86_64, specs.ArchX86}) {
		t.Errorf("%v", s.Architectures)
	}
	// There the flags are the second argument.
	const z = seccomp.S390X
	for flag, namespaces := range map[uint64]bool{unix.CLONE_VM: false, unix.CLONE_NEWNS: true} {
		c := call(t, z, "clone", unix.CLONE_NEWNS, flag)
		s := profile(t, z, nil, c)
		if !through(ends(t, s, z, c)) || through(ends(t, s, z, call(t, z, "clone", 0, unix.CLONE_NEWUSER))) != namespaces {
			t.Errorf("clone on s390x: %+v", s)
		}
	}
}

// TestClone3 is let through only where the profile to merge with does.
func TestClone3(t *testing.T) {
	const a = seccomp.AMD64
	for action, want := range map[specs.LinuxSeccompAction]bool{specs.ActAllow: true, specs.ActErrno: false} {
		r, err := New(a, &specs.LinuxSeccomp{DefaultAction: action})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.note(call(t, a, "clone3")); got != want {
			t.Errorf("%s: %v", action, got)
		}
		r.Close()
	}
}

// TestFilter: the recorder hears of every call that can be named, but for those that
// can not be seen, and its filter can be loaded.
func TestFilter(t *testing.T) {
	for _, native := range seccomp.Arches() {
		r, err := New(native, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Profile(true)
		f, err := seccomp.Compile(s, native)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(native.Compat(), native) {
			for _, name := range a.Calls() {
				want := uint32(seccomp.RetUserNotif)
				if slices.Contains(unseen, name) {
					want = seccomp.RetAllow
				}
				if ret, _ := f.Run(call(t, a, name)); ret != want {
					t.Errorf("%s, %s: %#x", a, name, ret)
				}
			}
		}
		if native == seccomp.AMD64 {
			t.Logf("%d instructions", len(f.Insns))
		}
		path := s.ListenerPath
		r.Close()
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is left")
		}
	}
}
