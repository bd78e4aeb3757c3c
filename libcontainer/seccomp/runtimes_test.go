package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// loaded reads the newest filter of a process, as the kernel has it.
func loaded(pid int) ([]Insn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(pid); err != nil {
		return nil, err
	}
	defer unix.PtraceDetach(pid)
	if err := unix.PtraceInterrupt(pid); err != nil {
		return nil, err
	}
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return nil, err
	}
	raw := make([]byte, 8*MaxInsns)
	n, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, uintptr(unsafe.Pointer(&raw[0])), 0, 0)
	if e != 0 {
		return nil, e
	}
	insns := make([]Insn, n)
	for i := range insns {
		b := raw[8*i:]
		insns[i] = Insn{binary.NativeEndian.Uint16(b), b[2], b[3], binary.NativeEndian.Uint32(b[4:])}
	}
	return insns, nil
}

// container runs busybox under a profile by another runtime, and gives its pid.
func container(t *testing.T, runtime string, s *specs.LinuxSeccomp) int {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "rootfs/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("no static busybox to run in a container")
	}
	if err := os.WriteFile(filepath.Join(dir, "rootfs/bin/sleep"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	config := specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Cwd: "/", Args: []string{"/bin/sleep", "600"}, NoNewPrivileges: true, Env: []string{"PATH=/bin"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}},
			Seccomp:    s,
		},
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	id := "seccomp-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(rand.Int()%1e6)
	root := filepath.Join(dir, "state")
	// crun refuses a host that has cgroup v2 beside v1.
	const script = `for m in $(awk '/ - cgroup2 / { print $5 }' /proc/self/mountinfo); do umount -l "$m"; done; exec "$@"`
	command := func(args ...string) *exec.Cmd {
		return exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh", runtime, "--root", root}, args...)...)
	}
	cmd := command("run", "--detach", "--bundle", dir, "--pid-file", filepath.Join(dir, "pid"), id)
	// Not a pipe: the container's process would keep it open.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	t.Cleanup(func() {
		if out, err := command("delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err != nil {
		out, _ := os.ReadFile(log.Name())
		t.Fatalf("%s: %v: %s", runtime, err, out)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	// crun returns a little earlier.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(n) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(status), "\nSeccomp:\t2\n") {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("the container has no filter:\n%s", status)
		}
	}
}

// older is moby's profile as it could have been earlier: without calls from a number on,
// with another default action, for other architectures.
func older(t *testing.T, r *rand.Rand) *specs.LinuxSeccomp {
	t.Helper()
	s := readProfile(t, "moby")
	s.DefaultAction = choose(r, specs.ActErrno, specs.ActErrno, specs.ActKill, specs.ActTrap, specs.ActKillProcess, specs.ActLog, specs.ActTrace)
	s.DefaultErrnoRet = nil
	// Always with x86-64: that runc adds it where new calls are concerned is younger than
	// runc 1.1.5.
	s.Architectures = choose(r, []specs.Arch{specs.ArchX86_64}, []specs.Arch{specs.ArchX86_64, specs.ArchX32}, s.Architectures)
	from := 335 + r.Uint32N(130)
	for i := range s.Syscalls {
		e := &s.Syscalls[i]
		e.Names = slices.DeleteFunc(e.Names, func(name string) bool {
			nr, ok := AMD64.Number(name)
			return ok && nr >= from
		})
	}
	s.Syscalls = slices.DeleteFunc(s.Syscalls, func(e specs.LinuxSyscall) bool { return len(e.Names) == 0 })
	return s
}

// TestRuntimes compares with the filters that runc and crun have loaded, as the kernel
// shows them: for the default profiles, and for some that are older.
func TestRuntimes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can read filters")
	}
	p := startPeer(t)
	profiles := map[string]*specs.LinuxSeccomp{}
	for _, name := range engines {
		profiles[name] = readProfile(t, name)
	}
	for i := range 6 {
		profiles["older "+strconv.Itoa(i)] = older(t, rand.New(rand.NewPCG(6, uint64(i))))
	}
	for _, runtime := range []string{"runc", "crun"} {
		if _, err := exec.LookPath(runtime); err != nil {
			t.Skipf("no %s to compare with", runtime)
		}
		for name, s := range profiles {
			compareRuntime(t, p, runtime, name, s)
		}
	}
}

func compareRuntime(t *testing.T, p *peer, runtime, name string, s *specs.LinuxSeccomp) {
	t.Helper()
	s, _ = p.common(t, s)
	theirs, err := loaded(container(t, runtime, s))
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.EACCES) {
		t.Skipf("the kernel does not show filters: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	c, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), s, AMD64, 1)
	if err != nil {
		t.Fatal(err)
	}
	c.theirs = theirs
	if runtime == "runc" {
		// It has put its own part, about new calls, before libseccomp's; crun has none.
		clear(c.last)
	}
	c.all()
	there, here := 0, 0
	for _, call := range commonest {
		n := executed(call, theirs, c.ours.Insns)
		there, here = there+n[0], here+n[1]
	}
	t.Logf("%s, %s: %d verdicts, %d as known; %d instructions there, %d here; executed for ten calls %d there, %d here",
		runtime, name, c.verdicts, c.known, len(theirs), len(c.ours.Insns), there, here)
}
