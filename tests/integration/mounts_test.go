package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// mounts adds mounts to the config.
func mounts(m ...specs.Mount) change {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m...) }
}

func tmpfs(dest string, opts ...string) specs.Mount {
	return specs.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs", Options: opts}
}

func bind(source, dest string, opts ...string) specs.Mount {
	return specs.Mount{Destination: dest, Source: source, Options: append([]string{"bind"}, opts...)}
}

// private runs the runtime in a mount namespace that a script may spoil first.
func private(t *testing.T, script string) []string {
	t.Helper()
	return []string{harness.Need(t, "unshare", "util-linux"), "-m", "/bin/sh", "-ec", script, "sh"}
}

// show prints mountinfo's lines of and below /m, as "point options tags - type super".
const show = `awk '$5 == "/m" || $5 ~ /^\/m\// { printf "%s %s", $5, $6; i = 7; while ($i != "-") { printf " %s", $i; i++ }; printf " - %s %s\n", $(i+1), $(i+3) }' /proc/self/mountinfo; true`

// optionCase is one word of the table of mount options, in a list, and what the
// kernel then shows of the mount and of one below it.
type optionCase struct {
	rows, options string
	// on is the kind of source: "" for a new tmpfs, else a bind of a tree of two
	// tmpfs, plain or strict, or of one that is shared.
	on string
	// top and sub must fit the lines, topNot and subNot must not.
	top, sub, topNot, subNot string
	old                      string
}

// The sources: plain has no flags but relatime, strict all.
const (
	strictFlags = "ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"
	optionPrep  = `cd "$BUNDLE"; mkdir plain strict shared
		for d in plain strict shared; do mount -t tmpfs $d $d; mkdir $d/sub; mount -t tmpfs sub $d/sub; mkdir $d/sub/dir; done
		mount -o remount,bind,` + strictFlags + ` strict/sub; mount -o remount,bind,` + strictFlags + ` strict
		mount --make-shared shared; mount --make-shared shared/sub
		exec "$@"`
)

