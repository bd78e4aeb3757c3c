package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// limitFiles are what an update may change, by controller, in v1 and in v2.
var limitFiles = map[string][]string{
	"memory": {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.max", "memory.swap.max", "memory.low"},
	"cpu":    {"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us", "cpu.shares", "cpu.idle", "cpu.max", "cpu.max.burst", "cpu.weight"},
	"cpuset": {"cpuset.cpus", "cpuset.mems"},
	"pids":   {"pids.max"},
	"blkio": {
		"blkio.bfq.weight", "blkio.weight", "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device",
		"io.bfq.weight", "io.weight", "io.max",
	},
}

// limits are the container's, as the kernel has them.
func (c *container) limits() content {
	c.t.Helper()
	got := content{}
	dirs := harness.CgroupsOf(c.t, c.State(c.id).Pid)
	for controller, files := range limitFiles {
		for _, file := range files {
			if b, err := os.ReadFile(filepath.Join(dirs[controller], file)); err == nil {
				got[file] = strings.TrimSpace(string(b))
			}
		}
	}
	return got
}

// updateCase is an update and what it changes; all else must stay.
type updateCase struct {
	name  string
	args  []string
	stdin string
	// v1 and v2 are files and what is in them then; of those that not every kernel has,
	// what is there counts.
	v1, v2 content
	old    string
}

const (
	mib       = 1 << 20
	unlimited = "9223372036854771712"
	anything  = "?" // kernels differ in it
)

// updates follow one another on one container, and each begins with what the one before
// has left.
var updates = []updateCase{
	{name: "memory", args: []string{"--memory", "50M"}, v1: content{"memory.limit_in_bytes": "52428800"}, v2: content{"memory.max": "52428800"}},
	{name: "memory in bytes", args: []string{"--memory=67108864"}, v1: content{"memory.limit_in_bytes": "67108864"}, v2: content{"memory.max": "67108864"}},
	{name: "a reservation", args: []string{"--memory-reservation", "32m"}, v1: content{"memory.soft_limit_in_bytes": "33554432"}, v2: content{"memory.low": "33554432"}},
	{name: "swap alone", args: []string{"--memory-swap", "96M"}, v1: content{"memory.memsw.limit_in_bytes": "100663296"}, v2: content{"memory.swap.max": "33554432"}},
	{name: "both up", args: []string{"--memory", "200M", "--memory-swap", "300M"}, v1: content{"memory.limit_in_bytes": "209715200", "memory.memsw.limit_in_bytes": "314572800"}, v2: content{"memory.max": "209715200", "memory.swap.max": "104857600"}},
	{name: "both down", args: []string{"--memory-swap", "48M", "--memory", "40M"}, v1: content{"memory.limit_in_bytes": "41943040", "memory.memsw.limit_in_bytes": "50331648"}, v2: content{"memory.max": "41943040", "memory.swap.max": "8388608"}},
	{name: "swap unlimited", args: []string{"--memory-swap", "-1"}, v1: content{"memory.memsw.limit_in_bytes": unlimited}, v2: content{"memory.swap.max": "max"}},
	{name: "memory unlimited", args: []string{"--memory", "-1"}, v1: content{"memory.limit_in_bytes": unlimited}, v2: content{"memory.max": "max"}},
	{name: "memory unlimited lifts swap", args: []string{"--memory", "40M", "--memory-swap", "50M"}, v1: content{"memory.limit_in_bytes": "41943040", "memory.memsw.limit_in_bytes": "52428800"}, v2: content{"memory.max": "41943040", "memory.swap.max": "10485760"}},
	{name: "memory unlimited lifts swap, then", args: []string{"--memory", "-1"}, v1: content{"memory.limit_in_bytes": unlimited, "memory.memsw.limit_in_bytes": unlimited}, v2: content{"memory.max": "max", "memory.swap.max": "max"}},
	{name: "shares", args: []string{"--cpu-share", "333"}, v1: content{"cpu.shares": "333"}, v2: content{"cpu.weight": "42"}},
	{name: "quota", args: []string{"--cpu-quota", "40000"}, v1: content{"cpu.cfs_quota_us": "40000"}, v2: content{"cpu.max": "40000 100000"}},
	{name: "period", args: []string{"--cpu-period", "50000"}, v1: content{"cpu.cfs_period_us": "50000"}, v2: content{"cpu.max": "40000 50000"}},
	{name: "quota and period up", args: []string{"--cpu-period", "1000000", "--cpu-quota", "900000"}, v1: content{"cpu.cfs_period_us": "1000000", "cpu.cfs_quota_us": "900000"}, v2: content{"cpu.max": "900000 1000000"}},
	{name: "quota and period down", args: []string{"--cpu-period", "10000", "--cpu-quota", "5000"}, v1: content{"cpu.cfs_period_us": "10000", "cpu.cfs_quota_us": "5000"}, v2: content{"cpu.max": "5000 10000"}},
	{name: "burst", args: []string{"--cpu-burst", "4000"}, v1: content{"cpu.cfs_burst_us": "4000"}, v2: content{"cpu.max.burst": "4000"}, old: "has no such flag"},
	{name: "quota below the burst", args: []string{"--cpu-burst", "0", "--cpu-quota", "2000"}, v1: content{"cpu.cfs_burst_us": "0", "cpu.cfs_quota_us": "2000"}, v2: content{"cpu.max.burst": "0", "cpu.max": "2000 10000"}, old: "has no such flag"},
	{name: "no quota", args: []string{"--cpu-quota", "-1"}, v1: content{"cpu.cfs_quota_us": "-1"}, v2: content{"cpu.max": "max 10000"}},
	{name: "idle", args: []string{"--cpu-idle", "1"}, v1: content{"cpu.idle": "1", "cpu.shares": "3"}, v2: content{"cpu.idle": "1", "cpu.weight": anything}, old: "has no such flag"},
	{name: "not idle, with shares", args: []string{"--cpu-idle", "0", "--cpu-share", "222"}, v1: content{"cpu.idle": "0", "cpu.shares": "222"}, v2: content{"cpu.idle": "0", "cpu.weight": "31"}, old: "has no such flag"},
	{name: "cpus", args: []string{"--cpuset-cpus", "0", "--cpuset-mems", "0"}, v1: content{"cpuset.cpus": "0", "cpuset.mems": "0"}, v2: content{"cpuset.cpus": "0", "cpuset.mems": "0"}},
	{name: "pids", args: []string{"--pids-limit", "17"}, v1: content{"pids.max": "17"}, v2: content{"pids.max": "17"}},
	{name: "no pids", args: []string{"--pids-limit", "0"}, v1: content{"pids.max": "1"}, v2: content{"pids.max": "1"}, old: "0 is no limit"},
	{name: "pids unlimited", args: []string{"--pids-limit", "-1"}, v1: content{"pids.max": "max"}, v2: content{"pids.max": "max"}},
	{name: "weight", args: []string{"--blkio-weight", "321"}, v1: content{"blkio.weight": "321", "blkio.bfq.weight": "321"}, v2: content{"io.weight": "default 3142", "io.bfq.weight": "default 321"}},
	{name: "several", args: []string{"--memory", "60M", "--cpu-share", "444", "--pids-limit=20"}, v1: content{"memory.limit_in_bytes": "62914560", "cpu.shares": "444", "pids.max": "20"}, v2: content{"memory.max": "62914560", "cpu.weight": "53", "pids.max": "20"}},
	{name: "nothing"},
	{name: "standard input", args: []string{"--resources", "-"}, stdin: `{"memory":{"limit":73400320},"cpu":{"shares":555}}`, v1: content{"memory.limit_in_bytes": "73400320", "cpu.shares": "555"}, v2: content{"memory.max": "73400320", "cpu.weight": "62"}},
	{name: "standard input, joined", args: []string{"--resources=-"}, stdin: `{"pids":{"limit":30}}`, v1: content{"pids.max": "30"}, v2: content{"pids.max": "30"}},
	{name: "short", args: []string{"-r", "-"}, stdin: `{"cpu":{"quota":30000,"period":60000,"cpus":"0","mems":"0"}}`, v1: content{"cpu.cfs_quota_us": "30000", "cpu.cfs_period_us": "60000"}, v2: content{"cpu.max": "30000 60000"}},
	{name: "other options beside a file are ignored", args: []string{"-r", "-", "--cpu-share", "9"}, stdin: `{"pids":{"limit":31}}`, v1: content{"pids.max": "31"}, v2: content{"pids.max": "31"}},
	{name: "zeros, as Docker sends them", args: []string{"-r", "-"}, stdin: `{"memory":{"limit":0,"reservation":0,"kernel":0},"cpu":{"shares":0,"quota":0,"period":0},"blockIO":{"weight":0},"pids":{"limit":50}}`, v1: content{"pids.max": "50"}, v2: content{"pids.max": "50"}},
	{name: "idle by a file", args: []string{"-r", "-"}, stdin: `{"cpu":{"idle":1}}`, v1: content{"cpu.idle": "1", "cpu.shares": "3"}, v2: content{"cpu.idle": "1", "cpu.weight": anything}, old: "does not know it"},
	{name: "not idle by a file", args: []string{"-r", "-"}, stdin: `{"cpu":{"idle":0,"shares":600}}`, v1: content{"cpu.idle": "0", "cpu.shares": "600"}, v2: content{"cpu.idle": "0", "cpu.weight": "66"}, old: "does not know it"},
	{name: "unknown properties", args: []string{"-r", "-"}, stdin: `{"new":{"x":[1]},"pids":{"limit":51}}`, v1: content{"pids.max": "51"}, v2: content{"pids.max": "51"}},
	{name: "dropped limits", args: []string{"--kernel-memory", "50M"}},
}

func TestUpdate(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpu", "cpuset", "pids", "blkio")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	for i, u := range updates {
		t.Run(u.name, func(t *testing.T) {
			skipOld(t, u.old)
			want := c.limits()
			for file, text := range byVersion(u.v1, u.v2) {
				if _, there := want[file]; there {
					want[file] = text
				}
			}
			args := append([]string{"update"}, u.args...)
			if i%2 == 0 {
				args = append(args, c.id)
			} else { // options may stand behind the id
				args = append([]string{"update", c.id}, u.args...)
			}
			if res := c.DoIn(u.stdin, args...); res.Code != 0 || res.Stdout != "" {
				t.Fatalf("%d %s%s", res.Code, res.Stdout, res.Stderr)
			}
			got := c.limits()
			for file, text := range want {
				if got[file] != text && text != anything {
					t.Errorf("%s is %s, want %s", file, got[file], text)
				}
			}
		})
		if i == len(updates)/2 { // created until here
			c.Must("start", c.id)
		}
	}
}

