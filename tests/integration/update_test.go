package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// limitFiles are what an update may change, by controller.
var limitFiles = map[string][]string{
	"memory": {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"},
	"cpu":    {"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us", "cpu.shares", "cpu.idle"},
	"cpuset": {"cpuset.cpus", "cpuset.mems"},
	"pids":   {"pids.max"},
	"blkio":  {"blkio.bfq.weight", "blkio.weight", "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device"},
}

// limits are the container's, as the kernel has them.
func (c *container) limits() map[string]string {
	c.t.Helper()
	got := map[string]string{}
	dirs := cgroupDirs(c.t, c.State(c.id).Pid)
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
	want  map[string]string
	old   string
}

const (
	mib       = 1 << 20
	unlimited = "9223372036854771712"
)

// updates follow one another on one container, and each begins with what the one before
// has left.
var updates = []updateCase{
	{name: "memory", args: []string{"--memory", "50M"}, want: map[string]string{"memory.limit_in_bytes": "52428800"}},
	{name: "memory in bytes", args: []string{"--memory=67108864"}, want: map[string]string{"memory.limit_in_bytes": "67108864"}},
	{name: "a reservation", args: []string{"--memory-reservation", "32m"}, want: map[string]string{"memory.soft_limit_in_bytes": "33554432"}},
	{name: "swap alone", args: []string{"--memory-swap", "96M"}, want: map[string]string{"memory.memsw.limit_in_bytes": "100663296"}},
	{name: "both up", args: []string{"--memory", "200M", "--memory-swap", "300M"}, want: map[string]string{"memory.limit_in_bytes": "209715200", "memory.memsw.limit_in_bytes": "314572800"}},
	{name: "both down", args: []string{"--memory-swap", "48M", "--memory", "40M"}, want: map[string]string{"memory.limit_in_bytes": "41943040", "memory.memsw.limit_in_bytes": "50331648"}},
	{name: "swap unlimited", args: []string{"--memory-swap", "-1"}, want: map[string]string{"memory.memsw.limit_in_bytes": unlimited}},
	{name: "memory unlimited", args: []string{"--memory", "-1"}, want: map[string]string{"memory.limit_in_bytes": unlimited}},
	{name: "memory unlimited lifts swap", args: []string{"--memory", "40M", "--memory-swap", "50M"}, want: map[string]string{"memory.limit_in_bytes": "41943040", "memory.memsw.limit_in_bytes": "52428800"}},
	{name: "memory unlimited lifts swap, then", args: []string{"--memory", "-1"}, want: map[string]string{"memory.limit_in_bytes": unlimited, "memory.memsw.limit_in_bytes": unlimited}},
	{name: "shares", args: []string{"--cpu-share", "333"}, want: map[string]string{"cpu.shares": "333"}},
	{name: "quota", args: []string{"--cpu-quota", "40000"}, want: map[string]string{"cpu.cfs_quota_us": "40000"}},
	{name: "period", args: []string{"--cpu-period", "50000"}, want: map[string]string{"cpu.cfs_period_us": "50000"}},
	{name: "quota and period up", args: []string{"--cpu-period", "1000000", "--cpu-quota", "900000"}, want: map[string]string{"cpu.cfs_period_us": "1000000", "cpu.cfs_quota_us": "900000"}},
	{name: "quota and period down", args: []string{"--cpu-period", "10000", "--cpu-quota", "5000"}, want: map[string]string{"cpu.cfs_period_us": "10000", "cpu.cfs_quota_us": "5000"}},
	{name: "burst", args: []string{"--cpu-burst", "4000"}, want: map[string]string{"cpu.cfs_burst_us": "4000"}, old: "has no such flag"},
	{name: "quota below the burst", args: []string{"--cpu-burst", "0", "--cpu-quota", "2000"}, want: map[string]string{"cpu.cfs_burst_us": "0", "cpu.cfs_quota_us": "2000"}, old: "has no such flag"},
	{name: "no quota", args: []string{"--cpu-quota", "-1"}, want: map[string]string{"cpu.cfs_quota_us": "-1"}},
	{name: "idle", args: []string{"--cpu-idle", "1"}, want: map[string]string{"cpu.idle": "1", "cpu.shares": "3"}, old: "has no such flag"},
	{name: "not idle, with shares", args: []string{"--cpu-idle", "0", "--cpu-share", "222"}, want: map[string]string{"cpu.idle": "0", "cpu.shares": "222"}, old: "has no such flag"},
	{name: "cpus", args: []string{"--cpuset-cpus", "0", "--cpuset-mems", "0"}, want: map[string]string{"cpuset.cpus": "0", "cpuset.mems": "0"}},
	{name: "pids", args: []string{"--pids-limit", "17"}, want: map[string]string{"pids.max": "17"}},
	{name: "no pids", args: []string{"--pids-limit", "0"}, want: map[string]string{"pids.max": "1"}, old: "0 is no limit"},
	{name: "pids unlimited", args: []string{"--pids-limit", "-1"}, want: map[string]string{"pids.max": "max"}},
	{name: "weight", args: []string{"--blkio-weight", "321"}, want: map[string]string{"blkio.weight": "321", "blkio.bfq.weight": "321"}},
	{name: "several", args: []string{"--memory", "60M", "--cpu-share", "444", "--pids-limit=20"}, want: map[string]string{"memory.limit_in_bytes": "62914560", "cpu.shares": "444", "pids.max": "20"}},
	{name: "nothing"},
	{name: "standard input", args: []string{"--resources", "-"}, stdin: `{"memory":{"limit":73400320},"cpu":{"shares":555}}`, want: map[string]string{"memory.limit_in_bytes": "73400320", "cpu.shares": "555"}},
	{name: "standard input, joined", args: []string{"--resources=-"}, stdin: `{"pids":{"limit":30}}`, want: map[string]string{"pids.max": "30"}},
	{name: "short", args: []string{"-r", "-"}, stdin: `{"cpu":{"quota":30000,"period":60000,"cpus":"0","mems":"0"}}`, want: map[string]string{"cpu.cfs_quota_us": "30000", "cpu.cfs_period_us": "60000"}},
	{name: "other options beside a file are ignored", args: []string{"-r", "-", "--cpu-share", "9"}, stdin: `{"pids":{"limit":31}}`, want: map[string]string{"pids.max": "31"}},
	{name: "zeros, as Docker sends them", args: []string{"-r", "-"}, stdin: `{"memory":{"limit":0,"reservation":0,"kernel":0},"cpu":{"shares":0,"quota":0,"period":0},"blockIO":{"weight":0},"pids":{"limit":50}}`, want: map[string]string{"pids.max": "50"}},
	{name: "idle by a file", args: []string{"-r", "-"}, stdin: `{"cpu":{"idle":1}}`, want: map[string]string{"cpu.idle": "1", "cpu.shares": "3"}, old: "does not know it"},
	{name: "not idle by a file", args: []string{"-r", "-"}, stdin: `{"cpu":{"idle":0,"shares":600}}`, want: map[string]string{"cpu.idle": "0", "cpu.shares": "600"}, old: "does not know it"},
	{name: "unknown properties", args: []string{"-r", "-"}, stdin: `{"new":{"x":[1]},"pids":{"limit":51}}`, want: map[string]string{"pids.max": "51"}},
	{name: "dropped limits", args: []string{"--kernel-memory", "50M"}},
}

func TestUpdate(t *testing.T) {
	v1(t, "memory", "cpu", "cpuset", "pids", "blkio")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	for i, u := range updates {
		t.Run(u.name, func(t *testing.T) {
			skipOld(t, u.old)
			want := c.limits()
			for file, content := range u.want {
				if _, there := want[file]; there {
					want[file] = content
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
			for file, content := range want {
				if got[file] != content {
					t.Errorf("%s is %s, want %s", file, got[file], content)
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
	v1(t, "memory", "cpu", "cpuset", "pids")
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
			for file, content := range c.limits() {
				if before[file] != content {
					t.Fatalf("%q: %s is %s, was %s", u.args, file, content, before[file])
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
	v1(t, "memory", "cpu", "cpuset", "pids")
	skipOld(t, "words of its own")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"), resources(func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib)), Swap: ptr(int64(64 * mib))}
		r.CPU = &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(50000))}
	}))
	c.create()
	for _, u := range []struct {
		err, stdin string
		args       []string
	}{
		{`linux.resources.memory.limit: write "134217728" to /.*/memory.limit_in_bytes: invalid argument \(in force: memory.limit_in_bytes 67108864, memory.memsw.limit_in_bytes 67108864\)`, "", []string{"--memory", "128M"}},
		{`linux.resources.cpu.burst: write "30000" to /.*/cpu.cfs_burst_us: invalid argument \(in force: cpu.cfs_period_us 50000, cpu.cfs_quota_us 20000, cpu.cfs_burst_us 0\)`, "", []string{"--cpu-burst", "30000"}},
		{`linux.resources.cpu.cpus: write "4000" to /.*/cpuset.cpus: .*\(not all of these are there, or the parent cgroup has them\)`, "", []string{"--cpuset-cpus", "4000"}},
		{`linux.resources.memory.limit: the new limit, 4096, is less than the memory in use, [0-9]+`, `{"memory":{"limit":4096,"checkBeforeUpdate":true}}`, []string{"-r", "-"}},
		{`memory and swap together, 31457280, must not be less than the memory limit, 41943040: linux.resources.memory.swap`, "", []string{"--memory", "40M", "--memory-swap", "30M"}},
		{`must be 0 or 1, not 2: linux.resources.cpu.idle`, "", []string{"--cpu-idle", "2"}},
		{`must be between 1000 and 1000000 microseconds, not 100: linux.resources.cpu.period`, "", []string{"--cpu-period", "100"}},
		{`must be -1 \(no limit\) or more, not -2: linux.resources.pids.limit`, "", []string{"--pids-limit", "-2"}},
		{`invalid value for blkio-weight: must be between 10 and 1000, not 65636`, "", []string{"--blkio-weight", "65636"}},
		{`must be between 10 and 1000, not 5: linux.resources.blockIO.weight`, "", []string{"--blkio-weight", "5"}},
		{`linux.resources.unified holds cgroup v2 files, and this host has cgroup v1`, `{"unified":{"memory.max":"1"}}`, []string{"-r", "-"}},
		{`cannot understand the limits in standard input: must be an integer, not a string: memory.limit`, `{"memory":{"limit":"50M"}}`, []string{"-r", "-"}},
	} {
		res := c.DoIn(u.stdin, append(append([]string{"update"}, u.args...), c.id)...)
		if res.Code != 1 || !fits(t, u.err, unquote(res.Stderr)) {
			t.Errorf("%q: %d, want 1 with %q: %s", u.args, res.Code, u.err, res.Stderr)
		}
	}
	res := c.Do("update", "--kernel-memory", "50M", c.id)
	if res.Code != 0 || !fits(t, "level=warning.*linux.resources.memory.kernel is ignored", res.Stderr) {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
}

// Rules on devices hold through an update, and there is no moment without them.
func TestUpdateLeavesDevicesAlone(t *testing.T) {
	v1(t, "devices", "pids")
	c := newContainer(t, harness.Shell("while cat /dev/null; do :; done; echo failed > /failed"))
	c.detached()
	list := filepath.Join(cgroupDirs(t, c.State(c.id).Pid)["devices"], "devices.list")
	before := harness.ReadFile(t, list)
	for range 20 {
		if res := c.DoIn(`{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}],"pids":{"limit":40}}`, "update", "-r", "-", c.id); res.Code != 0 {
			t.Fatal(res.Stderr)
		}
	}
	if now := harness.ReadFile(t, list); now != before {
		t.Errorf("the rules are now\n%s\nand were\n%s", now, before)
	}
	if b, err := os.ReadFile(filepath.Join(c.bundle, "rootfs/failed")); err == nil {
		t.Errorf("a device could not be used: %s", b)
	}
}

// A paused container is updated and stays paused.
func TestUpdateOfAPausedContainer(t *testing.T) {
	v1(t, "freezer", "memory")
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.detached()
	c.Must("pause", c.id)
	c.Must("update", "--memory", "50M", "--cpuset-cpus", "0", c.id)
	if got := c.status(); got != "paused" {
		t.Errorf("status %s, want paused", got)
	}
	if got := c.limits()["memory.limit_in_bytes"]; got != "52428800" {
		t.Errorf("limit %s", got)
	}
	c.Must("resume", c.id)
	c.awaitStatus("running")
}

// A device's throttle is changed in place.
func TestUpdateOfThrottles(t *testing.T) {
	v1(t, "blkio")
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
		if got := c.limits()["blkio.throttle.read_bps_device"]; got != device+" "+rate {
			t.Errorf("%q, want %s %s", got, device, rate)
		}
	}
}

// blockDevice is the number of a whole disk of the machine.
func blockDevice(t *testing.T) string {
	t.Helper()
	list, _ := filepath.Glob("/sys/block/*/dev")
	for _, f := range list {
		if !strings.Contains(f, "/loop") && !strings.Contains(f, "/ram") {
			return harness.ReadFile(t, f)
		}
	}
	t.Skip("no block device")
	return ""
}
