package integration

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// nsTypes are the eight types with the names that /proc/PID/ns has for them.
var nsTypes = [...]struct {
	typ  specs.LinuxNamespaceType
	file string
	flag uintptr
}{
	{specs.PIDNamespace, "pid", unix.CLONE_NEWPID},
	{specs.NetworkNamespace, "net", unix.CLONE_NEWNET},
	{specs.MountNamespace, "mnt", unix.CLONE_NEWNS},
	{specs.IPCNamespace, "ipc", unix.CLONE_NEWIPC},
	{specs.UTSNamespace, "uts", unix.CLONE_NEWUTS},
	{specs.UserNamespace, "user", unix.CLONE_NEWUSER},
	{specs.CgroupNamespace, "cgroup", unix.CLONE_NEWCGROUP},
	{specs.TimeNamespace, "time", unix.CLONE_NEWTIME},
}

const (
	nsPID = iota
	nsNet
	nsMnt
	nsIPC
	nsUTS
	nsUser
	nsCgroup
	nsTime
)

// The ways in which a container comes by a namespace.
const (
	inherited = iota
	fresh
	joined
)

func nsLink(t testing.TB, pid, file string) string {
	t.Helper()
	l, err := os.Readlink("/proc/" + pid + "/ns/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// holder is a process in namespaces of its own, for containers to join.
type holder struct{ pid string }

// newHolder starts one. With a user namespace the others belong to it.
func newHolder(t testing.TB, user bool) *holder {
	t.Helper()
	args := []string{"-m", "-p", "-f", "-u", "-i", "-n", "-C", "-T", "--kill-child=KILL"}
	if user {
		args = append(args, "-U")
	}
	cmd := exec.Command(harness.Need(t, "unshare", "util-linux"), append(args, "/bin/sh", "-c", "read x; exec sleep 1000")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Helper(cmd.Process.Pid)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	parent := strconv.Itoa(cmd.Process.Pid)
	h := &holder{}
	await(t, "the holder of namespaces", func() bool {
		b, _ := os.ReadFile("/proc/" + parent + "/task/" + parent + "/children")
		h.pid = strings.TrimSpace(string(b))
		comm, _ := os.ReadFile("/proc/" + h.pid + "/comm")
		return h.pid != "" && string(comm) == "sh\n"
	})
	if user {
		for _, f := range []string{"uid_map", "gid_map"} {
			if err := os.WriteFile("/proc/"+h.pid+"/"+f, []byte("0 100000 65536\n"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _ = in.Write([]byte("\n"))
	return h
}

// holders are shared by combinations. One whose mount namespace is joined is not:
// pivot_root turns it over.
type holders struct {
	t          *testing.T // of all combinations
	host, user *holder
}

func (p *holders) get(t *testing.T, user, own bool) *holder {
	t.Helper()
	if own {
		return newHolder(t, user)
	}
	h := &p.host
	if user {
		h = &p.user
	}
	if *h == nil {
		*h = newHolder(p.t, user)
	}
	return *h
}

// combination is one of the three ways for each type.
type combination struct {
	how [len(nsTypes)]int
	// owned says that what is joined belongs to the user namespace joined.
	owned bool
}

func (c *combination) String() string {
	var b strings.Builder
	for i, h := range c.how {
		if h != inherited {
			b.WriteString(nsTypes[i].file + [...]string{"", "+", "="}[h] + " ")
		}
	}
	if c.owned {
		b.WriteString("owned")
	}
	return strings.TrimSpace(b.String())
}

// legal says whether the kernel can make it. A user namespace has no rights over
// a mount namespace that is not its own, and without a mount namespace devices
// could be bound on the host only.
func (c *combination) legal() bool {
	if c.owned && c.how[nsUser] != joined {
		return false
	}
	if c.how[nsUser] != inherited {
		return c.how[nsMnt] == fresh || c.how[nsMnt] == joined && c.owned
	}
	return true
}

// owns says whether the container's user namespace has a namespace's rights.
func (c *combination) owns(i int) bool {
	return c.how[nsUser] == inherited || c.how[i] == fresh || c.how[i] == joined && c.owned
}

func (c *combination) apply(h *holder) change {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = nil
		for i, n := range nsTypes {
			switch c.how[i] {
			case fresh:
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: n.typ})
			case joined:
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: n.typ, Path: "/proc/" + h.pid + "/ns/" + n.file})
			}
		}
		if c.how[nsUser] == fresh {
			m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
			s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
		}
		if c.how[nsUTS] == inherited || !c.owns(nsUTS) {
			s.Hostname = ""
		}
		if c.how[nsMnt] == inherited {
			s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil, nil
		}
		if !c.owns(nsIPC) {
			// The kernel mounts message queues only for their owner.
			s.Mounts = without(s.Mounts, "/dev/mqueue")
		}
		harness.Args("/bin/sleep", "1000")(s)
	}
}

func without(list []specs.Mount, dest string) []specs.Mount {
	var left []specs.Mount
	for _, m := range list {
		if m.Destination != dest {
			left = append(left, m)
		}
	}
	return left
}

// check runs a container and compares each of its namespaces with what is right.
func (c *combination) check(t *testing.T, p *holders) {
	own := c.how[nsMnt] == joined
	rest := p.get(t, c.owned, own)
	changes := on(c.apply(rest))
	from := func(int) *holder { return rest }
	if c.how[nsUser] == joined && !c.owned {
		// The user namespace is one holder's, the rest another's.
		owner := p.get(t, true, false)
		changes = append(changes, harness.Namespace(specs.UserNamespace, "/proc/"+owner.pid+"/ns/user"))
		from = func(i int) *holder {
			if i == nsUser {
				return owner
			}
			return rest
		}
	}
	ct := newContainer(t, changes...)
	ct.detached()
	c.compare(t, ct, from)
}

func (c *combination) compare(t *testing.T, ct *container, from func(int) *holder) {
	t.Helper()
	pid := strconv.Itoa(ct.State(ct.id).Pid)
	for i, n := range nsTypes {
		got, own := nsLink(t, pid, n.file), nsLink(t, "self", n.file)
		switch c.how[i] {
		case inherited:
			if got != own {
				t.Errorf("%s is %s, want the runtime's %s", n.file, got, own)
			}
		case joined:
			if want := nsLink(t, from(i).pid, n.file); got != want {
				t.Errorf("%s is %s, want that joined, %s", n.file, got, want)
			}
		case fresh:
			if got == own || got == nsLink(t, from(i).pid, n.file) {
				t.Errorf("%s is %s, which is not new", n.file, got)
			}
		}
		if kids := n.file + "_for_children"; n.file == "pid" || n.file == "time" {
			if k := nsLink(t, pid, kids); k != got {
				t.Errorf("%s is %s, but %s is %s", n.file, got, kids, k)
			}
		}
	}
}

// pairwise gives legal combinations in which every legal pair of two types' ways
// occurs, and random ones up to n.
func pairwise(r *rand.Rand, n int) []combination {
	type pair struct{ a, howA, b, howB int }
	pairs := func(c *combination) (all []pair) {
		for a := range c.how {
			for b := range a {
				all = append(all, pair{a, c.how[a], b, c.how[b]})
			}
		}
		return all
	}
	seen := map[pair]bool{}
	random := func() combination {
		for {
			c := combination{owned: r.IntN(2) == 0}
			for i := range c.how {
				c.how[i] = r.IntN(3)
			}
			if c.legal() {
				return c
			}
		}
	}
	var list []combination
	// The best of many random ones covers nearly all in a few dozen; what no
	// tenth of a thousand tries reaches is not legal.
	for len(list) < n {
		best, most := random(), 0
		for range 60 {
			c := random()
			newOnes := 0
			for _, p := range pairs(&c) {
				if !seen[p] {
					newOnes++
				}
			}
			if newOnes > most {
				best, most = c, newOnes
			}
		}
		for _, p := range pairs(&best) {
			seen[p] = true
		}
		list = append(list, best)
	}
	return list
}

// rows: NS-1 NS-2 NS-3 NS-4 NS-5 NS-6 NS-7 NS-8 NS-10 NS-11 NS-13
func TestNamespaceCombinations(t *testing.T) {
	harness.NeedRoot(t)
	skipOld(t, "has no time namespaces and joins no user namespace without mappings")
	list := make([]combination, 0, 150)
	// Each type alone, in each way, beside a mount namespace.
	for i := range nsTypes {
		for _, how := range []int{inherited, fresh, joined} {
			c := combination{}
			c.how[nsMnt] = fresh
			c.how[i] = how
			c.owned = i == nsUser && how == joined
			if c.legal() {
				list = append(list, c)
			}
		}
	}
	all := combination{how: [...]int{fresh, fresh, fresh, fresh, fresh, fresh, fresh, fresh}}
	list = append(list, all, combination{how: [...]int{joined, joined, joined, joined, joined, joined, joined, joined}, owned: true}, combination{})
	list = append(list, pairwise(rand.New(rand.NewPCG(1, 2)), 100)...)
	p := &holders{t: t}
	for _, c := range list {
		t.Run(c.String(), func(t *testing.T) { c.check(t, p) })
	}
}

// rows: NS-9 NS-11 NS-12 NS-14 NS-15 NS-16 NS-18 NS-19 NS-21
func TestNamespaceErrors(t *testing.T) {
	add := func(typ specs.LinuxNamespaceType, path string) change { return harness.Namespace(typ, path) }
	runAll(t, []scenario{
		{name: "no such type", rows: "NS-9", change: on(add("nosuch", "")), code: 1, err: `namespace .*"nosuch".* does not exist`},
		{name: "twice", rows: "NS-14", change: on(func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.IPCNamespace})
		}), code: 1, err: `malformed spec file: duplicated ns`},
		{name: "no such path", rows: "NS-11", change: on(add(specs.NetworkNamespace, "/nonexistent/ns")), code: 1, err: "/nonexistent/ns.*no such file or directory"},
		{name: "relative path", rows: "NS-11", change: on(add(specs.NetworkNamespace, "proc/self/ns/net")), code: 1, err: "."},
		{name: "another type", rows: "NS-12", change: on(add(specs.NetworkNamespace, "/proc/self/ns/ipc")), code: 1, err: "[Ii]nvalid argument"},
		{name: "no namespace", rows: "NS-12", change: on(add(specs.IPCNamespace, "/etc/passwd")), code: 1, err: "[Ii]nvalid argument"},
		{name: "user without mappings", rows: "NS-16", change: on(add(specs.UserNamespace, "")), code: 1, err: "."},
		{name: "mappings without user", rows: "NS-15", change: on(func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
		}), code: 1, err: "uidMappings", old: "not checked"},
		{name: "empty mapping", rows: "NS-15", change: on(harness.UserNamespace, func(s *specs.Spec) { s.Linux.UIDMappings[0].Size = 0 }), code: 1, err: "."},
		{name: "overlap", rows: "NS-15", change: on(harness.UserNamespace, func(s *specs.Spec) {
			s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 1, HostID: 300000, Size: 1})
		}), code: 1, err: "."},
		{name: "user not mapped", rows: "PRO-37", change: on(harness.UserNamespace, uid(70000)), code: 1, err: "cannot setuid to unmapped uid 70000 in user namespace|cannot set uid to unmapped user"},
		{name: "offsets without time namespace", rows: "NS-19", change: on(offsets("monotonic", 1, 0)), code: 1, err: "timeOffsets", old: "has none"},
		{name: "offsets of a joined one", rows: "NS-19", change: on(offsets("monotonic", 1, 0), add(specs.TimeNamespace, "/proc/self/ns/time")), code: 1, err: "timeOffsets", old: "has none"},
		{name: "unknown clock", rows: "NS-19", change: on(offsets("realtime", 1, 0), add(specs.TimeNamespace, "")), code: 1, err: "unknown clock", old: "has none"},
		{name: "nanoseconds", rows: "NS-21", change: on(offsets("boottime", 1, 1000000000), add(specs.TimeNamespace, "")), code: 1, err: "999999999", old: "has none"},
		{name: "before the boot", rows: "NS-20", change: on(offsets("boottime", -1<<40, 0), add(specs.TimeNamespace, "")), code: 1, err: "numerical result out of range", old: "has none"},
		{name: "mounts without mount namespace", rows: "NS-3", change: on(harness.WithoutNamespace(specs.MountNamespace)), code: 1, err: "."},
		{name: "masks without mount namespace", rows: "SEC-9", change: on(harness.WithoutNamespace(specs.MountNamespace), func(s *specs.Spec) { s.Mounts = nil }), code: 1, err: "unable to restrict sys entries without a private MNT namespace"},
	})
}

