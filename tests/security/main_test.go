// Package security attacks Berth as a hostile image, a hostile neighbour and a
// hostile caller would. Each test is named after its attack, by CVE where it has
// one, and passes when the attack comes to nothing: no byte of the host changed,
// nothing hangs, nothing is left, and what is refused is refused in one line.
package security

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

type change = func(*specs.Spec)

// attack is a test of Berth only: what it looks for is Berth's own way.
func attack(t *testing.T) *harness.Host {
	t.Helper()
	h := harness.New(t)
	if !harness.Berth() {
		t.Skip("these are about how Berth does it")
	}
	return h
}

// victim is a directory of the host that an image would like to reach, and what
// was in it at first.
type victim struct {
	dir    string
	before []string
}

// newVictim makes a little host: directories with the names that containers
// mount on, and files worth overwriting.
func newVictim(t *testing.T) *victim {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"dev/pts", "dev/shm", "proc/self", "sys/fs/cgroup", "etc", "empty", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"etc/passwd", "etc/shadow", "dev/null", "dev/console", "dev/ptmx", "file"} {
		write(t, filepath.Join(dir, f), "the host's own\n")
	}
	v := &victim{dir: dir}
	v.before = tree(t, dir)
	return v
}

// tree describes all files below a directory: type, mode, owner, size, content,
// target, and whether something is mounted there.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		line := p + " " + strconv.FormatUint(uint64(st.Mode), 8) + " " + strconv.Itoa(int(st.Uid)) + ":" + strconv.Itoa(int(st.Gid)) +
			" dev " + strconv.FormatUint(st.Dev, 16) + " rdev " + strconv.FormatUint(st.Rdev, 16)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + strconv.Quote(string(b))
		case unix.S_IFLNK:
			to, _ := os.Readlink(p)
			line += " -> " + to
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(all)
	return all
}

// unharmed fails the test when anything changed.
func (v *victim) unharmed(t *testing.T) {
	t.Helper()
	after := tree(t, v.dir)
	seen := map[string]bool{}
	for _, l := range v.before {
		seen[l] = true
	}
	for _, l := range after {
		if !seen[l] {
			t.Errorf("the host changed: %s", l)
		}
		delete(seen, l)
	}
	for l := range seen {
		t.Errorf("the host lost: %s", l)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace puts something else where the image has a file or directory.
func replace(t *testing.T, rootfs, name string, with func(path string) error) {
	t.Helper()
	p := filepath.Join(rootfs, name)
	if err := os.RemoveAll(p); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := with(p); err != nil {
		t.Fatal(err)
	}
}

func symlinkTo(target string) func(string) error {
	return func(p string) error { return os.Symlink(target, p) }
}

// bounded runs a command of the runtime that must come to an end in time.
func bounded(t *testing.T, h *harness.Host, limit time.Duration, args ...string) harness.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := h.Command(ctx, args...)
	return finish(t, ctx, cmd)
}

func finish(t *testing.T, ctx context.Context, cmd *exec.Cmd) harness.Result {
	t.Helper()
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	errs, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = errs
	}
	cmd.WaitDelay = time.Second
	_ = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s hangs", strings.Join(cmd.Args, " "))
	}
	res := harness.Result{Code: cmd.ProcessState.ExitCode()}
	b, _ := os.ReadFile(out.Name())
	res.Stdout = string(b)
	b, _ = os.ReadFile(errs.Name())
	res.Stderr = string(b)
	return res
}

// refused fails the test unless the command failed with one short, plain line.
func refused(t *testing.T, res harness.Result) {
	t.Helper()
	if res.Code == 0 {
		t.Errorf("not refused: %s", res.Stdout)
		return
	}
	plain(t, res)
}

// plain fails the test unless the command succeeded, or failed with one error of
// one line.
func plain(t *testing.T, res harness.Result) {
	t.Helper()
	if res.Code != 1 && res.Code != 0 {
		t.Errorf("exit status %d: %s", res.Code, short(res.Stderr))
	}
	errs := 0
	for _, line := range harness.Lines(res.Stderr) {
		if !strings.HasPrefix(line, `time="`) {
			t.Errorf("a line that is no record: %s", short(line))
		}
		if f := strings.Fields(line); len(f) > 1 && f[1] == "level=error" {
			errs++
		}
	}
	if errs != res.Code || strings.Contains(res.Stderr, "goroutine") {
		t.Errorf("exit status %d and %d errors: %s", res.Code, errs, short(res.Stderr))
	}
	if len(res.Stderr) > 16<<10 {
		t.Errorf("an error of %d bytes: %s", len(res.Stderr), short(res.Stderr))
	}
}

func short(s string) string {
	if len(s) > 2000 {
		return s[:2000] + "..."
	}
	return s
}

func on(list ...change) []change { return list }

func mount(m ...specs.Mount) change {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m...) }
}

func withoutMount(dest string) change {
	return func(s *specs.Spec) {
		var left []specs.Mount
		for _, m := range s.Mounts {
			if m.Destination != dest {
				left = append(left, m)
			}
		}
		s.Mounts = left
	}
}

func process(f func(*specs.Process)) change { return func(s *specs.Spec) { f(s.Process) } }