// What is refused is said, with what was asked for, and leaves all limits alone.
func TestUpdateThatFails(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpu", "cpuset", "pids")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"), resources(func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib)), Swap: ptr(int64(64 * mib))}
		r.CPU = &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(50000)), Shares: ptr(uint64(300))}
	}))
	c.fails("container does not exist", "update", "--memory", "50M", "bt-nobody")
	c.detached()
	before := c.limits()
	for _, u := range []struct {
		err, stdin string
		args       []string
	}{
		{"invalid value for memory: invalid size: '5x'", "", []string{"--memory", "5x"}},
		{"invalid value for memory-swap: invalid size: '-5'", "", []string{"--memory-swap", "-5"}},
		{"invalid value for cpu-quota: .*invalid syntax", "", []string{"--cpu-quota", "x"}},
		{"invalid value for cpu-share: .*invalid syntax", "", []string{"--cpu-share", "-1"}},
		{"invalid value", "", []string{"--pids-limit", "x"}},
		{"no such file or directory", "", []string{"--resources", "/nonexistent"}},
		{"unexpected|EOF|end", "{", []string{"-r", "-"}},
		{"memory", `{"memory":{"limit":"50M"}}`, []string{"-r", "-"}},
		{"swap|memsw", "", []string{"--memory", "40M", "--memory-swap", "30M"}},
		{"Intel RDT", "", []string{"--l3-cache-schema", "L3:0=f"}},
		{"Intel RDT", "", []string{"--mem-bw-schema", "MB:0=20"}},
		{"cpus", "", []string{"--cpu-share", "400", "--cpuset-cpus", "4000"}},
	} {
		res := c.DoIn(u.stdin, append(append([]string{"update"}, u.args...), c.id)...)
		if res.Code != 1 || !fits(t, u.err, unquote(res.Stderr)) {
			t.Errorf("%q: %d, want 1 with %q: %s", u.args, res.Code, u.err, res.Stderr)
		}
		if harness.Berth() { // others put back only some
			for file, text := range c.limits() {
				if before[file] != text {
					t.Fatalf("%q: %s is %s, was %s", u.args, file, text, before[file])
				}
			}
		}
	}
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	c.fails("container not running", "update", "--memory", "50M", c.id)
}

