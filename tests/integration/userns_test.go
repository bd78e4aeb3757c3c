package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

func mapping(list ...uint32) []specs.LinuxIDMapping {
	var m []specs.LinuxIDMapping
	for i := 0; i < len(list); i += 3 {
		m = append(m, specs.LinuxIDMapping{ContainerID: list[i], HostID: list[i+1], Size: list[i+2]})
	}
	return m
}

func mapped(uids, gids []specs.LinuxIDMapping) change {
	return func(s *specs.Spec) {
		harness.UserNamespace(s)
		s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
	}
}

func TestUserNamespace(t *testing.T) {
	maps := harness.Shell("tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; cat /proc/self/setgroups")
	ids := harness.Shell("id -u; id -g; grep Groups /proc/self/status; stat -c '%u:%g' /etc/passwd; touch /tmp/x; stat -c '%u:%g' /tmp/x")
	writable := func(t *testing.T, b string) {
		if err := os.Chmod(filepath.Join(b, "rootfs/tmp"), 0o1777); err != nil {
			t.Fatal(err)
		}
	}
	many := make([]uint32, 0, 300)
	for i := range uint32(100) {
		many = append(many, i, 100000+2*i, 1)
	}
	runAll(t, []scenario{
		{name: "one line", rows: "NS-6 NS-15", change: on(harness.UserNamespace, maps), out: " 0 100000 65536\n 0 100000 65536\nallow"},
		{name: "several lines", rows: "NS-15", change: on(mapped(mapping(0, 100000, 10, 10, 200000, 5), mapping(0, 300000, 20)), maps), out: " 0 100000 10\n 10 200000 5\n 0 300000 20\nallow"},
		{name: "identity", rows: "NS-15", change: on(mapped(mapping(0, 0, 4294967295), mapping(0, 0, 4294967295)), ids), match: []string{`^0:0$`}},
		{name: "a hundred lines", rows: "NS-15", change: on(mapped(mapping(many...), mapping(many...)), harness.Shell("wc -l < /proc/self/uid_map")), out: "100"},
		{name: "ids", rows: "PRO-37 PRO-38 PRO-41 NS-17", prep: writable, change: on(harness.UserNamespace, process(func(p *specs.Process) {
			p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}}
		}), ids), match: []string{"^1000$", "^1001$", `^Groups:\s*5 6`, "^65534:65534$", "^1000:1001$"}},
		{name: "capabilities are the namespace's", rows: "NS-6 PRO-16", change: on(harness.UserNamespace, harness.Shell("hostname other && hostname; mount -t tmpfs x /tmp && echo mounted"), process(func(p *specs.Process) {
			all := []string{"CAP_SYS_ADMIN"}
			p.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		})), out: "other\nmounted"},
		{name: "files made by the runtime belong to its root", rows: "NS-17", change: on(harness.UserNamespace, cwd("/tmp/new"), mounts(tmpfs("/tmp")), harness.Args("/bin/stat", "-c", "%u:%g", "/tmp/new", "/dev/shm", "/dev/ptmx")), out: "0:0\n0:0\n0:0"},
		{name: "group not mapped", rows: "PRO-41", change: on(harness.UserNamespace, process(func(p *specs.Process) { p.User.AdditionalGids = []uint32{70000} })), code: 1, err: "unmapped|gid|[Ii]nvalid"},
		{name: "root not mapped", rows: "NS-15", change: on(mapped(mapping(1, 100000, 10), mapping(1, 100000, 10)), process(func(p *specs.Process) { p.User = specs.User{UID: 1, GID: 1} })), code: 1, err: "."},
	})
}

