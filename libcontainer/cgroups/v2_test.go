package cgroups

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/host"
)

// made2 is a host with v2 alone.
func made2(mount, own string) *host.Facts {
	return &host.Facts{Cgroup: host.Cgroup{Mode: host.Unified, Hierarchies: []host.Hierarchy{
		{Controllers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"}, Mount: mount, Own: own, V2: true},
	}}}
}

func TestPathRulesV2(t *testing.T) {
	const all = "enable "
	for _, c := range []struct {
		own, path string
		want      []string
	}{
		// There are processes in the caller's own cgroup: beside it, not below.
		{"/user.slice/session-1.scope", "", []string{"mkdir /c/user.slice/id", all + "/c/user.slice/id"}},
		{"/user.slice/session-1.scope", "a/b", []string{"mkdir /c/user.slice/a", "mkdir /c/user.slice/a/b", all + "/c/user.slice/a/b"}},
		{"/", "a", []string{"mkdir /c/a", all + "/c/a"}},
		{"/x/y", "/docker/abc", []string{"mkdir /c/docker", "mkdir /c/docker/abc", all + "/c/docker/abc"}},
	} {
		p, err := New(made2("/c", c.own), &Request{ID: "id", Path: c.path, Owner: -1})
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if got := without(lines(p.Actions), "filter "); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
		if a := p.Actions[len(p.Actions)-2]; a.Kind != Enable || a.Data != "+cpuset +cpu +io +memory +hugetlb +pids +rdma" {
			t.Errorf("%+v: %+v", c, a)
		}
		if a := p.Actions[len(p.Actions)-1]; a.Kind != Filter {
			t.Errorf("%+v: no rules on devices: %+v", c, a)
		}
		if len(p.EntryFiles) != 0 {
			t.Errorf("entered by writing: %q", p.EntryFiles)
		}
	}
	if _, err := New(made2("/c", "/../x"), &Request{ID: "id"}); err == nil || !strings.Contains(err.Error(), "outside the cgroup namespace") {
		t.Errorf("an own cgroup out of sight: %v", err)
	}
}

// Where there is room for one process only, nobody is born into the cgroup.
func TestEntryOfOneV2(t *testing.T) {
	for _, c := range []struct {
		r    specs.LinuxResources
		want []string
	}{
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(2))}}, nil},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(1))}}, []string{"/c/x/cgroup.procs"}},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, []string{"/c/x/cgroup.procs"}},
		{specs.LinuxResources{Unified: map[string]string{"pids.max": "1"}}, []string{"/c/x/cgroup.procs"}},
	} {
		p, err := New(made2("/c", "/"), &Request{ID: "id", Path: "/x", Resources: &c.r, Owner: -1})
		if err != nil || !slices.Equal(p.EntryFiles, c.want) {
			t.Errorf("%+v: %q %v", c.r, p.EntryFiles, err)
		}
	}
}

