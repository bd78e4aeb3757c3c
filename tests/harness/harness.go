// Package harness is what the black-box tests stand on: the binary under test, a
// bundle to run, and a look at the host for anything left behind.
//
// RUNTIME names another runtime (runc, crun) to run the same cases against, so
// that a failing case is known to be about Berth and not about the case.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Main runs the tests of a package: it builds the binary first, makes this
// process the reaper of all that the runtimes leave, and clears up. TestMain
// calls it.
func Main(m *testing.M) {
	ownMounts()
	dir, err := os.MkdirTemp("", "berth-test-")
	if err != nil {
		panic(err)
	}
	work = dir
	// Containers with a user namespace, and tests that run as an ordinary user,
	// must be able to walk to their bundles.
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	// Whoever starts the tests may ignore SIGHUP, as nohup does; what they start would
	// do so, too, and a foreground run, which catches it, be another program than the one
	// explained. What is caught here has its default in a child.
	for _, sig := range []os.Signal{unix.SIGHUP, unix.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	// Orphans of containers come to this process: a leak is then a child here.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// hostMounts names the variable that says how mounts of the machine that the tests
// see spread. Unless it is "private" they are shared, as systemd makes them: then
// what a runtime mounts without care appears on the host and stays.
const hostMounts = "HOST_MOUNTS"

// ownMounts executes the tests anew in a mount namespace of their own. What a
// runtime leaves mounted there is this package's doing for sure, and gone with it.
func ownMounts() {
	const done = "HARNESS_MOUNT_NAMESPACE"
	if os.Geteuid() != 0 || os.Getenv(done) != "" {
		return
	}
	// execve takes the namespace of the thread that calls it for the whole process.
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil && os.Getenv(hostMounts) != "private" {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
	}
	if err == nil {
		err = unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), done+"=1"))
	}
	panic("a mount namespace for the tests: " + err.Error())
}

var (
	work    string
	counter atomic.Int64
	build   = sync.OnceValues(buildBinary)
	image   = sync.OnceValues(buildRootfs)
)

func buildBinary() (string, error) {
	if r := os.Getenv("RUNTIME"); r != "" {
		return exec.LookPath(r)
	}
	if b := os.Getenv("BERTH"); b != "" {
		return filepath.Abs(b)
	}
	out := filepath.Join(work, "berth")
	cmd := exec.Command("go", "build", "-o", out, "berth")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New("go build: " + string(msg))
	}
	return out, nil
}

// Berth says whether the runtime under test is Berth itself.
func Berth() bool { return os.Getenv("RUNTIME") == "" }

// Systemd says whether the cgroups of the tests' containers are made by systemd
// (CGROUP_MANAGER=systemd), which has to run this machine then.
func Systemd() bool { return os.Getenv("CGROUP_MANAGER") == "systemd" }

// NeedCgroupfs skips what is about paths of cgroups, which are systemd's to choose.
func NeedCgroupfs(t testing.TB) {
	t.Helper()
	if Systemd() {
		t.Skip("a path of the config's: not with systemd")
	}
}

// NeedRoot skips the test where the caller is not root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// Need skips the test where a program is not installed, and returns its path.
func Need(t testing.TB, program, debianPackage string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		p := filepath.Join(dir, program)
		if unix.Access(p, unix.X_OK) == nil {
			return p
		}
	}
	t.Skip("needs " + program + " (Debian: " + debianPackage + ")")
	return ""
}

// Host is a state root of its own with the runtime that works on it.
type Host struct {
	t      testing.TB
	Binary string
	Root   string
	// Global are flags that come before every command.
	Global []string
	// Env is added to the runtime's environment.
	Env []string
	// mounted is what was mounted on the host at first.
	mounted []string
}

// New returns a Host whose root is removed, with all containers in it, when the
// test ends; anything that is left then fails the test.
func New(t testing.TB) *Host {
	t.Helper()
	NeedRoot(t)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(work, "root-")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{t: t, Binary: bin, Root: root, mounted: mountinfo()}
	if Systemd() {
		h.Global = []string{"--systemd-cgroup"}
	}
	t.Cleanup(h.cleanUp)
	return h
}

func (h *Host) cleanUp() {
	ids, _ := os.ReadDir(h.Root)
	for _, id := range ids {
		if res := h.Do("delete", "--force", id.Name()); res.Code != 0 {
			h.t.Errorf("delete --force %s: %s", id.Name(), res.Stderr)
		}
		h.NothingLeft(id.Name())
	}
	if left, _ := os.ReadDir(h.Root); len(left) > 0 && Berth() {
		h.t.Errorf("left in the state root: %v", left)
	}
	os.RemoveAll(h.Root)
	for _, m := range h.mountsChanged() {
		h.t.Errorf("the host's mounts: %s", m)
	}
}

