package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// A run in the foreground ends as the process did.
func TestExitStatus(t *testing.T) {
	var table []scenario
	for _, code := range []int{0, 1, 3, 125, 126, 127, 128, 137, 255} {
		table = append(table, scenario{
			name: "exit " + strconv.Itoa(code), rows: "LIF-12", change: on(harness.Shell("exit " + strconv.Itoa(code))), code: code,
		})
	}
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGKILL, unix.SIGUSR1, unix.SIGSEGV, unix.SIGTERM, 37} {
		n := strconv.Itoa(int(sig))
		table = append(table, scenario{
			name: "signal " + n, rows: "LIF-12", change: on(harness.Shell("kill -"+n+" $$"), harness.WithoutNamespace(specs.PIDNamespace)), code: 128 + int(sig),
		})
	}
	runAll(t, table)
}

// foreground starts a run that stays.
func (c *container) foreground(flags ...string) (*exec.Cmd, *bytes.Buffer) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c.t.Cleanup(cancel)
	cmd := c.Command(ctx, append(append([]string{"run", "--bundle", c.bundle}, flags...), c.id)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A container that outlives the runtime holds the pipe open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return cmd, &out
}

// rows: LIF-16
func TestSignalsAreForwarded(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH, unix.SIGCONT, unix.SIGALRM} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			if sig == unix.SIGWINCH {
				skipOld(t, "forwards it to terminals only")
				if harness.Berth() {
					t.Skip("forwarded to terminals only, as in runc")
				}
			}
			n := strconv.Itoa(int(sig))
			c := newContainer(t, harness.Shell("trap 'exit 4' "+n+"; echo > /ready; while :; do usleep 5000; done"))
			cmd, out := c.foreground()
			awaitFile(t, c.bundle, "ready")
			if sig == unix.SIGCONT || sig == unix.SIGALRM {
				// These are caught a moment later than those that people send.
				await(t, "the runtime to catch it", func() bool { return catches(t, cmd.Process.Pid, sig) })
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != 4 {
				t.Errorf("exit status %d, want 4\n%s", got, out)
			}
		})
	}
}

// catches says whether a process has a handler for a signal.
func catches(t *testing.T, pid int, sig unix.Signal) bool {
	t.Helper()
	for _, line := range harness.Lines(harness.ReadFile(t, "/proc/"+strconv.Itoa(pid)+"/status")) {
		if v, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return err == nil && mask&(1<<(sig-1)) != 0
		}
	}
	return false
}

// rows: LIF-16
func TestForegroundEndsByForwardedSignal(t *testing.T) {
	c := newContainer(t, harness.Shell("echo > /ready; exec sleep 1000"), harness.WithoutNamespace(specs.PIDNamespace))
	cmd, out := c.foreground()
	awaitFile(t, c.bundle, "ready")
	// The shell may still be on its way to exec sleep: it dies of TERM, too.
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 128+15 {
		t.Errorf("exit status %d, want 143\n%s", got, out)
	}
	c.fails("container does not exist", "state", c.id)
	if t.Failed() {
		t.Logf("the run said: %s", out)
	}
}

// rows: LIF-16 STA-6
func TestForegroundContainerIsSeenAndKilledByOthers(t *testing.T) {
	c := newContainer(t, harness.Shell("echo > /ready; sleep 1000"))
	cmd, out := c.foreground()
	awaitFile(t, c.bundle, "ready")
	if c.status() != "running" {
		t.Errorf("status is %s", c.status())
	}
	c.Must("kill", c.id, "KILL")
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 137 {
		t.Errorf("exit status %d, want 137\n%s", got, out)
	}
	c.fails("container does not exist", "state", c.id)
}