func TestWhoGetsWhatV2(t *testing.T) {
	kinds := func(f *host.Facts) (list []ActionKind, notes []string) {
		p, err := New(f, &Request{ID: "id", Path: "/x", Owner: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range p.Actions {
			list = append(list, a.Kind)
		}
		return list, p.Notes
	}
	f := made2("/c", "/")
	if got, notes := kinds(f); !slices.Equal(got, []ActionKind{Mkdir, Enable, Filter, Chown}) || notes != nil {
		t.Errorf("root: %v %q", got, notes)
	}
	for name, change := range map[string]func(*host.Facts){
		"an ordinary user":         func(f *host.Facts) { f.EUID = 1000 },
		"root in a user namespace": func(f *host.Facts) { f.UserNS = true },
	} {
		f := made2("/c", "/")
		change(f)
		if got, notes := kinds(f); !slices.Equal(got, []ActionKind{Mkdir, Enable}) || len(notes) != 1 || !strings.Contains(notes[0], "no rules on devices") {
			t.Errorf("%s: %v %q", name, got, notes)
		}
	}
}

// writes2 are the files and values of resources in v2.
func writes2(t *testing.T, r *specs.LinuxResources) ([]string, []string) {
	t.Helper()
	p, err := New(made2("/c", "/"), &Request{ID: "id", Path: "/x", Resources: r, Owner: -1})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, a := range p.Actions {
		if a.Kind != Write {
			continue
		}
		s := strings.TrimPrefix(a.Path, "/c/x/") + " = " + a.Data
		if a.Else != "" {
			s += " | " + strings.TrimPrefix(a.Else, "/c/x/") + " = " + a.ElseData
		}
		list = append(list, s)
	}
	return list, p.Warnings
}

func TestResourcesV2(t *testing.T) {
	dev := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	throttle := func(rate uint64) []specs.LinuxThrottleDevice {
		return []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: rate}}
	}
	for _, c := range []struct {
		name string
		r    specs.LinuxResources
		want []string
	}{
		{
			"memory and swap",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(130)), Reservation: ptr(int64(50))}},
			[]string{"memory.swap.max = 30", "memory.max = 100", "memory.low = 50"},
		},
		{
			"no swap",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(100))}},
			[]string{"memory.swap.max = 0", "memory.max = 100"},
		},
		{
			"swap without limit",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(-1))}},
			[]string{"memory.swap.max = max", "memory.max = 100"},
		},
		{
			"no limit at all",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}},
			[]string{"memory.swap.max = max", "memory.max = max"},
		},
		{"zeros", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(0)), Swap: ptr(int64(0))}, CPU: &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(0)), Period: ptr(uint64(0))}}, nil},
		{
			"quota",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5000)), Burst: ptr(uint64(100)), Shares: ptr(uint64(1024)), Idle: ptr(int64(0))}},
			[]string{"cpu.weight = 100", "cpu.idle = 0", "cpu.max = 5000", "cpu.max.burst = 100"},
		},
		{"quota and period", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5000)), Period: ptr(uint64(20000))}}, []string{"cpu.max = 5000 20000"}},
		{"period alone", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(20000))}}, []string{"cpu.max = max 20000"}},
		{"no quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, []string{"cpu.max = max"}},
		{"cpuset", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-1", Mems: "0"}}, []string{"cpuset.cpus = 0-1", "cpuset.mems = 0"}},
		{"pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, []string{"pids.max = 1"}},
		{"io", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
			Weight: ptr(uint16(500)), WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: dev, Weight: ptr(uint16(1000))}},
			ThrottleReadBpsDevice: throttle(1), ThrottleWriteBpsDevice: throttle(2), ThrottleReadIOPSDevice: throttle(3), ThrottleWriteIOPSDevice: throttle(0),
		}}, []string{
			"io.bfq.weight = default 500 | io.weight = default 4950", "io.bfq.weight = 8:16 1000 | io.weight = 8:16 10000",
			"io.max = 8:16 rbps=1", "io.max = 8:16 wbps=2", "io.max = 8:16 riops=3", "io.max = 8:16 wiops=max",
		}},
		{"hugetlb", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}}}, []string{"hugetlb.2MB.max = 7", "hugetlb.2MB.rsvd.max = 7"}},
		{"rdma", specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx": {HcaHandles: ptr(uint32(3))}}}, []string{"rdma.max = mlx hca_handle=3"}},
		{
			"unified, last",
			specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}, Unified: map[string]string{"pids.max": "7", "memory.high": "1G", "cgroup.max.depth": "3"}},
			[]string{"pids.max = 5", "cgroup.max.depth = 3", "memory.high = 1G", "pids.max = 7"},
		},
	} {
		if got, warnings := writes2(t, &c.r); !reflect.DeepEqual(got, c.want) || warnings != nil {
			t.Errorf("%s: %q %q", c.name, got, warnings)
		}
	}
	for want, r := range map[string]*specs.LinuxResources{
		"memory.swappiness is ignored":       {Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(3))}},
		"memory.disableOOMKiller is ignored": {Memory: &specs.LinuxMemory{DisableOOMKiller: ptr(true)}},
	} {
		if got, warnings := writes2(t, r); got != nil || len(warnings) != 1 || !strings.Contains(warnings[0], want) {
			t.Errorf("%s: %q %q", want, got, warnings)
		}
	}
}

