package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// event is a line of events.
type event struct {
	Type string
	ID   string
	Data map[string]any
}

// background is a command that runs.
type background struct {
	pid int
	end func() error
}

// events runs events in the background; the channel is closed when that has ended.
func (c *container) events(args ...string) (<-chan event, background) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := c.Command(ctx, append(append([]string{"events"}, args...), c.id)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	harness.Helper(cmd.Process.Pid)
	ch := make(chan event, 1000)
	go func() {
		defer close(ch)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				c.t.Errorf("%s: %v", lines.Text(), err)
			}
			ch <- e
		}
	}()
	return ch, background{cmd.Process.Pid, func() error {
		defer cancel()
		return cmd.Wait()
	}}
}

// keys are the paths of all members of a document; the elements of an array count as one.
func keys(path string, v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			all = append(all, path+"."+k)
			all = append(all, keys(path+"."+k, m)...)
		}
	case []any:
		for _, m := range v {
			all = append(all, keys(path+"[]", m)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// busy makes all that is counted more than nothing: time, throttling, a cache.
func busy(s *specs.Spec) {
	harness.Shell("dd if=/dev/zero of=/dev/shm/x bs=1M count=4; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done > /done; exec sleep 1000")(s)
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib)), Swap: ptr(int64(64 * mib))}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr(int64(30))}
	s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: ptr(int64(3000)), Period: ptr(uint64(10000))}
}

// stats runs the busy container and asks for its stats, when they change no more.
func (c *container) stats() (line string, e event) {
	c.t.Helper()
	c.detached()
	awaitFile(c.t, c.bundle, "done")
	c.Must("pause", c.id)
	line = c.Must("events", "--stats", c.id)
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		c.t.Fatal(err)
	}
	return line, e
}

func number(t *testing.T, data map[string]any, path ...string) float64 {
	t.Helper()
	var v any = data
	for _, name := range path {
		m, ok := v.(map[string]any)
		if v, ok = m[name], ok && m[name] != nil; !ok {
			t.Errorf("%v: no %s", path, name)
			return -1
		}
	}
	n, ok := v.(float64)
	if !ok {
		t.Errorf("%v is %v, no number", path, v)
	}
	return n
}

func TestEventsStats(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpu", "cpuacct", "pids", "freezer")
	c := newContainer(t, busy)
	line, e := c.stats()
	if e.Type != "stats" || e.ID != c.id || strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, `{"type":"stats","id":"`+c.id+`","data":{"cpu":{"usage":{"total":`) {
		t.Errorf("%s", line)
	}
	for _, n := range []struct {
		want float64
		path []string
	}{
		{64 * mib, []string{"memory", "usage", "limit"}},
		{64 * mib, []string{"memory", "swap", "limit"}},
		{30, []string{"pids", "limit"}},
		{1, []string{"pids", "current"}},
	} {
		if got := number(t, e.Data, n.path...); got != n.want {
			t.Errorf("%v is %v, want %v", n.path, got, n.want)
		}
	}
	dirs := harness.CgroupsOf(t, c.State(c.id).Pid)
	for _, n := range byVersion(counters1, counters2) {
		want := n.read(t, dirs[n.controller]) * max(n.times, 1)
		if got := number(t, e.Data, n.path...); got != want && !n.moves || got == 0 && !n.zero {
			t.Errorf("%v is %v, %s %s %v", n.path, got, n.file, n.key, want)
		}
	}
}

// counter is a number of the stats and the file that it is from.
type counter struct {
	path             []string
	controller, file string
	key              string // for files with a key and a value a line
	times            float64
	zero             bool // may be nothing
	moves            bool // may have changed since
}