// These words are this runtime's own: where in the document, which file, which value,
// what the kernel said, what is in force.
func TestUpdateErrorsSayWhy(t *testing.T) {
	harness.NeedControllers(t, "memory", "cpu", "cpuset", "pids")
	skipOld(t, "words of its own")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"), resources(func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib)), Swap: ptr(int64(64 * mib))}
		r.CPU = &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(50000))}
	}))
	c.create()
	for _, u := range []struct {
		// v1 and v2 are what is said; empty where it is none of that one's.
		v1, v2, stdin string
		args          []string
	}{
		{
			v1:   `linux.resources.memory.limit: write "134217728" to /.*/memory.limit_in_bytes: invalid argument \(in force: memory.limit_in_bytes 67108864, memory.memsw.limit_in_bytes 67108864\)`,
			args: []string{"--memory", "128M"},
		},
		{
			v1:   `linux.resources.cpu.burst: write "30000" to /.*/cpu.cfs_burst_us: invalid argument \(in force: cpu.cfs_period_us 50000, cpu.cfs_quota_us 20000, cpu.cfs_burst_us 0\)`,
			v2:   `linux.resources.cpu.burst: write "30000" to /.*/cpu.max.burst: invalid argument \(in force: cpu.max 20000 50000, cpu.max.burst 0\)`,
			args: []string{"--cpu-burst", "30000"},
		},
		{
			v1:   `linux.resources.cpu.cpus: write "40000" to /.*/cpuset.cpus: .*\(not all of these are there, or the parent cgroup has them\)`,
			v2:   `linux.resources.cpu.cpus: write "40000" to /.*/cpuset.cpus: .*\(not all of these are there, or the parent cgroup has them\)`,
			args: []string{"--cpuset-cpus", "40000"},
		},
		{
			v1: `linux.resources.memory.limit: the new limit, 4096, is less than the memory in use, [0-9]+`, v2: `linux.resources.memory.limit: the new limit, 4096, is less than the memory in use, [0-9]+`,
			stdin: `{"memory":{"limit":4096,"checkBeforeUpdate":true}}`, args: []string{"-r", "-"},
		},
		{
			v1:   `memory and swap together, 31457280, must not be less than the memory limit, 41943040: linux.resources.memory.swap`,
			v2:   `memory and swap together, 31457280, must not be less than the memory limit, 41943040: linux.resources.memory.swap`,
			args: []string{"--memory", "40M", "--memory-swap", "30M"},
		},
		{v1: `must be 0 or 1, not 2: linux.resources.cpu.idle`, v2: `must be 0 or 1, not 2: linux.resources.cpu.idle`, args: []string{"--cpu-idle", "2"}},
		{v1: `must be between 1000 and 1000000 microseconds, not 100: linux.resources.cpu.period`, v2: `must be between 1000 and 1000000 microseconds, not 100: linux.resources.cpu.period`, args: []string{"--cpu-period", "100"}},
		{v1: `must be -1 \(no limit\) or more, not -2: linux.resources.pids.limit`, v2: `must be -1 \(no limit\) or more, not -2: linux.resources.pids.limit`, args: []string{"--pids-limit", "-2"}},
		{v1: `invalid value for blkio-weight: must be between 10 and 1000, not 65636`, v2: `invalid value for blkio-weight: must be between 10 and 1000, not 65636`, args: []string{"--blkio-weight", "65636"}},
		{v1: `must be between 10 and 1000, not 5: linux.resources.blockIO.weight`, v2: `must be between 10 and 1000, not 5: linux.resources.blockIO.weight`, args: []string{"--blkio-weight", "5"}},
		{v1: `linux.resources.unified holds cgroup v2 files, and this host has cgroup v1`, stdin: `{"unified":{"memory.max":"1"}}`, args: []string{"-r", "-"}},
		{v2: `linux.resources.unified\["memory.nosuch"\]: write "1" to /.*/memory.nosuch: no such file or directory \(the kernel does not have this control\)`, stdin: `{"unified":{"memory.nosuch":"1"}}`, args: []string{"-r", "-"}},
		{v2: `linux.resources.unified\["nosuch.max"\] needs the cgroup controller nosuch, which is not available`, stdin: `{"unified":{"nosuch.max":"1"}}`, args: []string{"-r", "-"}},
		{v2: `cgroup.procs is not a limit, but part of how the container is run`, stdin: `{"unified":{"cgroup.procs":"1"}}`, args: []string{"-r", "-"}},
		{v2: `linux.resources.network`, stdin: `{"network":{"classID":5}}`, args: []string{"-r", "-"}},
		{v1: `cannot understand the limits in standard input: must be an integer, not a string: memory.limit`, v2: `cannot understand the limits in standard input: must be an integer, not a string: memory.limit`, stdin: `{"memory":{"limit":"50M"}}`, args: []string{"-r", "-"}},
	} {
		want := byVersion(u.v1, u.v2)
		if want == "" {
			continue
		}
		before := c.limits()
		res := c.DoIn(u.stdin, append(append([]string{"update"}, u.args...), c.id)...)
		if res.Code != 1 || !fits(t, want, unquote(res.Stderr)) {
			t.Errorf("%q %s: %d, want 1 with %q: %s", u.args, u.stdin, res.Code, want, res.Stderr)
		}
		if now := c.limits(); !maps.Equal(now, before) {
			t.Errorf("%q %s: %v, before %v", u.args, u.stdin, now, before)
		}
	}
	res := c.Do("update", "--kernel-memory", "50M", c.id)
	if res.Code != 0 || !fits(t, "level=warning.*linux.resources.memory.kernel is ignored", res.Stderr) {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
}

