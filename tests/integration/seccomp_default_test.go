package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/seccomp"
	"berth/tests/harness"
)

// withCalls puts a static program that makes system calls (calls/main.go) into the
// container as /calls.
func withCalls(t *testing.T) change {
	t.Helper()
	path := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command("go", "build", "-o", path, "./calls")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/calls", Type: "bind", Source: path, Options: []string{"bind", "ro"}})
	}
}

// underProfile gives a container one of the default profiles of engines.
func underProfile(t *testing.T, name string) change {
	t.Helper()
	text, err := os.ReadFile("../../libcontainer/seccomp/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	p := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(text, p); err != nil {
		t.Fatal(err)
	}
	return func(s *specs.Spec) { s.Linux.Seccomp = p }
}

// allCapabilities are more than any default: what is refused then, the filter refuses.
func allCapabilities(t *testing.T) change {
	t.Helper()
	out, err := exec.Command("capsh", "--print").Output()
	if err != nil {
		t.Skip("needs capsh (Debian: libcap2-bin)")
	}
	var all []string
	for line := range strings.SplitSeq(string(out), "\n") {
		if list, ok := strings.CutPrefix(line, "Bounding set ="); ok {
			all = strings.Split(strings.ToUpper(list), ",")
		}
	}
	return process(func(p *specs.Process) {
		p.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	})
}

// attempt is a system call that does nothing, by its arguments.
type attempt struct {
	name string
	args []uint64
	want unix.Errno // under Docker's default profile
}

const (
	none = ^uint64(0) // as a descriptor, or as flags that do not exist
	here = uint64(0)
)

// attempts are calls that a container under a default profile must not make, each so
// that it is an error without a filter as well, but another one: the arguments are wrong.
var attempts = []attempt{
	{"keyctl", []uint64{999}, unix.EPERM},
	{"add_key", nil, unix.EPERM},
	{"request_key", nil, unix.EPERM},
	{"mount", nil, unix.EPERM},
	{"umount2", nil, unix.EPERM},
	{"pivot_root", nil, unix.EPERM},
	{"fsopen", []uint64{here, none}, unix.EPERM},
	{"fspick", []uint64{none, here, none}, unix.EPERM},
	{"fsconfig", []uint64{none, 999}, unix.EPERM},
	{"fsmount", []uint64{none, none}, unix.EPERM},
	{"open_tree", []uint64{none, here, none}, unix.EPERM},
	{"move_mount", []uint64{none, here, none, here, none}, unix.EPERM},
	{"mount_setattr", []uint64{none, here, none}, unix.EPERM},
	{"setns", []uint64{none, here}, unix.EPERM},
	{"unshare", []uint64{unix.CLONE_NEWUSER}, unix.EPERM}, // the helper has threads
	{"clone", []uint64{unix.CLONE_NEWUSER | unix.CLONE_FS}, unix.EPERM},
	{"clone", []uint64{unix.CLONE_NEWNS | unix.CLONE_FS}, unix.EPERM},
	{"clone3", nil, unix.ENOSYS},
	{"bpf", []uint64{9999}, unix.EPERM},
	{"perf_event_open", nil, unix.EPERM},
	{"userfaultfd", []uint64{0xffff}, unix.EPERM},
	{"io_uring_setup", nil, unix.EPERM},
	{"io_uring_enter", []uint64{none}, unix.EPERM},
	{"io_uring_register", []uint64{none, 9999}, unix.EPERM},
	{"open_by_handle_at", []uint64{none}, unix.EPERM},
	{"fanotify_init", []uint64{none}, unix.EPERM},
	{"init_module", nil, unix.EPERM},
	{"finit_module", []uint64{none, here, here}, unix.EPERM},
	{"delete_module", nil, unix.EPERM},
	{"kexec_load", []uint64{0, 1 << 20}, unix.EPERM},
	{"kexec_file_load", []uint64{none, none, 0, 0, 0xffff}, unix.EPERM},
	{"reboot", nil, unix.EPERM},
	{"swapon", []uint64{here, none}, unix.EPERM},
	{"swapoff", nil, unix.EPERM},
	{"acct", []uint64{1}, unix.EPERM},
	{"settimeofday", []uint64{1}, unix.EPERM},
	{"clock_settime", nil, unix.EPERM},
	{"quotactl", []uint64{0xbad}, unix.EPERM},
	{"personality", []uint64{0x0400000}, unix.EPERM},
	{"socket", []uint64{unix.AF_ALG, unix.SOCK_SEQPACKET, 999}, unix.EPERM},
	{"socket", []uint64{unix.AF_VSOCK, 999}, unix.EPERM},
	{"move_pages", []uint64{1, 1, 0, 0, 0, none}, unix.EPERM},
	{"kcmp", []uint64{1, 1, 99}, unix.EPERM},
	{"set_mempolicy", []uint64{99}, unix.EPERM},
	{"iopl", []uint64{9}, unix.EPERM},
	{"ioperm", []uint64{0xffffffff, 1, 1}, unix.EPERM},
	// What the profile allows goes to the kernel as ever.
	{"ptrace", []uint64{unix.PTRACE_ATTACH, 1 << 21}, unix.ESRCH},
	{"process_vm_readv", []uint64{1 << 21, 0, 0, 0, 0, none}, unix.EINVAL},
	{"clone", []uint64{unix.CLONE_SIGHAND}, unix.EINVAL},
	{"socket", []uint64{unix.AF_INET, 999}, unix.EINVAL},
	{"personality", []uint64{0xffffffff}, 0},
}