func TestMountOptions(t *testing.T) {
	const all = `nosuid,nodev,noexec`
	list := []optionCase{
		{rows: "MNT-13", options: "defaults", top: `^/m rw,relatime -`, old: "hands it to tmpfs"},
		{rows: "MNT-48", options: "ro", top: `^/m ro\b`},
		{rows: "MNT-9 MNT-59", options: "ro,rw", top: `^/m rw\b`},
		{rows: "MNT-9 MNT-48", options: "rw,ro", top: `^/m ro\b`},
		{rows: "MNT-31", options: "nosuid", top: `^/m \S*nosuid`},
		{rows: "MNT-64", options: "nosuid,suid", topNot: "nosuid"},
		{rows: "MNT-23", options: "nodev", top: `^/m \S*nodev`},
		{rows: "MNT-14", options: "nodev,dev", topNot: "nodev"},
		{rows: "MNT-25", options: "noexec", top: `^/m \S*noexec`},
		{rows: "MNT-17", options: "noexec,exec", topNot: "noexec"},
		{rows: "MNT-22", options: "noatime", top: `^/m \S*noatime`},
		{rows: "MNT-11", options: "noatime,atime", topNot: "noatime"},
		{rows: "MNT-24", options: "nodiratime", top: `^/m \S*nodiratime`},
		{rows: "MNT-15", options: "nodiratime,diratime", topNot: "nodiratime"},
		{rows: "MNT-38", options: "relatime", top: `^/m \S*relatime`},
		{rows: "MNT-63", options: "strictatime", topNot: `relatime|noatime`},
		{rows: "MNT-30", options: "strictatime,nostrictatime", top: `relatime`},
		{rows: "MNT-9 MNT-63", options: "noatime,strictatime", topNot: `relatime|noatime`},
		{rows: "MNT-9 MNT-22", options: "strictatime,noatime", topNot: `relatime|noatime`},
		{rows: "MNT-32", options: "nosymfollow", top: `^/m \S*nosymfollow`, old: "does not know it"},
		{rows: "MNT-65", options: "nosymfollow,symfollow", topNot: "nosymfollow", old: "does not know it"},
		{rows: "MNT-66", options: "sync", top: `- tmpfs \S*sync`},
		{rows: "MNT-10", options: "sync,async", topNot: `- tmpfs \S*sync`},
		{rows: "MNT-16", options: "dirsync", top: `- tmpfs \S*dirsync`},
		{rows: "MNT-19", options: "lazytime", top: `- tmpfs \S*lazytime`, old: "does not know it"},
		{rows: "MNT-27", options: "lazytime,nolazytime", topNot: "lazytime", old: "does not know it"},
		{rows: "MNT-18", options: "iversion", top: `^/m rw`, old: "does not know it"},
		{rows: "MNT-26", options: "iversion,noiversion", top: `^/m rw`, old: "does not know it"},
		{rows: "MNT-21", options: "mand", top: `^/m rw`},
		{rows: "MNT-28", options: "mand,nomand", top: `^/m rw`},
		{rows: "MNT-61", options: "silent", top: `^/m rw`, old: "does not know it"},
		{rows: "MNT-20", options: "silent,loud", top: `^/m rw`, old: "does not know it"},
		{rows: "MNT-7", options: "size=64k,mode=750,nr_inodes=9", top: `size=64k,nr_inodes=9,mode=750`},
		{rows: "MNT-9", options: "ro," + all + ",noatime,nodiratime", top: `^/m ro,nosuid,nodev,noexec,noatime,nodiratime -`},

		{rows: "MNT-12", options: "bind", on: "plain", top: `^/m rw,relatime`, subNot: "."},
		{rows: "MNT-35", options: "rbind", on: "plain", top: `^/m rw,relatime`, sub: `^/m/sub rw,relatime`},
		{rows: "MNT-48", options: "rbind,ro", on: "plain", top: `^/m ro`, sub: `^/m/sub rw`},
		{rows: "MNT-31", options: "rbind," + all, on: "plain", top: `^/m rw,nosuid,nodev,noexec`, sub: `^/m/sub rw,relatime`},
		{rows: "MNT-12", options: "bind", on: "strict", top: `^/m ` + strictFlags},
		{rows: "MNT-59 MNT-64 MNT-14 MNT-17", options: "bind,rw,suid,dev,exec", on: "strict", top: `^/m rw,noatime,nodiratime,nosymfollow`, old: "knows no words that clear flags of a bind"},
		{rows: "MNT-51", options: "rbind,rro", on: "plain", top: `^/m ro`, sub: `^/m/sub ro`},
		{rows: "MNT-52", options: "rbind,rrw", on: "strict", top: `^/m rw`, sub: `^/m/sub rw`},
		{rows: "MNT-46", options: "rbind,rnosuid", on: "plain", top: `^/m \S*nosuid`, sub: `^/m/sub \S*nosuid`},
		{rows: "MNT-56", options: "rbind,rsuid", on: "strict", topNot: `nosuid`, subNot: `nosuid`},
		{rows: "MNT-69", options: "rbind,rnodev", on: "plain", top: `^/m \S*nodev`, sub: `^/m/sub \S*nodev`},
		{rows: "MNT-36", options: "rbind,rdev", on: "strict", topNot: `nodev`, subNot: `nodev`},
		{rows: "MNT-43", options: "rbind,rnoexec", on: "plain", top: `^/m \S*noexec`, sub: `^/m/sub \S*noexec`},
		{rows: "MNT-40", options: "rbind,rexec", on: "strict", topNot: `noexec`, subNot: `noexec`},
		{rows: "MNT-41", options: "rbind,rnoatime", on: "plain", top: `^/m \S*noatime`, sub: `^/m/sub \S*noatime`},
		{rows: "MNT-34", options: "rbind,ratime", on: "strict", topNot: `noatime`, subNot: `noatime`, old: "asks the kernel for two at once"},
		{rows: "MNT-42", options: "rbind,rnodiratime", on: "plain", top: `^/m \S*nodiratime`, sub: `^/m/sub \S*nodiratime`},
		{rows: "MNT-37", options: "rbind,rdiratime", on: "strict", topNot: `nodiratime`, subNot: `nodiratime`},
		{rows: "MNT-50", options: "rbind,rrelatime", on: "strict", top: `^/m \S*relatime`, sub: `^/m/sub \S*relatime`},
		{rows: "MNT-44", options: "rbind,rnorelatime", on: "plain", top: `relatime`, sub: `relatime`},
		{rows: "MNT-55", options: "rbind,rstrictatime", on: "plain", topNot: `relatime`, subNot: `relatime`},
		{rows: "MNT-45", options: "rbind,rnostrictatime", on: "strict", top: `^/m \S*relatime`, sub: `^/m/sub \S*relatime`, old: "leaves it strict"},
		{rows: "MNT-47", options: "rbind,rnosymfollow", on: "plain", top: `^/m \S*nosymfollow`, sub: `^/m/sub \S*nosymfollow`},
		{rows: "MNT-57", options: "rbind,rsymfollow", on: "strict", topNot: `nosymfollow`, subNot: `nosymfollow`},
		{rows: "MNT-29", options: "bind,norelatime", on: "plain", top: `relatime`},
		{rows: "MNT-29", options: "bind,norelatime", on: "strict", top: `noatime`},
		{rows: "MNT-29", options: "norelatime", top: `^/m \S*relatime`},
		{rows: "MNT-51 MNT-59", options: "rbind,rro,rnosuid,rnodev", on: "plain", top: `^/m ro,nosuid,nodev`, sub: `^/m/sub ro,nosuid,nodev`},

		{rows: "MNT-33", options: "bind,private", on: "shared", topNot: "shared:|master:|unbindable"},
		{rows: "MNT-49", options: "rbind,rprivate", on: "shared", topNot: "shared:|master:", sub: `^/m/sub`, subNot: "shared:|master:"},
		{rows: "MNT-60", options: "bind,shared", on: "shared", top: `^/m .*shared:`},
		{rows: "MNT-53", options: "rbind,rshared", on: "shared", top: `^/m .*shared:`, sub: `^/m/sub .*shared:`},
		{rows: "MNT-60", options: "rbind,shared", on: "plain", top: `^/m .*shared:`, subNot: `shared:`},
		{rows: "MNT-62", options: "bind,slave", on: "shared", top: `^/m .*master:`, topNot: `shared:`},
		{rows: "MNT-54", options: "rbind,rslave", on: "shared", top: `^/m .*master:`, sub: `^/m/sub .*master:`, topNot: `shared:`},
		{rows: "MNT-68", options: "bind,unbindable", on: "plain", top: `^/m .*unbindable`},
		{rows: "MNT-58", options: "rbind,runbindable", on: "plain", top: `^/m .*unbindable`, sub: `^/m/sub .*unbindable`},
		{rows: "MNT-9", options: "rbind,rslave,rshared", on: "shared", top: `^/m .*shared:.* master:|^/m .*master:.* shared:`},
	}
	for i := range list {
		name := list[i].options
		if list[i].on != "" {
			name += " of " + list[i].on
		}
		t.Run(name, list[i].run)
	}
}

