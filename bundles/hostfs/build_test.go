package hostfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func chroot(dir string) *syscall.SysProcAttr { return &syscall.SysProcAttr{Chroot: dir} }

// TestDefaultSetRuns is the proof of the package: every program of the default
// set starts in the root filesystem that was made of them.
func TestDefaultSetRuns(t *testing.T) {
	needRoot(t)
	rep := build(t, Options{})
	if len(rep.Programs) < 10 {
		t.Fatalf("only %d programs of the default set are on this host", len(rep.Programs))
	}
	args := map[string][]string{
		"sh": {"-c", "exit 0"}, "hostname": {"--version"}, "sleep": {"0"}, "kill": {"-l"}, "clear": {"-V"},
		"capsh": {"--print"}, "getpcaps": {"1"}, "ip": {"-V"}, "false": nil, "tty": {"--version"}, "top": {"-v"},
		"busybox": {"true"}, "less": {"--version"}, "vi": {"--version"}, "ps": {"--version"}, "free": {"--version"},
	}
	for _, p := range rep.Programs {
		a, ok := args[p.Name]
		if !ok {
			a = []string{"--version"}
		}
		out, err := inside(t, rep.Rootfs, append([]string{p.Path}, a...)...)
		// A usage error is a program that ran; what must not be is one that the
		// kernel (ENOENT for a missing interpreter) or ld.so (127) refuses.
		var exit interface{ ExitCode() int }
		switch {
		case err == nil:
		case !errors.As(err, &exit):
			t.Errorf("%s does not start: %v", p.Path, err)
		case exit.ExitCode() == 127 || exit.ExitCode() < 0:
			t.Errorf("%s: %v: %s", p.Path, err, out)
		}
		if strings.Contains(string(out), "cannot open shared object") {
			t.Errorf("%s: %s", p.Path, out)
		}
	}
}

// TestNamesAndTerminals uses what programs open at run time: user names, and
// the description of the terminal.
func TestNamesAndTerminals(t *testing.T) {
	needRoot(t)
	rep := build(t, Options{})
	if rep.Find("id") != nil {
		out, err := inside(t, rep.Rootfs, rep.Find("id").Path)
		if err != nil || !strings.Contains(string(out), "uid=0(root) gid=0(root)") {
			t.Errorf("id: %v: %s", err, out)
		}
	}
	if rep.Find("clear") != nil {
		if out, err := inside(t, rep.Rootfs, rep.Find("clear").Path); err != nil || !strings.HasPrefix(string(out), "\x1b[") {
			t.Errorf("clear: %v: %q", err, out)
		}
	}
	if rep.Find("sh") != nil && rep.Find("ls") != nil {
		out, err := inside(t, rep.Rootfs, rep.Find("sh").Path, "-c", "ls /")
		if want := "dev\netc\n"; err != nil || !strings.Contains(string(out), want) {
			t.Errorf("sh -c 'ls /': %v: %s", err, out)
		}
	}
}

func TestReportIsTheSameTwice(t *testing.T) {
	a, b := build(t, Options{}), build(t, Options{})
	b.Rootfs = a.Rootfs
	if !reflect.DeepEqual(a, b) {
		t.Error("two builds give two reports")
	}
	var sum int64
	for _, f := range a.Files {
		sum += f.Bytes
		if f.Why == "" {
			t.Errorf("%s is there for no reason", f.Path)
		}
	}
	if sum != a.Bytes {
		t.Errorf("Bytes %d, the files sum up to %d", a.Bytes, sum)
	}
	// The report is the whole truth: nothing else lies in the root filesystem.
	err := filepath.WalkDir(a.Rootfs, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if rel := strings.TrimPrefix(p, a.Rootfs); has(a, rel) == nil {
			t.Errorf("%s is in the root filesystem and not in the report", rel)
		}
		if fi, err := d.Info(); err == nil && fi.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s has kept %v", p, fi.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestBaseLayout(t *testing.T) {
	root := t.TempDir()
	put(t, root, "usr/bin/tool", "#!/usr/bin/nothing\n", 0o4755)
	put(t, root, "usr/bin/nothing", "data", 0o755)
	rep := build(t, Options{Root: root}, "tool")
	for name, mode := range map[string]os.FileMode{
		"/proc": 0o555 | os.ModeDir, "/tmp": 0o777 | os.ModeDir | os.ModeSticky, "/root": 0o700 | os.ModeDir,
		"/run": 0o755 | os.ModeDir, "/var": 0o755 | os.ModeDir, "/dev": 0o755 | os.ModeDir, "/sys": 0o555 | os.ModeDir,
		"/etc/passwd": 0o644, "/etc/nsswitch.conf": 0o644, "/usr/bin/tool": 0o755,
	} {
		fi, err := os.Lstat(rep.Rootfs + name)
		if err != nil {
			t.Error(err)
		} else if fi.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, fi.Mode(), mode)
		}
	}
}