// What is the host's and bound in, since the kernel gives no new one, can be written
// to nowhere: the cgroups below /sys are the host's, one of them here even the
// container's root's (CVE-2023-25809).
//
// rows: SEC-8 NS-6
func TestHostsSysAndProcAreReadOnly(t *testing.T) {
	skipOld(t, "refuses to mount them")
	harness.NeedControllers(t, "pids")
	without := func(typ specs.LinuxNamespaceType, point string) change {
		return func(s *specs.Spec) {
			harness.UserNamespace(s)
			harness.WithoutNamespace(typ)(s)
			s.Mounts = without(s.Mounts, "/sys/fs/cgroup")
			for i := range s.Mounts {
				if s.Mounts[i].Destination == point {
					s.Mounts[i].Options = []string{"rw", "rrw", "nosuid"}
				}
			}
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}
	}
	delegated := harness.CgroupMounts()["pids"] + "/" + harness.ID(t)
	prep := func(t *testing.T, _ string) {
		if err := errors.Join(os.Mkdir(delegated, 0o755), os.Chown(delegated, 100000, 100000)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(delegated + "/x"); os.Remove(delegated) })
	}
	writable := func(below string) change {
		return harness.Shell(`mkdir ` + delegated + `/x 2>/dev/null && echo a cgroup made
			awk '$5 ~ /^` + strings.ReplaceAll(below, "/", `\/`) + `/ && $6 ~ /^rw/ { print $5 }' /proc/self/mountinfo
			awk '$5 ~ /^` + strings.ReplaceAll(below, "/", `\/`) + `/' /proc/self/mountinfo | wc -l; echo 1 > /proc/self/oom_score_adj && echo proc`)
	}
	runAll(t, []scenario{
		{name: "sys", prep: prep, change: on(without(specs.NetworkNamespace, "/sys"), writable("/sys")), match: []string{byVersion(`^\d\d$`, `^\d+$`), "^proc$"}, reject: []string{"cgroup made", "^/"}},
		{name: "proc", change: on(without(specs.PIDNamespace, "/proc"), writable("/proc/")), match: []string{"^proc$"}, reject: []string{"^/"}},
	})
}

// ordinary is the user as whom the runtime is run.
const ordinary = 12345

// asUser runs the runtime as an ordinary user whom newuidmap knows: in a mount
// namespace of its own with other /etc/passwd, subuid and subgid, so that the
// host's stay as they are. The state is in a directory of his.
func asUser(t *testing.T, c *container, subids string) []string {
	t.Helper()
	dir := t.TempDir()
	// TempDir's parents are closed to others.
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := strconv.Itoa(ordinary)
	write("passwd", "root:x:0:0::/:/bin/sh\nbtuser:x:"+id+":"+id+"::/:/bin/sh\n")
	write("subuid", subids)
	write("subgid", subids)
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, ordinary, ordinary); err != nil {
		t.Fatal(err)
	}
	root, binary := c.Root, c.Binary
	t.Cleanup(func() {
		if res := c.Do("delete", "--force", c.id); res.Code != 0 {
			t.Errorf("delete --force: %s", res.Stderr)
		}
		c.NothingLeft(c.id)
		c.Root, c.Binary = root, binary
	})
	c.Root = state
	// The binary may lie where only root can go.
	bin := filepath.Join(dir, "runtime")
	b, err := os.ReadFile(c.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Binary = bin
	chown(t, filepath.Join(c.bundle, "rootfs"))
	c.Env = append(c.Env, "XDG_RUNTIME_DIR="+state, "HOME=/")
	setpriv := harness.Need(t, "setpriv", "util-linux")
	return private(t, fmt.Sprintf(`for f in passwd subuid subgid; do mount --bind %s/$f /etc/$f; done
		exec %s --reuid %d --regid %d --clear-groups "$@"`, dir, setpriv, ordinary, ordinary))
}