func offsets(clock string, secs int64, nanos uint32) change {
	return func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{clock: {Secs: secs, Nanosecs: nanos}}
	}
}

// What a new namespace is good for.
func TestNamespacesAreUsable(t *testing.T) {
	time := func(s *specs.Spec) {
		harness.Namespace(specs.TimeNamespace, "")(s)
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000000, Nanosecs: 5}, "monotonic": {Secs: -3}}
	}
	view := byVersion("ls /sys/fs/cgroup/memory | grep -c cgroup.procs", ownCgroup2)
	runAll(t, []scenario{
		{name: "pid", rows: "NS-1", change: on(harness.Shell("echo $$; ls /proc > /list; grep -c '^[0-9]' /list")), out: "1\n2"},
		{name: "network", rows: "NS-2", change: on(harness.Shell("ls /sys/class/net; cat /sys/class/net/lo/flags; ping 127.0.0.1 >/dev/null 2>&1; cat /proc/net/dev | grep -c :")), out: "lo\n0x9\n1"},
		{name: "loopback with user namespace", rows: "NS-2", change: on(harness.UserNamespace, harness.Shell("cat /sys/class/net/lo/flags")), out: "0x9"},
		{name: "host's network", rows: "NS-13", change: on(harness.WithoutNamespace(specs.NetworkNamespace), harness.Shell("readlink /proc/self/ns/net")), out: nsLink(t, "self", "net")},
		{name: "ipc", rows: "NS-4", change: on(harness.Shell("wc -l < /proc/sysvipc/shm; ls /dev/mqueue")), out: "1"},
		{name: "uts", rows: "NS-5 UTS-1", change: on(harness.Args("/bin/hostname")), out: "test"},
		{name: "time", rows: "NS-8 NS-19 NS-20 NS-21", change: on(time, harness.Shell("tr -s ' ' < /proc/self/timens_offsets; [ $(cut -d. -f1 /proc/uptime) -gt 1000000 ] && echo late")), match: []string{`^monotonic +-3 +0$`, `^boottime +1000000 +5$`, `^late$`}, old: "has none"},
		{name: "time with user namespace", rows: "NS-8", change: on(time, harness.UserNamespace, harness.Shell("tr -s ' ' < /proc/self/timens_offsets; echo $$")), match: []string{`^boottime +1000000 +5$`, `^1$`}, old: "has none"},
		{name: "cgroup", rows: "NS-7", change: on(harness.Namespace(specs.CgroupNamespace, ""), harness.Shell("cut -d: -f3 /proc/self/cgroup | sort | uniq -c | tr -s ' '; "+view)), match: byVersion([]string{`^ \d+ /$`, "^1$"}, []string{"^ 1 /$", "^1 mount\nown\nRead-only$"})},
		{name: "cgroup and user", rows: "NS-7", change: on(harness.Namespace(specs.CgroupNamespace, ""), harness.UserNamespace, harness.Shell("cut -d: -f3 /proc/self/cgroup | sort -u | head -1; "+view)), match: byVersion([]string{`^/$`, "^1$"}, []string{"^/$", "^1 mount\nown\nRead-only$"})},
	})
}