// What is left of a container does not hide how its process ended.
//
// rows: LIF-12
func TestExitStatusOfWhatCannotBeDeleted(t *testing.T) {
	if !harness.Berth() {
		t.Skip("it is about Berth's journal")
	}
	c := newContainer(t, harness.Shell("echo > /ready; sleep 1000"), harness.WithoutNamespace(specs.PIDNamespace))
	cmd, out := c.foreground()
	awaitFile(t, c.bundle, "ready")
	j, err := os.OpenFile(c.Root+"/"+c.id+"/journal", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.WriteString(`["of a kind that nobody knows"]` + "\n"); err != nil {
		t.Fatal(err)
	}
	j.Close()
	c.Must("kill", c.id, "KILL")
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 137 || !strings.Contains(out.String(), "could not be deleted") {
		t.Errorf("exit status %d, want 137 and a warning\n%s", got, out)
	}
	if st := c.status(); st != "stopped" {
		t.Errorf("status is %s", st)
	}
	if err := os.Truncate(c.Root+"/"+c.id+"/journal", 0); err != nil {
		t.Fatal(err)
	}
	c.Must("delete", c.id)
	c.NothingLeft(c.id)
}

// As the subreaper of a container without pid namespace the runtime gets its
// orphans and must not let them stay zombies. Without, they are the test's.
func TestOrphans(t *testing.T) {
	const script = `sh -c 'usleep 50000 & echo $! > /orphan'; pid=$(cat /orphan)
		for i in $(seq 400); do
			[ -e /proc/$pid ] || { echo reaped; exit; }
			grep -q 'PPid:.*'$1'$' /proc/$pid/status 2>/dev/null && { echo strays; exit; }
			usleep 5000
		done; echo zombie`
	mine := strconv.Itoa(os.Getpid())
	run := []change{harness.Args("/bin/sh", "-c", script, "sh", mine), harness.WithoutNamespace(specs.PIDNamespace)}
	runAll(t, []scenario{
		{name: "reaped", change: run, out: "reaped"},
		{name: "not with --no-subreaper", change: run, flags: []string{"--no-subreaper"}, out: "strays"},
	})
}

// Without a pid namespace what the process left running goes with the container.
func TestLeftoversDieWithTheContainer(t *testing.T) {
	(&scenario{
		change: on(harness.Shell("(setsid sleep 1000 >/dev/null 2>&1 &) ; (sleep 1001 >/dev/null 2>&1 &); exit 3"), harness.WithoutNamespace(specs.PIDNamespace)),
		code:   3,
	}).run(t)
}

// shell is a wrapper for Host.Via: a script in which "$@" is the runtime.
func shell(script string) []string { return []string{"/bin/sh", "-c", script, "sh"} }

func TestStandardFiles(t *testing.T) {
	for _, s := range []struct {
		name, script string
		change       change
		out, old     string
	}{
		{"pipe", `printf 'one\ntwo\n' | "$@"`, harness.Args("/bin/cat"), "one\ntwo", ""},
		{"file", `exec "$@" < "$1"`, harness.Shell("head -c 4 | cut -b 2-"), "ELF", ""},
		{"/dev/null", `exec "$@" < /dev/null`, harness.Shell("cat; stat -L -c '%t:%T' /proc/self/fd/0"), "1:3", "copies through pipes"},
		{"closed stdin", `exec "$@" <&-`, harness.Shell("cat; stat -L -c '%t:%T' /proc/self/fd/0"), "1:3", "copies through pipes"},
		{"all closed", `"$@" <&- >&- 2>&-; echo $?`, harness.Shell("stat -L -c '%t:%T' /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 > /out; exit 5"), "5", ""},
		{"closed stderr", `exec "$@" 2>&-`, harness.Shell("stat -L -c '%t:%T' /proc/self/fd/2"), "1:3", "copies through pipes"},
		{"output to a pipe", `"$@" | tr a-z A-Z`, harness.Args("/bin/echo", "loud"), "LOUD", ""},
		{"user can open it again", `"$@" | cat`, func(s *specs.Spec) { harness.Shell("echo again > /dev/stdout")(s); uid(1000)(s) }, "again", ""},
		{"socket", `exec "$@"`, harness.Args("/bin/true"), "", ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			skipOld(t, s.old)
			c := newContainer(t, s.change)
			res := c.Via(shell(s.script), "run", "--bundle", c.bundle, c.id)
			if strings.TrimSpace(res.Stdout) != s.out || res.Stderr != "" {
				t.Errorf("got %q, want %q\n%s", res.Stdout, s.out, res.Stderr)
			}
		})
	}
}