// TestDefaultProfile: in a container under Docker's default profile calls are refused with
// the errno that the profile says, and without it the kernel would not have refused them so.
//
// rows: SCP-1 SCP-4 SCP-6
func TestDefaultProfile(t *testing.T) {
	harness.NeedRoot(t)
	var words []string
	var tried []attempt
	for _, a := range attempts {
		nr, ok := seccomp.Native().Number(a.name)
		if !ok {
			continue // iopl
		}
		word := a.name + "," + strconv.FormatUint(uint64(nr), 10)
		for _, arg := range a.args {
			word += "," + strconv.FormatUint(arg, 10)
		}
		words, tried = append(words, word), append(tried, a)
	}
	results := func(more ...change) []string {
		c := newContainer(t, append(more, withCalls(t), allCapabilities(t), harness.Args(append([]string{"/calls"}, words...)...))...)
		res := c.Do("run", "--bundle", c.bundle, c.id)
		lines := harness.Lines(res.Stdout)
		if res.Code != 0 || len(lines) != len(words) {
			t.Fatalf("exit status %d: %s%s", res.Code, res.Stdout, res.Stderr)
		}
		return lines
	}
	without, with := results(), results(underProfile(t, "moby"))
	told := 0
	for i, a := range tried {
		want := a.name + " " + unix.ErrnoName(a.want)
		if a.want == 0 {
			want = a.name + " done"
		}
		if with[i] != want {
			t.Errorf("%s, want %s", with[i], want)
		}
		if refuses := a.want == unix.EPERM || a.want == unix.ENOSYS; refuses && without[i] != want {
			told++
		} else if refuses {
			t.Logf("%s without a filter, too: the kernel's own limits, or its configuration", without[i])
		}
	}
	// Were the kernel to refuse all of it by itself, nothing would be shown.
	if told < 25 {
		t.Errorf("the filter is what refuses %d of %d calls: %q", told, len(tried), without)
	}
}

// TestPythonUnderDefaultProfile runs the machine's own python3: threads, processes, sockets.
func TestPythonUnderDefaultProfile(t *testing.T) {
	harness.NeedRoot(t)
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		t.Skip("needs python3")
	}
	var hosts []string
	for _, dir := range []string{"/usr", "/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			hosts = append(hosts, dir)
		}
	}
	script := `import threading, subprocess, socket, json, select, tempfile, os
t = threading.Thread(target=print, args=("a thread",)); t.start(); t.join()
print(subprocess.check_output(["/bin/busybox", "echo", "a process"]).decode().strip())
a, b = socket.socketpair(); a.send(b"a socket"); p = select.epoll(); p.register(b); p.poll(); print(b.recv(99).decode())
with tempfile.NamedTemporaryFile(dir="/tmp") as f: f.write(b"x"); f.flush(); print("a file of", os.stat(f.name).st_size)
try: os.setns(0, 0)
except (PermissionError, AttributeError) as e: print("refused")
`
	for _, name := range []string{"moby", "containerd", "podman"} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, underProfile(t, name), harness.Args("/usr/bin/python3", "-c", script), func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, tmpfs("/tmp", "mode=1777"))
				for _, dir := range hosts {
					real, err := filepath.EvalSymlinks(dir)
					if err != nil {
						t.Fatal(err)
					}
					s.Mounts = append(s.Mounts, specs.Mount{Destination: dir, Type: "bind", Source: real, Options: []string{"rbind", "ro"}})
				}
			})
			res := c.Do("run", "--bundle", c.bundle, c.id)
			if res.Code != 0 || res.Stdout != "a thread\na process\na socket\na file of 1\nrefused\n" {
				t.Errorf("exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
			}
		})
	}
}
