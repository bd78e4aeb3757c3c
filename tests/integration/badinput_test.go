package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// badInput is something that can not become a container.
type badInput struct {
	name string
	// spoil spoils a good bundle.
	spoil func(t *testing.T, bundle string)
	args  []string // of the process
	id    string   // instead of a good one
	want  string   // in the one line on stderr
}

func write(name, text string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		if err := os.WriteFile(filepath.Join(bundle, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		if err := os.RemoveAll(filepath.Join(bundle, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func both(fs ...func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		for _, f := range fs {
			f(t, bundle)
		}
	}
}

// remounted mounts the bundle's root file system over itself with other flags.
func remounted(flags string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		rootfs := filepath.Join(bundle, "rootfs")
		script := "mount --bind " + rootfs + " " + rootfs + " && mount -o remount,bind," + flags + " " + rootfs
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", "-l", rootfs).Run() })
	}
}

// rows: BND-1 ROOT-2 ROOT-4 PRO-8 LIF-1 LIF-6
func TestBadInput(t *testing.T) {
	skipOld(t, "says some of it on several lines")
	for _, c := range []badInput{
		{name: "no config", spoil: remove("config.json"), want: "config.json not found"},
		{name: "broken JSON", spoil: write("config.json", `{"ociVersion": "1.0.2",`), want: "config.json:1:"},
		{name: "wrong type", spoil: write("config.json", `{"ociVersion":"1.0.2","root":{"path":5}}`), want: "root.path"},
		{name: "no rootfs", spoil: remove("rootfs"), want: "invalid rootfs"},
		{name: "rootfs is a file", spoil: both(remove("rootfs"), write("rootfs", "")), want: "invalid rootfs"},
		{name: "rootfs is a symlink", spoil: func(t *testing.T, bundle string) {
			rootfs := filepath.Join(bundle, "rootfs")
			if err := os.Rename(rootfs, rootfs+"2"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("rootfs2", rootfs); err != nil {
				t.Fatal(err)
			}
		}, want: "invalid rootfs: not an absolute path, or a symlink"},
		{name: "program not found", args: []string{"nowhere"}, want: `exec: "nowhere": executable file not found in $PATH`},
		{name: "program not executable", args: []string{"/etc/passwd"}, want: `exec: "/etc/passwd": permission denied`},
		{name: "id with a slash", id: "a/b", want: "invalid container ID format"},
		{name: "read-only, a mount point is missing", spoil: both(remove("rootfs/proc"), remounted("ro")), want: "read-only file system"},
		{name: "noexec", spoil: remounted("noexec"), want: "permission denied"},
	} {
		for _, command := range []string{"create", "run"} {
			t.Run(c.name+"/"+command, func(t *testing.T) {
				h := harness.New(t)
				bundle := harness.Bundle(t, func(s *specs.Spec) {
					if c.args != nil {
						s.Process.Args = c.args
					}
				})
				if c.spoil != nil {
					c.spoil(t, bundle)
				}
				id := c.id
				if id == "" {
					id = harness.ID(t)
				}
				res := h.Do(command, "--bundle", bundle, id)
				if said := strings.ReplaceAll(res.Stderr, `\"`, `"`); res.Code != 1 || !strings.Contains(said, c.want) {
					t.Errorf("exit status %d: %s", res.Code, res.Stderr)
				}
				if n := len(harness.Lines(res.Stderr)); n != 1 || res.Stdout != "" {
					t.Errorf("%d lines: %s%s", n, res.Stdout, res.Stderr)
				}
				if c.spoil == nil || !strings.Contains(c.name, "read-only") && c.name != "noexec" {
					h.NothingLeft(filepath.Base(id))
				}
				if left, _ := os.ReadDir(h.Root); len(left) > 0 {
					t.Errorf("left in the state root: %v", left)
				}
			})
		}
	}
}

// rows: STA-3 LIF-4
func TestBadID(t *testing.T) {
	h := harness.New(t)
	bundle, id := harness.Bundle(t), harness.ID(t)
	h.Must("create", "--bundle", bundle, id)
	for _, args := range [][]string{
		{"create", "--bundle", bundle, id},
		{"run", "--bundle", bundle, id},
		{"state", "nobody"},
		{"start", "nobody"},
		{"kill", "nobody"},
		{"delete", "nobody"},
	} {
		want := "container does not exist"
		if args[len(args)-1] == id {
			want = "container with given ID already exists"
			if !harness.Berth() {
				want = "exist"
			}
		}
		res := h.Do(args...)
		if res.Code != 1 || !strings.Contains(res.Stderr, want) || len(harness.Lines(res.Stderr)) != 1 {
			t.Errorf("%v: exit status %d: %s", args, res.Code, res.Stderr)
		}
	}
	if s := h.State(id); s.Status != specs.StateCreated {
		t.Errorf("the container that has the id is %s", s.Status)
	}
	h.Must("delete", "--force", id)
	h.NothingLeft(id)
}