func TestRefusedV2(t *testing.T) {
	for want, r := range map[string]*specs.LinuxResources{
		"linux.resources.memory.swap: ":                                  {Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(50))}},
		"needs linux.resources.memory.limit":                             {Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(50))}},
		"linux.resources.cpu.realtimeRuntime":                            {CPU: &specs.LinuxCPU{RealtimeRuntime: ptr(int64(5))}},
		"linux.resources.blockIO.leafWeight":                             {BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(50))}},
		"linux.resources.network":                                        {Network: &specs.LinuxNetwork{ClassID: ptr(uint32(5))}},
		"must be a file name (no slashes)":                               {Unified: map[string]string{"../memory.max": "1"}},
		"is not of the form controller.name":                             {Unified: map[string]string{"memory": "1"}},
		"not a limit, but part of how the container is run":              {Unified: map[string]string{"cgroup.procs": "1"}},
		"needs the cgroup controller misc, which is not available":       {Unified: map[string]string{"misc.max": "1"}},
		"cgroup.controllers of /c lists: cpuset cpu io memory hugetlb p": {Unified: map[string]string{"misc.max": "1"}},
	} {
		if r.Memory != nil && value(r.Memory.Limit) == -1 {
			want = "linux.resources.memory.swap: unable to set swap limit without memory limit"
		}
		_, err := New(made2("/c", "/"), &Request{ID: "id", Path: "/x", Resources: r, Owner: -1})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestCPUWeight(t *testing.T) {
	last := uint64(0)
	for shares := uint64(2); shares <= 262144; shares++ {
		w := cpuWeight(shares)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("%d shares: %d after %d", shares, w, last)
		}
		last = w
	}
	// Figures of the formula that runc and crun use.
	for shares, want := range map[uint64]uint64{0: 1, 1: 1, 2: 1, 512: 59, 1024: 100, 2048: 174, 262144: 10000, math.MaxUint64: 10000} {
		if got := cpuWeight(shares); got != want {
			t.Errorf("%d shares: %d, want %d", shares, got, want)
		}
	}
}

// fake2 is a Handle of a plain directory with these files for the cgroup, in a
// hierarchy with these controllers.
func fake2(t *testing.T, files map[string]string) (*handle, string) {
	t.Helper()
	mount := t.TempDir()
	dir := filepath.Join(mount, "x")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := &handle{mark: "m", cgroups: []*cgroup{{
		mount: mount, levels: []string{"x"}, fd: -1, offers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"},
	}}}
	t.Cleanup(h.Close)
	return h, dir
}

func TestStatsV2(t *testing.T) {
	h, _ := fake2(t, map[string]string{
		"cpu.stat":     "usage_usec 8\nuser_usec 5\nsystem_usec 3\nnr_periods 9\nnr_throttled 4\nthrottled_usec 7\n",
		"cpu.pressure": "some avg10=1.50 avg60=0.20 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
		"memory.stat":  "anon 6\nfile 5\n", "memory.current": "100\n", "memory.max": "1000\n", "memory.peak": "200\n",
		"memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n", "memory.swap.current": "10\n", "memory.swap.max": "20\n",
		"pids.current": "2\n", "pids.max": "max\n", "cpuset.cpus.effective": "0-1\n", "cpuset.mems.effective": "0\n",
		"io.stat":             "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
		"hugetlb.2MB.current": "4\n", "hugetlb.2MB.rsvd.current": "6\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 8\n",
	})
	got, err := h.Stats()
	if err != nil {
		t.Fatal(err)
	}
	want := &Stats{
		CPU: CPUStats{Total: 8000, User: 5000, Kernel: 3000, Periods: 9, ThrottledPeriods: 4, Throttling: 7000, PSI: &PSI{
			Some: Stall{"1.50", "0.20", "0.00", 77}, Full: Stall{"0.00", "0.00", "0.00", 5},
		}},
		Memory: MemoryStats{
			Memory: MemoryCounter{100, 200, 1000, 3}, SwapOnly: MemoryCounter{Usage: 10, Limit: 20}, Swap: MemoryCounter{Usage: 110, Limit: 1020},
			Cache: 5, Raw: map[string]uint64{"anon": 6, "file": 5},
		},
		Pids: PidsStats{Current: 2},
		BlockIO: BlockIOStats{
			Bytes:      []BlockIOCount{{8, 0, "Read", 1}, {8, 0, "Write", 2}, {8, 0, "Discard", 0}},
			Operations: []BlockIOCount{{8, 0, "Read", 3}, {8, 0, "Write", 4}, {8, 0, "Discard", 0}},
		},
		Hugetlb: []HugetlbStats{{PageSize: "2MB", Usage: 6, Failures: 8}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	// Without a single controller.
	h, _ = fake2(t, nil)
	if s, err := h.Stats(); err != nil || s.Memory.Memory.Usage != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSetV2 changes one value, and all that share a file with it stay.
func TestSetV2(t *testing.T) {
	files := map[string]string{
		"cpu.max": "5000 20000\n", "memory.max": "1000\n", "memory.swap.max": "max\n", "memory.current": "500\n", "pids.max": "max\n",
		"io.max": "8:0 rbps=1 wbps=2 riops=max wiops=max\n",
	}
	for _, c := range []struct {
		name       string
		r          specs.LinuxResources
		file, want string
		warning    string
	}{
		{"the period alone", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(50000))}}, "cpu.max", "5000 50000", ""},
		{"swap alone", specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(1500))}}, "memory.swap.max", "500", ""},
		{"below what is in use", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(400))}}, "memory.max", "400", "is less than the memory in use, 500"},
		{"pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(9))}}, "pids.max", "9", ""},
	} {
		h, dir := fake2(t, files)
		warnings, err := h.Set(&c.r)
		got, _ := os.ReadFile(filepath.Join(dir, c.file))
		// A plain file keeps the rest of what was longer.
		if err != nil || !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
		if all := strings.Join(warnings, ""); !strings.Contains(all, c.warning) || (all == "") != (c.warning == "") {
			t.Errorf("%s: %q", c.name, warnings)
		}
	}
	for want, r := range map[string]*specs.LinuxResources{
		"less than the memory in use": {Memory: &specs.LinuxMemory{Limit: ptr(int64(400)), CheckBeforeUpdate: ptr(true)}},
		"misc, which is not available": {
			Pids: &specs.LinuxPids{Limit: ptr(int64(9))}, Unified: map[string]string{"misc.max": "1"},
		},
		// The last write fails, and what was written before is put back.
		"memory.high": {Pids: &specs.LinuxPids{Limit: ptr(int64(9))}, Unified: map[string]string{"memory.high": "1"}},
	} {
		h, dir := fake2(t, files)
		if _, err := h.Set(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if now, _ := os.ReadFile(filepath.Join(dir, "pids.max")); string(now[:3]) != "max" {
			t.Errorf("%s: pids.max is %q", want, now)
		}
	}
}