// What the caller has open beside the standard files does not come into the
// container, at no stage of its life.
//
// rows: FS-17
func TestDescriptors(t *testing.T) {
	const open = `exec 3</dev/null 4</etc/passwd 5</ 7</dev/zero 9>/dev/null 8</etc; exec "$@"`
	// The shell is pid 1 and opens none of its own while ls looks at it.
	list := harness.Shell("ls /proc/1/fd; true")
	t.Run("run", func(t *testing.T) {
		for _, s := range []struct{ n, want string }{
			{"0", "0 1 2"},
			{"1", "0 1 2 3"},
			{"3", "0 1 2 3 4 5"},
		} {
			c := newContainer(t, list)
			res := c.Via(shell(open), "run", "--preserve-fds", s.n, "--bundle", c.bundle, c.id)
			if got := strings.Join(strings.Fields(res.Stdout), " "); got != s.want {
				t.Errorf("preserved %s: descriptors are %s, want %s\n%s", s.n, got, s.want, res.Stderr)
			}
		}
	})
	t.Run("the preserved ones are the caller's", func(t *testing.T) {
		c := newContainer(t, harness.Shell("head -c4 <&4; stat -L -c ' %t:%T' /proc/1/fd/3; true"))
		res := c.Via(shell(open), "run", "--preserve-fds", "2", "--bundle", c.bundle, c.id)
		if strings.TrimSpace(res.Stdout) != "root 1:3" {
			t.Errorf("got %q\n%s", res.Stdout, res.Stderr)
		}
	})
	// The runtime's own descriptors are not meant by numbers that the caller got wrong.
	t.Run("one that is not open", func(t *testing.T) {
		skipOld(t, "passes whatever it has open itself")
		c := newContainer(t, list)
		res := c.Via(shell(`exec 3</dev/null; exec "$@"`), "create", "--preserve-fds", "2", "--bundle", c.bundle, c.id)
		if res.Code == 0 || !strings.Contains(res.Stderr, "unable to stat preserved-fd") {
			t.Errorf("%d %s", res.Code, res.Stderr)
		}
	})
	t.Run("create and start", func(t *testing.T) {
		// In a subshell: the shell itself, which is looked at, opens nothing then.
		c := newContainer(t, harness.Shell("(ls /proc/1/fd > /fds); sleep 1000"))
		if res := c.Via(shell(open), "create", "--preserve-fds", "1", "--bundle", c.bundle, c.id); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
		if res := c.Via(shell(open), "start", c.id); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
		awaitFile(t, c.bundle, "fds")
		await(t, "four lines", func() bool { return len(harness.Lines(harness.ReadFile(t, c.bundle+"/rootfs/fds"))) >= 4 })
		if got := strings.Join(strings.Fields(harness.ReadFile(t, c.bundle+"/rootfs/fds")), " "); got != "0 1 2 3" {
			t.Errorf("descriptors are %s, want 0 1 2 3", got)
		}
	})
	t.Run("with a user namespace", func(t *testing.T) {
		c := newContainer(t, list, harness.UserNamespace)
		res := c.Via(shell(open), "run", "--bundle", c.bundle, c.id)
		if got := strings.Join(strings.Fields(res.Stdout), " "); got != "0 1 2" {
			t.Errorf("descriptors are %s\n%s", got, res.Stderr)
		}
	})
}