func (o *optionCase) run(t *testing.T) {
	skipOld(t, o.old)
	m := tmpfs("/m", strings.Split(o.options, ",")...)
	if o.on != "" {
		m = specs.Mount{Destination: "/m", Source: o.on, Type: "none", Options: strings.Split(o.options, ",")}
	}
	c := newContainer(t, mounts(m), harness.Shell(show))
	c.Env = []string{"BUNDLE=" + c.bundle}
	wrapper := shell(`exec "$@"`)
	if o.on != "" {
		wrapper = private(t, optionPrep)
	}
	res := c.Via(wrapper, "run", "--bundle", c.bundle, c.id)
	if res.Code != 0 {
		t.Fatalf("exit status %d\n%s", res.Code, res.Stderr)
	}
	var top, sub string
	for _, l := range harness.Lines(res.Stdout) {
		switch {
		case strings.HasPrefix(l, "/m "):
			top = l
		case strings.HasPrefix(l, "/m/sub "):
			sub = l
		}
	}
	if top == "" || o.top != "" && !fits(t, o.top, top) || o.sub != "" && !fits(t, o.sub, sub) {
		t.Errorf("mountinfo has\n%swant %q %q", res.Stdout, o.top, o.sub)
	}
	if o.topNot != "" && fits(t, o.topNot, top) || o.subNot != "" && fits(t, o.subNot, sub) {
		t.Errorf("mountinfo has\n%swant no %q, %q", res.Stdout, o.topNot, o.subNot)
	}
}

// What the flags are for, not only what the kernel says of them.
func TestMountFlagsWork(t *testing.T) {
	runAll(t, []scenario{
		{name: "ro", rows: "MNT-48", change: on(mounts(tmpfs("/m", "ro")), harness.Shell("touch /m/x")), code: 1, err: "Read-only file system"},
		{name: "noexec", rows: "MNT-25", change: on(mounts(tmpfs("/m", "noexec")), harness.Shell("cp /bin/busybox /m/x 2>/dev/null || busybox cp /bin/busybox /m/x; /m/x true")), code: 126, err: "Permission denied"},
		{name: "exec", rows: "MNT-17", change: on(mounts(tmpfs("/m", "exec")), harness.Shell("busybox cp /bin/busybox /m/busybox; /m/busybox true"))},
		{name: "nodev", rows: "MNT-23", change: on(mounts(tmpfs("/m", "nodev")), devices(specs.LinuxDevice{Path: "/m/null", Type: "c", Major: 1, Minor: 3}), harness.Shell("cat /m/null")), code: 1, err: "Permission denied"},
		{name: "nosymfollow", rows: "MNT-32", change: on(mounts(tmpfs("/m", "nosymfollow")), harness.Shell("ln -s /etc/passwd /m/x; cat /m/x")), code: 1, err: "Too many levels", old: "does not know it"},
		{name: "size", rows: "MNT-7", change: on(mounts(tmpfs("/m", "size=64k")), harness.Shell("dd if=/dev/zero of=/m/x bs=1k count=65 2>&1 | grep -o 'No space left'")), out: "No space left"},
		{name: "bind ro", rows: "MNT-48", prep: mkdirs("src"), change: on(mounts(bind("rootfs/src", "/m", "ro")), harness.Shell("touch /src/x; ls /m; touch /m/y")), code: 1, match: []string{"^x$"}, err: "Read-only file system"},
		{name: "same file system, two flags", rows: "MNT-9", change: on(mounts(tmpfs("/m"), specs.Mount{Destination: "/n", Type: "proc", Source: "proc", Options: []string{"ro"}}), harness.Shell("echo 5 > /proc/self/oom_score_adj && echo written; echo 5 > /n/self/oom_score_adj")), code: 1, match: []string{"written"}, err: "Read-only file system"},
	})
}