func TestMergedUsr(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		symlink(t, root, "usr/"+d, d)
	}
	put(t, root, "usr/bin/dash", "#!/bin/interp\n", 0o755)
	put(t, root, "usr/bin/interp", "data", 0o755)
	symlink(t, root, "dash", "usr/bin/sh")
	symlink(t, root, "/etc/alternatives/vi", "usr/bin/vi")
	symlink(t, root, "../../usr/bin/dash", "etc/alternatives/vi")
	rep := build(t, Options{Root: root}, "sh", "/bin/sh", "vi")
	for p, target := range map[string]string{
		"/bin": "usr/bin", "/usr/bin/sh": "dash", "/usr/bin/vi": "/etc/alternatives/vi", "/etc/alternatives/vi": "../../usr/bin/dash",
	} {
		if got, err := os.Readlink(rep.Rootfs + p); err != nil || got != target {
			t.Errorf("%s -> %q, %v; want %q", p, got, err, target)
		}
	}
	// Nothing lies in lib: a link to it would lead nowhere.
	if _, err := os.Lstat(rep.Rootfs + "/lib"); err == nil {
		t.Error("/lib is there and leads nowhere")
	}
	if fi, err := os.Lstat(rep.Rootfs + "/usr/bin/dash"); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("usr/bin/dash: %v %v", fi, err)
	}
	if p := rep.Find("/bin/sh"); p == nil || p.Path != "/bin/sh" {
		t.Errorf("/bin/sh is reported as %+v", p)
	}
}

func TestScripts(t *testing.T) {
	root := t.TempDir()
	put(t, root, "usr/bin/env", "data", 0o755)
	put(t, root, "opt/x/myinterp", "#! /usr/bin/base  -x \n", 0o755)
	put(t, root, "usr/bin/base", "data", 0o755)
	put(t, root, "usr/bin/python9", "data", 0o755)
	put(t, root, "usr/bin/one", "#!/usr/bin/env myinterp\n", 0o755)
	put(t, root, "usr/bin/split", "#!/usr/bin/env -S -u FOO A=b myinterp -v\n", 0o755)
	put(t, root, "usr/bin/py", "#!/usr/bin/env python9\n", 0o755)
	put(t, root, "usr/bin/lost", "#!/usr/bin/env nowhere\n", 0o755)
	put(t, root, "usr/bin/lost2", "#!/no/such\n", 0o755)
	put(t, root, "usr/bin/relative", "#!bin/sh\n", 0o755)
	put(t, root, "usr/bin/loop", "#!/usr/bin/loop\n", 0o755)
	rep := build(t, Options{Root: root, Path: "/opt/x:relative:"}, "one", "split", "py", "lost", "lost2", "relative", "loop")
	want := []string{"/usr/bin/env", "/opt/x/myinterp", "/usr/bin/base"}
	for _, name := range []string{"one", "split"} {
		p := rep.Find(name)
		if p == nil || p.Kind != "script" || p.Interpreter != "/usr/bin/env" || !reflect.DeepEqual(p.Needs, want) {
			t.Errorf("%s: %+v, want the needs %v", name, p, want)
		}
	}
	for _, p := range want {
		if has(rep, p) == nil {
			t.Errorf("%s is missing", p)
		}
	}
	for _, words := range [][]string{
		{"py:", "python", "modules"},
		{"lost:", `"nowhere"`, "not found in $PATH"},
		{"lost2:", "/no/such"},
		{"relative:", "bin/sh", "absolute"},
		{"loop:", "5 scripts"},
	} {
		if !warned(rep, words...) {
			t.Errorf("no warning with %q in %q", words, rep.Warnings)
		}
	}
}

func TestShebang(t *testing.T) {
	for in, want := range map[string][2]string{
		"#!/bin/sh\nx":                {"/bin/sh", ""},
		"#! \t/bin/sh -e -u \nx":      {"/bin/sh", "-e -u"},
		"#!/bin/sh\r\nx":              {"/bin/sh", ""},
		"#!/usr/bin/env\tpython\n":    {"/usr/bin/env", "python"},
		"#!/bin/without-end":          {"/bin/without-end", ""},
		"#!\n/bin/sh":                 {},
		"#!   ":                       {},
		"echo hello":                  {},
		"":                            {},
		"#!/bin/a\x00b\n":             {"/bin/a", ""},
		"#!" + strings.Repeat(" ", 9): {},
	} {
		interp, arg, ok := shebang([]byte(in))
		if interp != want[0] || arg != want[1] || ok != (want[0] != "") {
			t.Errorf("%q gives %q, %q, %v", in, interp, arg, ok)
		}
	}
}

