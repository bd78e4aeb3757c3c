package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

func unifiedFiles(files map[string]string) change {
	return resources(func(r *specs.LinuxResources) { r.Unified = files })
}

// rows: RES-39 RES-40 RES-41
func TestUnified(t *testing.T) {
	harness.NeedV2(t)
	t.Run("what is written", func(t *testing.T) {
		c := newContainer(t, harness.Args("/bin/sleep", "1000"), resources(pids(9)), unifiedFiles(map[string]string{
			"pids.max": "7", "memory.high": "64M", "memory.oom.group": "1", "cgroup.max.depth": "3", "cpu.max": "30000 60000", "misc.max": "x",
		}))
		c.fails(`linux.resources.unified\["misc.max"\]: write "x" to `, "create", "--bundle", c.bundle, c.id)
		c.NothingLeft(c.id)
		c.placed("", resources(pids(9)), unifiedFiles(map[string]string{
			"pids.max": "7", "memory.high": "64M", "memory.oom.group": "1", "cgroup.max.depth": "3", "cpu.max": "30000 60000",
		}))
		c.create()
		dir := harness.CgroupsOf(t, c.State(c.id).Pid)[""]
		for file, want := range map[string]string{"pids.max": "7", "memory.high": "67108864", "memory.oom.group": "1", "cgroup.max.depth": "3", "cpu.max": "30000 60000"} {
			if got := harness.ReadFile(t, dir+"/"+file); got != want {
				t.Errorf("%s is %s, want %s", file, got, want)
			}
		}
	})
	for file, want := range map[string]string{
		"nosuch.max":    `linux.resources.unified\["nosuch.max"\] needs the cgroup controller nosuch, which is not available.*cgroup.controllers of .* lists: .*memory.*pids`,
		"memory.nosuch": `linux.resources.unified\["memory.nosuch"\]: write "1" to /.*/memory.nosuch: no such file or directory \(the kernel does not have this control\)`,
		"../memory.max": `is not the name of a file in a cgroup: linux.resources.unified`,
		"memory":        `is not of the form controller.name`,
		"cgroup.freeze": `not a limit, but part of how the container is run`,
		"perf_event.x":  `needs the cgroup controller perf_event, which is not available`,
	} {
		t.Run(file, func(t *testing.T) {
			c := newContainer(t, unifiedFiles(map[string]string{file: "1"}))
			c.fails(want, "create", "--bundle", c.bundle, c.id)
			c.NothingLeft(c.id)
		})
	}
}

// What only v1 has is refused where it limits.
//
// rows: RES-42
func TestNotInV2(t *testing.T) {
	harness.NeedV2(t)
	for json, set := range map[string]func(*specs.LinuxResources){
		"linux.resources.cpu.realtimeRuntime": cpu(specs.LinuxCPU{RealtimeRuntime: ptr(int64(1000))}),
		"linux.resources.blockIO.leafWeight":  blockIO(specs.LinuxBlockIO{LeafWeight: ptr(uint16(100))}),
		"linux.resources.network":             func(r *specs.LinuxResources) { r.Network = &specs.LinuxNetwork{ClassID: ptr(uint32(5))} },
	} {
		c := newContainer(t, resources(set))
		c.fails(json, "create", "--bundle", c.bundle, c.id)
		c.NothingLeft(c.id)
	}
}

func writableCgroups(s *specs.Spec) {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/sys/fs/cgroup" {
			s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev"}
		}
	}
}

