package cgroups

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/host"
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
				if err := RemoveDir(Dir{Path: h.Mount + top, Leaf: true}, 5*time.Second); err != nil {
					t.Log(err)
				}
			}
		}
	})
	return f, top
}

func create(t testing.TB, f *host.Facts, path string, r *specs.LinuxResources) Manager {
	t.Helper()
	m, err := New(f, path, "id", r)
	if err == nil {
		err = m.Create(nil, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, m) })
	return m
}

func destroy(t testing.TB, m Manager) {
	t.Helper()
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := m.Destroy(5 * time.Second); err != nil {
		t.Error(err)
	}
}

// inside starts a shell that enters the cgroups by itself, as a container's first
// process does, and then runs script.
func inside(t *testing.T, m Manager, script string) *exec.Cmd {
	t.Helper()
	enter := ""
	for _, file := range m.EntryFiles() {
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

func get(t *testing.T, m Manager, controller, file string) string {
	t.Helper()
	for names, dir := range m.Dirs() {
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
	again, err := FromPaths(m.Paths())
	if err != nil {
		t.Fatal(err)
	}
	mem := func(limit, swap int64) {
		t.Helper()
		if err := again.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap}}); err != nil {
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
	if err := again.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000)), Burst: ptr(uint64(0))}}); err != nil {
		t.Fatal(err)
	}
	if q, p := get(t, m, "cpu", "cpu.cfs_quota_us"), get(t, m, "cpu", "cpu.cfs_period_us"); q != "20000" || p != "100000" {
		t.Errorf("quota %s, period %s", q, p)
	}
	err = again.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}})
	want := `cannot bind to these cpus: linux.resources.cpu.cpus: write "4000" to ` + m.Dirs()["cpuset"] + "/cpuset.cpus: "
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
	if err := m.Set(&specs.LinuxResources{Memory: check}); err == nil || !strings.Contains(err.Error(), "is less than the memory in use") {
		t.Errorf("checked before: %v", err)
	}
	check.CheckBeforeUpdate = nil
	if err := m.Set(&specs.LinuxResources{Memory: check}); err == nil || !strings.Contains(err.Error(), "current usage: ") {
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

func TestOthersAreKept(t *testing.T) {
	f, top := real(t)
	for _, h := range f.Cgroup.Hierarchies {
		if err := os.MkdirAll(h.Mount+top+"/given/leaf", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, h := range f.Cgroup.Hierarchies {
			if err := RemoveDir(Dir{Path: h.Mount + top, Leaf: true}, time.Second); err != nil {
				t.Error(err)
			}
		}
	})
	var noted []Dir
	note := func(d []Dir) error { noted = append(noted, d...); return nil }
	m, err := New(f, top+"/given/leaf", "id", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Create(note, nil); err != nil || len(noted) != 0 {
		t.Fatalf("noted %v, error %v", noted, err)
	}
	// The given cpuset was empty on all levels, and has to be usable now.
	cmd := inside(t, m, "while :; do sleep 1000; done")
	destroy(t, m)
	cmd.Wait()
	for _, h := range f.Cgroup.Hierarchies {
		if !exists(h.Mount + top + "/given/leaf") {
			t.Errorf("%s: the cgroup that was there before is gone", h.Mount)
		}
	}

	a, b := create(t, f, top+"/given/both/a", nil), create(t, f, top+"/given/both/b", nil)
	destroy(t, a)
	for name, dir := range b.Dirs() {
		if !exists(dir) {
			t.Errorf("%s: a neighbour's cgroup is gone", name)
		}
	}
	destroy(t, b)
	// The one who made the parent went first; the other leaves it alone.
	for _, h := range f.Cgroup.Hierarchies {
		if err := RemoveDir(Dir{Path: h.Mount + top + "/given/both"}, 0); err != nil || exists(h.Mount+top+"/given/both") {
			t.Errorf("the parent stays: %v", err)
		}
	}
}

func TestFrozenIsRefused(t *testing.T) {
	f, top := real(t)
	first := create(t, f, top, nil)
	if err := first.Freeze(); err != nil {
		t.Skip(err)
	}
	second, err := New(f, top, "id", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Create(nil, nil); err == nil || !strings.HasPrefix(err.Error(), "container's cgroup unexpectedly frozen") {
		t.Errorf("got %v", err)
	}
	if err := first.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// Whatever action fails, the note taken before is enough to leave nothing.
func TestEveryActionFails(t *testing.T) {
	f, top := real(t)
	r := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}, CPU: &specs.LinuxCPU{Mems: "0"}}
	plan := func() Manager {
		m, err := New(f, top+"/p/leaf", "id", r)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	stop := errors.New("stop")
	for i := range plan().Plan() {
		m := plan()
		var noted []Dir
		err := m.Create(func(d []Dir) error { noted = append(noted, d...); return nil },
			func(n int, a Action) error {
				if n == i {
					if a != m.Plan()[n] {
						t.Errorf("action %d is %+v, planned %+v", n, a, m.Plan()[n])
					}
					return stop
				}
				return nil
			})
		if err != stop {
			t.Fatalf("action %d: %v", i, err)
		}
		for k := len(noted) - 1; k >= 0; k-- {
			if err := RemoveDir(noted[k], time.Second); err != nil {
				t.Errorf("action %d: %v", i, err)
			}
		}
		for _, h := range f.Cgroup.Hierarchies {
			if exists(h.Mount + top) {
				t.Fatalf("action %d leaves %s", i, h.Mount+top)
			}
		}
	}
	if err := plan().Create(func([]Dir) error { return stop }, nil); err != stop {
		t.Errorf("a journal that can't be written: %v", err)
	}
}

// Parents that vanish while a neighbour needs them are made again.
func TestVanishingParents(t *testing.T) {
	f, top := real(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 15 {
				m, err := New(f, top+"/p/"+strconv.Itoa(w), "id", nil)
				if err == nil {
					err = m.Create(nil, nil)
				}
				if err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(m.Dirs()["cpuset"] + "/cpuset.mems"); err == nil && len(got) < 2 {
					t.Error("a cpuset is empty")
				}
				if err := m.Destroy(5 * time.Second); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// Who made a parent may not be who left it last.
	for _, h := range f.Cgroup.Hierarchies {
		for _, p := range []string{top + "/p", top} {
			if err := RemoveDir(Dir{Path: h.Mount + p}, 0); err != nil {
				t.Error(err)
			}
		}
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
		m, err := New(f, top, "id", tt.r)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Create(nil, nil)
		if err == nil {
			t.Errorf("taken: %+v", tt.r)
		} else {
			want := strings.NewReplacer("DIR/cpuset", m.Dirs()["cpuset"]+"/cpuset", "DIR/blkio", m.Dirs()["blkio"]+"/blkio").Replace(tt.want)
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
	m, err := New(f, "", path, denied)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Create(nil, nil); err != nil || len(m.Paths()) != 0 || len(m.EntryFiles()) != 0 {
		t.Errorf("asking for nothing: %v, %v", err, m.Paths())
	}
	if m, err = New(f, "/"+path, path, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Create(nil, nil); err == nil || !strings.HasPrefix(err.Error(), "cannot make the cgroup that linux.cgroupsPath needs") {
		t.Errorf("asking for a path: %v", err)
	}
	if m, err = New(f, "", path, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}}); err != nil {
		t.Fatal(err)
	}
	err = m.Create(nil, nil)
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
		m, err := New(f, top, "id", r)
		if err == nil {
			err = m.Create(func([]Dir) error { return nil }, nil)
		}
		middle := time.Now()
		if err == nil {
			err = m.Destroy(time.Second)
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
