package cgroups

import (
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/cgroups/devfilter"
	"berth/libcontainer/host"
)

func ptr[T any](v T) *T { return &v }

// made is a host with made-up hierarchies; the caller's cgroup differs in each.
func made(base string) *host.Facts {
	h := func(name, own string) host.Hierarchy {
		return host.Hierarchy{Controllers: strings.Split(name, ","), Mount: base + "/" + name, Own: own}
	}
	return &host.Facts{Cgroup: host.Cgroup{Mode: host.Hybrid, Hierarchies: []host.Hierarchy{
		h("memory", "/job/0feb"), h("cpu,cpuacct", "/"), h("cpuset", "/"), h("devices", "/"), h("pids", "/"),
		h("freezer", "/"), h("blkio", "/"), h("name=systemd", "/user.slice"),
		{Controllers: []string{"hugetlb"}, Mount: base + "/unified", Own: "/", V2: true},
	}}}
}

// lines prints a plan, for comparing and for reading.
func lines(plan []Action) []string {
	var list []string
	for _, a := range plan {
		s := a.Kind.String() + " " + a.Path
		if a.Kind == Write {
			s += " = " + a.Data
		}
		list = append(list, s)
	}
	return list
}

func with(plan []string, part string) []string {
	var list []string
	for _, s := range plan {
		if strings.Contains(s, part) {
			list = append(list, s)
		}
	}
	return list
}

func without(plan []string, part string) []string {
	var list []string
	for _, s := range plan {
		if !strings.Contains(s, part) {
			list = append(list, s)
		}
	}
	return list
}

func planFor(t *testing.T, path string, r *specs.LinuxResources) []string {
	t.Helper()
	m, err := New(made("/c"), &Request{ID: "id", Path: path, Resources: r, Owner: -1})
	if err != nil {
		t.Fatal(err)
	}
	return lines(m.Actions)
}

func TestPathRules(t *testing.T) {
	for path, want := range map[string][]string{
		"": {
			"mkdir /c/memory/job/0feb/id", "mkdir /c/cpu,cpuacct/id",
			"mkdir /c/cpuset/id", "inherit /c/cpuset/id/cpuset.cpus", "inherit /c/cpuset/id/cpuset.mems",
			"mkdir /c/devices/id", "mkdir /c/pids/id", "mkdir /c/freezer/id", "mkdir /c/blkio/id",
			"mkdir /c/name=systemd/user.slice/id", "mkdir /c/unified/id",
		},
		"/docker/abc": {
			"mkdir /c/memory/docker", "mkdir /c/memory/docker/abc",
			"mkdir /c/cpu,cpuacct/docker", "mkdir /c/cpu,cpuacct/docker/abc",
			"mkdir /c/cpuset/docker", "mkdir /c/cpuset/docker/abc",
			"inherit /c/cpuset/docker/cpuset.cpus", "inherit /c/cpuset/docker/cpuset.mems",
			"inherit /c/cpuset/docker/abc/cpuset.cpus", "inherit /c/cpuset/docker/abc/cpuset.mems",
			"mkdir /c/devices/docker", "mkdir /c/devices/docker/abc",
			"mkdir /c/pids/docker", "mkdir /c/pids/docker/abc",
			"mkdir /c/freezer/docker", "mkdir /c/freezer/docker/abc",
			"mkdir /c/blkio/docker", "mkdir /c/blkio/docker/abc",
			"mkdir /c/name=systemd/docker", "mkdir /c/name=systemd/docker/abc",
			"mkdir /c/unified/docker", "mkdir /c/unified/docker/abc",
		},
	} {
		if got := without(planFor(t, path, nil), "write "); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n%s\nwant\n%s", path, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for path, want := range map[string]string{
		"a/./b//c/":              "mkdir /c/memory/job/0feb/a/b/c",
		"//x":                    "mkdir /c/memory/x",
		"system.slice:berth:web": "mkdir /c/memory/job/0feb/system.slice:berth:web",
	} {
		if got := with(planFor(t, path, nil), "/memory/"); got[len(got)-1] != want {
			t.Errorf("%q ends in %s", path, got[len(got)-1])
		}
	}
	for path, want := range map[string]string{
		"/a/../../b": `the cgroup path "/a/../../b" contains ..: linux.cgroupsPath`,
		"..":         `the cgroup path ".." contains ..: linux.cgroupsPath`,
		"a\x00b":     "the cgroup path contains a null byte: linux.cgroupsPath",
	} {
		if _, err := New(made("/c"), &Request{ID: "id", Path: path, Resources: nil, Owner: -1}); err == nil || err.Error() != want {
			t.Errorf("%q: %v", path, err)
		}
	}
	f := made("/c")
	f.Cgroup.Hierarchies[1].Own = "/../other"
	if _, err := New(f, &Request{ID: "id", Path: "rel", Resources: nil, Owner: -1}); err == nil || !strings.Contains(err.Error(), "outside the cgroup namespace") {
		t.Errorf("an own cgroup out of sight: %v", err)
	}
	if _, err := New(f, &Request{ID: "id", Path: "/abs", Resources: nil, Owner: -1}); err != nil {
		t.Errorf("an absolute path does not need the own cgroup: %v", err)
	}
}

