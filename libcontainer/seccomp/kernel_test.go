package seccomp

import (
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// harmless are calls that take no arguments and change nothing, and that the Go runtime does
// not use: a filter can be tried on them with any arguments.
var harmless = []string{"getppid", "getuid", "geteuid", "getgid", "getegid", "getpgrp"}

// load puts a filter on this thread.
func load(insns []Insn) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	raw := (&Filter{Insns: insns, Arch: Native()}).Bytes()
	prog := unix.SockFprog{Len: uint16(len(insns)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, 1 /* SECCOMP_SET_MODE_FILTER */, 0, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(raw)
	if e != 0 {
		return e
	}
	return nil
}

// onThread runs f on a thread that ends with it, as a filter can not be taken off again.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// needKernel skips where filters can not be loaded.
func needKernel(t *testing.T) {
	t.Helper()
	if Native() != AMD64 {
		t.Skip("the calls that this test makes are chosen for amd64")
	}
	var err error
	onThread(func() { err = load([]Insn{{Code: codeReturn, K: RetAllow}}) })
	if err != nil {
		t.Skipf("no filter can be loaded here: %v", err)
	}
}

// marked is a profile of harmless calls in which each entry has an errno of its own,
// such as no call returns by itself.
func marked(r *rand.Rand) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	for i := range 1 + r.IntN(20) {
		no := uint(2000 + i)
		e := randomEntry(r, harmless, harmless, operators[:])
		e.Action, e.ErrnoRet = specs.ActErrno, &no
		s.Syscalls = append(s.Syscalls, e)
	}
	return s
}

// TestKernel holds the interpreter against the kernel's: the filters of random
// profiles are loaded, and calls made.
func TestKernel(t *testing.T) {
	needKernel(t)
	calls, refused := 0, 0
	for i := range 200 {
		r := rand.New(rand.NewPCG(2, uint64(i)))
		s := marked(r)
		f, err := Compile(s, AMD64)
		if err != nil {
			continue
		}
		sound, err := parse(s, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		set, err := sound.ruleset(AMD64)
		if err != nil {
			t.Fatal(err)
		}
		c := &comparison{rand: r}
		onThread(func() {
			if err := load(f.Insns); err != nil {
				t.Errorf("the kernel refuses the filter: %v", err)
				return
			}
			for _, name := range harmless {
				nr, _ := AMD64.Number(name)
				for _, args := range c.arguments(set.rules(nr)) {
					calls++
					ret, _ := f.Run(&Call{Nr: nr, Arch: AMD64.Audit(), Args: args})
					want := unix.Errno(0)
					if ret != RetAllow {
						want = unix.Errno(ret & RetData)
						refused++
					}
					_, _, got := unix.RawSyscall6(uintptr(nr), uintptr(args[0]), uintptr(args[1]), uintptr(args[2]), uintptr(args[3]), uintptr(args[4]), uintptr(args[5]))
					if got != want {
						text, _ := json.Marshal(s)
						t.Errorf("%s(%#x): %d, the interpreter says %d, of %s", name, args, got, want, text)
						return
					}
				}
			}
		})
	}
	t.Logf("%d calls made, of which %d refused", calls, refused)
	if calls < 1000 || refused == 0 || refused == calls {
		t.Error("that proves nothing")
	}
}

// TestKernelTakes has the kernel check the filters of random profiles of all kinds. None
// of them has a say: an instruction before it lets all calls through.
func TestKernelTakes(t *testing.T) {
	needKernel(t)
	p := startPeer(t)
	taken := 0
	for i := range 150 {
		s, native := randomProfile(t, p, rand.New(rand.NewPCG(3, uint64(i))))
		f, err := Compile(s, native)
		if err != nil || native.BigEndian() || len(f.Insns) == MaxInsns {
			continue
		}
		taken++
		onThread(func() { err = load(append([]Insn{{Code: codeReturn, K: RetAllow}}, f.Insns...)) })
		if err != nil {
			t.Errorf("profile %d: %v", i, err)
		}
	}
	t.Logf("%d filters", taken)
}

// TestAlwaysAllowed sees what the kernel goes by when it notes the calls that a filter
// lets through whatever their arguments, and runs it for them no more: on their way
// no argument is loaded. (kernel/seccomp.c, seccomp_is_const_allow, Linux 5.11.)
func TestAlwaysAllowed(t *testing.T) {
	for _, name := range engines {
		f, err := Compile(readProfile(t, name), AMD64)
		if err != nil {
			t.Fatal(err)
		}
		const looks = 0xdead
		blind := slices.Clone(f.Insns)
		for i := range blind {
			if blind[i].Code == codeLoad && blind[i].K >= 16 {
				blind[i] = Insn{Code: codeReturn, K: looks}
			}
		}
		allowed, constant := 0, 0
		for _, call := range AMD64.Calls() {
			nr, _ := AMD64.Number(call)
			d := &Call{Nr: nr, Arch: AMD64.Audit()}
			if ret, _ := f.Run(d); ret != RetAllow {
				continue
			}
			allowed++
			if ret, _, _ := Run(blind, d, false); ret != looks {
				constant++
			}
		}
		t.Logf("%s: %d calls allowed with arguments of 0, %d of them always", name, allowed, constant)
		if constant < allowed-6 || constant < 250 {
			t.Errorf("%s: of %d allowed calls only %d are so without a look at arguments", name, allowed, constant)
		}
	}
}
