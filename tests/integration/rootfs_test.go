package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

func sysMkfifo(path string) error { return syscall.Mkfifo(path, 0o644) }

func TestRoot(t *testing.T) {
	root := func(path string) change { return func(s *specs.Spec) { s.Root.Path = path } }
	readonly := func(s *specs.Spec) { s.Root.Readonly = true }
	runAll(t, []scenario{
		{name: "relative", rows: "ROOT-1 ROOT-2 ROOT-3", change: on(harness.Args("/bin/cat", "/etc/passwd")), match: []string{"^user:x:1000"}},
		{name: "dots", rows: "ROOT-2", change: on(root("./rootfs/../rootfs/"), harness.Args("/bin/true"))},
		{name: "absolute", rows: "ROOT-2", change: on(harness.Args("/bin/true")), prep: func(t *testing.T, b string) {
			s := harness.Default()
			s.Root.Path = b + "/rootfs"
			harness.WriteConfig(t, b, s)
		}},
		{name: "missing", rows: "ROOT-4", change: on(root("nosuch")), code: 1, err: "no such file or directory|does not exist"},
		{name: "a file", rows: "ROOT-4", change: on(root("config.json")), code: 1, err: "(?i)not a directory"},
		{name: "empty", rows: "ROOT-2", change: on(root("")), code: 1, err: "."},
		{name: "no root", rows: "ROOT-1", change: on(func(s *specs.Spec) { s.Root = nil }), code: 1, err: "[Rr]oot"},
		{name: "writable", rows: "ROOT-5", change: on(harness.Shell("echo w > /file; cat /file")), out: "w"},
		{name: "read-only", rows: "ROOT-5", change: on(readonly, harness.Shell("touch /dev/x /dev/shm/x && echo mounts are not; touch /file")), out: "mounts are not", code: 1, err: "Read-only file system"},
		{name: "read-only in a user namespace", rows: "ROOT-5", change: on(readonly, harness.UserNamespace, harness.Shell("touch /dev/shm/x && echo mounts are not; touch /file")), out: "mounts are not", code: 1, err: "Read-only file system"},
		{name: "read-only with missing mount points", rows: "ROOT-5 MNT-2", change: on(readonly, mounts(tmpfs("/made/here")), harness.Shell("stat -f -c %T /made/here; touch /made/x")), out: "tmpfs", code: 1, err: "Read-only file system"},
		{name: "old root is gone", rows: "NS-3", change: on(harness.Shell("wc -l < /proc/self/mountinfo; awk '{print $5}' /proc/self/mountinfo | grep -v '^/\\($\\|proc\\|dev\\|sys\\)'; true")), match: []string{`^\d\d$`}, reject: []string{"^/"}},
		{name: "its parent is itself", change: on(harness.Shell("ls /.. | tr '\\n' ' '; cd ../../..; echo; pwd")), match: []string{"^bin .*tmp", "^/$"}},
	})
}

func TestRootIsAMountPoint(t *testing.T) {
	for _, s := range []struct{ name, prep, flags string }{
		{"tmpfs", `mount -t tmpfs r rootfs2; cp -a rootfs/. rootfs2`, ""},
		{"read-only bind, locked flags", `mount --bind rootfs rootfs2; mount -o remount,bind,ro,nosuid,nodev rootfs2`, "ro"},
		{"overlay", `mount -t tmpfs o work; mkdir work/u work/w; mount -t overlay -o lowerdir=rootfs,upperdir=work/u,workdir=work/w o rootfs2`, ""},
		{"shared", `mount --make-rshared /; mount --bind rootfs rootfs2`, ""},
	} {
		for _, user := range []bool{false, true} {
			name := s.name
			c := on(harness.Shell("awk '$5 == \"/\" {print $6}' /proc/self/mountinfo; [ -e /dev/null ] && echo fine"), func(sp *specs.Spec) { sp.Root.Path = "rootfs2" })
			if user {
				name += " with user namespace"
				c = append(c, harness.UserNamespace)
			}
			t.Run(name, func(t *testing.T) {
				ct := newContainer(t, c...)
				ct.Env = []string{"BUNDLE=" + ct.bundle}
				res := ct.Via(private(t, `cd "$BUNDLE"; mkdir rootfs2 work; `+s.prep+`; exec "$@"`), "run", "--bundle", ct.bundle, ct.id)
				if res.Code != 0 || !strings.Contains(res.Stdout, "fine") || !strings.HasPrefix(res.Stdout, s.flags) {
					t.Errorf("%+v", res)
				}
			})
		}
	}
}