func TestMountErrors(t *testing.T) {
	runAll(t, []scenario{
		{name: "unknown type", rows: "MNT-6 LIF-1", change: on(mounts(specs.Mount{Destination: "/m", Type: "nosuchfs", Source: "x"})), code: 1, err: `(nosuchfs|/m).*no such device`},
		{name: "unknown option", rows: "MNT-7 LIF-1", change: on(mounts(tmpfs("/m", "nosuch=1"))), code: 1, err: "invalid argument"},
		{name: "data on a bind", rows: "MNT-7", change: on(mounts(bind("rootfs", "/m", "size=1"))), code: 1, err: "bind mounts cannot have any filesystem-specific options applied", old: "ignores them"},
		{name: "missing source", rows: "MNT-4 LIF-1", change: on(mounts(bind("/nonexistent/src", "/m"))), code: 1, err: "/nonexistent/src.*no such file or directory"},
		{name: "no destination", rows: "MNT-2", change: on(mounts(tmpfs(""))), code: 1, err: "destination", old: "mounts over the root"},
		{name: "bind type without the option is none", rows: "MNT-5", talks: true, change: on(mounts(specs.Mount{Destination: "/m", Source: "/etc", Type: "bind"})), code: 1, err: "no such device"},
		{name: "directory on a file", rows: "MNT-2", change: on(mounts(bind("rootfs/tmp", "/etc/passwd"))), code: 1, err: "not a directory"},
		{name: "file on a directory", rows: "MNT-2", change: on(mounts(bind("config.json", "/etc"))), code: 1, err: "not a directory|are you trying to mount"},
		{name: "below a file", rows: "MNT-2", change: on(mounts(tmpfs("/etc/passwd/m"))), code: 1, err: "not a directory"},
		{name: "idmap without mappings", rows: "MNT-73", change: on(mounts(bind("rootfs", "/m", "idmap"))), code: 1, err: "id-mapped mounts must have both uid and gid mappings specified", old: "does not know it"},
		{name: "the last of many", rows: "MNT-1 LIF-1", change: on(mounts(tmpfs("/a"), tmpfs("/b"), bind("rootfs/etc", "/c"), tmpfs("/d", "mode=x"))), code: 1, err: "."},
	})
}

// ownCgroup2 says what is at /sys/fs/cgroup in v2: one mount, which shows the container's
// own cgroup and nothing above it. That one has a parent, and so files that the top of the
// hierarchy lacks.
const ownCgroup2 = `cd /sys/fs/cgroup; echo $(grep -c ' /sys/fs/cgroup[ /]' /proc/self/mountinfo) mount
	[ -e cgroup.type ] && grep -q "^$$\$" cgroup.procs && [ -z "$(find . -mindepth 1 -type d)" ] && echo own; mkdir x 2>&1 | grep -o Read-only`