var everything = &specs.LinuxResources{
	Memory: &specs.LinuxMemory{
		Limit: ptr(int64(1 << 20)), Swap: ptr(int64(2 << 20)), Reservation: ptr(int64(4096)),
		Swappiness: ptr(uint64(10)), DisableOOMKiller: ptr(true), KernelTCP: ptr(int64(5)),
		//lint:ignore SA1019 engines still send it
		Kernel:       ptr(int64(5)),
		UseHierarchy: ptr(false),
	},
	CPU: &specs.LinuxCPU{
		Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(1000)),
		RealtimePeriod: ptr(uint64(1000000)), RealtimeRuntime: ptr(int64(950000)), Cpus: "0", Mems: "0", Idle: ptr(int64(0)),
	},
	Pids: &specs.LinuxPids{Limit: ptr(int64(0))},
	BlockIO: &specs.LinuxBlockIO{
		Weight: ptr(uint16(100)), LeafWeight: ptr(uint16(200)),
		WeightDevice: []specs.LinuxWeightDevice{{
			LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8, Minor: 1}, Weight: ptr(uint16(20)), LeafWeight: ptr(uint16(30)),
		}},
		ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Rate: 1}},
		ThrottleWriteBpsDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Rate: 2}},
		ThrottleReadIOPSDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Rate: 3}},
		ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Rate: 4}},
	},
}

