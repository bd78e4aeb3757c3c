package integration

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// What a process would inherit of whoever calls the runtime, and must not.

// rows: PRO-39
func TestUmaskOfTheCaller(t *testing.T) {
	harness.Bundle(t) // the image must not be made with that umask
	old := syscall.Umask(0o37)
	defer syscall.Umask(old)
	(&scenario{name: "umask", change: on(harness.Shell("umask; ls -ld /dev/null /new | cut -c1-10"), cwd("/new")), out: "0022\ncrw-rw-rw-\ndrwxr-xr-x", old: "makes the working directory with the caller's"}).run(t)
}

// everyWay runs a container whose script prints something in each way that a
// process is started, with the runtime called by way of wrapper.
func everyWay(t *testing.T, wrapper []string, script string, changes ...change) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	for way, calls := range map[string][][]string{
		"run --detach":     {{"run", "--detach"}},
		"create and start": {{"create"}, {"start"}},
	} {
		c := newContainer(t, append(changes, harness.Shell("mkdir -p /out; "+script+" >/out/new; mv /out/new /out/log; sleep 1000"))...)
		for _, args := range calls {
			if args[0] != "start" {
				args = append(args, "--bundle", c.bundle)
			}
			if res := c.Via(wrapper, append(args, c.id)...); res.Code != 0 {
				t.Fatalf("%s: %s", way, res.Stderr)
			}
		}
		seen[way] = awaitFile(t, c.bundle, "out/log")
		c.Must("delete", "--force", c.id)
	}
	return seen
}

// Under nohup, in the background of a shell, or from an engine that blocks signals
// to wait for them, the runtime's caller has them ignored or blocked.
func TestSignalsOfTheCaller(t *testing.T) {
	skipOld(t, "leaves some ignored")
	python := harness.Need(t, "python3", "python3-minimal")
	wrapper := []string{python, "-c", `
import os, signal, sys
for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGTSTP, signal.SIGTTIN, signal.SIGCHLD, 32, 33, 40):
    try: signal.signal(n, signal.SIG_IGN)
    except OSError: pass
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD, 41))
os.execv(sys.argv[1], sys.argv[1:])`}
	for way, out := range everyWay(t, wrapper, "grep -E '^Sig(Ign|Blk)' /proc/self/status") {
		if want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"; out != want {
			t.Errorf("%s: %q", way, out)
		}
	}
}

// The process gets all CPUs, or those of its cpuset.
func TestAffinityOfTheCaller(t *testing.T) {
	skipOld(t, "leaves the caller's")
	taskset := harness.Need(t, "taskset", "util-linux")
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	const key = "Cpus_allowed_list:\t"
	var all string
	for line := range strings.SplitSeq(harness.ReadFile(t, "/proc/self/status"), "\n") {
		if strings.HasPrefix(line, key) {
			all = line
		}
	}
	one := []string{taskset, "-c", "0"}
	show := "grep Cpus_allowed_list /proc/self/status"
	for way, out := range everyWay(t, one, show) {
		if out != all {
			t.Errorf("%s: %q, want %q", way, out, all)
		}
	}
	cpuset := func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "1", Mems: "0"} }
	for way, out := range everyWay(t, one, show, cpuset) {
		if out != key+"1" {
			t.Errorf("%s with a cpuset: %q", way, out)
		}
	}
}