// The init of a created container is tiny, is not Berth, and holds nothing of
// the host's.
//
// rows: FS-17
func TestInitOfACreatedContainer(t *testing.T) {
	skipOld(t, "is runc itself, copied")
	c := newContainer(t)
	if res := c.Via(shell(`exec 3</dev/null 5</ 9</etc; exec "$@"`), "create", "--bundle", c.bundle, c.id); res.Code != 0 {
		t.Fatal(res.Stderr)
	}
	proc := "/proc/" + strconv.Itoa(c.State(c.id).Pid)
	exe, err := os.Readlink(proc + "/exe")
	if err != nil || exe == c.Binary || !strings.HasPrefix(exe, "/memfd:berth") {
		t.Errorf("exe of init is %s (%v)", exe, err)
	}
	maps := harness.ReadFile(t, proc+"/maps")
	if strings.Contains(maps, c.Binary) {
		t.Errorf("the runtime is mapped:\n%s", maps)
	}
	for line := range strings.SplitSeq(harness.ReadFile(t, proc+"/status"), "\n") {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(v)[0])
			t.Logf("VmRSS of init: %d kB", kb)
			if kb >= 300 {
				t.Errorf("VmRSS of init is %d kB", kb)
			}
		}
	}
	// create returns when init is on its way to the FIFO.
	await(t, "init to hold the start FIFO and nothing else", func() bool {
		fifos := 0
		fds, _ := os.ReadDir(proc + "/fd")
		for _, fd := range fds {
			to, _ := os.Readlink(proc + "/fd/" + fd.Name())
			if n, _ := strconv.Atoi(fd.Name()); n <= 2 {
				continue
			}
			if !strings.HasPrefix(to, c.Root) {
				return false
			}
			fifos++
		}
		return fifos > 0
	})
}

// The session keyring is the container's own unless told otherwise.
func TestKeyring(t *testing.T) {
	if _, err := os.Stat("/proc/keys"); err != nil {
		t.Skip("the kernel has no keyrings")
	}
	// Another user than the keyrings' sees only those that are his session's.
	c := newContainer(t, harness.Args("/bin/cat", "/proc/keys"), uid(1000), func(s *specs.Spec) {
		s.Linux.MaskedPaths = nil
	})
	// The thread from which the runtime is started has a session keyring. It stays
	// locked, so that it ends with this test.
	runtime.LockOSThread()
	name := "bt-caller-" + c.id
	if _, err := unix.KeyctlJoinSessionKeyring(name); err != nil {
		t.Skip("cannot make a session keyring: ", err)
	}
	out := c.Must("run", "--bundle", c.bundle, c.id)
	if !strings.Contains(out, "_ses."+c.id) || strings.Contains(out, name) {
		t.Errorf("keyrings:\n%s", out)
	}
	if harness.Berth() {
		// runc 1.1.5 forks from whichever thread it is on.
		out = c.Must("run", "--no-new-keyring", "--bundle", c.bundle, c.id)
		if strings.Contains(out, "_ses."+c.id) || !strings.Contains(out, name) {
			t.Errorf("keyrings with --no-new-keyring:\n%s", out)
		}
	}
}

// rows: SEC-5
func TestNoPivot(t *testing.T) {
	look := harness.Shell("ls / | tr '\\n' ' '; ls /..; grep -c . /proc/self/mountinfo > /count; [ $(cat /count) -lt 40 ] && echo few")
	runAll(t, []scenario{
		{name: "looks the same", change: on(look), flags: []string{"--no-pivot"}, match: []string{`^bin .*dev etc`}, reject: []string{"home|boot|usr"}},
		{name: "read-only", rows: "ROOT-5", change: on(harness.Shell("touch /x"), func(s *specs.Spec) { s.Root.Readonly = true }), flags: []string{"--no-pivot"}, code: 1, err: "Read-only file system"},
		{name: "with a user namespace", change: on(harness.Shell("id -u; cat /etc/passwd | head -1"), harness.UserNamespace), flags: []string{"--no-pivot"}, match: []string{`^0$`, "^root:x"}, old: "EPERM"},
	})
}