func TestMounts(t *testing.T) {
	cat := harness.Args("/bin/cat", "/m")
	runAll(t, []scenario{
		{name: "tmpfs", rows: "MNT-2 MNT-6", change: on(mounts(tmpfs("/m")), harness.Shell("echo x > /m/x; cat /m/x; stat -f -c %T /m")), out: "x\ntmpfs"},
		{name: "missing target of several levels", rows: "MNT-2", change: on(mounts(tmpfs("/m/a/b/c")), harness.Shell("stat -c %a /m /m/a /m/a/b")), out: "755\n755\n755"},
		{name: "proc elsewhere", rows: "MNT-6", change: on(mounts(specs.Mount{Destination: "/m", Type: "proc", Source: "proc"}), harness.Shell("readlink /m/self")), match: []string{`^\d+$`}},
		{name: "sysfs elsewhere", rows: "MNT-6 FS-2", change: on(mounts(specs.Mount{Destination: "/m", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}}), harness.Shell("ls /m/class/net")), out: "lo"},
		{name: "mqueue", rows: "MNT-6", change: on(harness.Shell(": > /dev/mqueue/q; cat /dev/mqueue/q | cut -c1-5")), out: "QSIZE"},
		{name: "devpts", rows: "MNT-7 FS-3", change: on(harness.Shell("stat -c '%a %t:%T' /dev/pts/ptmx")), out: "666 5:2"},
		{name: "bind of a directory", rows: "MNT-4 MNT-5", prep: files("src/x", "hello"), change: on(mounts(bind("rootfs/src", "/m")), harness.Shell("cat /m/x")), out: "hello"},
		{name: "absolute source", rows: "MNT-4", change: on(func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, bind("/proc/sys/kernel/ostype", "/m"))
		}, cat), out: "Linux"},
		{name: "bind of a file, target missing", rows: "MNT-2 MNT-4", prep: files("src", "hello"), change: on(mounts(bind("rootfs/src", "/new/m")), harness.Shell("cat /new/m; stat -c %F /new/m")), out: "hello" + "regular file"},
		{name: "bind of a file over a file", rows: "MNT-1", prep: files("src", "hello", "m", "covered"), change: on(mounts(bind("rootfs/src", "/m")), cat), out: "hello"},
		{name: "bind of a symlink's target", rows: "MNT-4", prep: preps(files("src", "hello"), symlink("src", "link")), change: on(mounts(bind("rootfs/link", "/m")), cat), out: "hello"},
		{name: "bind of a socket or fifo", rows: "MNT-4", prep: func(t *testing.T, b string) { mkfifo(t, b, "src") }, change: on(mounts(bind("rootfs/src", "/m")), harness.Shell("stat -c %F /m")), out: "fifo"},
		{name: "whatever the type says", rows: "MNT-5", prep: files("src", "hello"), change: on(mounts(specs.Mount{Destination: "/m", Source: "rootfs/src", Type: "ext4", Options: []string{"rbind"}}), cat), out: "hello"},
		{name: "later ones cover earlier ones", rows: "MNT-1", prep: files("a/x", "a", "b/x", "b"), change: on(mounts(bind("rootfs/a", "/m"), bind("rootfs/b", "/m")), harness.Args("/bin/cat", "/m/x")), out: "b"},
		{name: "one in another", rows: "MNT-1 MNT-2", prep: files("a/x", "a"), change: on(mounts(tmpfs("/m"), bind("rootfs/a", "/m/deep/er"), tmpfs("/m/deep/er/y")), harness.Shell("cat /m/deep/er/x; stat -f -c %T /m/deep/er/y")), out: "a" + "tmpfs"},
		{name: "relative destination", rows: "MNT-3", change: on(mounts(tmpfs("data")), harness.Shell("stat -f -c %T /data")), out: "tmpfs", err: "level=warning.*relative|level=warning.*absolute"},
		{name: "destination with dots", rows: "MNT-2", change: on(mounts(tmpfs("/x/../../../m/.")), harness.Shell("stat -f -c %T /m")), out: "tmpfs"},
		{name: "space and non-ASCII", rows: "MNT-2 BND-3", change: on(mounts(tmpfs("/a b\tü")), harness.Shell("stat -f -c %T '/a b\tü'")), out: "tmpfs"},
		{name: "remount", rows: "MNT-39", change: on(mounts(tmpfs("/m"), specs.Mount{Destination: "/m", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro", "nosuid"}}), harness.Shell(show)), match: []string{`^/m ro,nosuid`}},
		{name: "over the root's own directories", rows: "MNT-1", change: on(mounts(tmpfs("/etc")), harness.Shell("ls /etc; echo empty")), out: "empty"},
		byVersion(
			scenario{name: "cgroup", rows: "MNT-6", change: on(harness.Shell("ls -d /sys/fs/cgroup/memory /sys/fs/cgroup/pids; [ $(cat /sys/fs/cgroup/memory/cgroup.procs | wc -l) -ge 1 ] && echo own; touch /sys/fs/cgroup/memory/x 2>&1 | grep -o Read-only")), match: []string{"^/sys/fs/cgroup/memory$", "^own$", "^Read-only$"}},
			scenario{name: "cgroup", rows: "MNT-6", change: on(harness.Shell(ownCgroup2)), out: "1 mount\nown\nRead-only"},
		),
		{name: "source is not there but not used", rows: "MNT-4", change: on(mounts(specs.Mount{Destination: "/m", Type: "tmpfs", Source: "/nonexistent"}), harness.Shell("stat -f -c %T /m")), out: "tmpfs"},
		{name: "no mounts at all", change: on(func(s *specs.Spec) { s.Mounts = nil }, harness.Shell("ls /proc; ls /dev | tr '\\n' ' '")), match: []string{"null .*zero"}, old: "needs /proc in the container"},
	})
}

func mkfifo(t *testing.T, bundle, name string) {
	t.Helper()
	if err := sysMkfifo(filepath.Join(bundle, "rootfs", name)); err != nil {
		t.Fatal(err)
	}
}

// No symbolic link of an image leads a mount out of its root file system.
//
// rows: MNT-2
func TestMountsStayInside(t *testing.T) {
	for _, s := range []struct {
		name, dest, inside string
		prep               func(*testing.T, string)
		old                string
	}{
		{"absolute link", "/link", "/etc", symlink("/etc", "link"), ""},
		{"link up and up", "/link", "/etc", symlink("../../../../../../../../etc", "link"), ""},
		{"link on the way", "/link/m", "/etc/m", symlink("/etc", "link"), ""},
		{"link on the way, up", "/a/link/m", "/m", symlink("../../../../..", "a/link"), ""},
		{"chain of links", "/one", "/etc", preps(symlink("/two", "one"), symlink("../three", "two"), symlink("etc", "three")), ""},
		{"link to the root", "/link/m", "/m", symlink("/", "link"), ""},
		{"link that dangles", "/link", "/run/new/m", symlink("../run/new/m", "link"), ""},
		{"link that dangles, absolute", "/link", "/run/new/m", symlink("/run/new/m", "link"), ""},
		{"link on the way that dangles", "/link/m", "/run/new/m", symlink("/run/new", "link"), ""},
		{"two links that dangle", "/one", "/run/b/m", preps(symlink("run/a", "one"), symlink("b/m", "run/a")), ""},
		{"link that dangles, up and up", "/link", "/run/new/m", symlink("../../../../../run/new/m", "link"), ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			skipOld(t, s.old)
			c := newContainer(t, mounts(tmpfs(s.dest, "size=4k")), harness.Args("/bin/awk", "$NF ~ /size=4k/ {print $5}", "/proc/self/mountinfo"))
			s.prep(t, c.bundle)
			before, _ := os.ReadDir("/etc")
			if got := strings.TrimSpace(c.Must("run", "--bundle", c.bundle, c.id)); got != s.inside {
				t.Errorf("mounted at %s, want %s", got, s.inside)
			}
			after, _ := os.ReadDir("/etc")
			if len(after) != len(before) {
				t.Error("the host's /etc has changed")
			}
		})
	}
	// The usual case: /etc/resolv.conf of an image with systemd-resolved.
	one(t, scenario{
		name: "resolv.conf", prep: preps(symlink("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf"), files("src", "nameserver ::1")),
		change: on(mounts(bind("rootfs/src", "/etc/resolv.conf")), harness.Args("/bin/cat", "/etc/resolv.conf")), out: "nameserver ::1",
	})
	one(t, scenario{
		name: "loop", prep: symlink("loop", "loop"), change: on(mounts(tmpfs("/loop"))), code: 1, err: "too many (levels of symbolic )?links",
	})
}

