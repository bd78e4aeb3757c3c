package compile

import (
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// stacked makes the model of a list of mounts: "tmpfs /a ro", "bind /a/b".
func stacked(list string, change ...func(*specs.Spec)) *compiler {
	s := minimal()
	s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for m := range strings.SplitSeq(list, ", ") {
		f := strings.Fields(m)
		if len(f) < 2 {
			continue
		}
		mount := specs.Mount{Type: f[0], Source: "/src", Destination: f[1], Options: f[2:]}
		if f[0] == "bind" {
			mount.Options = append(mount.Options, "bind")
		}
		s.Mounts = append(s.Mounts, mount)
	}
	for _, f := range change {
		f(s)
	}
	c := newCompiler(s, rootFacts(), request("x"))
	c.planNamespaces()
	c.planMounts()
	return c
}

// TestStackHolds is what a path lies in when all is mounted: the number of a layer
// and the rest of the path, or nothing.
func TestStackHolds(t *testing.T) {
	for _, s := range []struct{ mounts, path, want string }{
		{"", "/a", ""},
		{"tmpfs /a", "/a", "0:"},
		{"tmpfs /a", "/a/b/c", "0:b/c"},
		{"tmpfs /a", "/ab", ""},
		{"tmpfs /a", "/", ""},
		{"tmpfs /", "/a", "0:a"},
		{"tmpfs /", "/", "0:"},
		{"tmpfs a/./b/..", "/a/x", "0:x"},
		{"tmpfs /a, tmpfs /a/b", "/a/b/c", "1:c"},
		{"tmpfs /a, tmpfs /a/b", "/a/c", "0:c"},
		{"tmpfs /a/b, tmpfs /a", "/a/b/c", "1:b/c"},
		{"tmpfs /a/b, tmpfs /a, bind /a/b", "/a/b/c", "2:c"},
		{"tmpfs /a, tmpfs /a", "/a/b", "1:b"},
		{"tmpfs /a, bind /", "/a/b", "1:a/b"},
		{"tmpfs /a, bind /, bind /a/b", "/a/b", "2:"},
		{"tmpfs /a, tmpfs /a remount ro", "/a/b", "0:b"},
		{"tmpfs /a", "/a/../b", ""},
		{"tmpfs /a", "/a/b/", ""},
		{"cgroup /sys/fs/cgroup", "/sys/fs/cgroup/memory/x", "1:x"},
		{"cgroup /sys/fs/cgroup", "/sys/fs/cgroup/nosuch", "0:nosuch"},
	} {
		c := stacked(s.mounts)
		got := ""
		if l, rest := c.stack.holder(s.path); l != nil {
			for i := range c.stack.layers {
				if c.stack.layers[i] == l {
					got = strconv.Itoa(i) + ":" + rest
				}
			}
		}
		if got != s.want {
			t.Errorf("%s: %s lies in %q, want %q", s.mounts, s.path, got, s.want)
		}
	}
}

// TestStackUses is what becomes of each layer: h is held open, l becomes read-only
// late, - is closed at once.
func TestStackUses(t *testing.T) {
	hide := func(masked, readonly string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = strings.Fields(masked), strings.Fields(readonly)
		}
	}
	cwd := func(dir string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Cwd = dir } }
	device := func(p string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: p, Type: "c", Major: 1, Minor: 3}}
		}
	}
	terminal := func(s *specs.Spec) { s.Process.Terminal = true }
	for _, s := range []struct {
		mounts string
		change func(*specs.Spec)
		want   string
	}{
		{"tmpfs /a", nil, "-"},
		{"tmpfs /a ro", nil, "l"},
		{"tmpfs /a ro, tmpfs /a/b", nil, "l-"},
		{"tmpfs /a rro, tmpfs /a/b", nil, "l-"},
		{"tmpfs /a ro rw, tmpfs /a/b", nil, "h-"},
		{"tmpfs /a ro, tmpfs /a", nil, "l-"},
		{"tmpfs /a ro, tmpfs /a, tmpfs /a/b", nil, "lh-"},
		{"tmpfs /a ro, tmpfs /a/b, tmpfs /a, tmpfs /a/c", nil, "l-h-"},
		{"bind /a ro, tmpfs /a/b", nil, "--"},
		{"proc /proc", hide("/proc/kcore", ""), "h"},
		{"proc /proc", hide("", "/proc/sys"), "h"},
		{"proc /proc", hide("/proc", "/proc"), "-"},
		{"proc /proc, proc /proc", hide("/proc/kcore", ""), "-h"},
		{"proc /proc, bind /", hide("/proc/kcore", ""), "-h"},
		{"proc /proc", hide("/proc/../etc /proc/x/", ""), "-"},
		{"tmpfs /dev", nil, "h"},
		{"tmpfs /dev ro", nil, "l"},
		{"bind /dev ro", nil, "h"},
		{"tmpfs /dev ro, bind /dev", nil, "lh"},
		{"tmpfs /d", device("/d/x"), "h"},
		{"tmpfs /d, bind /dev", device("/d/x"), "-h"},
		{"tmpfs /a", cwd("/a/b"), "h"},
		{"tmpfs /a", cwd("/a"), "-"},
		{"devpts /dev/pts", terminal, "h"},
		{"devpts /dev/pts", nil, "-"},
		{"bind /dev/pts", terminal, "-"},
		{"devpts /dev/pts, bind /dev", terminal, "-h"},
		{"cgroup /c ro", nil, "l---"},
		{"cgroup /c", hide("/c/memory/x", ""), "hh--"},
	} {
		change := s.change
		if change == nil {
			change = func(*specs.Spec) {}
		}
		got := ""
		for _, l := range stacked(s.mounts, change).stack.layers {
			switch {
			case l.late && l.held:
				got += "l"
			case l.held:
				got += "h"
			default:
				got += "-"
			}
		}
		if got != s.want {
			t.Errorf("%s: %q, want %q", s.mounts, got, s.want)
		}
	}
}

