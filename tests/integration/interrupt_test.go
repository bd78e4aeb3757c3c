package integration

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// begin starts a command of the runtime; what it says is in the buffer when it ends.
func (c *container) begin(args ...string) (*exec.Cmd, *bytes.Buffer) {
	c.t.Helper()
	cmd := c.Command(c.t.Context(), args...)
	var out bytes.Buffer
	cmd.Stderr = &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	harness.Helper(cmd.Process.Pid)
	return cmd, &out
}

// ends waits for a command, and fails the test when it takes long.
func ends(t *testing.T, cmd *exec.Cmd, within time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(within):
		t.Errorf("%v has not ended after %v", cmd.Args, within)
		_ = cmd.Process.Kill()
		<-done
	}
	return time.Since(begun)
}

// squat puts a process of the test into a stopped container's cgroups, where kill does
// not look for it, and returns what takes it away again.
func squat(t *testing.T, dirs map[string]string) (leave func()) {
	t.Helper()
	var list []string
	for name, dir := range dirs {
		if name != "freezer" && name != "" {
			list = append(list, dir)
		}
	}
	_, leave = inhabit(t, list...)
	return leave
}

// A delete whose cgroups stay busy has ten seconds in all, not for each of them, and
// says what it waits for; a signal ends it at once, and the next delete does the rest.
func TestDeleteThatWaits(t *testing.T) {
	harness.NeedV1(t, "in v2 whatever is in the cgroup is killed")
	harness.NeedControllers(t, "freezer", "memory", "pids", "devices")
	skipOld(t, "moves on")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	dirs := harness.CgroupsOf(t, c.State(c.id).Pid)
	c.Must("start", c.id)
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	leave := squat(t, dirs)
	cmd, out := c.begin("delete", c.id)
	if took := ends(t, cmd, 15*time.Second); took < 8*time.Second || cmd.ProcessState.Success() {
		t.Errorf("ended after %v: %v", took, cmd.ProcessState)
	}
	for _, want := range []string{"still waiting for the cgroup ", "1 process(es) in it"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
	for _, force := range [][]string{{"delete", c.id}, {"delete", "--force", c.id}} {
		cmd, out = c.begin(force...)
		time.Sleep(300 * time.Millisecond)
		_ = cmd.Process.Signal(unix.SIGTERM)
		if ends(t, cmd, time.Second); cmd.ProcessState.Success() || !strings.Contains(out.String(), "interrupted by SIGTERM") {
			t.Errorf("%v: %s", cmd.ProcessState, out)
		}
	}
	leave()
	c.Must("delete", c.id)
	c.NothingLeft(c.id)
}

// A create below a paused parent is refused; one whose parent is paused while it is at
// work can be interrupted, and leaves nothing.
func TestCreateUnderFrozenParent(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedControllers(t, "freezer")
	skipOld(t, "hangs")
	c := newContainer(t)
	mount := harness.CgroupMounts()["freezer"]
	parent := mount + "/bt-frozen-" + c.id
	harness.MakeCgroup(t, parent)
	t.Cleanup(func() { harness.AskToFreeze(t, parent, false) })
	s := harness.Default()
	s.Linux.CgroupsPath = strings.TrimPrefix(parent, mount) + "/" + c.id
	harness.WriteConfig(t, c.bundle, s)
	harness.AskToFreeze(t, parent, true)
	c.fails("container's cgroup unexpectedly frozen", "create", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
	caught := false
	for try := 0; try < 20 && !caught; try++ {
		harness.AskToFreeze(t, parent, false)
		cmd, out := c.begin("create", "--bundle", c.bundle, c.id)
		for end := time.Now().Add(time.Second); unix.Access(parent+"/"+c.id, unix.F_OK) != nil && time.Now().Before(end); {
			time.Sleep(20 * time.Microsecond)
		}
		harness.AskToFreeze(t, parent, true)
		time.Sleep(200 * time.Millisecond)
		_ = cmd.Process.Signal(unix.SIGTERM)
		ends(t, cmd, 3*time.Second)
		caught = strings.Contains(out.String(), "interrupted by SIGTERM")
		if !caught {
			// It was refused, or was faster.
			c.Must("delete", "--force", c.id)
		}
		c.NothingLeft(c.id)
	}
	if !caught {
		t.Error("no create was caught")
	}
}

// The second signal ends the command itself.
func TestSecondSignal(t *testing.T) {
	harness.NeedV1(t, "in v2 whatever is in the cgroup is killed")
	harness.NeedControllers(t, "freezer", "memory", "pids", "devices")
	skipOld(t, "has no such")
	c := newContainer(t, func(s *specs.Spec) { s.Process.Args = []string{"/bin/true"} })
	c.create()
	dirs := harness.CgroupsOf(t, c.State(c.id).Pid)
	// A create that fails late has to undo what stays busy.
	c.Must("start", c.id)
	c.awaitStatus("stopped")
	leave := squat(t, dirs)
	cmd, _ := c.begin("delete", c.id)
	time.Sleep(100 * time.Millisecond)
	_ = cmd.Process.Signal(unix.SIGTERM)
	_ = cmd.Process.Signal(unix.SIGINT)
	if ends(t, cmd, time.Second); cmd.ProcessState.Success() {
		t.Error("delete says that all is undone")
	}
	leave()
	c.Must("delete", c.id)
	c.NothingLeft(c.id)
}