// Mounts travel between host and container as the propagation says.
//
// rows: MNT-33 MNT-53 MNT-54 SEC-3 SEC-4 SEC-5
func TestMountsTravel(t *testing.T) {
	admin := process(func(p *specs.Process) {
		all := []string{"CAP_SYS_ADMIN"}
		p.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	})
	// The container tells that it is there, mounts, and waits for the host's.
	const inside = `mount -t tmpfs in /m/in; echo x > /m/in/flag; echo > /ready
		for i in $(seq 100); do [ -e /m/out/flag ] && echo arrived && break; [ -e /done ] && break; usleep 5000; done; true`
	const host = `cd "$BUNDLE"; mkdir src; mount -t tmpfs src src; mkdir src/in src/out; mount --make-shared src
		"$@" & while [ ! -e rootfs/ready ]; do sleep 0.01; kill -0 $! || exit 1; done
		[ -e src/in/flag ] && echo left
		mount -t tmpfs out src/out; echo x > src/out/flag; sleep 0.05; echo > rootfs/done; wait; true`
	for _, s := range []struct {
		bind, root          string
		user, arrived, left bool
	}{
		{bind: "rprivate"},
		{bind: "rslave", arrived: true},
		{bind: "rslave", root: "rslave", arrived: true},
		{bind: "rshared", root: "rshared", arrived: true, left: true},
		{bind: "rshared", root: "shared", arrived: true, left: true},
		{bind: "rshared", arrived: true},
		{bind: "rprivate", root: "rprivate"},
		{bind: "rprivate", user: true},
		{bind: "rslave", user: true, arrived: true},
		{bind: "rshared", root: "rshared", user: true, arrived: true},
	} {
		name, own := s.bind+" in "+s.root, func(*specs.Spec) {}
		if s.user {
			name, own = name+" in a user namespace", harness.UserNamespace
		}
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, admin, own, mounts(specs.Mount{Destination: "/m", Source: "src", Options: []string{"rbind", s.bind}}),
				harness.Shell(inside), func(sp *specs.Spec) { sp.Linux.RootfsPropagation = s.root })
			mkdirs("m")(t, c.bundle)
			if err := os.Chmod(filepath.Join(c.bundle, "rootfs"), 0o777); err != nil {
				t.Fatal(err)
			}
			c.Env = []string{"BUNDLE=" + c.bundle}
			res := c.Via(private(t, host), "run", "--bundle", c.bundle, c.id)
			if res.Code != 0 {
				t.Fatal(res.Stderr)
			}
			if got := strings.Contains(res.Stdout, "arrived"); got != s.arrived {
				t.Errorf("the host's mount arrived in the container: %v, want %v", got, s.arrived)
			}
			if got := strings.Contains(res.Stdout, "left"); got != s.left {
				t.Errorf("the container's mount arrived on the host: %v, want %v", got, s.left)
			}
		})
	}
}

// openat2 gives up when anything on the host is renamed just while it walks a
// "..": that is no reason for a create to fail.
//
// rows: MNT-2
func TestBusyHost(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		_ = os.Mkdir(a, 0o755)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(a, b)
				_ = os.Rename(b, a)
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	c := newContainer(t, mounts(tmpfs("/link/m"), tmpfs("/run/x/../y")), cwd("/link/../etc"),
		process(func(p *specs.Process) { p.User.UID = 1000 }), harness.Shell("stat -f -c %T /m/m; pwd; echo $HOME"))
	preps(mkdirs("m"), symlink("../../../up", "link"), symlink("a/b/../../over", "up"), symlink("../../m", "over"), mkdirs("a/b"),
		symlink("../etc2/../etc2/passwd", "etc/passwd"), files("etc2/passwd", "u:x:1000:1000::/found:/bin/sh\n"))(t, c.bundle)
	for range 20 {
		if out := c.Must("run", "--bundle", c.bundle, c.id); out != "tmpfs\n/etc\n/found\n" {
			t.Fatalf("got %q", out)
		}
	}
}