// TestSourcesInsideTheRoot are opened in the order of the mounts, below the root,
// and not beforehand.
func TestSourcesInsideTheRoot(t *testing.T) {
	for _, s := range []struct {
		source, rest string
		inside       bool
	}{
		{"rootfs/a/b", "a/b", true},
		{"/bundle/rootfs/a", "a", true},
		{"/bundle/rootfs/../x", "", false},
		{"/bundle/rootfs2/a", "", false},
		{"/elsewhere", "", false},
		{"rootfs", "", true},
		{".", "", false},
	} {
		c := newCompiler(minimal(), rootFacts(), request("x"))
		if rest, inside := c.insideRoot(&specs.Mount{Source: s.source}); rest != s.rest || inside != s.inside {
			t.Errorf("%s: %q %v, want %q %v", s.source, rest, inside, s.rest, s.inside)
		}
	}
	sp := minimal()
	sp.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UserNamespace}}
	sp.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
	sp.Linux.GIDMappings = sp.Linux.UIDMappings
	sp.Mounts = []specs.Mount{
		{Destination: "/a", Type: "tmpfs", Source: "tmpfs"},
		{Destination: "/b", Source: "rootfs/a", Options: []string{"rbind"}},
	}
	tmpfs := false
	for _, st := range compileFor(t, sp, rootFacts(), request("x")).Steps {
		tmpfs = tmpfs || st.Call == program.CallFsmount
		if st.Call == program.CallOpenTree && st.JSONPath == "mounts[1].source" {
			if !tmpfs || st.Args[2].Number()&unix.AT_EMPTY_PATH == 0 {
				t.Errorf("the source is cloned too early, or by its path: %s", st.Text())
			}
			return
		}
	}
	t.Error("the source is never cloned")
}
