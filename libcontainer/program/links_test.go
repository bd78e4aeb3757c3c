package program

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLinksCloseWhatTheyOpen makes what dangling links lead to, and counts the
// child's descriptors before and after: each component of each path is opened on
// the way, and a config may have hundreds of such paths.
func TestLinksCloseWhatTheyOpen(t *testing.T) {
	native(t, "there /proc/PID/fd is the emulator's")
	top := t.TempDir()
	if err := os.MkdirAll(filepath.Join(top, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, l := range [][2]string{{"a/b/c/link", "/run/x/y/next"}, {"plain", "a/b/c/../d/file"}} {
		if err := os.Symlink(l[1], filepath.Join(top, l[0])); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	table := append(born(0), Descriptor{"root", 4, FDDirectory, KeepUntilReady})
	root := table[4].Slot()
	b := &Builder{}
	b.Barrier(BarrierIDMap, "let the test count")
	for _, path := range []string{"/a/b/c/link", "/plain"} {
		at := b.Slot("dir")
		steps := func(p string) []Step { return makeAll(root, at, p) }
		fd := b.Do(CallOpenat2, "open "+path, From(root), Path(path), how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT), Int(24)).
			Fixup(Fixup{On: []unix.Errno{unix.ENOENT}, Steps: steps(path), Then: Retry, Links: &Links{Root: root, Dir: at, Path: path, Steps: steps}}).FD("fd")
		b.Do(CallClose, "close it", From(fd))
	}
	b.Barrier(BarrierTimens, "let the test count again")
	b.Do(CallExitGroup, "end", Int(0))
	p := &Program{Steps: b.Steps(), Descriptors: table}
	img, err := p.Image(false, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	image, err := Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(image)
	m, err := p.Start(image, []int{0, 1, 2, -1, dir}, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Kill(); m.Close() })
	var open []int
	count := handler{barrier: func(m *Machine, _ Barrier) error {
		fds, err := os.ReadDir("/proc/" + strconv.Itoa(m.Pid) + "/fd")
		open = append(open, len(fds))
		return err
	}}
	if err := m.Run(count, 0); err != nil {
		t.Fatal(err)
	}
	if len(open) != 2 || open[0] != open[1] {
		t.Errorf("open descriptors before and after: %v", open)
	}
	for _, made := range []string{"run/x/y/next", "a/b/d/file"} {
		if st, err := os.Stat(filepath.Join(top, made)); err != nil || !st.IsDir() {
			t.Errorf("%s was not made: %v", made, err)
		}
	}
}

// makeAll are steps that make each directory of a path below root.
func makeAll(root, at *Slot, p string) []Step {
	var steps []Step
	dir := "/"
	for _, name := range splitPath(p) {
		if name != ".." {
			steps = append(steps,
				Step{Call: CallOpenat2, Why: "open", Args: []Arg{From(root), Path(dir), how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT), Int(24)}, Result: at},
				Step{Call: CallMkdirat, Why: "make", Args: []Arg{From(at), Path(name), Int(0o755)}, Harmless: []Harmless{{unix.EEXIST, 0}}},
				Step{Call: CallClose, Why: "close", Args: []Arg{From(at)}})
		}
		dir = filepath.Join(dir, name)
	}
	return steps
}

func splitPath(p string) []string {
	var names []string
	for p != "/" && p != "." && p != "" {
		dir, name := filepath.Split(filepath.Clean(p))
		names = append([]string{name}, names...)
		p = filepath.Clean(dir)
	}
	return names
}
