package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/host"
	"berth/libcontainer/sys"
)

// real returns the facts of a host where cgroups can be made, and a path in them
// that no other test uses. Everything below it is gone when the test ends, or the
// test fails.
func real(t testing.TB) (*host.Facts, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	f, err := host.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if f.Cgroup.Mode != host.Hybrid && f.Cgroup.Mode != host.Legacy {
		t.Skip("no cgroup v1 hierarchies: the mode is " + f.Cgroup.Mode.String())
	}
	top := fmt.Sprintf("/berth-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	for _, h := range f.Cgroup.Hierarchies {
		if err := unix.Access(h.Mount, unix.W_OK); err != nil {
			t.Skipf("%s is not writable: %v", h.Mount, err)
		}
	}
	t.Cleanup(func() {
		for _, h := range f.Cgroup.Hierarchies {
			if _, err := os.Stat(h.Mount + top); err == nil {
				t.Errorf("%s is left behind", h.Mount+top)
				if err := clear(h.Mount, top[1:]); err != nil {
					t.Log(err)
				}
			}
		}
	})
	return f, top
}

// clear removes a cgroup with all below it, whosever they are.
func clear(mount, name string) error {
	fd, err := openMount(mount)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return removeUntil(sys.NewPatience(context.Background(), 5*time.Second, nil), fd, name, name)
}

// group is a container's cgroups from the plan to the end.
type group struct {
	*Plan
	Handle
	mark    string
	entries [][]string // what a journal would have
	before  func(int) error
	after   func(int) error
}

var marks atomic.Int64

func plan(t testing.TB, f *host.Facts, path string, r *specs.LinuxResources) *group {
	t.Helper()
	p, err := New(f, &Request{ID: "id", Path: path, Resources: r, Owner: -1})
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(int) error { return nil }
	return &group{Plan: p, mark: fmt.Sprintf("/test/%d@%d", os.Getpid(), marks.Add(1)), before: nothing, after: nothing}
}

func (g *group) make() error {
	h, err := g.Prepare(&Making{
		Mark: g.mark, Before: g.before, After: g.after,
		Note: func(_ string, all [][]string) error { g.entries = all; return nil },
	})
	g.Handle = h
	return err
}

// undo does what the journal does.
func (g *group) undo(limit time.Duration) error {
	p := sys.NewPatience(context.Background(), limit, nil)
	var list []error
	for i := len(g.entries) - 1; i >= 0; i-- {
		list = append(list, Undo(p, g.entries[i]))
	}
	return errors.Join(list...)
}

func create(t testing.TB, f *host.Facts, path string, r *specs.LinuxResources) *group {
	t.Helper()
	g := plan(t, f, path, r)
	if err := g.make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, g) })
	return g
}