// rows: SEC-3 SEC-4 SEC-5 SEC-6
func TestRootfsPropagation(t *testing.T) {
	for _, s := range []struct{ word, want, not, old string }{
		{"", "", "shared:", ""},
		{"private", "", "shared:|master:|unbindable", ""},
		{"rprivate", "", "shared:|master:|unbindable", ""},
		{"slave", "master:", "shared:", ""},
		{"rslave", "master:", "shared:", ""},
		{"shared", "shared:", "", "has no tag then"},
		{"rshared", "shared:", "", "has no tag then"},
		{"unbindable", "unbindable", "shared:|master:", "cannot clone its root then"},
		{"runbindable", "unbindable", "shared:|master:", "cannot clone its root then"},
	} {
		t.Run("word "+s.word, func(t *testing.T) {
			skipOld(t, s.old)
			c := newContainer(t, func(sp *specs.Spec) { sp.Linux.RootfsPropagation = s.word },
				harness.Args("/bin/awk", `$5 == "/"`, "/proc/self/mountinfo"))
			res := c.Via(private(t, `mount --make-rshared /; exec "$@"`), "run", "--bundle", c.bundle, c.id)
			if res.Code != 0 {
				t.Fatalf("%+v", res)
			}
			if !fits(t, s.want, res.Stdout) || s.not != "" && fits(t, s.not, res.Stdout) {
				t.Errorf("mountinfo has %swant %q and no %q", res.Stdout, s.want, s.not)
			}
		})
	}
	one(t, scenario{name: "unknown word", change: on(func(s *specs.Spec) { s.Linux.RootfsPropagation = "sideways" }), code: 1, err: "rootfsPropagation=sideways is not supported"})
}

// A bundle below a directory that only root may enter is no obstacle: the root
// file system is opened before the user namespace is.
//
// rows: NS-6
func TestBundleThatTheContainersRootCannotReach(t *testing.T) {
	skipOld(t, "resolves the path in the user namespace")
	c := newContainer(t, harness.UserNamespace, mounts(bind("rootfs/etc", "/m")), harness.Shell("id -u; cat /m/passwd | wc -l"))
	mkdirs("m")(t, c.bundle)
	if err := os.Chmod(c.bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	if out := c.Must("run", "--bundle", c.bundle, c.id); strings.TrimSpace(out) != "0\n2" {
		t.Errorf("got %q", out)
	}
}

// Mount points that are links to what is not there yet are made at their ends, however
// many there are: no descriptor of one stays open for the next.
func TestManyDanglingLinks(t *testing.T) {
	const n = 300
	c := newContainer(t, harness.Shell("cat /links/* | sort | uniq -c; ls /made/deep | wc -l"), func(s *specs.Spec) {
		for i := range n {
			s.Mounts = append(s.Mounts, specs.Mount{
				Destination: "/links/" + strconv.Itoa(i), Type: "bind", Source: "source", Options: []string{"bind"},
			})
		}
	})
	if err := os.WriteFile(filepath.Join(c.bundle, "source"), []byte("bound\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		symlink("/made/deep/"+strconv.Itoa(i), "links/"+strconv.Itoa(i))(t, c.bundle)
	}
	res := c.Via(shell(`ulimit -S -n 128; exec "$@"`), "run", "--bundle", c.bundle, c.id)
	if got := strings.Fields(res.Stdout); res.Code != 0 || len(got) != 3 || got[0] != "300" || got[1] != "bound" || got[2] != "300" {
		t.Errorf("%d %q %s", res.Code, res.Stdout, res.Stderr)
	}
}

// Without pivot_root the host's procfs and sysfs stay below the container's root. Were
// one of them whole, root of a user namespace made inside could mount a procfs without
// the container's masks.
func TestNoPivotHidesTheHostsProc(t *testing.T) {
	setfcap := process(func(p *specs.Process) {
		p.Capabilities.Bounding = append(p.Capabilities.Bounding[:len(p.Capabilities.Bounding):len(p.Capabilities.Bounding)], "CAP_SETFCAP")
		p.Capabilities.Permitted = append(p.Capabilities.Permitted[:len(p.Capabilities.Permitted):len(p.Capabilities.Permitted)], "CAP_SETFCAP")
	})
	look := harness.Shell(`busybox unshare -mrpf sh -c 'mount -t proc none /proc && echo bare proc; mount -t sysfs none /sys && echo bare sys'; echo done`)
	for name, users := range map[string]change{"root": func(*specs.Spec) {}, "user namespace": harness.UserNamespace} {
		for _, word := range []string{"", "private", "slave", "shared", "rprivate"} {
			for _, flags := range [][]string{nil, {"--no-pivot"}} {
				if harness.Berth() || flags == nil && word == "" {
					one(t, scenario{
						name: name + " " + word + strings.Join(flags, ""), flags: flags, change: on(look, users, setfcap, rootfsPropagation(word)),
						match: []string{"^done$"}, reject: []string{"bare"}, talks: true, err: "mount.*(denied|not permitted)",
					})
				}
			}
		}
	}
}
