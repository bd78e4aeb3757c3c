package integration

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// ticks counts as long as it runs.
const ticks = "while :; do echo x >> /ticks; usleep 1000; done"

// ticked is how far the container has come.
func (c *container) ticked() int64 {
	fi, err := os.Stat(filepath.Join(c.bundle, "rootfs/ticks"))
	if err != nil {
		return 0
	}
	return fi.Size()
}

func TestPauseAndResume(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	c := newContainer(t, harness.Shell(ticks))
	c.fails("container does not exist", "pause", "bt-nobody")
	c.fails("container does not exist", "resume", "bt-nobody")
	c.detached()
	await(t, "the container to run", func() bool { return c.ticked() > 0 })
	c.fails("container not paused", "resume", c.id)

	for range 3 {
		if out := c.Must("pause", c.id); out != "" {
			t.Errorf("pause printed %q", out)
		}
		// It stands still when pause has returned.
		at := c.ticked()
		if got := c.status(); got != "paused" {
			t.Errorf("status %s, want paused", got)
		}
		time.Sleep(20 * time.Millisecond)
		if now := c.ticked(); now != at {
			t.Errorf("went on while paused, from %d to %d", at, now)
		}
		c.fails("container not running", "pause", c.id)
		if got := c.status(); got != "paused" {
			t.Errorf("status %s after a second pause, want paused", got)
		}
		if out := c.Must("resume", c.id); out != "" {
			t.Errorf("resume printed %q", out)
		}
		if got := c.status(); got != "running" {
			t.Errorf("status %s, want running", got)
		}
		await(t, "the container to go on", func() bool { return c.ticked() > at })
	}

	c.Must("pause", c.id)
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	c.fails("container not running", "pause", c.id)
	c.fails("container not paused", "resume", c.id)
}