func TestMissing(t *testing.T) {
	root := t.TempDir()
	put(t, root, "bin/true", "data", 0o755)
	put(t, root, "bin/plain", "data", 0o644)
	rep := build(t, Options{Root: root}, "true", "nowhere", "plain", "/bin/plain", "/bin")
	for _, words := range [][]string{{`"nowhere"`, "not found"}, {`"plain"`, "not found"}, {"/bin/plain", "not an executable"}, {"/bin", "not an executable"}} {
		if !warned(rep, words...) {
			t.Errorf("no warning with %q in %q", words, rep.Warnings)
		}
	}
	dir := t.TempDir()
	_, err := Build(filepath.Join(dir, "r"), nil, Options{Root: root, Command: "nowhere"})
	if err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing command gives %v", err)
	}
	if _, err := Build(filepath.Join(dir, "r"), []string{"nowhere"}, Options{Root: root}); err == nil {
		t.Error("a root filesystem without a program was made")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// Of the default set only what is there is taken, without a word of warning.
	rep = build(t, Options{Root: root})
	if len(rep.Programs) != 1 || len(rep.Absent) != len(Default())-1 {
		t.Errorf("programs %v, absent %v", rep.Programs, rep.Absent)
	}
}

func TestRefusesAFullDirectory(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "mine", "precious", 0o644)
	if _, err := Build(dir, []string{"sh"}, Options{}); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "mine")); string(b) != "precious" {
		t.Error("the file in it is gone")
	}
}

// TestFailureLeavesNothing lets a source change between the plan and the copy.
func TestFailureLeavesNothing(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	put(t, root, "bin/true", "data", 0o755)
	for _, made := range []bool{true, false} {
		b, err := plan([]string{"true"}, Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		put(t, root, "bin/true", "other data", 0o755)
		out := filepath.Join(dir, "r")
		if !made {
			if err := os.Mkdir(out, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, err = b.write(out, 0); err == nil || !strings.Contains(err.Error(), "changed while") {
			t.Fatalf("got %v", err)
		}
		names, err := os.ReadDir(out)
		if len(names) > 0 || os.IsNotExist(err) != made {
			t.Errorf("left behind: %v, %v", names, err)
		}
		put(t, root, "bin/true", "data", 0o755)
	}
}

func TestOwner(t *testing.T) {
	needRoot(t)
	rep := build(t, Options{Owner: 100000}, "sh")
	err := filepath.WalkDir(rep.Rootfs, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if st := fi.Sys().(*syscall.Stat_t); err == nil && (st.Uid != 100000 || st.Gid != 100000) {
			t.Errorf("%s belongs to %d:%d", p, st.Uid, st.Gid)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOddLinks holds resolve against the kernel: loops, links through "..", and
// links that leave the host's root stay inside it.
func TestOddLinks(t *testing.T) {
	root := t.TempDir()
	put(t, root, "real/deep/tool", "data", 0o755)
	symlink(t, root, "/real/deep", "short")
	symlink(t, root, "../../../../../short/../deep/tool", "a/b/tool")
	symlink(t, root, "loop2", "loop1")
	symlink(t, root, "loop1", "loop2")
	symlink(t, root, "/real/deep/tool/", "slash")
	rep := build(t, Options{Root: root}, "/a/b/tool", "/loop1", "/real/deep/tool/x")
	if has(rep, "/real/deep/tool") == nil || has(rep, "/short") == nil || has(rep, "/a/b/tool") == nil {
		t.Errorf("files: %+v", rep.Files)
	}
	if !warned(rep, "/loop1", "too many levels") || !warned(rep, "/real/deep/tool/x", "not a directory") {
		t.Errorf("warnings: %q", rep.Warnings)
	}
}

// A version manager's script in PATH leads to a tree that nobody can tell: the next
// program of that name is taken, and said; with none, that something may be lacking.
func TestWrapper(t *testing.T) {
	root := t.TempDir()
	put(t, root, "bin/sh", "data", 0o755)
	put(t, root, "home/u/.v/shims/tool", "#!/usr/bin/env bash\nexec /home/u/.v/libexec/v tool\n", 0o755)
	put(t, root, "home/u/.v/shims/only", "#!/bin/sh\nexec /home/u/.v/libexec/v only\n", 0o755)
	put(t, root, "usr/bin/tool", "data", 0o755)
	put(t, root, "usr/local/bin/script", "#!/bin/sh\n", 0o755)
	put(t, root, "usr/bin/script", "data", 0o755)
	put(t, root, "home/u/bin/plain", "data", 0o755)
	put(t, root, "usr/bin/plain", "data", 0o755)
	rep := build(t, Options{Root: root, Path: "/home/u/.v/shims:/home/u/bin:/usr/local/bin:/usr/bin"}, "tool", "only", "script", "plain", "sh")
	for name, want := range map[string]string{
		"tool": "/usr/bin/tool", "only": "/home/u/.v/shims/only", "script": "/usr/local/bin/script", "plain": "/home/u/bin/plain",
	} {
		if p := rep.Find(name); p == nil || p.Path != want {
			t.Errorf("%s is %+v, want %s", name, p, want)
		}
	}
	if !warned(rep, "tool: /home/u/.v/shims/tool", "/usr/bin/tool was taken instead") || !warned(rep, "only: /home/u/.v/shims/only", "tree of its own") {
		t.Errorf("warnings %q", rep.Warnings)
	}
	for _, f := range rep.Files {
		if f.Path == "/home/u/.v/shims/tool" {
			t.Error("the script that was passed over is there")
		}
	}
}