func TestPlanOfEverything(t *testing.T) {
	f := made("/c")
	for _, name := range []string{"hugetlb", "net_cls,net_prio", "rdma"} {
		f.Cgroup.Hierarchies = append(f.Cgroup.Hierarchies,
			host.Hierarchy{Controllers: strings.Split(name, ","), Mount: "/c/" + name, Own: "/"})
	}
	r := *everything
	r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}}
	r.Network = &specs.LinuxNetwork{
		ClassID: ptr(uint32(0x100001)), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 5}},
	}
	r.Rdma = map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(4))}, "a": {HcaObjects: ptr(uint32(0))}}
	m, err := New(f, &Request{ID: "id", Path: "/x", Resources: &r, Owner: -1})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range with(lines(m.Actions), "write ") {
		if !strings.Contains(s, "/devices/") {
			got = append(got, strings.Replace(strings.TrimPrefix(s, "write /c/"), "/x/", " ", 1))
		}
	}
	want := []string{
		"memory memory.limit_in_bytes = 1048576", "memory memory.memsw.limit_in_bytes = 2097152",
		"memory memory.soft_limit_in_bytes = 4096", "memory memory.swappiness = 10", "memory memory.oom_control = 1",
		"cpu,cpuacct cpu.shares = 512", "cpu,cpuacct cpu.idle = 0", "cpu,cpuacct cpu.cfs_period_us = 100000",
		"cpu,cpuacct cpu.cfs_quota_us = 50000", "cpu,cpuacct cpu.cfs_burst_us = 1000",
		"cpu,cpuacct cpu.rt_period_us = 1000000", "cpu,cpuacct cpu.rt_runtime_us = 950000",
		"cpuset cpuset.cpus = 0", "cpuset cpuset.mems = 0", "pids pids.max = 1",
		"blkio blkio.weight = 100", "blkio blkio.leaf_weight = 200", "blkio blkio.weight_device = 8:1 20",
		"blkio blkio.leaf_weight_device = 8:1 30", "blkio blkio.throttle.read_bps_device = 8:0 1",
		"blkio blkio.throttle.write_bps_device = 8:0 2", "blkio blkio.throttle.read_iops_device = 8:0 3",
		"blkio blkio.throttle.write_iops_device = 8:0 4",
		"hugetlb hugetlb.2MB.limit_in_bytes = 7", "hugetlb hugetlb.2MB.rsvd.limit_in_bytes = 7",
		"net_cls,net_prio net_cls.classid = 1048577", "net_cls,net_prio net_prio.ifpriomap = eth0 5",
		"rdma rdma.max = a hca_object=0", "rdma rdma.max = mlx5_1 hca_handle=3 hca_object=4",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(m.Warnings) != 3 {
		t.Errorf("warnings: %q", m.Warnings)
	}
	if plan := lines(m.Actions); len(with(plan, "inherit /c/cpuset/x/")) != 0 {
		t.Errorf("the config's own cpuset is overwritten: %s", with(plan, "/cpuset/"))
	}
	for _, a := range m.Actions {
		if a.Why == "" || a.JSONPath == "" && a.Kind != Inherit && !strings.Contains(a.Path, "/devices.") {
			t.Errorf("an action without a reason: %+v", a)
		}
	}
}

func TestLeaveAlone(t *testing.T) {
	for name, r := range map[string]*specs.LinuxResources{
		"nothing": nil,
		"zeros, as engines send them": {
			Memory: &specs.LinuxMemory{Limit: ptr(int64(0)), Swap: ptr(int64(0)), Reservation: ptr(int64(0))},
			CPU:    &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(0)), Period: ptr(uint64(0))},
			Pids:   &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))},
		},
	} {
		var got []string
		for _, s := range with(planFor(t, "/x", r), "write ") {
			if !strings.Contains(s, "/devices/") {
				got = append(got, s)
			}
		}
		if len(got) != 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
	// The default rules on devices are in force whatever the config says.
	bare, none := with(planFor(t, "/x", nil), "write "), with(planFor(t, "/x", &specs.LinuxResources{}), "write ")
	if len(bare) != 1+len(devfilter.Defaults) || !reflect.DeepEqual(bare, none) {
		t.Errorf("without resources: %s", bare)
	}
}

func TestUnlimited(t *testing.T) {
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}, Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}
	m, err := New(made("/c"), &Request{ID: "id", Path: "/x", Resources: r, Owner: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"memory.limit_in_bytes = -1", "memory.memsw.limit_in_bytes = -1", "pids.max = max"} {
		if len(with(lines(m.Actions), want)) != 1 {
			t.Errorf("%s is missing in %s", want, lines(m.Actions))
		}
	}
	for _, a := range m.Actions {
		if strings.Contains(a.Path, "memsw") && !a.Optional {
			t.Error("a kernel without swap accounting would refuse what the config did not ask for")
		}
	}
}