// The cgroup is handed over to the container's root where it sees it, writable, in a
// cgroup namespace: what the kernel says may be delegated, and no limit.
//
// rows: CGP-8 CGP-9
func TestCgroupOwnership(t *testing.T) {
	harness.NeedV2(t)
	private := harness.Namespace(specs.CgroupNamespace, "")
	for _, e := range []struct {
		name   string
		change []change
		owner  uint32
	}{
		{"a user namespace", on(harness.UserNamespace, private, writableCgroups), 100000},
		{"a user other than root", on(harness.UserNamespace, private, writableCgroups, process(func(p *specs.Process) { p.User = specs.User{UID: 7, GID: 7} })), 100007},
		{"read-only", on(harness.UserNamespace, private), 0},
		{"the host's cgroup namespace", on(harness.UserNamespace, writableCgroups), 0},
		{"no user namespace", on(private, writableCgroups), 0},
	} {
		t.Run(e.name, func(t *testing.T) {
			c := newContainer(t, append(e.change, resources(memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))})), harness.Args("/bin/sleep", "1000"))...)
			c.create()
			dir := harness.CgroupsOf(t, c.State(c.id).Pid)[""]
			delegated := strings.Fields(harness.ReadFile(t, "/sys/kernel/cgroup/delegate"))
			for _, file := range append([]string{".", "memory.max", "pids.max", "cgroup.freeze", "cgroup.kill"}, delegated...) {
				want := e.owner
				switch file {
				case "memory.max", "pids.max", "cgroup.freeze", "cgroup.kill":
					want = 0
				}
				var st unix.Stat_t
				if err := unix.Stat(dir+"/"+file, &st); err != nil && file != "memory.oom.group" && file != "memory.reclaim" {
					t.Errorf("%s: %v", file, err)
				} else if err == nil && st.Uid != want {
					t.Errorf("%s is user %d's, want %d", file, st.Uid, want)
				}
			}
		})
	}
	t.Run("it can be used", func(t *testing.T) {
		c := newContainer(t, harness.UserNamespace, private, writableCgroups, resources(memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))})),
			harness.Shell(`cd /sys/fs/cgroup && mkdir a b && echo $$ > a/cgroup.procs && echo +memory > cgroup.subtree_control && echo 1000000 > b/memory.max && cat b/memory.max /proc/self/cgroup
				echo max > memory.max; echo 0 > cgroup.freeze`))
		res := c.Do("run", "--bundle", c.bundle, c.id)
		if res.Stdout != "999424\n0::/a\n" || strings.Count(res.Stderr, "Permission denied") != 2 {
			t.Errorf("%d %s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
}

// A cgroup with processes gives controllers to none below it.
//
// rows: CGP-3 RES-40
func TestNoInternalProcesses(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedV2(t)
	c := newContainer(t)
	parent := harness.CgroupMounts()[""] + "/bt-parent-" + c.id
	harness.MakeCgroup(t, parent)
	inhabit(t, parent)
	path := filepath.Base(parent)
	limit := resources(memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))}))
	c.placed("/"+path+"/"+c.id, limit)
	c.fails(`linux.resources.memory.limit needs the cgroup controller memory, which is not available in the container's cgroup: .*write "\+memory" to `+parent+`/cgroup.subtree_control: device or resource busy \(there are processes in `+parent, "create", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
	if got := harness.ReadFile(t, parent+"/cgroup.type"); got != "domain" {
		t.Errorf("the parent has become %s", got)
	}
	// Without limits it needs no controllers. What needs them later is refused then.
	c.placed("/" + path + "/" + c.id)
	c.detached()
	c.fails(`linux.resources.memory.limit.* memory .*container's cgroup`, "update", "--memory", "50M", c.id)
	c.Must("pause", c.id)
	c.Must("events", "--stats", c.id)
	c.Must("delete", "--force", c.id)
	c.NothingLeft(c.id)
	for _, p := range harness.Lines(harness.ReadFile(t, parent+"/cgroup.procs")) {
		if pid, _ := strconv.Atoi(p); unix.Kill(pid, 0) != nil {
			t.Errorf("process %s of the parent suffered", p)
		}
	}
}