// Read-only among the options of a tmpfs is what the process finds: what lies below
// is made before.
//
// rows: MNT-48
func TestReadonlyWhenAllIsMade(t *testing.T) {
	dev := func(s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Destination == "/dev" {
				s.Mounts[i].Options = append(s.Mounts[i].Options, "ro")
			}
		}
	}
	probe := func(dirs string) change {
		return harness.Shell("for d in " + dirs + "; do touch $d/x 2>/dev/null && echo $d is writable; done; true")
	}
	runAll(t, []scenario{
		{name: "mounts below", prep: files("src/f", "f"), change: on(mounts(tmpfs("/run", "ro"), bind("rootfs/src", "/run/lock"), bind("rootfs/src/f", "/run/a/f"), tmpfs("/run/b")),
			harness.Shell("cat /run/lock/f /run/a/f; for d in /run /run/a /run/b; do touch $d/x 2>/dev/null && echo $d is writable; done; true")), out: "ff/run/b is writable"},
		{name: "recursive word", change: on(mounts(tmpfs("/run", "rro"), tmpfs("/run/b")), probe("/run /run/b")), out: "/run/b is writable", old: "makes it read-only at once"},
		{name: "dev", change: on(dev, probe("/dev /dev/shm")), out: "/dev/shm is writable"},
		{name: "dev in a user namespace", change: on(dev, harness.UserNamespace, probe("/dev /dev/shm")), out: "/dev/shm is writable"},
		{name: "dev with a device below", change: on(dev, devices(specs.LinuxDevice{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200}), harness.Shell("stat -c %t:%T /dev/net/tun; touch /dev/net/x")), out: "a:c8", code: 1, err: "Read-only"},
		{name: "the working directory", change: on(mounts(tmpfs("/m", "ro")), cwd("/m/here"), harness.Shell("pwd; touch x")), out: "/m/here", code: 1, err: "Read-only", old: "makes it too late"},
		{name: "by a link of the image", prep: preps(mkdirs("m"), symlink("m", "l")), change: on(mounts(tmpfs("/m", "ro"), tmpfs("/l/sub")), probe("/m /m/sub")), out: "/m/sub is writable"},
		{name: "covered by another", change: on(mounts(tmpfs("/m", "ro"), tmpfs("/m/a"), tmpfs("/m"), tmpfs("/m/a", "ro")), probe("/m /m/a")), out: "/m is writable", old: "makes the one on top read-only"},
		{name: "cgroups, recursive word", change: on(func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Type == "cgroup" {
					s.Mounts[i].Options = []string{"rro"}
				}
			}
		}, harness.Args("/bin/awk", `$5 ~ "^/sys/fs/cgroup" { print substr($6, 1, 2) }`, "/proc/self/mountinfo")), match: []string{"^ro$"}, reject: []string{"rw"}, old: "leaves them writable"},
		{name: "a bind is at once", prep: mkdirs("src"), change: on(mounts(bind("rootfs/src", "/m", "ro"), tmpfs("/m/new"))), code: 1, err: "read-only file system"},
	})
}

// A mount with the destination / is the root from then on.
//
// rows: MNT-1
func TestMountAtTheRoot(t *testing.T) {
	// volume is a whole root of its own, beside the bundle's.
	volume := func(t *testing.T, b string) {
		t.Helper()
		if out, err := exec.Command("cp", "-al", b+"/rootfs", b+"/volume").CombinedOutput(); err != nil {
			t.Fatalf("cp: %s", out)
		}
		mkdirs("../volume/VOL", "ROOT")(t, b)
		// The devices that are made there are the container's root's.
		if err := os.Chown(b+"/volume/dev", 100000, 100000); err != nil {
			t.Fatal(err)
		}
	}
	first := func(m specs.Mount) change {
		return func(s *specs.Spec) { s.Mounts = append([]specs.Mount{m}, s.Mounts...) }
	}
	look := harness.Shell(`ls -d /VOL /ROOT /proc/self/status /dev/null 2>/dev/null; [ -n "$(ls -A /sys/firmware)" ] && echo unmasked; awk '$5 == "/"' /proc/self/mountinfo | wc -l; touch /x || echo ro`)
	const right = "/VOL\n/dev/null\n/proc/self/status\n1\n"
	for _, user := range []bool{false, true} {
		name, early, own := "", "", func(*specs.Spec) {}
		if user {
			name, early, own = " in a user namespace", "opens the sources before it mounts", harness.UserNamespace
		}
		runAll(t, []scenario{
			{name: "first" + name, prep: volume, change: on(own, first(rbind("volume", "/", "ro")), look), out: right + "ro", err: "Read-only"},
			{name: "a tmpfs has no program" + name, change: on(own, first(tmpfs("/"))), code: 1, err: "/bin/true.*no such file"},
			{name: "shared" + name, prep: volume, change: on(own, first(rbind("volume", "/", "rshared")), harness.Args("/bin/awk", "$5 == \"/\"", "/proc/self/mountinfo")), match: []string{"shared:"}, old: "fails at pivot_root"},
			{name: "last covers all" + name, prep: volume, change: on(own, func(s *specs.Spec) { s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil }, mounts(rbind("volume", "/")), harness.Shell("ls / | grep VOL; ls /proc; ls /sys; ls /dev/pts")), match: []string{"^VOL$"}, code: 1, err: "/dev/pts: No such file", old: "needs /proc in the container"},
			{name: "a source inside it" + name, prep: preps(volume, func(t *testing.T, b string) {
				t.Helper()
				if err := os.WriteFile(b+"/volume/VOL/f", []byte("of the volume"), 0o644); err != nil {
					t.Fatal(err)
				}
			}, mkdirs("../volume/m")), change: on(own, first(rbind("volume", "/")), mounts(bind("rootfs/VOL", "/m")), harness.Args("/bin/cat", "/m/f")), out: "of the volume", old: early},
			{name: "no pivot" + name, flags: []string{"--no-pivot"}, prep: volume, change: on(own, first(rbind("volume", "/")), harness.Shell("ls -d /VOL")), out: "/VOL"},
		})
	}
	one(t, scenario{name: "a file is no root", change: on(first(bind("config.json", "/"))), code: 1, err: "not a directory"})
}

