package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// A tmpfs without a mode takes that of the directory it is mounted on.
//
// rows: MNT-7
func TestTmpfsKeepsTheMode(t *testing.T) {
	modes := []uint32{0o755, 0o1777, 0o711, 0o700, 0, 0o2770, 0o4001, 0o7777, 0o123, 0o4567, 0o640}
	set := func(t *testing.T, bundle string) {
		t.Helper()
		for i, m := range modes {
			p := filepath.Join(bundle, "rootfs", fmt.Sprintf("m%d", i))
			if err := os.Mkdir(p, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := chmod(p, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, user := range []bool{false, true} {
		name, own := "", func(*specs.Spec) {}
		if user {
			name, own = " in a user namespace", harness.UserNamespace
		}
		var all []specs.Mount
		script, want := "", ""
		for i, m := range modes {
			at := fmt.Sprintf("/m%d", i)
			all = append(all, tmpfs(at))
			script += "stat -c %a " + at + ";"
			want += fmt.Sprintf("%o\n", m)
		}
		mode := func(paths string) change {
			return harness.Shell(`for p in ` + paths + `; do stat -c %a $p; grep " $p " /proc/mounts | grep -o "mode=[0-9]*" || echo none; done`)
		}
		runAll(t, []scenario{
			{name: "all kinds" + name, prep: set, change: on(own, mounts(all...), harness.Shell(script)), out: want},
			{name: "mounts say it" + name, prep: set, change: on(own, mounts(tmpfs("/m2")), mode("/m2")), out: "711\nmode=711", old: "changes it afterwards"},
			{name: "one that is given wins" + name, prep: set, change: on(own, mounts(tmpfs("/m2", "mode=1770")), mode("/m2")), out: "1770\nmode=1770", old: "takes the directory's all the same"},
			{name: "of what a link leads to" + name, prep: preps(set, symlink("m2", "link")), change: on(own, mounts(tmpfs("/link")), mode("/m2")), out: "711\nmode=711", old: "changes it afterwards"},
			{name: "of a mount below" + name, prep: set, change: on(own, mounts(tmpfs("/m2", "mode=750"), tmpfs("/m2")), mode("/m2")), match: []string{"^750$"}, old: "goes by the image's"},
		})
	}
	runAll(t, []scenario{
		{name: "missing", change: on(mounts(tmpfs("/new/m")), harness.Shell("stat -c %a /new /new/m; grep /new/m /proc/mounts | grep mode=; true")), out: "755\n1777"},
		{name: "missing behind a link", prep: symlink("run/new", "link"), change: on(mounts(tmpfs("/link")), harness.Shell("stat -c %a /run/new; grep /new /proc/mounts | grep mode=; true")), out: "1777", old: "loses its way"},
		{name: "missing in another tmpfs", change: on(mounts(tmpfs("/m", "mode=700"), tmpfs("/m/a/b"), tmpfs("/m/a")), harness.Shell("stat -c %a /m /m/a")), out: "700\n755"},
	})
}

// chmod sets a mode with the upper bits that os.Chmod has words for.
func chmod(p string, mode uint32) error {
	m := os.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return os.Chmod(p, m)
}

// What is bound at /proc must be a procfs, and over its files only those may be
// bound that are made up for containers (CVE-2019-16884).
//
// rows: MNT-5
func TestBindsInProc(t *testing.T) {
	proc := func(source string) change {
		return func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Destination == "/proc" {
					s.Mounts[i] = rbind(source, "/proc")
				}
			}
		}
	}
	fake := mkdirs("fake/self/attr", "fake/sys")
	up := files("up", "42.00 1.00")
	runAll(t, []scenario{
		{name: "a directory", prep: fake, change: on(proc("rootfs/fake")), code: 1, err: "\"?/?.*proc\"? cannot be mounted because it is not of type proc"},
		{name: "a directory in a user namespace", prep: fake, change: on(harness.UserNamespace, proc("rootfs/fake")), code: 1, err: "cannot be mounted because it is not of type proc"},
		{name: "the host's", change: on(proc("/proc"), harness.Shell("head -c5 /proc/self/comm")), out: "head"},
		{name: "uptime", prep: up, change: on(mounts(bind("rootfs/up", "/proc/uptime")), harness.Args("/bin/cat", "/proc/uptime")), out: "42.00 1.00"},
		{name: "version", prep: up, change: on(mounts(bind("rootfs/up", "/proc/version"))), code: 1, err: "cannot be mounted because it is inside /proc"},
		{name: "a label", prep: up, change: on(mounts(bind("rootfs/up", "/proc/self/attr/exec"))), code: 1, err: "cannot be mounted because it is inside /proc"},
		{name: "by dots", prep: up, change: on(mounts(bind("rootfs/up", "/etc/../proc/./version"))), code: 1, err: "cannot be mounted because it is inside /proc"},
		{name: "the root is no mask's", change: on(func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/") }), code: 1, err: "the root cannot be masked", old: "says nothing"},
	})
}

// An image on a read-only file system that brings all of /dev, /dev/ptmx too, needs
// nothing made there for a terminal.
func TestTerminalOnAReadOnlyImage(t *testing.T) {
	for _, s := range []struct{ name, ptmx, err, old string }{
		{"right", "ln -s pts/ptmx rootfs/dev/ptmx", "", "makes it anew"},
		{"another link", "ln -s null rootfs/dev/ptmx", "(?i)read-only file system", ""},
		{"a node", "mknod rootfs/dev/ptmx c 5 2", "(?i)read-only file system", ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			skipOld(t, s.old)
			c := newContainer(t, func(sp *specs.Spec) {
				sp.Process.Terminal = true
				sp.Root = &specs.Root{Path: "ro", Readonly: true}
				sp.Mounts = without(without(without(sp.Mounts, "/dev/shm"), "/dev/mqueue"), "/dev")
			})
			c.Env = []string{"BUNDLE=" + c.bundle}
			prep := `cd "$BUNDLE"; mkdir ro rootfs/dev/pts; touch rootfs/dev/console; ` + s.ptmx + `
				for n in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do mknod -m 666 rootfs/dev/${n%%:*} c $(echo ${n#*:} | tr : ' '); done
				ln -s /proc/self/fd rootfs/dev/fd; for i in stdin:0 stdout:1 stderr:2; do ln -s /proc/self/fd/${i#*:} rootfs/dev/${i%:*}; done
				mount --bind rootfs ro; mount -o remount,bind,ro ro; exec "$@"`
			res := c.Via(private(t, prep), "create", "--bundle", c.bundle, "--console-socket", harness.ConsoleSink(t), c.id)
			if s.err == "" && res.Code != 0 || s.err != "" && (res.Code == 0 || !fits(t, s.err, res.Stderr)) {
				t.Errorf("%+v, want %q", res, s.err)
			}
			if strings.Count(res.Stderr, "\n") > 1 && harness.Berth() {
				t.Errorf("the error has several lines: %s", res.Stderr)
			}
		})
	}
}
