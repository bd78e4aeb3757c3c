package security

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// TestCVE_2024_21626 has a caller with descriptors of host directories that are
// not close-on-exec, and containers that go through them: as working directory,
// as executable, as a link of the image to either.
func TestCVE_2024_21626(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	open := "exec "
	for fd := 3; fd < 10; fd++ {
		open += strconv.Itoa(fd) + "< " + v.dir + " "
	}
	sh := []string{"sh", "-c", open + `; exec "$@"`, "sh"}
	look := harness.Shell("pwd -P; ls; ls /proc/self/fd | wc -l; cat etc/shadow 2>/dev/null; touch made 2>/dev/null; true")
	for _, link := range []bool{false, true} {
		for fd := 3; fd < 41; fd++ {
			for _, form := range []string{"/proc/self/fd/%", "/proc/self/fd/%/../../..", "/dev/fd/%", "/proc/1/fd/%", "/proc/thread-self/fd/%"} {
				if fd > 12 && (form != "/proc/self/fd/%" || link) {
					continue
				}
				cwd := strings.ReplaceAll(form, "%", strconv.Itoa(fd))
				bundle := harness.Bundle(t, look, process(func(p *specs.Process) {
					p.Cwd = cwd
					if link {
						p.Cwd = "/cwd"
					}
				}))
				if link {
					replace(t, filepath.Join(bundle, "rootfs"), "cwd", symlinkTo(cwd))
				}
				res := h.Via(sh, "run", "--bundle", bundle, harness.ID(t))
				plain(t, res)
				if strings.Contains(res.Stdout, "the host's own") || strings.Contains(res.Stdout, v.dir) {
					t.Fatalf("cwd %s: %s", cwd, res.Stdout)
				}
			}
		}
	}
	for fd := 3; fd < 12; fd++ {
		for _, args := range []string{"/proc/self/fd/" + strconv.Itoa(fd) + "/../../../bin/sh", "/proc/self/fd/" + strconv.Itoa(fd) + "/bin/sh"} {
			refused(t, h.Via(sh, "run", "--bundle", harness.Bundle(t, harness.Args(args, "-c", "echo out")), harness.ID(t)))
		}
	}
	v.unharmed(t)
	// And none of them is there.
	res := h.Via(sh, "run", "--bundle", harness.Bundle(t, harness.Shell("for f in /proc/self/fd/*; do readlink $f; done; true")), harness.ID(t))
	if strings.Contains(res.Stdout, v.dir) || res.Code != 0 {
		t.Errorf("descriptors: %s%s", res.Stdout, res.Stderr)
	}
}

// TestStandardFilesClosed starts the runtime without any of its standard files:
// nothing of its own, such as a socket or a directory, may become the container's
// standard input, output or error.
func TestStandardFilesClosed(t *testing.T) {
	h := attack(t)
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"} {
		out := filepath.Join(t.TempDir(), "out")
		bundle := harness.Bundle(t, harness.Shell("for n in 0 1 2 3 4 5 6; do readlink /proc/self/fd/$n; done > /out/fds; true"),
			mount(specs.Mount{Destination: "/out", Source: filepath.Dir(out), Options: []string{"bind"}}))
		res := h.Via([]string{"sh", "-c", `exec "$@" ` + closed, "sh"}, "run", "--bundle", bundle, harness.ID(t))
		if res.Code != 0 {
			t.Errorf("%s: %s", closed, res.Stderr)
		}
		for _, l := range harness.Lines(harness.ReadFile(t, filepath.Join(filepath.Dir(out), "fds"))) {
			if strings.Contains(l, "socket:") || strings.Contains(l, h.Root) || strings.Contains(l, "memfd") || strings.Contains(l, "cgroup") {
				t.Errorf("%s: the container has %s", closed, l)
			}
		}
	}
}
