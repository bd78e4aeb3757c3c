package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// rows: LIF-1 LIF-4 LIF-7 LIF-8 LIF-12 LIF-16 LIF-19 LIF-21 STA-1 STA-2 STA-5 STA-6 STA-7 STA-9 STA-10 STA-12
func TestLifeBySeparateProcesses(t *testing.T) {
	c := newContainer(t, harness.Shell("echo $$ > /ran; exec sleep 1000"))
	for range 2 { // the id is free again afterwards
		c.create()
		st := c.State(c.id)
		if st.Status != "created" || st.ID != c.id || st.Version == "" || st.Pid <= 0 {
			t.Errorf("created: %+v", st)
		}
		if st.Bundle != c.bundle {
			t.Errorf("bundle is %s, want %s", st.Bundle, c.bundle)
		}
		if _, err := os.Stat(filepath.Join(c.bundle, "rootfs/ran")); err == nil {
			t.Error("the program ran before start")
		}
		c.Must("start", c.id)
		if got := c.State(c.id); got.Status != "running" || got.Pid != st.Pid {
			t.Errorf("after start: %+v, want running with pid %d", got, st.Pid)
		}
		awaitFile(t, c.bundle, "ran")
		c.fails("cannot start an already running container", "start", c.id)
		c.fails("cannot delete container "+c.id+" that is not stopped: running", "delete", c.id)
		c.Must("kill", c.id, "KILL")
		c.awaitStatus("stopped")
		if got := c.State(c.id); got.Pid != 0 {
			t.Errorf("stopped: pid %d, want 0", got.Pid)
		}
		c.fails("cannot start a container that has stopped", "start", c.id)
		c.fails("container not running", "kill", c.id, "TERM")
		c.Must("delete", c.id)
		c.fails("container does not exist", "state", c.id)
		c.NothingLeft(c.id)
		os.Remove(filepath.Join(c.bundle, "rootfs/ran"))
	}
}

// rows: LIF-3 LIF-4 LIF-5 LIF-10 LIF-14 LIF-17
func TestUnknownContainerAndMissingArguments(t *testing.T) {
	c := newContainer(t)
	for _, cmd := range []string{"state", "start", "kill", "delete"} {
		c.fails("container does not exist", cmd, "bt-nobody")
		c.fails("", cmd)
	}
	c.fails("", "create", "--bundle", c.bundle)
	c.fails("", "run", "--bundle", c.bundle)
	if res := c.Do("delete", "--force", "bt-nobody"); res.Code != 0 {
		t.Errorf("delete --force of nothing: %d %s", res.Code, res.Stderr)
	}
}

// rows: LIF-6
func TestIDs(t *testing.T) {
	c := newContainer(t)
	bad := []string{"a/b", "..", ".", "a b", "ä", "a\nb", "", "../x", "a*", "a:b", "a@b"}
	for _, id := range bad {
		res := c.Do("create", "--bundle", c.bundle, id)
		if res.Code == 0 {
			t.Errorf("id %q was accepted", id)
		}
		if harness.Berth() && id != "" && !strings.Contains(res.Stderr, "invalid container ID format") {
			t.Errorf("id %q: %s", id, res.Stderr)
		}
	}
	if left, _ := os.ReadDir(c.Root); len(left) > 0 {
		t.Errorf("left by refused ids: %v", left)
	}
	for _, id := range []string{"a", "A-b_c.d+e", "0", "-.", "a..b", strings.Repeat("x", 200)} {
		c.Must("run", "--bundle", c.bundle, "--", id)
		c.NothingLeft(id)
	}
}

// rows: STA-3 LIF-6
func TestSameIDTwice(t *testing.T) {
	c := newContainer(t)
	c.create()
	pid := c.State(c.id).Pid
	c.fails("container with given ID already exists", "create", "--bundle", c.bundle, c.id)
	c.fails("container with given ID already exists", "run", "--bundle", c.bundle, c.id)
	if st := c.State(c.id); st.Status != "created" || st.Pid != pid {
		t.Errorf("the container suffered: %+v", st)
	}
}

// rows: STA-3 LIF-1
func TestConcurrentCreatesOfOneID(t *testing.T) {
	skipOld(t, "both may lose")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	for range 20 {
		var res [2]harness.Result
		var wg sync.WaitGroup
		for i := range res {
			wg.Go(func() { res[i] = c.Do("create", "--bundle", c.bundle, c.id) })
		}
		wg.Wait()
		won, lost := res[0], res[1]
		if won.Code != 0 {
			won, lost = lost, won
		}
		if won.Code != 0 || lost.Code == 0 || !strings.Contains(lost.Stderr, "container with given ID already exists") {
			t.Fatalf("one must win and the other be told:\n%+v\n%+v", res[0], res[1])
		}
		if st := c.status(); st != "created" {
			t.Fatalf("after the race: %s", st)
		}
		c.Must("delete", "--force", c.id)
		c.NothingLeft(c.id)
	}
}