// chown gives the directories of a rootfs to the user; the files are hard links
// that all bundles share.
func chown(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chown(p, ordinary, ordinary)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rootless makes a config that an ordinary user can have.
func rootless(uids, gids []specs.LinuxIDMapping) change {
	return func(s *specs.Spec) {
		mapped(uids, gids)(s)
		s.Mounts = without(s.Mounts, "/sys/fs/cgroup")
		s.Linux.Resources = nil
		for i := range s.Mounts {
			if s.Mounts[i].Destination == "/dev/pts" && len(gids) == 1 && gids[0].Size == 1 {
				// Group 5 is not mapped.
				s.Mounts[i].Options = []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
			}
		}
	}
}

// rows: NS-6 NS-15 NS-16 PRO-41
func TestOrdinaryUser(t *testing.T) {
	harness.NeedRoot(t)
	own := mapping(0, ordinary, 1)
	sub := mapping(0, ordinary, 1, 1, 500000, 65536)
	const line = "btuser:500000:65536\n"
	show := harness.Shell("id -u; tr -s ' ' < /proc/self/uid_map; echo w > /file && stat -c %u /file; cat /proc/self/setgroups; ls /dev | wc -l; hostname")
	for _, s := range []struct {
		name, subids string
		change       []change
		helper       bool
		code         int
		out, err     string
	}{
		{name: "himself alone", change: on(rootless(own, own), show), out: "0\n 0 12345 1\n0\ndeny\n14\ntest\n"},
		{name: "ranges by the helpers", subids: line, helper: true, change: on(rootless(sub, sub), show), out: "0\n 0 12345 1\n 1 500000 65536\n0\nallow\n14\ntest\n"},
		{name: "user of the range", subids: line, helper: true, change: on(rootless(sub, sub), uid(1000), harness.Shell("id -u; id -g; touch /tmp/x && stat -c %u:%g /tmp/x"), mounts(tmpfs("/tmp", "mode=1777"))), out: "1000\n1000\n1000:1000\n"},
		{name: "range that is not his", helper: true, change: on(rootless(sub, sub)), code: 1, err: "newuidmap"},
		{name: "groups with himself alone", change: on(rootless(own, own), process(func(p *specs.Process) { p.User.AdditionalGids = []uint32{0} })), code: 1, err: "cannot set any additional groups in a rootless container"},
		{name: "without user namespace", change: on(func(s *specs.Spec) { s.Linux.Resources = nil }), code: 1, err: "(?i)operation not permitted|user namespace|permission"},
		{name: "network of the host", change: on(rootless(own, own), harness.WithoutNamespace(specs.NetworkNamespace), harness.Shell("ls /sys/class/net | grep -c lo")), out: "1\n"},
	} {
		t.Run(s.name, func(t *testing.T) {
			skipOld(t, "wants --rootless and writable cgroups")
			if s.helper {
				harness.Need(t, "newuidmap", "uidmap")
			}
			c := newContainer(t, s.change...)
			wrapper := asUser(t, c, s.subids)
			res := c.Via(wrapper, "run", "--bundle", c.bundle, c.id)
			if res.Code != s.code || s.out != "" && res.Stdout != s.out || s.err != "" && !fits(t, s.err, unquote(res.Stderr)) {
				t.Errorf("%d, want %d %q %q\n%s%s", res.Code, s.code, s.out, s.err, res.Stdout, res.Stderr)
			}
			if left, _ := os.ReadDir(c.Root); len(left) > 0 {
				t.Errorf("left in the state directory: %v", left)
			}
		})
	}
}

// The whole life, by separate processes of the user.
//
// rows: LIF-12 STA-6
func TestOrdinaryUsersContainerLives(t *testing.T) {
	skipOld(t, "wants --rootless and writable cgroups")
	own := mapping(0, ordinary, 1)
	c := newContainer(t, rootless(own, own), harness.Args("/bin/sleep", "1000"))
	wrapper := asUser(t, c, "")
	must := func(args ...string) string {
		t.Helper()
		res := c.Via(wrapper, args...)
		if res.Code != 0 {
			t.Fatalf("%v: %s", args, res.Stderr)
		}
		return res.Stdout
	}
	must("create", "--bundle", c.bundle, c.id)
	for _, step := range []struct{ status, command string }{{"created", "start"}, {"running", "kill"}, {"stopped", "delete"}} {
		await(t, step.status, func() bool { return strings.Contains(must("state", c.id), `"status": "`+step.status+`"`) })
		args := []string{step.command, c.id}
		if step.command == "kill" {
			args = append(args, "KILL")
		}
		must(args...)
	}
	if out := must("list", "-q"); out != "" {
		t.Errorf("list: %q", out)
	}
}