func TestPresentV2(t *testing.T) {
	const max = "8:0 rbps=1 wbps=max riops=3 wiops=max\n8:16 rbps=max wbps=2 riops=max wiops=max"
	for _, c := range [][4]string{
		{"io.max", "8:0 rbps=9", max, "8:0 rbps=1"},
		{"io.max", "8:16 riops=9", max, "8:16 riops=max"},
		{"io.max", "8:32 wiops=9", max, "8:32 wiops=max"},
		{"io.weight", "default 9", "default 100\n8:0 50", "default 100"},
		{"io.weight", "8:0 9", "default 100\n8:0 50", "8:0 50"},
		{"io.weight", "8:1 9", "default 100\n8:0 50", "8:1 default"},
		{"cpu.max", "5 100", "max 100000", "max 100000"},
	} {
		if got := present(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%q: %q", c, got)
		}
	}
}

// TestHybrid has a controller that v1 lacks where v2 has it, with v2's files; all others
// stay v1's.
func TestHybrid(t *testing.T) {
	p, err := New(made("/c"), &Request{ID: "id", Path: "/x", Owner: 1000, Resources: &specs.LinuxResources{
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}}, Pids: &specs.LinuxPids{Limit: ptr(int64(5))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"mkdir /c/unified/x", "enable /c/unified/x",
		"write /c/unified/x/hugetlb.2MB.max = 7", "write /c/unified/x/hugetlb.2MB.rsvd.max = 7",
	}
	if got := with(lines(p.Actions), "/unified/"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := with(lines(p.Actions), "/pids/x/"); !slices.Equal(got, []string{"write /c/pids/x/pids.max = 5"}) {
		t.Errorf("%q", got)
	}
	for _, a := range p.Actions {
		if a.Kind == Enable && a.Data != "+hugetlb" {
			t.Errorf("more is enabled beside v1 than is asked for: %s", a.Data)
		}
	}
	p, err = New(made("/c"), &Request{ID: "id", Path: "/x"})
	if err != nil || len(with(lines(p.Actions), "enable ")) != 0 {
		t.Errorf("controllers are given that nobody asked for: %v", err)
	}
}
