package hostfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// put makes a file of a made-up host.
func put(t *testing.T, root, name, content string, mode os.FileMode) {
	t.Helper()
	p := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, root, target, name string) {
	t.Helper()
	p := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, p); err != nil {
		t.Fatal(err)
	}
}

// build builds into a new directory and fails the test on an error.
func build(t *testing.T, opt Options, programs ...string) *Report {
	t.Helper()
	rep, err := Build(filepath.Join(t.TempDir(), "rootfs"), programs, opt)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func has(rep *Report, p string) *File {
	for i := range rep.Files {
		if rep.Files[i].Path == p {
			return &rep.Files[i]
		}
	}
	return nil
}

// warned finds a warning that holds all of the words.
func warned(rep *Report, words ...string) bool {
next:
	for _, w := range rep.Warnings {
		for _, s := range words {
			if !strings.Contains(w, s) {
				continue next
			}
		}
		return true
	}
	return false
}

// inside runs a command in a root filesystem.
func inside(t *testing.T, rootfs string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path = args[0]
	cmd.Err = nil
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + standardPath, "TERM=xterm", "HOME=/root"}
	cmd.SysProcAttr = chroot(rootfs)
	return cmd.CombinedOutput()
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("chroot takes root")
	}
}

func gcc(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc on this machine")
	}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %v: %v\n%s", args, err, out)
	}
}