// A source inside the root file system is what is there when its turn comes.
//
// rows: MNT-1 MNT-4
func TestSourceBelowAnEarlierMount(t *testing.T) {
	prep := preps(files("src/f", "the volume's", "m/f", "the image's"), mkdirs("n", "k"), symlink("/m", "link"), symlink("/etc/hostname", "out"))
	for _, user := range []bool{false, true} {
		name, early, own := "", "", func(*specs.Spec) {}
		if user {
			name, early, own = " in a user namespace", "opens the sources before it mounts", harness.UserNamespace
		}
		runAll(t, []scenario{
			{name: "after" + name, prep: prep, change: on(own, mounts(bind("rootfs/src", "/m"), bind("rootfs/m", "/n")), harness.Args("/bin/cat", "/n/f")), out: "the volume's", old: early},
			{name: "before" + name, prep: prep, change: on(own, mounts(bind("rootfs/m", "/n"), bind("rootfs/src", "/m")), harness.Args("/bin/cat", "/n/f")), out: "the image's"},
			{name: "a file" + name, prep: preps(prep, files("t", "")), change: on(own, mounts(bind("rootfs/src", "/m"), bind("rootfs/m/f", "/t")), harness.Args("/bin/cat", "/t")), out: "the volume's", old: early},
			{name: "recursive" + name, prep: prep, change: on(own, mounts(tmpfs("/m"), tmpfs("/m/sub", "size=64k"), rbind("rootfs/m", "/n")), harness.Shell("stat -f -c %b /n/sub")), out: "16", old: early},
			{name: "a link of the image stays inside" + name, prep: prep, change: on(own, mounts(bind("rootfs/link", "/n")), harness.Args("/bin/cat", "/n/f")), out: "the image's", old: "looks on the host"},
			{name: "a link of the image leads to no file of the host" + name, prep: prep, change: on(own, mounts(bind("rootfs/out", "/k"))), code: 1, err: "rootfs/out.*no such file", old: "looks on the host"},
		})
	}
}

// proc and sysfs are mounted on directories, not where a link of the image leads
// (CVE-2019-19921).
//
// rows: MNT-2
func TestProcOnOrdinaryDirectory(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		for what, prep := range map[string]func(*testing.T, string){
			"link":          preps(mkdirs("elsewhere"), symlink("elsewhere", name)),
			"absolute link": preps(mkdirs("elsewhere"), symlink("/elsewhere", name)),
			"dangling link": symlink("nowhere", name),
			"file":          files(name, "x"),
		} {
			one(t, scenario{name: name + " is a " + what, prep: func(t *testing.T, b string) {
				t.Helper()
				if err := os.Remove(b + "/rootfs/" + name); err != nil {
					t.Fatal(err)
				}
				prep(t, b)
			}, code: 1, err: "must be mounted on ordinary directory"})
		}
	}
}

// A mount may cover those below it that an earlier entry made, mount points and
// all.
//
// rows: MNT-1
func TestMountsThatAreCovered(t *testing.T) {
	find := harness.Args("/bin/busybox", "find", "/m")
	runAll(t, []scenario{
		{name: "a parent later", rows: "MNT-1", change: on(find, mounts(tmpfs("/m/a"), tmpfs("/m"), tmpfs("/m/a/b"))), out: "/m\n/m/a\n/m/a/b\n"},
		{name: "the same later", rows: "MNT-1", change: on(find, mounts(tmpfs("/m/a"), tmpfs("/m"), tmpfs("/m/a"))), out: "/m\n/m/a\n"},
	})
}
