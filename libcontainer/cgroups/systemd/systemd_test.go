package systemd

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		path        string
		user        bool
		slice, unit string
	}{
		{"", false, "system.slice", "berth-id.scope"},
		{"", true, "user.slice", "berth-id.scope"},
		{"machine.slice:libpod:abc", false, "machine.slice", "libpod-abc.scope"},
		{":docker:abc", false, "system.slice", "docker-abc.scope"},
		{"-:x:y", false, "-.slice", "x-y.scope"},
		{"a-b.slice::web", false, "a-b.slice", "web.scope"},
	} {
		slice, unit, err := ParsePath(c.path, "id", c.user)
		if err != nil || slice != c.slice || unit != c.unit {
			t.Errorf("%+v: %s %s %v", c, slice, unit, err)
		}
	}
	for path, want := range map[string]string{
		"/docker/abc":                   `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/docker/abc" instead`,
		"a:b:c:d":                       "slice:prefix:name",
		"a.service:b:c":                 `invalid slice name: "a.service"`,
		"a/b.slice:x:y":                 "invalid slice name",
		"a--b.slice:x:y":                "invalid slice name",
		"-a.slice:x:y":                  "invalid slice name",
		"a.slice:x:":                    "must not be empty",
		"a.slice:x:../y":                "nor hold a slash",
		"a.slice:x:y.slice":             "a container is a scope",
		"::" + string(make([]byte, 1)):  "nor hold a slash",
		"::" + strings.Repeat("a", 250): "longer than 255 bytes",
	} {
		if _, _, err := ParsePath(path, "id", false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", path, err, want)
		}
	}
}

func TestExpandSlice(t *testing.T) {
	for slice, want := range map[string]string{
		"-.slice":            "/",
		"system.slice":       "/system.slice",
		"a-b-c.slice":        "/a.slice/a-b.slice/a-b-c.slice",
		"kubepods-pod.slice": "/kubepods.slice/kubepods-pod.slice",
	} {
		if got, err := ExpandSlice(slice); err != nil || got != want {
			t.Errorf("%s: %s %v", slice, got, err)
		}
	}
}

// text prints properties.
func text(list []Property) string {
	var all []string
	for _, p := range list {
		all = append(all, p.Name+"="+p.Value.String())
	}
	return strings.Join(all, " ")
}

