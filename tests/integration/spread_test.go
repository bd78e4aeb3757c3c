package integration

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// rbind is a recursive bind mount.
func rbind(source, dest string, opts ...string) specs.Mount {
	return specs.Mount{Destination: dest, Source: source, Options: append([]string{"rbind"}, opts...)}
}

func rootfsPropagation(word string) change {
	return func(s *specs.Spec) { s.Linux.RootfsPropagation = word }
}

// The tests' host shares its mounts as systemd's do, and the harness compares its
// mountinfo before and after: what appears there fails the test.
//
// rows: SEC-3 MNT-33
func TestMountsStayFromTheHost(t *testing.T) {
	list := func(set func(*specs.Spec, ...string), paths ...string) change {
		return func(s *specs.Spec) { set(s, paths...) }
	}
	ro := func(s *specs.Spec, p ...string) { s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, p...) }
	mask := func(s *specs.Spec, p ...string) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, p...) }
	below := mounts(rbind("src", "/mnt/new"), tmpfs("/mnt/new/sub"))
	src := mkdirs("../src/sub", "../src/secret", "mnt/new")
	for _, user := range []bool{false, true} {
		name := " without user namespace"
		own := func(*specs.Spec) {}
		if user {
			name, own = " with user namespace", harness.UserNamespace
		}
		runAll(t, []scenario{
			{name: "a mount below a bind" + name, prep: src, change: on(own, below, harness.Shell("stat -f -c %T /mnt/new/sub")), out: "tmpfs"},
			{name: "a read-only path at a bind" + name, prep: src, change: on(own, below, list(ro, "/mnt/new", "/mnt/new/secret"), harness.Shell("touch /mnt/new/x /mnt/new/secret/x; true")), err: "/x: Read-only(.|\n)*secret/x: Read-only"},
			{name: "a masked path below a bind" + name, prep: src, change: on(own, below, list(mask, "/mnt/new/secret"), harness.Shell("touch /mnt/new/secret/x")), code: 1, err: "Read-only"},
			{name: "a mask over a mask" + name, change: on(own, list(mask, "/etc/passwd", "/etc/../etc/passwd", "/etc//passwd"), harness.Shell("wc -c < /etc/passwd")), out: "0"},
			{name: "a mask over a device" + name, change: on(own, list(mask, "/dev/zero", "/dev/tty"), list(ro, "/dev/full"), harness.Shell("stat -c %t:%T /dev/zero /dev/tty /dev/full")), out: "1:3\n1:3\n1:7"},
			{name: "a shared root, a bind that says nothing" + name, prep: src, change: on(own, below, rootfsPropagation("shared"), list(ro, "/mnt/new"), harness.Shell("stat -f -c %T /mnt/new/sub")), out: "tmpfs"},
			{name: "a recursively shared root, a private bind" + name, prep: src, change: on(own, mounts(rbind("src", "/mnt/new", "rprivate"), tmpfs("/mnt/new/sub")), rootfsPropagation("rshared"), harness.Shell("stat -f -c %T /mnt/new/sub")), out: "tmpfs"},
			{name: "cgroups of the host's cgroup namespace" + name, change: on(own, list(ro, "/sys/fs/cgroup"), list(mask, byVersion("/sys/fs/cgroup/pids", "/sys/fs/cgroup/cgroup.procs")), rootfsPropagation("slave"), harness.Shell(byVersion("ls /sys/fs/cgroup/pids", "cat /sys/fs/cgroup/cgroup.procs"))), reject: []string{"."}, old: "leaves it on the host"},
			{name: "no pivot, a shared root" + name, flags: []string{"--no-pivot"}, change: on(own, rootfsPropagation("shared"), harness.Shell("echo fine")), out: "fine"},
		})
	}
}