// Controllers that a threaded cgroup can have are taken by the kernel where there are
// processes, and keep all below from having any. So they are not given.
func TestNotMadeThreaded(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedV2(t)
	c := newContainer(t)
	top := harness.CgroupMounts()[""] + "/bt-parent-" + c.id
	parent := top + "/in"
	harness.MakeCgroup(t, top, parent)
	if err := os.WriteFile(top+"/cgroup.subtree_control", []byte("+cpu +pids"), 0); err != nil {
		t.Fatal(err)
	}
	inhabit(t, parent)
	path := "/" + filepath.Base(top) + "/in/" + c.id
	c.placed(path)
	c.create()
	if got := harness.ReadFile(t, parent+"/cgroup.type"); got != "domain" {
		t.Errorf("the parent has become %s", got)
	}
	c.Must("delete", "--force", c.id)
	c.placed(path, resources(pids(9)))
	c.fails(`linux.resources.pids.limit needs the cgroup controller pids.*there are processes in `+parent, "create", "--bundle", c.bundle, c.id)
	c.placed(path, resources(memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))})))
	c.fails(`linux.resources.memory.limit needs the cgroup controller memory.*`+parent+` does not have it|linux.resources.memory.limit needs the cgroup controller memory.*there are processes`, "create", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
}

// Below a threaded cgroup no process can be.
func TestThreadedParent(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedV2(t)
	c := newContainer(t)
	parent := harness.CgroupMounts()[""] + "/bt-parent-" + c.id
	harness.MakeCgroup(t, parent, parent+"/thread")
	if err := os.WriteFile(parent+"/thread/cgroup.type", []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	c.placed("/"+filepath.Base(parent)+"/"+c.id, resources(memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))})))
	c.fails(`linux.resources.memory.limit needs the cgroup controller memory.*is threaded`, "create", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
	c.placed("/" + filepath.Base(parent) + "/" + c.id)
	c.fails(`cannot start the container's init: .*not supported .*the cgroup is threaded, or below a threaded one`, "create", "--bundle", c.bundle, c.id)
	c.NothingLeft(c.id)
}