func TestProperties(t *testing.T) {
	const none = "@t 18446744073709551615"
	inForce := func(values map[string]string) func(string) string {
		if values == nil {
			return nil
		}
		return func(file string) string { return values[file] }
	}
	for _, c := range []struct {
		name  string
		files []File
		now   map[string]string
		want  string
	}{
		{"memory", []File{{"memory.max", "100"}, {"memory.swap.max", "max"}, {"memory.low", "5"}}, nil, "MemoryMax=@t 100 MemorySwapMax=" + none + " MemoryLow=@t 5"},
		{"memory, v1", []File{{"memory.limit_in_bytes", "100"}, {"memory.swappiness", "3"}}, nil, "MemoryLimit=@t 100"},
		{"pids", []File{{"pids.max", "1"}}, nil, "TasksMax=@t 1"},
		{"pids without limit", []File{{"pids.max", "max"}}, nil, "TasksMax=" + none},
		{"weights", []File{{"cpu.weight", "100"}, {"io.weight", "default 50"}, {"cpu.shares", "7"}}, nil, "CPUWeight=@t 100 IOWeight=@t 50 CPUShares=@t 7"},
		{"quota and period", []File{{"cpu.max", "5000 20000"}}, nil, "CPUQuotaPeriodUSec=@t 20000 CPUQuotaPerSecUSec=@t 250000"},
		{"quota of a new one", []File{{"cpu.max", "5000"}}, nil, "CPUQuotaPerSecUSec=@t 50000"},
		{"quota, cut to 10 ms upwards", []File{{"cpu.max", "1001 100000"}}, nil, "CPUQuotaPeriodUSec=@t 100000 CPUQuotaPerSecUSec=@t 20000"},
		{"quota, the period in force", []File{{"cpu.max", "5000"}}, map[string]string{"cpu.max": "max 50000"}, "CPUQuotaPerSecUSec=@t 100000"},
		{"no quota", []File{{"cpu.max", "max"}}, nil, "CPUQuotaPerSecUSec=" + none},
		{"v1's two files", []File{{"cpu.cfs_period_us", "20000"}, {"cpu.cfs_quota_us", "5000"}}, nil, "CPUQuotaPeriodUSec=@t 20000 CPUQuotaPerSecUSec=@t 250000"},
		{"v1's period, the quota in force", []File{{"cpu.cfs_period_us", "20000"}}, map[string]string{"cpu.cfs_quota_us": "10000", "cpu.cfs_period_us": "100000"}, "CPUQuotaPeriodUSec=@t 20000 CPUQuotaPerSecUSec=@t 500000"},
		{"v1's quota lifted", []File{{"cpu.cfs_quota_us", "-1"}}, nil, "CPUQuotaPerSecUSec=" + none},
		{"cpuset", []File{{"cpuset.cpus", "0-1,9"}, {"cpuset.mems", "0"}}, nil, "AllowedCPUs=@ay [0x3, 0x2] AllowedMemoryNodes=@ay [0x1]"},
		{"no cpuset", []File{{"cpuset.cpus", "x"}}, nil, ""},
		{"what has no property", []File{{"hugetlb.2MB.max", "1"}, {"memory.max", "5x"}, {"cpuset.cpus", "40000"}}, nil, ""},
		{"idle", []File{{"cpu.weight", "7"}, {"cpu.idle", "1"}}, nil, "CPUWeight=@t 0"},
		{"a new one is not idle", []File{{"cpu.idle", "0"}}, nil, ""},
		{"not idle any more", []File{{"cpu.idle", "0"}}, map[string]string{}, "CPUWeight=@t 100"},
		{"not idle any more, with a weight", []File{{"cpu.weight", "7"}, {"cpu.idle", "0"}}, map[string]string{}, "CPUWeight=@t 7"},
		{
			"devices",
			[]File{{"devices.deny", "a"}, {"devices.allow", "c *:* m"}, {"devices.allow", "c 1:3 rwm"}, {"devices.allow", "c 136:* rwm"}, {"devices.allow", "b 8:0 r"}},
			nil,
			`DevicePolicy="strict" DeviceAllow=[("char-*", "m",), ("/dev/char/1:3", "rwm",), ("char-136", "rwm",), ("/dev/block/8:0", "r",)]`,
		},
		{"devices that systemd can not tell", []File{{"devices.deny", "a"}, {"devices.allow", "c *:3 r"}, {"devices.allow", "c 1:3 r"}}, nil, ""},
		{"all devices", []File{{"devices.allow", "a"}, {"devices.deny", "c 1:3 r"}}, nil, ""},
	} {
		if got := text(Properties(c.files, inForce(c.now))); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
	if got := text(Properties([]File{{"cpu.max", "7000"}}, nil)); got != "CPUQuotaPerSecUSec=@t 70000" {
		t.Error(got)
	}
}

func TestAnnotated(t *testing.T) {
	list, err := Annotated(map[string]string{
		"org.systemd.property.TimeoutStopUSec": "uint64 123456789",
		"org.systemd.property.CollectMode":     "'inactive'",
		"org.systemd.property.TimeoutStopSec":  "1.5",
		"org.systemd.property.RuntimeMaxSec":   "20",
		"org.systemd.property.KillMode":        `"none"`,
		"com.example.else":                     "1",
	})
	const want = `CollectMode="inactive" KillMode="none" RuntimeMaxUSec=@t 20000000 TimeoutStopUSec=@t 1500000 TimeoutStopUSec=@t 123456789`
	if err != nil || text(list) != want {
		t.Errorf("%s %v\nwant %s", text(list), err, want)
	}
	for key, bad := range map[string][2]string{
		"org.systemd.property.X": {"true", "does not name a property"},
		// They would move processes of the host into the scope, or the scope elsewhere.
		"org.systemd.property.PIDs":        {"[@u 1]", "is for the runtime alone to set"},
		"org.systemd.property.PIDFDs":      {"[@h 1]", "is for the runtime alone to set"},
		"org.systemd.property.Slice":       {"'a.slice'", "is for the runtime alone to set"},
		"org.systemd.property.Description": {"'x'", "is for the runtime alone to set"},
		"org.systemd.property.Delegate":    {"false", "is for the runtime alone to set"},
		"org.systemd.property.Coll ect":    {"true", "does not name a property"},
		"org.systemd.property.Kill-Mode":   {"true", "does not name a property"},
		"org.systemd.property.KillMode":    {"no quotes", "cannot be understood"},
		"org.systemd.property.TimeoutSec":  {"'soon'", "is not a number of seconds"},
		"org.systemd.property.RuntimeSec":  {"-1", "is not a number of seconds"},
	} {
		_, err := Annotated(map[string]string{key: bad[0]})
		if err == nil || !strings.Contains(err.Error(), bad[1]) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: %v", key, bad[0], err)
		}
	}
	if list, err := Annotated(nil); list != nil || err != nil {
		t.Error(list, err)
	}
}

func TestSetOfNumbers(t *testing.T) {
	p := &translation{}
	p.set("X", "0-7,64,3")
	if got := p.list[0].Value.Value(); !reflect.DeepEqual(got, []byte{255, 0, 0, 0, 0, 0, 0, 0, 1}) {
		t.Error(got)
	}
	p.number("Y", "max")
	if got := p.list[1].Value.Value(); got != uint64(math.MaxUint64) {
		t.Error(got)
	}
}