// All processes stand still, also those in cgroups below.
func TestPauseOfAllProcesses(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	c := newContainer(t, harness.Shell("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; while :; do true; done"))
	c.detached()
	var pids []int
	await(t, "all processes", func() bool {
		pids = nil
		_ = json.Unmarshal([]byte(c.Must("ps", "--format", "json", c.id)), &pids)
		return len(pids) == 9
	})
	sub := filepath.Join(harness.CgroupsOf(t, pids[0])["freezer"], "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	last := pids[len(pids)-1]
	if err := os.WriteFile(sub+"/cgroup.procs", []byte(strconv.Itoa(last)), 0); err != nil {
		t.Fatal(err)
	}
	c.Must("pause", c.id)
	if !harness.Frozen(t, sub) {
		t.Error("the cgroup below is not frozen")
	}
	c.Must("resume", c.id)
	await(t, "the cgroup below to be thawed", func() bool { return !harness.Frozen(t, sub) })
	var now []int
	if err := json.Unmarshal([]byte(c.Must("ps", "--format=json", c.id)), &now); err != nil || !slices.Contains(now, last) {
		t.Errorf("%v, %v lacks %d of the cgroup below", err, now, last)
	}
}

// A created container can be paused, is not started then, and can be afterwards.
func TestPauseOfACreatedContainer(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	c.Must("pause", c.id)
	if got := c.status(); got != "paused" {
		t.Errorf("status %s, want paused", got)
	}
	if harness.Berth() { // others hang
		c.fails("cannot start a container in the paused state", "start", c.id)
	}
	c.Must("resume", c.id)
	if got := c.status(); got != "created" {
		t.Errorf("status %s, want created", got)
	}
	c.Must("start", c.id)
	c.awaitStatus("running")
	c.Must("pause", c.id)
	c.Must("delete", "--force", c.id)
	c.NothingLeft(c.id)
}

// A start that waits for a process that does not move holds the container's lock; what
// makes it move must not need it.
func TestResumeWhileStartWaits(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	skipOld(t, "start is over when the word is written")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	pid := c.State(c.id).Pid
	// Paused only when start has looked, which else would refuse: a stop by signal
	// holds it up until then.
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := c.Command(ctx, "start", c.id)
	if err := start.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Helper(start.Process.Pid)
	await(t, "start to open the FIFO", func() bool { return hasOpen(start.Process.Pid, c.Root+"/"+c.id+"/", true) })
	harness.Freeze(t, harness.CgroupsOf(t, pid)["freezer"], true)
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.awaitStatus("paused")
	c.Must("resume", c.id)
	if err := start.Wait(); err != nil {
		t.Errorf("start: %v", err)
	}
	c.awaitStatus("running")
}

// hasOpen says whether a process has a file below a directory open, or open for writing.
func hasOpen(pid int, dir string, writing bool) bool {
	fds := "/proc/" + strconv.Itoa(pid) + "/fd/"
	list, _ := os.ReadDir(fds)
	for _, e := range list {
		name, err := os.Readlink(fds + e.Name())
		fi, serr := os.Lstat(fds + e.Name())
		if err == nil && serr == nil && strings.HasPrefix(name, dir) && (!writing || fi.Mode()&0o200 != 0) {
			return true
		}
	}
	return false
}

// What a cgroup above keeps frozen is not resumed, and that is said.
func TestResumeBelowAFrozenCgroup(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedControllers(t, "freezer")
	skipOld(t, "says that it has resumed")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.placed("/bt-parent-" + c.id + "/" + c.id)
	c.detached()
	parent := filepath.Dir(harness.CgroupsOf(t, c.State(c.id).Pid)["freezer"])
	harness.Freeze(t, parent, true)
	c.awaitStatus("paused")
	c.fails("unable to thaw: .*a cgroup above it is frozen", "resume", c.id)
	harness.Freeze(t, parent, false)
	c.awaitStatus("running")
}

// rows of the table: what ps(1) prints, for the container's processes alone.
func TestPs(t *testing.T) {
	c := newContainer(t, harness.Shell("sleep 1000 & sleep 1000 & wait"))
	harness.Need(t, "ps", "procps")
	c.fails("container does not exist", "ps", "bt-nobody")
	c.create()
	pid := strconv.Itoa(c.State(c.id).Pid)
	c.Must("start", c.id)
	var pids []int
	await(t, "all processes", func() bool {
		pids = nil
		out := c.Must("ps", "--format", "json", c.id)
		if err := json.Unmarshal([]byte(out), &pids); err != nil || !strings.HasSuffix(out, "]\n") || strings.Contains(out, " ") {
			t.Fatalf("%q: %v", out, err)
		}
		return len(pids) == 3
	})
	if !slices.IsSorted(pids) || strconv.Itoa(pids[0]) != pid {
		t.Errorf("pids %v, want ascending from %s", pids, pid)
	}
	table := harness.Lines(c.Must("ps", c.id))
	if len(table) != 4 || !fits(t, `^UID +PID +PPID +C +STIME +TTY +TIME +CMD$`, table[0]) {
		t.Errorf("table:\n%s", strings.Join(table, "\n"))
	}
	for _, p := range pids {
		if !fits(t, `^root +`+strconv.Itoa(p)+` `, strings.Join(table[1:], "\n")) {
			t.Errorf("%d is missing in\n%s", p, strings.Join(table, "\n"))
		}
	}
	for _, args := range [][]string{{"-e", "-o", "pid,comm"}, {"-eo", "pid,comm"}, {"ax", "-o", "pid,comm"}, {"-e", "-o", "pid", "-o", "comm"}} {
		lines := harness.Lines(c.Must(append([]string{"ps", c.id}, args...)...))
		if len(lines) != 4 || strings.Join(strings.Fields(lines[0]), " ") != "PID COMMAND" {
			t.Errorf("ps %q: %q", args, lines)
		}
	}
	if out := c.Must("ps", "-f", "json", c.id, "-e", "-x"); !strings.HasPrefix(out, "["+pid+",") {
		t.Errorf("json with options of ps: %s", out)
	}
	c.fails("couldn't find PID field in ps output", "ps", c.id, "-o", "comm")
	c.fails("unknown gnu long option", "ps", c.id, "--bogus")
	c.fails("invalid format option", "ps", "--format", "xml", c.id)

	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	if out := c.Must("ps", "--format", "json", c.id); out != "null\n" {
		t.Errorf("stopped: %q, want null", out)
	}
	if lines := harness.Lines(c.Must("ps", c.id)); len(lines) != 1 {
		t.Errorf("stopped: %q, want the title alone", lines)
	}
}

// A container in the host's pid namespace may leave processes behind, which ps shows.
func TestPsOfWhatOutlivesTheFirstProcess(t *testing.T) {
	c := newContainer(t, harness.WithoutNamespace(specs.PIDNamespace), harness.Shell("sleep 1000 & echo $! > /pid; exec sleep 1000"))
	c.detached()
	left := awaitFile(t, c.bundle, "pid")
	c.Must("kill", c.id, "TERM")
	c.awaitStatus("stopped")
	if out := c.Must("ps", "--format", "json", c.id); out != "["+left+"]\n" {
		t.Errorf("%q, want [%s]", out, left)
	}
}

// Commands of all kinds at one container at the same time: none hangs, none fails but
// for what the others have just done, and afterwards it can be worked with.
func TestCommandsAtTheSameTime(t *testing.T) {
	harness.NeedControllers(t, "freezer", "pids")
	skipOld(t, "has no locks between them")
	c := newContainer(t, harness.Shell(ticks))
	c.create()
	allowed := map[string]string{
		"pause": "container not running: it is paused already", "resume": "container not paused",
		"start": "already running|paused state",
	}
	var wg sync.WaitGroup
	for i, args := range [][]string{
		{"pause", c.id},
		{"resume", c.id},
		{"resume", c.id},
		{"update", "--pids-limit", "40", c.id},
		{"update", "--pids-limit", "50", "--cpu-share", "400", c.id},
		{"ps", "--format", "json", c.id},
		{"state", c.id},
		{"events", "--stats", c.id},
		{"start", c.id},
	} {
		wg.Go(func() {
			for range 6 {
				if i == 8 { // less often: once is all that can work
					time.Sleep(20 * time.Millisecond)
				}
				res := c.Do(args...)
				if want := allowed[args[0]]; res.Code != 0 && (want == "" || !fits(t, want, res.Stderr)) {
					t.Errorf("%q: %d %s", args, res.Code, res.Stderr)
				}
			}
		})
	}
	wg.Wait()
	if c.status() == "paused" {
		c.Must("resume", c.id)
	}
	if c.status() == "created" {
		c.Must("start", c.id)
	}
	await(t, "the container to run", func() bool { return c.ticked() > 0 })
	if got := c.limits()["pids.max"]; got != "40" && got != "50" {
		t.Errorf("pids.max is %s", got)
	}
}