// Of a parent's quota v1 lets no child have more, and v2 has it lie in force above.
//
// rows: RES-16 RES-18
func TestQuotaBelowAParents(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedControllers(t, "cpu")
	c := newContainer(t)
	parent := harness.CgroupMounts()["cpu"] + "/bt-parent-" + c.id
	harness.MakeCgroup(t, parent)
	file, value := "/cpu.cfs_quota_us", "50000"
	if harness.Unified() {
		file, value = "/cpu.max", "50000 100000"
	}
	if err := os.WriteFile(parent+file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	quota := func(quota int64, period uint64) change {
		return resources(cpu(specs.LinuxCPU{Quota: &quota, Period: &period}))
	}
	path := "/" + filepath.Base(parent) + "/" + c.id
	c.placed(path, quota(10000, 20000)) // as much, in a shorter period
	c.create()
	dir := harness.CgroupsOf(t, c.State(c.id).Pid)["cpu"]
	if got, want := harness.ReadFile(t, dir+file), byVersion("10000", "10000 20000"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c.Must("delete", "--force", c.id)
	c.placed(path, quota(30000, 50000))
	res := c.Do("create", "--bundle", c.bundle, c.id)
	if harness.Unified() != (res.Code == 0) || res.Code != 0 && !fits(t, `cpu.cfs_quota_us: invalid argument|invalid argument`, res.Stderr) {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
	c.Must("delete", "--force", c.id)
	if !harness.Berth() {
		removeParents(t, filepath.Base(parent)) // which runc makes in the other hierarchies
	}
}

// SIGKILL ends all at once, also those who stand still, in cgroups of their own below
// the container's as well.
func TestKillOfWhatIsFrozen(t *testing.T) {
	harness.NeedControllers(t, "freezer")
	skipOld(t, "waits for those who are frozen below")
	for name, end := range map[string][]string{"kill": {"kill", "ID", "KILL"}, "kill all": {"kill", "--all", "ID", "KILL"}, "delete": {"delete", "--force", "ID"}} {
		for _, paused := range []bool{false, true} {
			t.Run(name+" paused "+strconv.FormatBool(paused), func(t *testing.T) {
				c := newContainer(t, harness.WithoutNamespace(specs.PIDNamespace), harness.Shell("sleep 1000 & echo $! > /pid; sleep 1000 & exec sleep 1000"))
				c.detached()
				pid, _ := strconv.Atoi(awaitFile(t, c.bundle, "pid"))
				sub := harness.CgroupsOf(t, pid)["freezer"] + "/sub"
				if err := os.Mkdir(sub, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(sub+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
					t.Fatal(err)
				}
				harness.Freeze(t, sub, true)
				if paused {
					c.Must("pause", c.id)
				}
				args := append([]string{}, end...)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "ID", c.id)
				}
				began := time.Now()
				c.Must(args...)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %s", took)
				}
				if name == "delete" || name == "kill all" {
					if !harness.Gone(pid) {
						t.Error("the frozen one lives")
					}
				}
				c.Must("delete", "--force", c.id)
				if !harness.Gone(pid) {
					t.Error("the frozen one outlives delete")
				}
				c.NothingLeft(c.id)
			})
		}
	}
}

// The program on devices goes with its container, one for each.
func TestDeviceProgramsGo(t *testing.T) {
	harness.NeedV2(t)
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	var seen []uint32
	for range 5 {
		c.create()
		ids := harness.DevicePrograms(t, harness.CgroupsOf(t, c.State(c.id).Pid)[""])
		if len(ids) != 1 || !harness.ProgramLoaded(t, ids[0]) {
			t.Fatalf("programs %v, want one", ids)
		}
		seen = append(seen, ids...)
		c.Must("delete", "--force", c.id)
	}
	for _, id := range seen {
		await(t, "the program to go", func() bool { return !harness.ProgramLoaded(t, id) })
	}
}

// A runtime in a container has its containers below it.
func TestNestedCgroups(t *testing.T) {
	harness.NeedControllers(t, "memory", "pids")
	skipOld(t, "needs more of the image")
	all := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
		"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE", "CAP_SYS_ADMIN", "CAP_NET_ADMIN",
		"CAP_SYS_PTRACE", "CAP_BPF", "CAP_DAC_READ_SEARCH",
	}
	privileged := func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		s.Process.NoNewPrivileges = false
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		for i := range s.Mounts {
			if s.Mounts[i].Type == "sysfs" {
				s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev"}
			}
		}
	}
	limit := resources(func(r *specs.LinuxResources) {
		memory(specs.LinuxMemory{Limit: ptr(int64(64 << 20))})(r)
		pids(20)(r)
	})
	inner := harness.Shell("cat /proc/self/cgroup; " + byVersion("cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max 2>/dev/null; true"))
	for _, e := range []struct {
		name, script, err string
		code              int
		match             []string
		change            []change
	}{
		{
			name: "without limits", script: "true", change: on(),
			match: byVersion([]string{":memory:/in$"}, []string{"^0::/in$"}),
		},
		{
			name: "limits, a cgroup of its own", script: byVersion("true", "mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs"), change: on(limit),
			match: byVersion([]string{":memory:/in$", "^67108864$"}, []string{"^0::/in$", "^67108864$", "^20$"}),
		},
		{
			name: "limits, with processes at the top", script: "true", change: on(limit), code: byVersion(0, 1),
			err: byVersion("", `needs the cgroup controller memory.*there are processes in /sys/fs/cgroup`),
		},
	} {
		t.Run(e.name, func(t *testing.T) {
			in := harness.Bundle(t, append(e.change, inner)...)
			c := newContainer(t, privileged, allow, harness.Namespace(specs.CgroupNamespace, ""), writableCgroups, mounts(tmpfs("/run"), bind(in, "/inner")),
				harness.Shell(e.script+"\n/berth --root /run/berth run --bundle /inner in; code=$?; ls /run/berth; find /sys/fs/cgroup -name in; exit $code"))
			data, err := os.ReadFile(c.Binary)
			if err != nil {
				t.Fatal(err)
			}
			put(t, c.bundle, "berth", string(data), 0o755)
			res := c.Do("run", "--bundle", c.bundle, c.id)
			if res.Code != e.code || !fits(t, e.err, unquote(res.Stderr)) || e.err == "" && res.Stderr != "" || strings.Contains(res.Stdout, "/sys/fs/cgroup") {
				t.Errorf("%d, want %d\n%s%s", res.Code, e.code, res.Stdout, res.Stderr)
			}
			for _, m := range e.match {
				if !fits(t, m, res.Stdout) {
					t.Errorf("%s does not fit %s", res.Stdout, m)
				}
			}
		})
	}
}
