package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// TestHostileRootfs gives the image symbolic links where the runtime mounts,
// makes and writes: to the host by absolute path, by as many dots as there are,
// through magic links, to nothing, in a circle. Whatever comes of it, nothing
// of the host is touched (also CVE-2025-52881: sysctls through a false /proc).
func TestHostileRootfs(t *testing.T) {
	for _, place := range []string{
		"dev", "proc", "sys", "etc", "tmp", "dev/console", "dev/pts", "dev/shm", "dev/ptmx", "dev/null", "dev/fd", "dev/mqueue", "bound", "masked", "cwd",
	} {
		t.Run(strings.ReplaceAll(place, "/", "-"), func(t *testing.T) {
			h := attack(t)
			v := newVictim(t)
			up := strings.Repeat("../", 40)
			for _, target := range []string{
				v.dir, filepath.Join(v.dir, place), up + v.dir, up, "/proc/self/root" + v.dir, "/proc/1/root" + v.dir, "/proc/self/cwd",
				"/dev/fd/3", "/proc/self/fd/4/" + v.dir, filepath.Base(place), "/nowhere/at/all", v.dir + "/file", v.dir + "/new",
			} {
				// A bundle without a tmpfs on /dev is the one whose image owns /dev.
				own := func(s *specs.Spec) {
					if strings.HasPrefix(place, "dev") {
						withoutMount("/dev")(s)
					}
				}
				bundle := harness.Bundle(t, harness.Shell("echo ran"), own,
					mount(
						specs.Mount{Destination: "/bound", Source: "/etc", Options: []string{"rbind", "ro"}},
						specs.Mount{Destination: "/tmp/a/b", Type: "tmpfs", Source: "tmpfs"},
					),
					func(s *specs.Spec) {
						s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/masked", "/etc/shadow")
						s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/masked", "/etc/passwd")
						s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
						if place == "cwd" {
							s.Process.Cwd = "/cwd/made"
						}
					})
				rootfs := filepath.Join(bundle, "rootfs")
				replace(t, rootfs, place, symlinkTo(target))
				plain(t, h.Do("run", "--bundle", bundle, harness.ID(t)))
				v.unharmed(t)
				if t.Failed() {
					t.Fatalf("%s -> %s", place, target)
				}
			}
		})
	}
}

// TestCVE_2025_52565_console does the same to /dev/console and its company in a
// container that has a terminal.
func TestCVE_2025_52565_console(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	console := harness.ConsoleSink(t)
	for _, place := range []string{"dev/console", "dev/ptmx", "dev/pts/ptmx", "dev/pts", "dev"} {
		for _, with := range []func(string) error{
			symlinkTo(v.dir + "/file"), symlinkTo(strings.Repeat("../", 30) + v.dir + "/dev"), symlinkTo("/proc/self/root" + v.dir + "/file"),
			func(p string) error { return os.WriteFile(p, nil, 0o666) },
			func(p string) error { return os.MkdirAll(p, 0o777) },
			func(p string) error { return unix.Mkfifo(p, 0o666) },
			func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) },
		} {
			for _, pts := range []bool{true, false} {
				bundle := harness.Bundle(t, withoutMount("/dev"), process(func(p *specs.Process) { p.Terminal = true }), func(s *specs.Spec) {
					if !pts {
						withoutMount("/dev/pts")(s)
					}
				})
				replace(t, filepath.Join(bundle, "rootfs"), place, with)
				id := harness.ID(t)
				res := h.Do("create", "--bundle", bundle, "--console-socket", console, id)
				plain(t, res)
				if res.Code == 0 {
					h.Must("delete", "--force", id)
				}
				v.unharmed(t)
				if t.Failed() {
					t.Fatalf("%s, devpts %v", place, pts)
				}
			}
		}
	}
}

// TestDestinations has mounts whose destinations climb, or lie on the root.
func TestDestinations(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	up := strings.Repeat("../", 40)
	for _, dest := range []string{
		up + v.dir + "/etc", "/" + up + v.dir + "/new", "/proc/self/root/" + v.dir + "/etc", "/proc/1/cwd/x", "/link/etc", "/link/../../../x", "/dev/fd/3/x",
		"/", "/..", ".", "/etc/passwd/..", "/etc/passwd/x", "/dev/../dev/../link/empty", strings.Repeat("/d", 2000), "/" + strings.Repeat("n", 300),
	} {
		for _, m := range []specs.Mount{
			{Destination: dest, Type: "tmpfs", Source: "tmpfs"},
			{Destination: dest, Source: "/etc/hostname", Options: []string{"bind"}},
			{Destination: dest, Source: "/usr/share", Options: []string{"rbind", "ro"}},
		} {
			bundle := harness.Bundle(t, harness.Shell("echo ran"), mount(m))
			replace(t, filepath.Join(bundle, "rootfs"), "link", symlinkTo(v.dir))
			res := h.Do("run", "--bundle", bundle, harness.ID(t))
			plain(t, res)
			v.unharmed(t)
			if t.Failed() {
				t.Fatalf("mount %+v", m)
			}
		}
	}
}

// TestRootfsPathSwapped swaps a link on the way to the root file system while
// containers are created: each either gets one of the two or an error, and what
// it is set up in is what its process runs in.
func TestRootfsPathSwapped(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	bundle := harness.Bundle(t, harness.Shell("echo ran"), func(s *specs.Spec) { s.Root.Path = "way/rootfs" })
	real := filepath.Join(bundle, "real")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(bundle, "rootfs"), filepath.Join(real, "rootfs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(v.dir, filepath.Join(v.dir, "rootfs")); err != nil {
		t.Fatal(err)
	}
	v.before = tree(t, v.dir)
	stop := swapper(t, filepath.Join(bundle, "way"), real, v.dir)
	ran := 0
	for range 60 {
		res := h.Do("run", "--bundle", bundle, harness.ID(t))
		plain(t, res)
		if res.Code == 0 && res.Stdout == "ran\n" {
			ran++
		}
	}
	stop()
	if ran == 0 {
		t.Error("not one ran")
	}
	t.Logf("%d of 60 ran", ran)
}