func destroy(t testing.TB, g *group) {
	t.Helper()
	if g.Handle != nil {
		if err := g.Kill(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		g.Close()
	}
	if err := g.undo(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// again opens the cgroups as a later command does.
func (g *group) again(t testing.TB) Handle {
	t.Helper()
	h, err := Open(g.Records(), g.mark)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// inside starts a shell that enters the cgroups by itself, as a container's first
// process does, and then runs script.
func inside(t *testing.T, m *group, script string) *exec.Cmd {
	t.Helper()
	enter := ""
	for _, file := range m.EntryFiles {
		enter += "echo 0 > '" + file + "' || exit 99\n"
	}
	cmd := exec.Command("/bin/sh", "-c", enter+"echo in\n"+script)
	if dir := m.EntryDir(); dir != "" {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	// Pipes held by grandchildren must not hold up the test.
	var once sync.Once
	wait := func() { once.Do(func() { cmd.Process.Kill(); cmd.Wait() }) }
	t.Cleanup(wait)
	buf := make([]byte, 3)
	if _, err := out.Read(buf); err != nil || string(buf) != "in\n" {
		t.Fatalf("the process did not enter: %q %v", buf, err)
	}
	return cmd
}

func get(t *testing.T, m *group, controller, file string) string {
	t.Helper()
	for names, dir := range m.Dirs {
		if slices.Contains(strings.Split(names, ","), controller) {
			text, err := os.ReadFile(dir + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
	}
	t.Skip("no hierarchy of " + controller)
	return ""
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("timed out: " + what)
		}
	}
}

func TestLimitsAreInForce(t *testing.T) {
	f, top := real(t)
	cpu := &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(200000)), Cpus: "0", Idle: ptr(int64(0))}
	m := create(t, f, top+"/a", &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(128 << 20)), Reservation: ptr(int64(32 << 20))},
		CPU:     cpu,
		Pids:    &specs.LinuxPids{Limit: ptr(int64(7))},
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(229)), Access: "rw"}},
		BlockIO: &specs.LinuxBlockIO{},
	})
	for _, c := range [][3]string{
		{"memory", "memory.limit_in_bytes", "67108864"},
		{"memory", "memory.memsw.limit_in_bytes", "134217728"},
		{"memory", "memory.soft_limit_in_bytes", "33554432"},
		{"cpu", "cpu.shares", "512"},
		{"cpu", "cpu.cfs_quota_us", "50000"},
		{"cpu", "cpu.cfs_period_us", "200000"},
		{"cpuset", "cpuset.cpus", "0"},
		{"pids", "pids.max", "7"},
		{"devices", "devices.list", "c 10:229 rw\nc *:* m\nb *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:2 rwm\nc 136:* rwm\nc 10:200 rwm"},
	} {
		if got := get(t, m, c[0], c[1]); got != c[2] {
			t.Errorf("%s is %q, not %q", c[1], got, c[2])
		}
	}
	if get(t, m, "cpuset", "cpuset.mems") == "" {
		t.Error("cpuset.mems is empty: no process could enter")
	}
}

func TestSet(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(50000))},
	})
	again := m.again(t)
	mem := func(limit, swap int64) {
		t.Helper()
		if _, err := again.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap}}); err != nil {
			t.Fatal(err)
		}
	}
	mem(128<<20, 256<<20) // both up: memory and swap together first
	mem(32<<20, 32<<20)   // both down: memory first
	if a, b := get(t, m, "memory", "memory.limit_in_bytes"), get(t, m, "memory", "memory.memsw.limit_in_bytes"); a != "33554432" || b != a {
		t.Errorf("memory %s, with swap %s", a, b)
	}
	mem(-1, 0)
	if a, b := get(t, m, "memory", "memory.limit_in_bytes"), get(t, m, "memory", "memory.memsw.limit_in_bytes"); len(a) < 15 || b != a {
		t.Errorf("unlimited: memory %s, with swap %s", a, b)
	}
	// A quota below the burst in force is refused unless the burst falls first.
	if _, err := again.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000)), Burst: ptr(uint64(0))}}); err != nil {
		t.Fatal(err)
	}
	if q, p := get(t, m, "cpu", "cpu.cfs_quota_us"), get(t, m, "cpu", "cpu.cfs_period_us"); q != "20000" || p != "100000" {
		t.Errorf("quota %s, period %s", q, p)
	}
	_, err := again.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}})
	want := `cannot bind to these cpus: linux.resources.cpu.cpus: write "4000" to ` + m.Dirs["cpuset"] + "/cpuset.cpus: "
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a cpu that is not there: %v", err)
	}
}

func TestMemoryBelowUsage(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(64 << 20))}})
	inside(t, m, "x=$(head -c 8000000 /dev/zero | tr '\\0' x); echo; while :; do sleep 1; done")
	until(t, "memory is used", func() bool {
		n, _ := strconv.Atoi(get(t, m, "memory", "memory.usage_in_bytes"))
		return n > 8<<20
	})
	check := &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), CheckBeforeUpdate: ptr(true)}
	if _, err := m.Set(&specs.LinuxResources{Memory: check}); err == nil || !strings.Contains(err.Error(), "is less than the memory in use") {
		t.Errorf("checked before: %v", err)
	}
	check.CheckBeforeUpdate = nil
	if _, err := m.Set(&specs.LinuxResources{Memory: check}); err == nil || !strings.Contains(err.Error(), "current usage: ") {
		t.Errorf("refused by the kernel: %v", err)
	}
}