func TestRefused(t *testing.T) {
	mem := func(m specs.LinuxMemory) *specs.LinuxResources { return &specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) *specs.LinuxResources { return &specs.LinuxResources{CPU: &c} }
	dev := func(d ...specs.LinuxDeviceCgroup) *specs.LinuxResources { return &specs.LinuxResources{Devices: d} }
	io := func(b specs.LinuxBlockIO) *specs.LinuxResources { return &specs.LinuxResources{BlockIO: &b} }
	for _, tt := range []struct {
		r    *specs.LinuxResources
		want string
	}{
		{mem(specs.LinuxMemory{Limit: ptr(int64(-2))}), "linux.resources.memory.limit: -2 is neither a number of bytes nor -1"},
		{mem(specs.LinuxMemory{Limit: ptr(int64(9)), Swap: ptr(int64(8))}), "linux.resources.memory.swap: memory and swap together, 8, is less"},
		{mem(specs.LinuxMemory{Swap: ptr(int64(8))}), "linux.resources.memory.swap: a limit on memory and swap together needs"},
		{mem(specs.LinuxMemory{Swappiness: ptr(uint64(101))}), "linux.resources.memory.swappiness: 101 is not in 0..100"},
		{cpu(specs.LinuxCPU{Shares: ptr(uint64(1))}), "linux.resources.cpu.shares: the minimum allowed cpu-shares is 2"},
		{cpu(specs.LinuxCPU{Shares: ptr(uint64(262145))}), "the maximum allowed cpu-shares is 262144"},
		{cpu(specs.LinuxCPU{Quota: ptr(int64(999))}), "linux.resources.cpu.quota: 999"},
		{cpu(specs.LinuxCPU{Period: ptr(uint64(999))}), "linux.resources.cpu.period: 999"},
		{cpu(specs.LinuxCPU{Quota: ptr(int64(2000)), Burst: ptr(uint64(2001))}), "linux.resources.cpu.burst: 2001 is more"},
		{cpu(specs.LinuxCPU{Idle: ptr(int64(2))}), "linux.resources.cpu.idle: 2"},
		{&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-2))}}, "linux.resources.pids.limit: -2"},
		{dev(specs.LinuxDeviceCgroup{}), "device access at 0 field cannot be empty"},
		{dev(specs.LinuxDeviceCgroup{Access: "rx"}), `linux.resources.devices[0].access: "rx" has other letters`},
		{dev(specs.LinuxDeviceCgroup{Access: "r", Type: "p"}), `linux.resources.devices[0].type: invalid cgroup device type "p"`},
		{dev(specs.LinuxDeviceCgroup{Access: "r", Major: ptr(int64(-5))}), "linux.resources.devices[0].major: a device number is negative"},
		{io(specs.LinuxBlockIO{Weight: ptr(uint16(9))}), "linux.resources.blockIO.weight: 9 is not in 10..1000"},
		{io(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}}}), "linux.resources.blockIO.weightDevice[0]: neither"},
		{&specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../x"}}}, `hugepageLimits[0].pageSize: "../x" is not of the form`},
		{&specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}}, "linux.resources.network.classID needs the cgroup controller net_cls"},
		{&specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"d": {}}}, "linux.resources.rdma.d: neither"},
		{&specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}, "linux.resources.unified holds cgroup v2 files"},
	} {
		_, err := New(made("/c"), &Request{ID: "id", Path: "/x", Resources: tt.r, Owner: -1})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.r, err, tt.want)
		}
	}
}

