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

// TestCVE_2019_19921_proc_in_volume has an image in which the way to a procfs is a
// link into a volume. Another container of that volume moves the directory with the
// procfs away after the mount and puts another one in its place, so that what should
// be masked and write-protected would be masked in the wrong one. Where /proc itself
// is the link it is refused.
func TestCVE_2019_19921_proc_in_volume(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t, harness.Shell("cat /vol/a/proc/self/mountinfo /vol/b/proc/self/mountinfo 2> /dev/null; echo ran"),
		func(s *specs.Spec) {
			s.Mounts = append([]specs.Mount{{Destination: "/vol", Source: "vol", Options: []string{"rbind", "rw"}}}, s.Mounts...)
			for i := range s.Mounts {
				if s.Mounts[i].Destination == "/proc" {
					s.Mounts[i].Destination = "/way/proc"
				}
			}
			for _, list := range [][]string{s.Linux.MaskedPaths, s.Linux.ReadonlyPaths} {
				for i := range list {
					list[i] = strings.Replace(list[i], "/proc/", "/way/proc/", 1)
				}
			}
		})
	vol := filepath.Join(bundle, "vol")
	for _, d := range []string{"a/proc/sys/kernel", "b/proc/sys/kernel"} {
		if err := os.MkdirAll(filepath.Join(vol, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	replace(t, filepath.Join(bundle, "rootfs"), "way", symlinkTo("/vol/a"))
	stop := exchanger(t, func() {
		_ = unix.Renameat2(unix.AT_FDCWD, vol+"/a", unix.AT_FDCWD, vol+"/b", unix.RENAME_EXCHANGE)
	})
	defer stop()
	ran := 0
	for range 60 {
		res := h.Do("run", "--bundle", bundle, harness.ID(t))
		plain(t, res)
		procs, covered := procMounts(res.Stdout)
		if covered < procs {
			t.Fatalf("the container has a procfs that is not write-protected: %s", res.Stdout)
		}
		ran += procs
	}
	if ran == 0 {
		t.Error("not one container had a procfs")
	}
}

// procMounts counts the procfs mounts in a mountinfo, and those whose sys is
// covered by a read-only mount.
func procMounts(mountinfo string) (procs, covered int) {
	sys := map[string]bool{}
	lines := harness.Lines(mountinfo)
	for _, l := range lines {
		if f := strings.Fields(l); len(f) > 6 && f[3] == "/sys" && strings.HasPrefix(f[5], "ro") && strings.Contains(l, " - proc ") {
			sys[f[1]] = true
		}
	}
	for _, l := range lines {
		if f := strings.Fields(l); len(f) > 6 && f[3] == "/" && strings.Contains(l, " - proc ") {
			procs++
			if sys[f[0]] {
				covered++
			}
		}
	}
	return procs, covered
}