// ID returns an id that no other test uses.
func ID(t testing.TB) string {
	return IDPrefix() + strconv.FormatInt(counter.Add(1), 10)
}

// IDPrefix is what all ids of this process begin with.
func IDPrefix() string { return "bt-" + strconv.Itoa(os.Getpid()) + "-" }

// Result is what a command came to.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// timeout bounds every command: nothing here takes long unless it hangs.
const timeout = 2 * time.Minute

// Command prepares a command of the runtime.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{"--root", h.Root}, h.Global...)
	cmd := exec.CommandContext(ctx, h.Binary, append(all, args...)...)
	cmd.Env = append(os.Environ(), h.Env...)
	return cmd
}

// Do runs a command of the runtime.
func (h *Host) Do(args ...string) Result { return h.DoIn("", args...) }

// DoIn runs a command of the runtime with that standard input.
func (h *Host) DoIn(stdin string, args ...string) Result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := h.Command(ctx, args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	return run(h.t, cmd)
}

// Via runs a command of the runtime by another program, whose command line comes
// first: a shell that prepares descriptors, unshare(1) for a mount namespace that
// may be spoilt.
func (h *Host) Via(wrapper []string, args ...string) Result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	inner := h.Command(ctx, args...)
	cmd := exec.CommandContext(ctx, wrapper[0], append(append([]string{}, wrapper[1:]...), inner.Args...)...)
	cmd.Env = inner.Env
	return run(h.t, cmd)
}

// run goes through files and not pipes: a container that is left running holds
// them open, and a pipe would be waited for.
func run(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	out, err := os.CreateTemp(work, "out-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	var stderr *os.File
	if stderr, err = os.CreateTemp(work, "err-"); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = out, stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	read := func(f *os.File) string {
		b, _ := os.ReadFile(f.Name())
		return string(b)
	}
	res := Result{Stdout: read(out), Stderr: read(stderr), Code: cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		res.Code = 128 + int(ws.Signal())
	}
	return res
}

// Must runs a command that has to succeed and returns its output.
func (h *Host) Must(args ...string) string {
	h.t.Helper()
	res := h.Do(args...)
	if res.Code != 0 {
		h.t.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// State asks for a container's state.
func (h *Host) State(id string) specs.State {
	h.t.Helper()
	var s specs.State
	if err := json.Unmarshal([]byte(h.Must("state", id)), &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// Applets are the programs of the test image, all of them busybox.
var applets = strings.Fields("sh ls ps cat mount umount id true false sleep env hostname pwd stat readlink echo " +
	"grep head kill test touch mkdir rm wc dd nc wget ip ifconfig tty stty dmesg date seq find sort tr cut " +
	"awk sed uname setsid mkfifo mknod chmod chown ln usleep printf od")

// buildRootfs makes the root file system that bundles are copied from.
func buildRootfs() (string, error) {
	busybox := "/bin/busybox"
	if err := unix.Access(busybox, unix.X_OK); err != nil {
		return "", errors.New("needs a static busybox (Debian: busybox-static)")
	}
	dir := filepath.Join(work, "rootfs")
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755); err != nil {
		return "", err
	}
	for _, a := range applets {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", a)); err != nil {
			return "", err
		}
	}
	passwd := "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
	return dir, os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644)
}

// Bundle makes a bundle with the test image and the default config, changed by
// the functions.
func Bundle(t testing.TB, change ...func(*specs.Spec)) string {
	t.Helper()
	src, err := image()
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp(work, "bundle-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// Hard links: a copy of busybox a bundle would be a megabyte each.
	if out, err := exec.Command("cp", "-al", src, filepath.Join(dir, "rootfs")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %s", out)
	}
	s := Default()
	for _, f := range change {
		f(s)
	}
	WriteConfig(t, dir, s)
	return dir
}

// ReadConfig reads a bundle's config.json.
func ReadConfig(t testing.TB, bundle string) *specs.Spec {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(raw, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// WriteConfig writes a bundle's config.json.
func WriteConfig(t testing.TB, bundle string, s *specs.Spec) {
	t.Helper()
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Lines are the non-empty lines of an output.
func Lines(s string) []string {
	var all []string
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimRight(l, "\r"); l != "" {
			all = append(all, l)
		}
	}
	return all
}

// ReadFile reads a file and trims it.
func ReadFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}