// A standard file that is the caller's /dev/null is the container's own one
// inside: by the host's, a container could change the owner of the host's node.
func TestNullOfTheCaller(t *testing.T) {
	sh := harness.Need(t, "sh", "dash")
	var host syscall.Stat_t
	if err := syscall.Stat("/dev/null", &host); err != nil {
		t.Fatal(err)
	}
	script := "(for f in /dev/null /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2; do stat -L -c '%d %t:%T' $f; done) >/out/new; mv /out/new /out/log; sleep 1000"
	for name, users := range map[string]change{"root": func(*specs.Spec) {}, "user": uid(1000), "namespace": harness.UserNamespace} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, harness.Shell(script), users)
			if err := os.Mkdir(c.bundle+"/rootfs/out", 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(c.bundle+"/rootfs/out", 0o777); err != nil {
				t.Fatal(err)
			}
			res := c.Via([]string{sh, "-c", `exec "$@" </dev/null >/dev/null 2>/dev/null`, "sh"}, "run", "--detach", "--bundle", c.bundle, c.id)
			if res.Code != 0 {
				t.Fatal(res.Stderr)
			}
			await(t, "the container's output", func() bool { _, err := os.Stat(c.bundle + "/rootfs/out/log"); return err == nil })
			lines := harness.Lines(harness.ReadFile(t, c.bundle+"/rootfs/out/log"))
			if len(lines) != 4 || lines[1] != lines[0] || lines[2] != lines[0] || lines[3] != lines[0] || !strings.HasSuffix(lines[0], " 1:3") {
				t.Errorf("/dev/null and descriptors 0 to 2 are %q", lines)
			}
			own := strings.HasPrefix(lines[0], strconv.FormatUint(host.Dev, 10)+" ")
			if own && name != "namespace" { // where no device can be made the host's is bound
				t.Error("the container's /dev/null is the host's")
			}
		})
	}
}

// Not a device, or another one, in place of the container's /dev/null: refused
// before it is opened.
func TestNullThatIsNone(t *testing.T) {
	skipOld(t, "opens whatever is there")
	sh := harness.Need(t, "sh", "dash")
	h := harness.New(t)
	bundle := harness.Bundle(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev/null", Type: "bind", Source: "/dev/zero", Options: []string{"bind"}})
	})
	res := h.Via([]string{sh, "-c", `exec "$@" </dev/null`, "sh"}, "run", "--bundle", bundle, harness.ID(t))
	if res.Code != 1 || !strings.Contains(res.Stderr, "/dev/null") {
		t.Errorf("exit status %d: %s", res.Code, res.Stderr)
	}
}

// HOME that is empty counts as absent (Docker sends it so).
func TestEmptyHome(t *testing.T) {
	passwd := func(t *testing.T, bundle string) {
		put(t, bundle, "etc/passwd", "u:x:1000:1000::/home/u:/bin/sh\n", 0o644)
	}
	env := func(list ...string) change {
		return process(func(p *specs.Process) { p.Env = append(p.Env, list...) })
	}
	show := harness.Args("/bin/env")
	runAll(t, []scenario{
		{name: "empty", change: on(show, uid(1000), env("HOME=")), prep: passwd, match: []string{"^HOME=/home/u$"}, reject: []string{"^HOME=$", "(?s)HOME.*HOME"}},
		{name: "last is empty", change: on(show, uid(1000), env("HOME=/a", "HOME=")), prep: passwd, match: []string{"^HOME=/home/u$"}, reject: []string{"(?s)HOME.*HOME"}, old: "keeps both"},
		{name: "unknown user", change: on(show, uid(77), env("HOME=")), prep: passwd, match: []string{"^HOME=/$"}},
		{name: "set", change: on(show, uid(1000), env("HOME=/a")), prep: passwd, match: []string{"^HOME=/a$"}},
	})
}

// A file system whose server does not answer, below the container's /etc, keeps
// nobody waiting for ever.
func TestHomeOnADeadFileSystem(t *testing.T) {
	skipOld(t, "waits for ever")
	harness.NeedRoot(t)
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("needs /dev/fuse: ", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("dead", dir, "fuse", 0, "rootmode=40755,user_id=0,group_id=0,allow_other,fd="+strconv.Itoa(fuse)); err != nil {
		unix.Close(fuse)
		t.Skip("needs FUSE: ", err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		unix.Close(fuse) // all who wait get ENOTCONN
	})
	(&scenario{
		name: "dead", talks: true, change: on(harness.Args("/bin/env"), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc", Type: "bind", Source: dir, Options: []string{"bind"}})
		}), match: []string{"^HOME=/$"}, err: "level=warning.*HOME is set to /.*does not answer",
	}).run(t)
}
