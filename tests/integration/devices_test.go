package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/devicerules"
	"berth/tests/harness"
)

func devices(d ...specs.LinuxDevice) change {
	return func(s *specs.Spec) { s.Linux.Devices = append(s.Linux.Devices, d...) }
}

// allow lets the cgroup permit every device.
func allow(s *specs.Spec) {
	s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"})
}

// rows: FS-5 FS-6 FS-7 FS-8 FS-9 FS-10 FS-12 FS-13 FS-14 FS-15 FS-16
func TestDev(t *testing.T) {
	const list = `cd /dev; find . -type c -maxdepth 1 | sort | while read f; do stat -c '%n %t:%T %a %u' $f; done
		find . -type l | sort | while read f; do echo $f $(readlink $f); done; find . -maxdepth 1 ! -type c ! -type l | sort`
	const links = "./fd /proc/self/fd\n./ptmx pts/ptmx\n./stderr /proc/self/fd/2\n./stdin /proc/self/fd/0\n./stdout /proc/self/fd/1\n"
	const dirs = ".\n./mqueue\n./pts\n./shm"
	nodes := "./full 1:7 666 0\n./null 1:3 666 0\n./random 1:8 666 0\n./tty 5:0 666 0\n./urandom 1:9 666 0\n./zero 1:5 666 0\n"
	foreign := strings.ReplaceAll(nodes, "666 0", "666 65534")
	runAll(t, []scenario{
		{name: "exactly", change: on(harness.Shell(list)), out: nodes + links + dirs, old: "has core as well"},
		{name: "exactly, in a user namespace", change: on(harness.Shell(list), harness.UserNamespace), out: foreign + links + dirs, old: "has core as well"},
		{name: "they work", change: on(harness.Shell("echo x > /dev/null; head -c3 /dev/zero | od -An -tx1; echo > /dev/full; head -c9 /dev/urandom | wc -c; head -c1 /dev/random | wc -c")), match: []string{"00 00 00", "^9$", "^1$"}, err: "No space left"},
		{name: "they work in a user namespace", change: on(harness.UserNamespace, harness.Shell("echo x > /dev/null; head -c3 /dev/zero | od -An -tx1; head -c9 /dev/urandom | wc -c")), match: []string{"00 00 00", "^9$"}},
		{name: "no links without proc", change: on(func(s *specs.Spec) {
			s.Mounts = without(s.Mounts, "/proc")
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}, harness.Shell("ls /dev | tr '\\n' ' '")), reject: []string{"std"}, old: "makes them all the same"},
		{name: "what the image has stays", prep: func(t *testing.T, b string) {
			for _, n := range []string{"null", "zero"} {
				if err := unix.Mknod(b+"/rootfs/dev/"+n, unix.S_IFCHR|0o600, int(unix.Mkdev(1, map[string]uint32{"null": 3, "zero": 5}[n]))); err != nil {
					t.Fatal(err)
				}
			}
		}, change: on(func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev") }, harness.Shell("stat -c '%t:%T' /dev/null /dev/zero /dev/full")), out: "1:3\n1:5\n1:7"},
		{name: "a wrong node is told", rows: "DEV-4", prep: func(t *testing.T, b string) {
			if err := unix.Mknod(b+"/rootfs/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
				t.Fatal(err)
			}
		}, change: on(func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev") }), code: 1, err: "/dev/null", old: "takes what is there"},
		{
			name: "a file in a node's place is told", rows: "DEV-4", prep: files("dev/null", "x"),
			change: on(func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev") }), code: 1, err: "/dev/null", old: "takes what is there",
		},
		{
			name: "a symlink in a node's place is not followed", rows: "DEV-4", prep: symlink("/etc/passwd", "dev/null"),
			change: on(func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev") }), code: 1, err: "/dev/null", old: "takes what is there",
		},
		{name: "ptmx without devpts", rows: "FS-12", change: on(func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev/pts") }, harness.Args("/bin/readlink", "/dev/ptmx")), out: "pts/ptmx"},
		{name: "an old ptmx goes", rows: "FS-12", prep: files("dev/ptmx", "x"), change: on(func(s *specs.Spec) { s.Mounts = without(s.Mounts, "/dev") }, harness.Args("/bin/readlink", "/dev/ptmx")), out: "pts/ptmx"},
		{name: "/dev is a symlink", prep: preps(func(t *testing.T, b string) {
			if err := os.Remove(b + "/rootfs/dev"); err != nil {
				t.Fatal(err)
			}
		}, mkdirs("elsewhere"), symlink("/elsewhere", "dev")), change: on(harness.Shell("stat -c %t:%T /elsewhere/null")), out: "1:3", old: "loses its way"},
	})
}

func TestDevices(t *testing.T) {
	mode := func(m os.FileMode) *os.FileMode { return &m }
	look := func(path string) change { return harness.Args("/bin/stat", "-c", "%F %t:%T %a %u:%g", path) }
	runAll(t, []scenario{
		{name: "character", rows: "DEV-1 DEV-2 DEV-5 DEV-6 DEV-7 DEV-8", change: on(devices(specs.LinuxDevice{Path: "/dev/mine", Type: "c", Major: 10, Minor: 229, FileMode: mode(0o640), UID: ptr(uint32(7)), GID: ptr(uint32(8))}), look("/dev/mine")), out: "character special file a:e5 640 7:8"},
		{name: "unbuffered", rows: "DEV-2", change: on(devices(specs.LinuxDevice{Path: "/dev/mine", Type: "u", Major: 10, Minor: 229}), look("/dev/mine")), match: []string{"^character special file a:e5"}},
		{name: "block", rows: "DEV-2 DEV-6", change: on(devices(specs.LinuxDevice{Path: "/dev/disk", Type: "b", Major: 7, Minor: 3, FileMode: mode(0o600)}), look("/dev/disk")), out: "block special file 7:3 600 0:0"},
		{name: "fifo", rows: "DEV-2 DEV-5", change: on(devices(specs.LinuxDevice{Path: "/dev/pipe", Type: "p", FileMode: mode(0o622)}), look("/dev/pipe")), match: []string{"^fifo 0:0 622 0:0"}},
		{name: "large numbers", rows: "DEV-5", change: on(devices(specs.LinuxDevice{Path: "/dev/big", Type: "c", Major: 4095, Minor: 1048575}), look("/dev/big")), match: []string{"fff:fffff"}},
		{name: "mode as podman writes it", rows: "DEV-6", change: on(devices(specs.LinuxDevice{Path: "/dev/mine", Type: "c", Major: 1, Minor: 3, FileMode: mode(0o20666)}), look("/dev/mine")), out: "character special file 1:3 666 0:0"},
		{name: "outside /dev, directories made", rows: "DEV-3", change: on(devices(specs.LinuxDevice{Path: "/new/dir/mine", Type: "c", Major: 1, Minor: 3}), harness.Shell("stat -c '%F %t:%T' /new/dir/mine; stat -c %a /new/dir")), out: "character special file 1:3\n755"},
		{name: "below /dev", rows: "DEV-3", change: on(devices(specs.LinuxDevice{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200}), look("/dev/net/tun")), match: []string{"a:c8"}},
		{name: "parent is a link that stays inside", rows: "DEV-3", prep: symlink("../../../../etc", "link"), change: on(devices(specs.LinuxDevice{Path: "/link/mine", Type: "c", Major: 1, Minor: 3}), look("/etc/mine")), match: []string{"1:3"}},
		{name: "one of the default ones, other mode", rows: "DEV-1", change: on(devices(specs.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3, FileMode: mode(0o600)}), look("/dev/null")), match: []string{"1:3 600"}, old: "keeps its own"},
		{name: "the same device twice", rows: "DEV-9", change: on(devices(specs.LinuxDevice{Path: "/dev/a", Type: "c", Major: 1, Minor: 3}, specs.LinuxDevice{Path: "/dev/b", Type: "c", Major: 1, Minor: 3}), harness.Args("/bin/stat", "-c", "%t:%T", "/dev/a", "/dev/b")), out: "1:3\n1:3", talks: true},
		{name: "in a user namespace", rows: "DEV-1", old: "denies what it lists itself", change: on(harness.UserNamespace, devices(specs.LinuxDevice{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5}), harness.Shell("head -c2 /dev/zero | od -An -tx1")), match: []string{"00 00"}},
		{name: "not the host's, in a user namespace", rows: "DEV-1", change: on(harness.UserNamespace, devices(specs.LinuxDevice{Path: "/dev/nosuch", Type: "c", Major: 1, Minor: 5})), code: 1, err: "/dev/nosuch"},
		{name: "another type of that number, in a user namespace", rows: "DEV-1", change: on(harness.UserNamespace, devices(specs.LinuxDevice{Path: "/dev/bt-block", Type: "c", Major: 7, Minor: 0})), prep: hostNode("/dev/bt-block", unix.S_IFBLK, 7, 0), code: 1, err: "/dev/bt-block", old: "binds what is there"},
		{
			name: "the host's node can't be changed", rows: "DEV-1", change: on(mapped(mapping(0, 0, 65536), mapping(0, 0, 65536)), devices(specs.LinuxDevice{Path: "/dev/bt-zero", Type: "c", Major: 1, Minor: 5}), allow,
				harness.Shell("head -c2 /dev/bt-zero | od -An -tx1; echo > /dev/bt-zero; chmod 777 /dev/bt-zero; chown 7:7 /dev/bt-zero; touch /dev/bt-zero; stat -c '%a %u' /dev/bt-zero")),
			prep: hostNode("/dev/bt-zero", unix.S_IFCHR, 1, 5), match: []string{"00 00", "^600 0$"}, err: "chmod: /dev/bt-zero: Read-only file system", old: "lets its root change it",
		},
		{name: "another device of that name, in a user namespace", rows: "DEV-1", change: on(harness.UserNamespace, devices(specs.LinuxDevice{Path: "/dev/zero", Type: "c", Major: 1, Minor: 3})), code: 1, err: "/dev/zero", old: "binds what is there"},
		{name: "fifo in a user namespace", rows: "DEV-2", change: on(harness.UserNamespace, devices(specs.LinuxDevice{Path: "/dev/pipe", Type: "p"}), harness.Args("/bin/stat", "-c", "%F", "/dev/pipe")), out: "fifo", old: "binds it from the host"},
		{name: "unknown type", rows: "DEV-2", change: on(devices(specs.LinuxDevice{Path: "/dev/x", Type: "x"})), code: 1, err: "invalid device type|invalid type"},
		{name: "relative path", rows: "DEV-3", change: on(devices(specs.LinuxDevice{Path: "dev/x", Type: "c"})), code: 1, err: "absolute", old: "takes it"},
		{name: "number too large", rows: "DEV-5", change: on(devices(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 4096})), code: 1, err: "4096|4095", old: "cuts it off"},
	})
}

// hostNode is a prep that makes a device node on the host until the test ends.
func hostNode(path string, typ, major, minor uint32) func(*testing.T, string) {
	return func(t *testing.T, _ string) {
		t.Helper()
		_ = os.Remove(path)
		if err := unix.Mknod(path, typ|0o600, int(unix.Mkdev(major, minor))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
}

// rows: FS-19
func TestDevOfTheHostIsLeftAlone(t *testing.T) {
	for _, opt := range []string{"bind", "rbind"} {
		t.Run(opt, func(t *testing.T) {
			c := newContainer(t, func(s *specs.Spec) {
				s.Mounts = without(s.Mounts, "/dev")
				s.Mounts = append([]specs.Mount{s.Mounts[0], {Destination: "/dev", Source: "fakedev", Options: []string{opt}}}, s.Mounts[1:]...)
			}, harness.Shell("ls /dev | tr '\\n' ' '"))
			fake := filepath.Join(c.bundle, "fakedev")
			for _, d := range []string{"pts", "shm", "mqueue"} {
				if err := os.MkdirAll(filepath.Join(fake, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := unix.Mknod(fake+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
				t.Fatal(err)
			}
			out := c.Must("run", "--bundle", c.bundle, c.id)
			if strings.TrimSpace(out) != "mqueue null pts shm" {
				t.Errorf("/dev has %s", out)
			}
			left, _ := os.ReadDir(fake)
			if len(left) != 4 {
				t.Errorf("the host's has %v", left)
			}
		})
	}
}

// rows: RES-1 RES-3 RES-4 DEV-10
func TestDeviceCgroup(t *testing.T) {
	mknod := func(s *specs.Spec) {
		for _, set := range []*[]string{&s.Process.Capabilities.Bounding, &s.Process.Capabilities.Effective, &s.Process.Capabilities.Permitted} {
			*set = append([]string{"CAP_MKNOD"}, *set...)
		}
	}
	// There is no such device (the numbers are for experiments), so that to open it
	// fails with ENXIO where the cgroup lets it, and has no effect.
	dev := specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 240, Minor: 77}
	const opened, denied = "No such device or address", "Operation not permitted"
	rule := func(r ...specs.LinuxDeviceCgroup) change {
		return func(s *specs.Spec) { s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, r...) }
	}
	major, minor := ptr(int64(240)), ptr(int64(77))
	read, write := harness.Shell("cat < /dev/x"), harness.Shell("echo > /dev/x")
	runAll(t, []scenario{
		{name: "denied", rows: "RES-1 DEV-10", change: on(devices(dev), read), code: 1, err: denied},
		{name: "allowed", rows: "RES-1", change: on(devices(dev), rule(specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: major, Minor: minor, Access: "rw"}), read), code: 1, err: opened},
		{name: "read alone", rows: "RES-5", change: on(devices(dev), rule(specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: major, Minor: minor, Access: "r"}), read), code: 1, err: opened},
		{name: "no write", rows: "RES-5", change: on(devices(dev), rule(specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: major, Minor: minor, Access: "r"}), write), code: 1, err: denied},
		{name: "any minor", rows: "RES-4", change: on(devices(dev), rule(specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: major, Access: "rwm"}), write), code: 1, err: opened},
		{name: "all, then one denied", rows: "RES-1 RES-3", change: on(devices(dev), allow, rule(specs.LinuxDeviceCgroup{Type: "c", Major: major, Minor: minor, Access: "rwm"}), read), code: 1, err: denied},
		{name: "all", rows: "RES-3", change: on(devices(dev), allow, read), code: 1, err: opened},
		{name: "default devices stay", rows: "RES-1", change: on(harness.Shell("echo x > /dev/null && head -c1 /dev/zero | wc -c")), out: "1"},
		{name: "wrong letter", rows: "RES-5", change: on(rule(specs.LinuxDeviceCgroup{Allow: true, Access: "x"})), code: 1, err: ".", old: "not checked"},
		{name: "wrong type", rows: "RES-3", change: on(rule(specs.LinuxDeviceCgroup{Allow: true, Type: "x", Access: "r"})), code: 1, err: "."},
		{name: "made inside and not allowed", rows: "DEV-10", change: on(mknod, mounts(tmpfs("/m", "dev")), harness.Shell("mknod /m/k c 240 77; cat < /m/k")), code: 1, err: denied},
	})
}

// tryDevices runs a container that tries what a case has.
func tryDevices(t *testing.T, dc *devicerules.Case, more ...change) {
	t.Helper()
	mknod := func(s *specs.Spec) {
		for _, set := range []*[]string{&s.Process.Capabilities.Bounding, &s.Process.Capabilities.Effective, &s.Process.Capabilities.Permitted} {
			*set = append([]string{"CAP_MKNOD"}, *set...)
		}
	}
	// Some cases deny /dev/null, which covers what is masked.
	unmasked := func(s *specs.Spec) { s.Linux.MaskedPaths = nil }
	c := newContainer(t, append(more, mknod, unmasked, mounts(tmpfs("/m", "dev")), harness.Shell("cd /m; "+dc.Script()+"echo tried"))...)
	// Standard input is a pipe, for the same reason.
	if res := c.DoIn("\n", "run", "--bundle", c.bundle, c.id); res.Code != 0 || res.Stdout != "tried\n" || res.Stderr != "" && harness.Berth() {
		t.Errorf("%d %s%s", res.Code, res.Stdout, res.Stderr)
	}
}

// The table of rules, by the very runtime, in v1's lists and in v2's program.
//
// rows: RES-1 RES-2 RES-3 RES-4 RES-5
func TestDeviceRules(t *testing.T) {
	skipOld(t, "its rules differ: see the table of choices")
	harness.NeedControllers(t, "devices")
	for i := range devicerules.Cases {
		dc := &devicerules.Cases[i]
		t.Run(dc.Name, func(t *testing.T) {
			rules := resources(func(r *specs.LinuxResources) { r.Devices = dc.Rules })
			if dc.Refused == "" {
				tryDevices(t, dc, rules)
				return
			}
			// Some are refused in other words as the config is read; where is the same.
			where := dc.Refused
			if path, _, ok := strings.Cut(where, ": "); ok {
				where = path
			}
			c := newContainer(t, rules)
			c.fails(regexp.QuoteMeta(where), "create", "--bundle", c.bundle, c.id)
			c.NothingLeft(c.id)
		})
	}
}

func TestMaskedAndReadonlyPaths(t *testing.T) {
	mask := func(p ...string) change {
		return func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, p...) }
	}
	ro := func(p ...string) change {
		return func(s *specs.Spec) { s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, p...) }
	}
	nested := mounts(bind("rootfs/src", "/m"), tmpfs("/m/sub"))
	runAll(t, []scenario{
		{name: "masked file", rows: "SEC-7", change: on(mask("/etc/passwd"), harness.Shell("wc -c < /etc/passwd; stat -c %t:%T /etc/passwd; echo x > /etc/passwd; wc -c < /etc/passwd")), out: "0\n1:3\n0"},
		{name: "masked directory", rows: "SEC-7", change: on(mask("/etc"), harness.Shell("ls -A /etc; touch /etc/x")), code: 1, err: "Read-only file system", reject: []string{"."}},
		{name: "masked twice", rows: "SEC-7", change: on(mask("/etc/passwd", "/etc/passwd", "/etc/../etc/passwd"), harness.Shell("grep -c /etc/passwd /proc/self/mountinfo")), out: "1", old: "covers it again"},
		{name: "masked and absent", rows: "SEC-7", change: on(mask("/nosuch", "/no/such", "/etc/passwd/x")), old: "fails below a file"},
		{name: "masked, of the default list", rows: "SEC-7", change: on(harness.Shell("wc -c < /proc/keys; ls /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : ; wc -c < /proc/timer_list")), match: []string{`^0$`}, reject: []string{"^[1-9a-z]"}},
		{name: "masked below a bind", rows: "SEC-7", prep: files("src/secret/key", "k"), change: on(nested, mask("/m/secret"), harness.Shell("ls -A /m/secret")), reject: []string{"."}},
		{name: "masked behind a symlink", rows: "SEC-7", prep: preps(files("src/key", "k"), symlink("src", "link")), change: on(mask("/link/key"), harness.Shell("wc -c < /src/key")), out: "0"},
		{name: "masked through a link up", rows: "SEC-7", prep: preps(files("src/key", "k"), symlink("../../../../../src/key", "link")), change: on(mask("/link"), harness.Shell("wc -c < /src/key")), out: "0"},
		// CVE-2019-16884, CVE-2023-27561: names of /proc that lead elsewhere.
		{name: "a magic link is no way out", rows: "SEC-7", change: on(mask("/proc/self/root/etc", "/proc/self/cwd"), harness.Shell("wc -l < /etc/passwd")), code: 1, err: "/proc/self/root/etc.*(invalid cross-device link|too many levels of symbolic links)", old: "follows it"},
		{name: "masked in a user namespace", rows: "SEC-7", change: on(harness.UserNamespace, mask("/etc/passwd", "/tmp"), harness.Shell("wc -c < /etc/passwd; touch /tmp/x")), match: []string{"^0$"}, code: 1, err: "Read-only file system"},
		{name: "read-only file", rows: "SEC-8", prep: files("file", "x"), change: on(ro("/file"), harness.Shell("cat /file; echo y > /file")), out: "x", code: 1, err: "[Rr]ead-only file system"},
		{name: "read-only directory", rows: "SEC-8", change: on(ro("/etc"), harness.Shell("cat /etc/passwd | wc -l; touch /etc/x")), out: "2", code: 1, err: "Read-only file system"},
		{name: "read-only and absent", rows: "SEC-8", change: on(ro("/nosuch", "/no/such", "/etc/passwd/x")), old: "fails below a file"},
		{name: "read-only with mounts below", rows: "SEC-8", prep: mkdirs("src/sub"), change: on(nested, ro("/m"), harness.Shell("touch /m/sub/x && echo below is as it was; touch /m/x")), out: "below is as it was", code: 1, err: "Read-only file system"},
		{name: "read-only root", rows: "SEC-8", change: on(ro("/"), mounts(tmpfs("/m")), harness.Shell("touch /m/x /dev/x && echo mounts are not; touch /x")), out: "mounts are not", code: 1, err: "Read-only file system"},
		{name: "masks are read-only mounts", rows: "SEC-7", prep: files("file", "x"), change: on(mask("/etc/passwd", "/file"), harness.Shell(`awk '$5 == "/etc/passwd" || $5 == "/file" { print $5, $6; for (i = 7; $i != "-"; i++) print $i }' /proc/self/mountinfo`)), match: []string{"^/etc/passwd ro", "^/file ro"}, reject: []string{"shared|master"}, old: "leaves them writable"},
		{name: "read-only keeps other flags", rows: "SEC-8", change: on(mounts(tmpfs("/m", "nosuid", "nodev", "noexec")), ro("/m"), harness.Shell(show)), match: []string{"^/m ro,nosuid,nodev,noexec"}},
		{name: "read-only sysctl", rows: "SEC-8", change: on(harness.Shell("echo x > /proc/sys/kernel/domainname")), code: 1, err: "[Rr]ead-only file system"},
		{name: "read-only in a user namespace", rows: "SEC-8", change: on(harness.UserNamespace, ro("/etc"), harness.Shell("touch /etc/x")), code: 1, err: "Read-only file system"},
		{name: "a mask below a read-only path", rows: "SEC-7 SEC-8", change: on(mounts(tmpfs("/m"), tmpfs("/m/sub"), bind("rootfs/etc", "/m/sub/etc")), ro("/m", "/m/sub"), mask("/m/sub/etc/passwd"),
			harness.Shell("wc -c < /m/sub/etc/passwd; touch /m/x || touch /m/sub/x || touch /m/sub/etc/x")), out: "0", err: "/m/x: Read-only(.|\n)*/m/sub/x: Read-only"},
		{name: "masked twice", rows: "SEC-7", change: on(mask("/etc/passwd", "/etc/passwd", "/tmp", "/tmp"), harness.Args("/bin/awk", `$5 == "/etc/passwd" || $5 == "/tmp" { print $5 }`, "/proc/self/mountinfo")), match: []string{"^/etc/passwd$", "^/tmp$"}, reject: []string{"passwd(.|\n)*passwd", "tmp(.|\n)*tmp"}, old: "covers it twice"},
		{name: "both", rows: "SEC-7 SEC-8", change: on(ro("/etc"), mask("/etc/passwd"), harness.Shell("wc -c < /etc/passwd; touch /etc/x")), out: "0", code: 1, err: "Read-only file system"},
		{name: "relative mask", rows: "SEC-7", change: on(mask("etc")), code: 1, err: "absolute|etc", old: "not checked"},
		{name: "relative read-only path", rows: "SEC-8", change: on(ro("etc")), code: 1, err: "absolute|etc", old: "not checked"},
	})
}