// A cgroup with nothing in it takes a limit that no Go process would fit in; it
// has to be in force before the first process enters.
func TestSmallMemoryLimit(t *testing.T) {
	f, top := real(t)
	m := create(t, f, top, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(256 << 10))}})
	if got := get(t, m, "memory", "memory.limit_in_bytes"); got != "262144" {
		t.Errorf("limit %s", got)
	}
}

func TestKernelRefusals(t *testing.T) {
	f, top := real(t)
	for _, tt := range []struct {
		r    *specs.LinuxResources
		want string
	}{
		{
			&specs.LinuxResources{CPU: &specs.LinuxCPU{Mems: "x"}},
			`cannot bind to these memory nodes: linux.resources.cpu.mems: write "x" to DIR/cpuset.mems: invalid argument`,
		},
		{
			&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{
				LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 4095, Minor: 7}, Rate: 1,
			}}}},
			`cannot limit bytes read per second: linux.resources.blockIO.throttleReadBpsDevice[0]: write "4095:7 1" to DIR/blkio.throttle.read_bps_device: no such device`,
		},
	} {
		m := plan(t, f, top, tt.r)
		err := m.make()
		if err == nil {
			t.Errorf("taken: %+v", tt.r)
		} else {
			want := strings.NewReplacer("DIR/cpuset", m.Dirs["cpuset"]+"/cpuset", "DIR/blkio", m.Dirs["blkio"]+"/blkio").Replace(tt.want)
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
		destroy(t, m)
	}
}

// TestHelperUnprivileged runs in a process of another user: see below.
func TestHelperUnprivileged(t *testing.T) {
	path, ok := os.LookupEnv("BERTH_TEST_CGROUP")
	if !ok {
		t.Skip("a helper of TestUnprivileged")
	}
	f, err := host.Gather()
	if err != nil {
		t.Fatal(err)
	}
	denied := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	m, err := New(f, &Request{ID: path, Resources: denied, Owner: -1})
	if err != nil {
		t.Fatal(err)
	}
	g := &group{Plan: m, mark: "x@1", before: func(int) error { return nil }, after: func(int) error { return nil }}
	if err := g.make(); err != nil || len(g.Records()) != 0 {
		t.Errorf("asking for nothing: %v", err)
	}
	if err := plan(t, f, "/"+path, nil).make(); err == nil || !strings.HasPrefix(err.Error(), "cannot make the cgroup that linux.cgroupsPath needs") {
		t.Errorf("asking for a path: %v", err)
	}
	if g.Plan, err = New(f, &Request{ID: path, Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}}, Owner: -1}); err != nil {
		t.Fatal(err)
	}
	err = g.make()
	if err == nil || !strings.HasPrefix(err.Error(), "cannot make the cgroup that linux.resources.pids.limit needs") || !errors.Is(err, unix.EACCES) {
		t.Errorf("asking for a limit: %v", err)
	}
}

func TestUnprivileged(t *testing.T) {
	_, top := real(t)
	// A copy, since the test binary may lie where only root gets to.
	dir, err := os.MkdirTemp("/tmp", "berth-cgroups")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(dir+"/test", self, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(dir+"/test", "-test.run", "^TestHelperUnprivileged$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{"BERTH_TEST_CGROUP=" + top[1:]}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func BenchmarkCreateDestroy(b *testing.B) {
	f, top := real(b)
	r := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20))},
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
	}
	var made, gone time.Duration
	for b.Loop() {
		start := time.Now()
		m := plan(b, f, top, r)
		err := m.make()
		middle := time.Now()
		if err == nil {
			m.Close()
			err = m.undo(time.Second)
		}
		if err != nil {
			b.Fatal(err)
		}
		made += middle.Sub(start)
		gone += time.Since(middle)
	}
	b.ReportMetric(float64(made.Microseconds())/float64(b.N), "us/create")
	b.ReportMetric(float64(gone.Microseconds())/float64(b.N), "us/destroy")
}
