package security

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// swapper turns a link back and forth between two targets, as fast as it can, until
// the returned function is called.
func swapper(t *testing.T, link, a, b string) (stop func()) {
	t.Helper()
	one, two := link+".a", link+".b"
	for _, l := range [][2]string{{a, one}, {b, two}} {
		if err := os.Symlink(l[0], l[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	return exchanger(t, func() {
		_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE)
		runtime.Gosched()
	})
}

func exchanger(t *testing.T, f func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				f()
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(quit)
			<-done
		}
	}
	t.Cleanup(stop)
	return stop
}

// TestCVE_2021_30465_mount_race has another process exchange a directory and a
// symbolic link to the host below mount targets in a volume that both share, while
// containers are created (also CVE-2024-45310, CVE-2026-41579: making the target).
func TestCVE_2021_30465_mount_race(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	for _, target := range []string{v.dir, strings.Repeat("../", 30) + v.dir, "/proc/self/root" + v.dir} {
		bundle := harness.Bundle(t, harness.Shell("true"), func(s *specs.Spec) {
			vol := specs.Mount{Destination: "/vol", Source: "vol", Options: []string{"rbind", "rw"}}
			s.Mounts = append(s.Mounts, vol,
				specs.Mount{Destination: "/vol/way/empty", Type: "tmpfs", Source: "tmpfs"},
				specs.Mount{Destination: "/vol/way/data", Source: "/usr/share", Options: []string{"rbind", "ro"}},
				specs.Mount{Destination: "/vol/way/fresh/deep", Type: "tmpfs", Source: "tmpfs"},
				specs.Mount{Destination: "/vol/way/etc/passwd", Source: "/etc/hostname", Options: []string{"bind"}},
			)
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/vol/way/etc", "/vol/way/file")
			s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/vol/way/data")
			s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/vol/way/dev/zero", Type: "c", Major: 1, Minor: 5})
			s.Process.Cwd = "/vol/way/cwd"
		})
		vol := filepath.Join(bundle, "vol")
		for _, d := range []string{"way/empty", "way/data"} {
			if err := os.MkdirAll(filepath.Join(vol, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		way, evil := filepath.Join(vol, "way"), filepath.Join(vol, "evil")
		if err := os.Symlink(target, evil); err != nil {
			t.Fatal(err)
		}
		stop := exchanger(t, func() {
			_ = unix.Renameat2(unix.AT_FDCWD, way, unix.AT_FDCWD, evil, unix.RENAME_EXCHANGE)
		})
		ok := 0
		for range 50 {
			res := h.Do("run", "--bundle", bundle, harness.ID(t))
			plain(t, res)
			if res.Code == 0 {
				ok++
			}
		}
		stop()
		t.Logf("-> %s: %d of 50 ran", target, ok)
		v.unharmed(t)
		if t.Failed() {
			return
		}
	}
}