func TestHostsWithoutCgroups(t *testing.T) {
	f := &host.Facts{Cgroup: host.Cgroup{Mode: host.NoCgroup}}
	for want, r := range map[string]*Request{
		"linux.cgroupsPath": {ID: "id", Path: "/x"},
		"linux.resources":   {ID: "id", Resources: everything},
		"no cgroup hierarchy is mounted, so the container can have neither limits nor rules on devices (mount": {ID: "id"},
	} {
		if _, err := New(f, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// rule is a rule on devices; -1 stands for all numbers.
func rule(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	d := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access}
	if major >= 0 {
		d.Major = &major
	}
	if minor >= 0 {
		d.Minor = &minor
	}
	return d
}

func TestDeviceRules(t *testing.T) {
	denyAll, allowAll := rule(false, "", -1, -1, "rwm"), rule(true, "a", -1, -1, "rwm")
	defaults := []string{
		"allow c *:* m", "allow b *:* m", "allow c 1:3 rwm", "allow c 1:5 rwm", "allow c 1:7 rwm", "allow c 1:8 rwm",
		"allow c 1:9 rwm", "allow c 5:0 rwm", "allow c 5:2 rwm", "allow c 136:* rwm", "allow c 10:200 rwm",
	}
	plus := func(head ...string) []string { return append(head, defaults...) }
	for _, tt := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		want  []string
	}{
		{"none", nil, plus("deny a")},
		{"deny all", []specs.LinuxDeviceCgroup{denyAll}, plus("deny a")},
		{"privileged", []specs.LinuxDeviceCgroup{allowAll}, []string{"allow a"}},
		{"the last word counts", []specs.LinuxDeviceCgroup{allowAll, rule(true, "c", 9, 9, "r"), denyAll}, plus("deny a")},
		{
			"allowed one by one",
			[]specs.LinuxDeviceCgroup{denyAll, rule(true, "c", 10, 229, "rwm"), rule(true, "b", 8, -1, "r")},
			plus("deny a", "allow c 10:229 rwm", "allow b 8:* r"),
		},
		{
			"accesses of a device add up",
			[]specs.LinuxDeviceCgroup{rule(true, "c", 9, 1, "r"), rule(true, "c", 9, 1, "w")},
			plus("deny a", "allow c 9:1 rw"),
		},
		{
			"denied again, which the kernel would ignore",
			[]specs.LinuxDeviceCgroup{rule(true, "c", 9, 1, "rwm"), rule(true, "c", 8, 1, "rwm"), rule(false, "c", 9, -1, "wm")},
			plus("deny a", "allow c 9:1 r", "allow c 8:1 rwm"),
		},
		{
			"all types in one access is not all",
			[]specs.LinuxDeviceCgroup{rule(true, "a", -1, -1, "r")},
			[]string{
				"deny a", "allow c *:* rm", "allow b *:* rm", "allow c 1:3 rwm", "allow c 1:5 rwm", "allow c 1:7 rwm",
				"allow c 1:8 rwm", "allow c 1:9 rwm", "allow c 5:0 rwm", "allow c 5:2 rwm", "allow c 136:* rwm", "allow c 10:200 rwm",
			},
		},
		{
			"privileged but for one disk; the defaults stay",
			[]specs.LinuxDeviceCgroup{allowAll, rule(false, "b", 8, 0, "rwm"), rule(false, "c", 1, 3, "rwm")},
			[]string{"allow a", "deny b 8:0 rw"},
		},
	} {
		var l limits
		if err := l.devices(tt.rules); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, w := range l.writes {
			got = append(got, strings.TrimPrefix(w.file, "devices.")+" "+w.data)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// What the kernel can't hold is refused instead of being allowed or denied too
// much.
func TestHoleInWildcard(t *testing.T) {
	var l limits
	err := l.devices([]specs.LinuxDeviceCgroup{rule(true, "c", 9, -1, "rwm"), rule(false, "c", 9, 1, "w")})
	want := "linux.resources.devices[1]: a device cgroup cannot take c 9:1 w out of c 9:* rwm, which linux.resources.devices[0] set"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestRecordedPaths(t *testing.T) {
	list := []string{
		"cpu,cpuacct:2:/c/cpu,cpuacct/./jobs/web", "name=systemd:0:/c/systemd/./a:b:c", ":1:/c/unified/./x", "pids:0:/c/pids/./",
	}
	h, err := Open(list, "mark")
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Records(); !reflect.DeepEqual(got, list) {
		t.Errorf("got %q", got)
	}
	if h.EntryDir() != "/c/unified/x" {
		t.Errorf("entry: %s", h.EntryDir())
	}
	for _, bad := range []string{"", "x", "pids:1:/c/pids", "pids:x:/c/./a", "pids:2:/c/./a", "pids:-1:/c/./a", "pids:1:c/./a", "/c/pids/a", "pids:1:/c/./../a"} {
		if _, err := Open([]string{bad}, "mark"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	f := made("/c")
	for b.Loop() {
		if _, err := New(f, &Request{ID: "id", Path: "/x/y", Resources: everything, Owner: -1}); err != nil {
			b.Fatal(err)
		}
	}
}