// A source that is shared on a host that is not, bound and then bound over.
func TestSharedSourceOnAPrivateHost(t *testing.T) {
	c := newContainer(t, harness.UserNamespace, mounts(rbind("src", "/m"), rbind("rootfs/etc", "/m/over")), harness.Args("/bin/ls", "/m/over"))
	mkdirs("m")(t, c.bundle)
	c.Env = []string{"BUNDLE=" + c.bundle}
	res := c.Via(private(t, `mount --make-rprivate /; cd "$BUNDLE"; mkdir src; mount -t tmpfs src src; mount --make-shared src; mkdir src/over
		wc -l < /proc/self/mountinfo > before; "$@"; wc -l < /proc/self/mountinfo | cmp - before`), "run", "--bundle", c.bundle, c.id)
	if res.Code != 0 || strings.TrimSpace(res.Stdout) != "passwd" {
		t.Errorf("%+v", res)
	}
}

// Where the root file system lies must not matter: on the mount at /, on another,
// or being one. The container runs, three times over, and leaves no mount behind.
//
// rows: SEC-3 SEC-4 SEC-5 SEC-6
func TestRootfsPropagationWhereverTheRootIs(t *testing.T) {
	for _, place := range []struct{ name, prep string }{
		{"on the mount at /", ``},
		{"on another mount", `mount --bind "$BUNDLE" "$BUNDLE"`},
		{"a mount itself", `mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"`},
		{"a mount with a mount in it", `mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"; mkdir -p "$BUNDLE/rootfs/vol"; mount -t tmpfs vol "$BUNDLE/rootfs/vol"`},
	} {
		for _, word := range []string{"", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"} {
			if word == "rshared" && strings.Contains(place.name, "mount in it") {
				continue // asks for just that: what is below the root is shared with the host
			}
			t.Run(place.name+" "+word, func(t *testing.T) {
				if strings.HasSuffix(word, "unbindable") {
					skipOld(t, "cannot clone its root then")
				}
				if word != "" && !strings.HasPrefix(word, "r") && strings.Contains(place.name, "mount in it") {
					skipOld(t, "leaves it on the host")
				}
				c := newContainer(t, rootfsPropagation(word), mounts(tmpfs("/vol/m")), harness.Shell("stat -f -c %T /vol/m"))
				c.Env = []string{"BUNDLE=" + c.bundle}
				res := c.Via(private(t, `mount --make-rshared /; `+place.prep+`
					sort /proc/self/mountinfo > "$BUNDLE/before"; for i in 1 2 3; do "$@"; done
					sort /proc/self/mountinfo | diff "$BUNDLE/before" - >&2`), "run", "--bundle", c.bundle, c.id)
				if res.Code != 0 || res.Stdout != strings.Repeat("tmpfs\n", 3) {
					t.Errorf("%+v", res)
				}
			})
		}
	}
}

// What is attached to a shared mount becomes shared; the words of a mount's own
// options hold all the same.
//
// rows: MNT-49 MNT-33
func TestPrivateBelowShared(t *testing.T) {
	for word, want := range map[string]string{"rprivate": "", "private": "", "rslave": "", "rshared": "shared:", "unbindable": "unbindable"} {
		t.Run(word, func(t *testing.T) {
			c := newContainer(t, mounts(tmpfs("/m", "shared"), tmpfs("/m/sub", word)), harness.Args("/bin/awk", `$5 == "/m/sub" { print $7 }`, "/proc/self/mountinfo"))
			out := strings.TrimSpace(c.Must("run", "--bundle", c.bundle, c.id))
			if want == "" && out != "-" || !strings.HasPrefix(out, want) {
				t.Errorf("mountinfo has %q, want %q", out, want)
			}
		})
	}
}

// What an entry asks for itself holds against rootfsPropagation, which is about the
// root and what came with it.
func TestRootfsPropagationAndTheEntries(t *testing.T) {
	for word, want := range map[string]string{"rprivate": "shared", "rslave": "shared", "private": "shared", "slave": "shared", "rshared": "shared"} {
		one(t, scenario{
			name: word,
			change: on(rootfsPropagation(word), mounts(tmpfs("/m", "shared")),
				harness.Shell("grep ' /m ' /proc/self/mountinfo | cut -d' ' -f7 | cut -d: -f1")),
			out: want,
		})
	}
}