// rows: NS-11 NS-1
func TestJoinAnotherContainer(t *testing.T) {
	first := newContainer(t, harness.Shell("sleep 1000; true"))
	first.detached()
	harness.Helper(first.State(first.id).Pid)
	ns := "/proc/" + strconv.Itoa(first.State(first.id).Pid) + "/ns/"
	second := newContainer(t,
		harness.Shell("hostname; readlink /proc/self/ns/pid; readlink /proc/self/ns/net; cat /proc/1/cmdline | tr '\\0' ' '; echo $$ > /pid; ps | grep -c 'sleep 100[0]'"),
		harness.Namespace(specs.PIDNamespace, ns+"pid"), harness.Namespace(specs.NetworkNamespace, ns+"net"),
		harness.Namespace(specs.IPCNamespace, ns+"ipc"), harness.Namespace(specs.UTSNamespace, ns+"uts"),
		func(s *specs.Spec) { s.Hostname = "" },
	)
	out := second.Must("run", "--bundle", second.bundle, second.id)
	pid := strconv.Itoa(first.State(first.id).Pid)
	for _, want := range []string{"test\n", nsLink(t, pid, "pid"), nsLink(t, pid, "net"), "sleep 1000"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if got := harness.ReadFile(t, second.bundle+"/rootfs/pid"); got == "1" {
		t.Error("the second container has a pid namespace of its own")
	}
	// The process of the first lives on when the second, in its pid namespace, goes.
	if first.status() != "running" {
		t.Error("the first container suffered")
	}
}

// rows: NS-11
func TestMemberOfAPidNamespaceIsKilledAlone(t *testing.T) {
	first := newContainer(t, harness.Args("/bin/sleep", "1000"))
	first.detached()
	harness.Helper(first.State(first.id).Pid)
	second := newContainer(t, harness.Shell("sleep 1001 & echo > /ready; exec sleep 1002"),
		harness.Namespace(specs.PIDNamespace, "/proc/"+strconv.Itoa(first.State(first.id).Pid)+"/ns/pid"))
	second.detached()
	awaitFile(t, second.bundle, "ready")
	second.Must("kill", second.id, "KILL")
	second.awaitStatus("stopped")
	second.Must("delete", second.id)
	if first.status() != "running" {
		t.Error("the first container suffered")
	}
}