// rows: BND-11
func TestConfigIsReadOnce(t *testing.T) {
	c := newContainer(t, harness.Shell("echo before > /ran; exec sleep 1000"))
	c.create()
	s := harness.Default()
	harness.Shell("echo after > /ran; exec sleep 1000")(s)
	s.Hostname = "other"
	harness.WriteConfig(t, c.bundle, s)
	c.Must("start", c.id)
	if got := awaitFile(t, c.bundle, "ran"); got != "before" {
		t.Errorf("what ran is from the config %s create", got)
	}
	if err := os.Remove(filepath.Join(c.bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
	if c.status() != "running" {
		t.Error("without config.json the state is lost")
	}
	c.Must("kill", c.id, "9")
	c.awaitStatus("stopped")
	c.Must("delete", c.id)
}

// rows: LIF-18 LIF-19
func TestDelete(t *testing.T) {
	t.Run("created", func(t *testing.T) {
		c := newContainer(t)
		c.create()
		pid := c.State(c.id).Pid
		c.Must("delete", c.id)
		if !harness.Gone(pid) {
			t.Error("the process lives on")
		}
		c.NothingLeft(c.id)
	})
	t.Run("running by force", func(t *testing.T) {
		c := newContainer(t, harness.Shell("trap '' TERM; sleep 1000"))
		c.detached()
		pid := c.State(c.id).Pid
		c.Must("delete", "--force", c.id)
		if !harness.Gone(pid) {
			t.Error("the process lives on")
		}
		c.NothingLeft(c.id)
		c.Must("delete", "--force", c.id)
	})
	t.Run("killed from outside", func(t *testing.T) {
		c := newContainer(t, harness.Args("/bin/sleep", "1000"))
		c.detached()
		if err := unix.Kill(c.State(c.id).Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.awaitStatus("stopped")
		c.Must("delete", c.id)
	})
	t.Run("bundle is gone", func(t *testing.T) {
		c := newContainer(t, harness.Args("/bin/sleep", "1000"))
		c.detached()
		if err := os.Rename(c.bundle, c.bundle+".gone"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(c.bundle + ".gone") })
		c.Must("delete", "--force", c.id)
	})
}

// rows: LIF-16 LIF-15
func TestKill(t *testing.T) {
	for _, sig := range []string{"USR1", "SIGUSR1", "usr1", "sigusr1", "10"} {
		t.Run(sig, func(t *testing.T) {
			c := newContainer(t, harness.Shell("trap 'echo got > /sig' USR1; echo > /ready; while :; do usleep 5000; done"))
			c.detached()
			awaitFile(t, c.bundle, "ready")
			c.Must("kill", c.id, sig)
			awaitFile(t, c.bundle, "sig")
		})
	}
	t.Run("default is TERM", func(t *testing.T) {
		c := newContainer(t, harness.Shell("trap 'echo got > /sig' TERM; echo > /ready; while :; do usleep 5000; done"))
		c.detached()
		awaitFile(t, c.bundle, "ready")
		c.Must("kill", c.id)
		awaitFile(t, c.bundle, "sig")
	})
	t.Run("unknown signals", func(t *testing.T) {
		c := newContainer(t, harness.Args("/bin/sleep", "1000"))
		c.detached()
		c.fails(`unknown signal "NOSUCH"`, "kill", c.id, "NOSUCH")
		if harness.Berth() {
			c.fails(`unknown signal "999"`, "kill", c.id, "999")
			c.fails(`unknown signal`, "kill", c.id, "")
		}
		if c.status() != "running" {
			t.Error("it died of an unknown signal")
		}
	})
	t.Run("all", func(t *testing.T) {
		// Without a pid namespace the others live on when the first one dies.
		c := newContainer(t, harness.WithoutNamespace(specs.PIDNamespace),
			harness.Shell("sleep 1000 & sleep 1001 & echo > /ready; exec sleep 1002"))
		c.detached()
		awaitFile(t, c.bundle, "ready")
		c.Must("kill", "--all", c.id, "KILL")
		c.awaitStatus("stopped")
		c.Must("delete", c.id)
		c.NothingLeft(c.id)
	})
	t.Run("created", func(t *testing.T) {
		c := newContainer(t)
		c.create()
		c.Must("kill", c.id, "KILL")
		c.awaitStatus("stopped")
		c.fails("cannot start a container that has stopped", "start", c.id)
		c.Must("delete", c.id)
	})
}

// rows: STA-2 STA-6 STA-12 ANN-1 ANN-5
func TestList(t *testing.T) {
	c := newContainer(t, harness.Args("/bin/sleep", "1000"), func(s *specs.Spec) {
		s.Annotations = map[string]string{"org.example.key": "va\"l<ue", "a": ""}
	})
	c.Root = filepath.Join(c.Root, "absent")
	c.fails("no such file or directory", "list") // named, and not there
	c.Root = filepath.Dir(c.Root)
	if out := c.Must("list", "-q"); out != "" {
		t.Errorf("list -q of nothing: %q", out)
	}
	if out := strings.TrimSpace(c.Must("list", "--format", "json")); out != "null" {
		t.Errorf("list of nothing as JSON: %q", out)
	}
	c.create()
	second := c.id + "b"
	t.Cleanup(func() { c.Must("delete", "-f", second) })
	c.Must("run", "-d", "--bundle", c.bundle, second)
	if got := strings.Fields(c.Must("list", "--quiet")); len(got) != 2 || got[0] != c.id || got[1] != second {
		t.Errorf("list -q: %q", got)
	}
	var all []struct {
		specs.State
		Created, Rootfs, Owner string
	}
	if err := json.Unmarshal([]byte(c.Must("list", "-f", "json")), &all); err != nil {
		t.Fatal(err)
	}
	for i, want := range []specs.ContainerState{"created", "running"} {
		s := all[i]
		if s.Status != want || s.Pid <= 0 || s.Bundle != c.bundle || s.Owner != "root" || s.Created == "" || s.Rootfs != c.bundle+"/rootfs" {
			t.Errorf("list: %+v, want %s", s, want)
		}
		if s.Annotations["org.example.key"] != "va\"l<ue" {
			t.Errorf("annotations are %v", s.Annotations)
		}
	}
	lines := harness.Lines(c.Must("list"))
	if len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "ID PID STATUS BUNDLE CREATED OWNER" {
		t.Fatalf("list: %q", lines)
	}
	f := strings.Fields(lines[2])
	if f[0] != second || f[1] != strconv.Itoa(c.State(second).Pid) || f[2] != "running" || f[3] != c.bundle || f[5] != "root" {
		t.Errorf("list: %q", f)
	}
	if st := c.State(c.id); st.Annotations["org.example.key"] != "va\"l<ue" {
		t.Errorf("state: annotations are %v", st.Annotations)
	}
}

// rows: BND-1 STA-10
func TestBundleIsFound(t *testing.T) {
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	for _, in := range []struct{ dir, flag string }{
		{c.bundle, ""},
		{filepath.Dir(c.bundle), filepath.Base(c.bundle)},
		{c.bundle, "."},
		{c.bundle + "/rootfs", ".."},
	} {
		args := []string{"--root", c.Root, "create"}
		if in.flag != "" {
			args = append(args, "-b", in.flag)
		}
		cmd := exec.Command(c.Binary, append(args, c.id)...)
		cmd.Dir = in.dir
		if err := cmd.Run(); err != nil {
			t.Fatalf("%+v: %v", in, err)
		}
		if got := c.State(c.id).Bundle; got != c.bundle {
			t.Errorf("%+v: bundle is %s", in, got)
		}
		c.Must("delete", c.id)
	}
	c.fails("(config.json not found|no such file)", "create", "-b", t.TempDir(), c.id)
	c.fails("no such file", "create", "-b", "/nonexistent", c.id)
}

func TestPidFile(t *testing.T) {
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	file := filepath.Join(t.TempDir(), "pid")
	check := func() {
		t.Helper()
		b, err := os.ReadFile(file)
		if want := strconv.Itoa(c.State(c.id).Pid); err != nil || string(b) != want {
			t.Errorf("pid file has %q, want %q (%v)", b, want, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
			t.Errorf("beside the pid file: %v", left)
		}
	}
	c.detached("--pid-file", file)
	check()
	c.Must("delete", "-f", c.id)
	c.create("--pid-file", file) // one that is there is written anew
	check()
	c.Must("delete", "-f", c.id)
	c.fails("", "create", "--bundle", c.bundle, "--pid-file", "/nonexistent/pid", c.id)
	c.NothingLeft(c.id)
}

// rows: LIF-21
func TestKeep(t *testing.T) {
	c := newContainer(t, harness.Shell("exit 7"))
	if res := c.Do("run", "--keep", "--bundle", c.bundle, c.id); res.Code != 7 {
		t.Errorf("exit status %d, want 7: %s", res.Code, res.Stderr)
	}
	if c.status() != "stopped" {
		t.Error("kept, but not as stopped")
	}
	c.fails("container with given ID already exists", "run", "--bundle", c.bundle, c.id)
	c.Must("delete", c.id)
}

// rows: PRO-1 LIF-13
func TestNoProcess(t *testing.T) {
	skipOld(t, "create wants a process")
	c := newContainer(t, func(s *specs.Spec) { s.Process = nil })
	c.create()
	if c.status() != "created" {
		t.Errorf("status %s", c.status())
	}
	c.fails("process", "start", c.id)
	if c.status() != "created" {
		t.Error("the refused start did something")
	}
	c.Must("delete", c.id)
	c.fails("process", "run", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
}

// rows: LIF-12 STA-7
func TestShortLived(t *testing.T) {
	c := newContainer(t, harness.Shell("exit 3"))
	c.create()
	c.Must("start", c.id)
	c.awaitStatus("stopped")
	c.fails("cannot start a container that has stopped", "start", c.id)
	c.Must("delete", c.id)
	c.detached()
	c.awaitStatus("stopped")
	c.Must("delete", c.id)
}