func (n *counter) read(t *testing.T, dir string) float64 {
	t.Helper()
	for _, line := range harness.Lines(harness.ReadFile(t, filepath.Join(dir, n.file))) {
		value := line
		if n.key != "" {
			var found bool
			if value, found = strings.CutPrefix(line, n.key+" "); !found {
				continue
			}
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	t.Fatalf("%s has no %s", n.file, n.key)
	return 0
}

func at(path string) []string { return strings.Split(path, ".") }

// What the container's processes do no more while it is paused.
var (
	counters1 = []counter{
		{path: at("memory.usage.max"), controller: "memory", file: "memory.max_usage_in_bytes"},
		{path: at("memory.usage.failcnt"), controller: "memory", file: "memory.failcnt", zero: true},
		{path: at("memory.raw.hierarchical_memory_limit"), controller: "memory", file: "memory.limit_in_bytes"},
		{path: at("memory.cache"), controller: "memory", file: "memory.stat", key: "cache"},
		{path: at("memory.kernel.usage"), controller: "memory", file: "memory.kmem.usage_in_bytes", moves: true},
		{path: at("cpu.usage.total"), controller: "cpuacct", file: "cpuacct.usage"},
		{path: at("cpu.throttling.throttledPeriods"), controller: "cpu", file: "cpu.stat", key: "nr_throttled"},
		{path: at("cpu.throttling.throttledTime"), controller: "cpu", file: "cpu.stat", key: "throttled_time"},
		{path: at("pids.current"), controller: "pids", file: "pids.current"},
	}
	counters2 = []counter{
		{path: at("memory.usage.max"), file: "memory.peak"},
		{path: at("memory.usage.failcnt"), file: "memory.events", key: "max", zero: true},
		{path: at("memory.raw.file"), file: "memory.stat", key: "file"},
		{path: at("memory.raw.shmem"), file: "memory.stat", key: "shmem"},
		{path: at("memory.cache"), file: "memory.stat", key: "file"},
		{path: at("cpu.usage.total"), file: "cpu.stat", key: "usage_usec", times: 1000},
		{path: at("cpu.usage.user"), file: "cpu.stat", key: "user_usec", times: 1000, zero: true},
		{path: at("cpu.usage.kernel"), file: "cpu.stat", key: "system_usec", times: 1000, zero: true},
		{path: at("cpu.throttling.periods"), file: "cpu.stat", key: "nr_periods"},
		{path: at("cpu.throttling.throttledPeriods"), file: "cpu.stat", key: "nr_throttled"},
		{path: at("cpu.throttling.throttledTime"), file: "cpu.stat", key: "throttled_usec", times: 1000},
		{path: at("pids.current"), file: "pids.current"},
	}
)

// The members of a document are those of runc's for the same container on the same
// machine.
func TestEventsStatsHasRuncsKeys(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpu", "cpuacct", "pids", "freezer")
	runc := harness.Need(t, "runc", "runc")
	if out, err := exec.Command(runc, "--version").Output(); err != nil || !strings.Contains(string(out), "runc version 1.1.") {
		t.Skip("the document differs from version to version: needs runc 1.1")
	}
	theirs := newContainer(t, busy)
	theirs.Binary = runc
	ours := newContainer(t, busy)
	if harness.Unified() {
		// Without a cgroup namespace runc 1.1 mounts the hierarchy for the container with no
		// options, and so changes those of the host's mount.
		const flags = unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME
		t.Cleanup(func() { _ = unix.Mount("", "/sys/fs/cgroup", "", flags, "nsdelegate,memory_recursiveprot") })
	}
	_, a := ours.stats()
	_, b := theirs.stats()
	// What is there only when something was read or written is compared apart.
	for _, e := range []event{a, b} {
		delete(e.Data, "blkio")
	}
	got, want := keys("", a.Data), keys("", b.Data)
	for _, k := range want {
		if !slices.Contains(got, k) {
			t.Errorf("%s is missing", k)
		}
	}
	for _, k := range got {
		// With v2 runc has PSI and the peak of memory since 1.2.
		if newer := strings.Contains(k, ".psi") || k == ".memory.usage.max"; !slices.Contains(want, k) && !(newer && harness.Unified()) {
			t.Errorf("runc has no %s", k)
		}
	}
	// runc does not remove what the other one's rules leave it.
	theirs.Must("delete", "--force", theirs.id)
}

func TestEventsInterval(t *testing.T) {
	harness.NeedControllers(t, "memory")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.fails("container does not exist", "events", "bt-nobody")
	c.detached()
	c.fails("duration interval must be greater than 0", "events", "--interval", "0", c.id)
	c.fails("duration interval must be greater than 0", "events", "--stats", "--interval", "-1s", c.id)
	c.fails(`invalid value "5" for flag -interval: parse error`, "events", "--interval", "5", c.id)
	began := time.Now()
	ch, wait := c.events("--interval", "100ms")
	for n := range 3 {
		e, ok := <-ch
		if !ok || e.Type != "stats" || e.ID != c.id || e.Data["memory"] == nil {
			t.Fatalf("%d: %+v", n, e)
		}
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("three intervals of 100 ms took %s", took)
	}
	c.Must("delete", "--force", c.id)
	for e := range ch {
		if e.Type != "stats" {
			t.Errorf("%+v", e)
		}
	}
	if err := wait.end(); err != nil {
		t.Errorf("events: %v", err)
	}
}

// events ends with the container's process, however long the interval is.
func TestEventsEndWithTheContainer(t *testing.T) {
	harness.NeedControllers(t, "memory")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.detached()
	ch, wait := c.events("--interval", "1h")
	await(t, "events to watch", func() bool { return hasOpen(wait.pid, harness.CgroupMounts()["memory"]+"/", false) })
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	if !harness.Berth() { // those wait for the cgroup to go
		c.Must("delete", c.id)
	}
	for e := range ch {
		t.Errorf("%+v", e)
	}
	if err := wait.end(); err != nil && harness.Berth() {
		t.Errorf("events: %v", err)
	}
	if harness.Berth() {
		c.fails("container with id "+c.id+" is not running", "events", "--stats", c.id)
		c.fails("container with id "+c.id+" is not running", "events", c.id)
	}
}

// Memory that runs out is told, exactly so.
func TestEventsOutOfMemory(t *testing.T) {
	harness.NeedControllers(t, "memory")
	c := newContainer(t, harness.Shell("while ! [ -e /go ]; do usleep 1000; done; dd if=/dev/zero of=/dev/null bs=64M count=1; echo over > /over; exec sleep 1000"),
		resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(16 * mib)), Swap: ptr(int64(16 * mib))}
		}))
	c.detached()
	ch, wait := c.events("--interval", "50ms")
	if e := <-ch; e.Type != "stats" { // it listens
		t.Errorf("%+v", e)
	}
	put(t, c.bundle, "go", "", 0o644)
	awaitFile(t, c.bundle, "over")
	c.Must("delete", "--force", c.id)
	ooms := 0
	for e := range ch {
		if e.Type == "oom" && e.ID == c.id && e.Data == nil {
			ooms++
		}
	}
	if ooms == 0 {
		t.Error("no event of type oom")
	}
	if err := wait.end(); err != nil && harness.Berth() {
		t.Errorf("events: %v", err)
	}
}

// That the container's process is killed for memory is told before events ends with it.
func TestEventsOutOfMemoryOfTheFirstProcess(t *testing.T) {
	harness.NeedControllers(t, "memory")
	skipOld(t, "the event may be lost when the cgroup goes")
	c := newContainer(t, harness.Shell("while ! [ -e /go ]; do usleep 1000; done; exec dd if=/dev/zero of=/dev/null bs=64M count=1"),
		resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(16 * mib)), Swap: ptr(int64(16 * mib))}
		}))
	c.detached()
	ch, wait := c.events("--interval", "20ms")
	<-ch
	put(t, c.bundle, "go", "", 0o644)
	ooms := 0
	for e := range ch {
		if e.Type == "oom" {
			ooms++
		}
	}
	if ooms == 0 {
		t.Error("no event of type oom")
	}
	if err := wait.end(); err != nil {
		t.Errorf("events: %v", err)
	}
	c.awaitStatus("stopped")
}