// Rules on devices hold through an update, and there is no moment without them.
func TestUpdateLeavesDevicesAlone(t *testing.T) {
	harness.NeedControllers(t, "devices", "pids")
	c := newContainer(t, harness.Shell("while cat /dev/null; do :; done; echo failed > /failed"))
	c.detached()
	dir := harness.CgroupsOf(t, c.State(c.id).Pid)["devices"]
	rules := func() string {
		if harness.Unified() {
			return fmt.Sprint(harness.DevicePrograms(t, dir))
		}
		return harness.ReadFile(t, dir+"/devices.list")
	}
	before := rules()
	for range 20 {
		if res := c.DoIn(`{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}],"pids":{"limit":40}}`, "update", "-r", "-", c.id); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
	}
	if now := rules(); now != before {
		t.Errorf("the rules are now\n%s\nand were\n%s", now, before)
	}
	if b, err := os.ReadFile(filepath.Join(c.bundle, "rootfs/failed")); err == nil {
		t.Errorf("a device could not be used: %s", b)
	}
}

// A paused container is updated and stays paused.
func TestUpdateOfAPausedContainer(t *testing.T) {
	harness.NeedControllers(t, "freezer", "memory")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.detached()
	c.Must("pause", c.id)
	c.Must("update", "--memory", "50M", "--cpuset-cpus", "0", c.id)
	if got := c.status(); got != "paused" {
		t.Errorf("status %s, want paused", got)
	}
	if got := c.limits()[byVersion("memory.limit_in_bytes", "memory.max")]; got != "52428800" {
		t.Errorf("limit %s", got)
	}
	c.Must("resume", c.id)
	c.awaitStatus("running")
}

// A device's throttle is changed in place.
func TestUpdateOfThrottles(t *testing.T) {
	harness.NeedControllers(t, "blkio")
	skipOld(t, "ignores them")
	device := blockDevice(t)
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.detached()
	major, minor, _ := strings.Cut(device, ":")
	for _, rate := range []string{"1048576", "2097152"} {
		doc := `{"blockIO":{"throttleReadBpsDevice":[{"major":` + major + `,"minor":` + minor + `,"rate":` + rate + `}]}}`
		if res := c.DoIn(doc, "update", "-r", "-", c.id); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
		got := c.limits()[byVersion("blkio.throttle.read_bps_device", "io.max")]
		if want := device + byVersion(" "+rate, " rbps="+rate+" wbps=max riops=max wiops=max"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// blockDevice is the number of a whole disk of the machine.
func blockDevice(t *testing.T) string {
	t.Helper()
	d := wholeDisk()
	if d == "" {
		t.Skip("no block device")
	}
	return d
}

func wholeDisk() string {
	list, _ := filepath.Glob("/sys/block/*/dev")
	for _, f := range list {
		if !strings.Contains(f, "/loop") && !strings.Contains(f, "/ram") {
			b, _ := os.ReadFile(f)
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}
