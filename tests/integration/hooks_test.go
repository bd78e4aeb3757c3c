package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// The kinds of hooks, in their order.
var hookKinds = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

func hooksOf(h *specs.Hooks, kind string) *[]specs.Hook {
	return map[string]*[]specs.Hook{
		//lint:ignore SA1019 prestart is deprecated, and what Docker uses.
		"prestart": &h.Prestart, "createRuntime": &h.CreateRuntime, "createContainer": &h.CreateContainer,
		"startContainer": &h.StartContainer, "poststart": &h.Poststart, "poststop": &h.Poststop,
	}[kind]
}

// hooked is a container whose hooks write into a directory that it shares with the host.
type hooked struct {
	*container
	dir string
}

// newHooked makes one. script is the shell script of the nth hook of a kind, of which
// there are three; $log is the file in which they note that they ran.
func newHooked(t *testing.T, script func(kind string, n int) string, more ...change) *hooked {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for up := filepath.Dir(dir); up != "/" && up != os.TempDir(); up = filepath.Dir(up) {
		_ = os.Chmod(up, 0o755) // for user namespaces
	}
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(log, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(log, 0o666); err != nil {
		t.Fatal(err)
	}
	set := func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/shared", Type: "bind", Source: dir, Options: []string{"bind"}})
		for _, kind := range hookKinds {
			for n := range 3 {
				place := dir
				if kind == "startContainer" {
					place = "/shared"
				}
				text := "dir=" + place + "; echo " + kind + strconv.Itoa(n) + " >> $dir/log; " + script(kind, n)
				list := hooksOf(s.Hooks, kind)
				*list = append(*list, specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", text}})
			}
		}
	}
	process := harness.Shell("echo process >> /shared/log")
	c := newContainer(t, append([]change{process, set}, more...)...)
	// The root of a user namespace could not make it.
	if err := os.MkdirAll(filepath.Join(c.bundle, "rootfs/shared"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &hooked{c, dir}
}

func nothing(string, int) string { return "" }

// ran is what ran, in order.
func (h *hooked) ran() []string {
	b, _ := os.ReadFile(filepath.Join(h.dir, "log"))
	return strings.Fields(string(b))
}

func (h *hooked) wantRan(want ...string) {
	h.t.Helper()
	if got := h.ran(); !slices.Equal(got, want) {
		h.t.Errorf("ran: %v\nwant: %v", got, want)
	}
}

// three are the three hooks of each kind.
func three(kinds ...string) []string {
	var all []string
	for _, k := range kinds {
		all = append(all, k+"0", k+"1", k+"2")
	}
	return all
}

// rows: HOK-1 HOK-2 HOK-3 HOK-4 HOK-5 HOK-6 HOK-11
func TestHooksInOrder(t *testing.T) {
	const early = "poststart hooks run in create"
	t.Run("create, start, delete", func(t *testing.T) {
		skipOld(t, early)
		h := newHooked(t, nothing)
		h.create()
		h.wantRan(three(hookKinds[:3]...)...)
		h.Must("start", h.id)
		await(t, "the process", func() bool { return slices.Contains(h.ran(), "process") })
		got := h.ran()
		// The process and the first poststart hook run at the same time.
		if i := slices.Index(got, "process"); i < 12 {
			t.Errorf("the process ran before the hooks: %v", got)
		} else {
			got = slices.Delete(got, i, i+1)
		}
		if want := three(hookKinds[:5]...); !slices.Equal(got, want) {
			t.Errorf("ran %v, want %v", got, want)
		}
		h.awaitStatus("stopped")
		// What delete needs is its own copy.
		if err := os.Remove(filepath.Join(h.bundle, "config.json")); err != nil {
			t.Fatal(err)
		}
		h.Must("delete", h.id)
		if got := h.ran(); !slices.Equal(got[len(got)-3:], three("poststop")) {
			t.Errorf("after delete: %v", got)
		}
		h.NothingLeft(h.id)
	})
	t.Run("run", func(t *testing.T) {
		h := newHooked(t, nothing)
		h.Must("run", "--bundle", h.bundle, h.id)
		if got := h.ran(); len(got) != 19 || !slices.Equal(got[16:], three("poststop")) {
			t.Errorf("ran %v", got)
		}
	})
	t.Run("created and deleted without a bundle", func(t *testing.T) {
		skipOld(t, early)
		h := newHooked(t, nothing)
		h.create()
		if err := os.RemoveAll(h.bundle); err != nil {
			t.Fatal(err)
		}
		h.Must("delete", h.id)
		h.wantRan(three("prestart", "createRuntime", "createContainer", "poststop")...)
	})
	t.Run("delete --force of a running one", func(t *testing.T) {
		skipOld(t, early)
		h := newHooked(t, nothing, harness.Args("/bin/sleep", "1000"))
		h.detached()
		h.Must("delete", "--force", h.id)
		h.wantRan(three(hookKinds...)...)
	})
}

// rows: HOK-12 STA-8
func TestHooksGetTheState(t *testing.T) {
	h := newHooked(t, func(kind string, n int) string {
		if n > 0 {
			return ""
		}
		return "cat > $dir/" + kind + ".json; for n in mnt pid uts net; do readlink /proc/self/ns/$n; done > $dir/" + kind + ".ns"
	}, harness.Args("/bin/sleep", "1000"), func(s *specs.Spec) { s.Annotations = map[string]string{"a.b": "c"} })
	h.create()
	pid := h.State(h.id).Pid
	theirs := namespacesOf(t, pid)
	h.Must("start", h.id)
	h.Must("delete", "--force", h.id)
	// Of this thread: the first one may have been left in other namespaces by a test
	// that had it.
	ours := namespacesOf(t, unix.Gettid())
	for kind, want := range map[string]struct {
		status string
		pid    int
		ns     string
	}{
		"prestart": {"creating", pid, ours}, "createRuntime": {"creating", pid, ours}, "createContainer": {"creating", 1, theirs},
		"startContainer": {"created", 1, theirs}, "poststart": {"running", pid, ours}, "poststop": {"stopped", 0, ours},
	} {
		var s specs.State
		if err := json.Unmarshal([]byte(harness.ReadFile(t, filepath.Join(h.dir, kind+".json"))), &s); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if kind == "poststart" && !harness.Berth() {
			want.status = "created" // runc 1.1.5 runs them in create
		}
		if string(s.Status) != want.status || s.Pid != want.pid || s.ID != h.id || s.Bundle != h.bundle || s.Annotations["a.b"] != "c" || s.Version == "" {
			t.Errorf("%s: %+v, want %s with pid %d", kind, s, want.status, want.pid)
		}
		if got := harness.ReadFile(t, filepath.Join(h.dir, kind+".ns")) + "\n"; strings.TrimSpace(got) != strings.TrimSpace(want.ns) {
			t.Errorf("%s ran in %s, want %s", kind, got, want.ns)
		}
	}
}

func namespacesOf(t *testing.T, pid int) string {
	t.Helper()
	var all string
	for _, ns := range []string{"mnt", "pid", "uts", "net"} {
		link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		all += link + "\n"
	}
	return all
}

// rows: HOK-13 LIF-9 LIF-20
func TestHooksThatFail(t *testing.T) {
	skipOld(t, "says no kind, runs poststart hooks in create, start does not see startContainer fail, delete ends at the first poststop hook that fails")
	fail := func(which string) func(string, int) string {
		return func(kind string, n int) string {
			if kind == which && n == 1 {
				return "echo said; echo complained >&2; exit 3"
			}
			return ""
		}
	}
	for i, kind := range hookKinds[:5] {
		t.Run(kind, func(t *testing.T) {
			h := newHooked(t, fail(kind), harness.Args("/bin/sh", "-c", "echo process >> /shared/log; exec sleep 1000"))
			words := "error running " + kind + " hook #1: exit status 3, stdout: said.?, stderr: complained"
			if i >= 3 {
				h.create()
				h.fails(words, "start", h.id)
			} else {
				h.fails(words, "create", "--bundle", h.bundle, h.id)
			}
			want := append(three(hookKinds[:i]...), kind+"0", kind+"1")
			want = append(want, three("poststop")...)
			got := slices.DeleteFunc(h.ran(), func(s string) bool { return s == "process" && kind == "poststart" })
			if !slices.Equal(got, want) {
				t.Errorf("ran %v, want %v", got, want)
			}
			h.fails("container does not exist", "state", h.id)
			h.NothingLeft(h.id)
		})
		t.Run(kind+" in run", func(t *testing.T) {
			h := newHooked(t, fail(kind), harness.Args("/bin/sleep", "1000"))
			h.fails("error running "+kind+" hook #1: exit status 3", "run", "--bundle", h.bundle, h.id)
			want := append(three(hookKinds[:i]...), kind+"0", kind+"1")
			h.wantRan(append(want, three("poststop")...)...)
			h.fails("container does not exist", "state", h.id)
		})
	}
	t.Run("poststop", func(t *testing.T) {
		h := newHooked(t, fail("poststop"))
		h.create()
		res := h.Do("delete", h.id)
		if res.Code != 0 || !strings.Contains(res.Stderr, "error running poststop hook #1: exit status 3") {
			t.Errorf("%d %s", res.Code, res.Stderr)
		}
		h.wantRan(three("prestart", "createRuntime", "createContainer", "poststop")...)
	})
	t.Run("missing", func(t *testing.T) {
		for _, kind := range hookKinds[:5] {
			h := newHooked(t, nothing, func(s *specs.Spec) { (*hooksOf(s.Hooks, kind))[0].Path = "/no/such" })
			h.fails("error running "+kind+" hook #0: .*no such file or directory", "run", "--bundle", h.bundle, h.id)
			h.NothingLeft(h.id)
		}
	})
}

// rows: HOK-10
func TestHooksThatHang(t *testing.T) {
	skipOld(t, "waits for what a hook has started, too")
	second := 1
	for _, kind := range hookKinds[:5] {
		t.Run(kind, func(t *testing.T) {
			h := newHooked(t, func(k string, n int) string {
				if k == kind && n == 0 {
					return "sleep 987654 & wait"
				}
				return ""
			}, harness.Args("/bin/sleep", "1000"), func(s *specs.Spec) { (*hooksOf(s.Hooks, kind))[0].Timeout = &second })
			h.fails("error running "+kind+" hook #0: hook ran past specified timeout of 1s", "run", "--bundle", h.bundle, h.id)
			if left, _ := exec.Command("pgrep", "-f", "^sleep 987654$").Output(); len(left) > 0 {
				t.Errorf("the hook's child lives: %s", left)
			}
			h.NothingLeft(h.id)
		})
	}
}

// TestRuntimeKilledInAHook: delete ends the hook, runs what is due and leaves nothing.
func TestRuntimeKilledInAHook(t *testing.T) {
	skipOld(t, "leaves the hook")
	for _, kind := range hookKinds[:5] {
		t.Run(kind, func(t *testing.T) {
			h := newHooked(t, func(k string, n int) string {
				if k == kind && n == 1 {
					return "exec sleep 987653"
				}
				return ""
			}, harness.Args("/bin/sleep", "1000"))
			cmd, _ := h.begin("run", "--bundle", h.bundle, h.id)
			await(t, "the hook", func() bool { return exec.Command("pgrep", "-f", "^sleep 987653$").Run() == nil })
			pid, _ := exec.Command("pgrep", "-f", "^sleep 987653$").Output()
			_ = cmd.Process.Signal(unix.SIGKILL)
			_ = cmd.Wait()
			n, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
			// It is an orphan of the runtime's, and so the test's: the container's pid
			// namespace does not end before it is reaped.
			harness.Reap(n)
			h.Must("delete", "--force", h.id)
			if got := h.ran(); !slices.Equal(got[len(got)-3:], three("poststop")) {
				t.Errorf("ran %v", got)
			}
			if left, _ := exec.Command("pgrep", "-f", "^sleep 987653$").Output(); len(left) > 0 {
				t.Errorf("the hook lives: %s", left)
			}
			h.NothingLeft(h.id)
		})
		t.Run(kind+", and it lives", func(t *testing.T) {
			h := newHooked(t, func(k string, n int) string {
				if k == kind && n == 1 {
					return "exec sleep 987652"
				}
				return ""
			}, harness.Args("/bin/sleep", "1000"))
			cmd, _ := h.begin("run", "--bundle", h.bundle, h.id)
			await(t, "the hook", func() bool { return exec.Command("pgrep", "-f", "^sleep 987652$").Run() == nil })
			h.Must("delete", "--force", h.id)
			if cmd.Wait() == nil {
				t.Error("run did not fail")
			}
			h.NothingLeft(h.id)
		})
	}
}

// rows: HOK-7 HOK-8 HOK-9
func TestHooksArgsAndEnvironment(t *testing.T) {
	t.Setenv("BERTH_TEST_CALLER", "yes")
	dump := `exec 3</proc/self/environ; tr '\0' '\n' <&3 > $dir/`
	h := newHooked(t, func(kind string, n int) string {
		switch n {
		case 0:
			return dump + kind + ".env; true" // the shell itself would become tr
		case 1:
			return `exec 4</proc/self/cmdline; echo "$0|$1|$(tr '\0' '|' <&4 | cut -d'|' -f1)" > $dir/` + kind + ".args; " + dump + kind + ".env1; true"
		}
		return ""
	}, func(s *specs.Spec) {
		s.Process.Env = append(s.Process.Env, "OF_PROCESS=yes")
		for _, kind := range hookKinds {
			list := *hooksOf(s.Hooks, kind)
			list[1].Args[0] = "/other/sh" // busybox goes by the last element
			list[1].Args = append(list[1].Args, "zero", "one")
			list[1].Env = []string{"ONLY=this"}
		}
	})
	h.Must("run", "--bundle", h.bundle, h.id)
	for _, kind := range hookKinds {
		env := harness.Lines(harness.ReadFile(t, filepath.Join(h.dir, kind+".env")))
		want := "BERTH_TEST_CALLER=yes"
		if kind == "startContainer" || kind == "createContainer" && !harness.Berth() { // runc 1.1.5 has set it by then
			want = "OF_PROCESS=yes"
		}
		if !slices.Contains(env, want) {
			t.Errorf("%s has no %s: %v", kind, want, env)
		}
		if got := strings.TrimSpace(harness.ReadFile(t, filepath.Join(h.dir, kind+".env1"))); got != "ONLY=this" {
			t.Errorf("%s has %q", kind, got)
		}
		if got := strings.TrimSpace(harness.ReadFile(t, filepath.Join(h.dir, kind+".args"))); got != "zero|one|/other/sh" {
			t.Errorf("%s has arguments %q", kind, got)
		}
	}
}

func TestHooksThatAreOdd(t *testing.T) {
	skipOld(t, "poststart hooks run in create")
	t.Run("print a lot, and do not read", func(t *testing.T) {
		h := newHooked(t, func(kind string, n int) string {
			if n == 0 {
				return "exec <&-; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"
			}
			return "exec /bin/true"
		}, func(s *specs.Spec) {
			s.Annotations = map[string]string{"long": strings.Repeat("x", 1<<20)} // more than a pipe takes
		})
		h.Must("run", "--bundle", h.bundle, h.id)
		if got := h.ran(); len(got) != 19 {
			t.Errorf("ran %v", got)
		}
	})
	t.Run("leaves a process behind", func(t *testing.T) {
		h := newHooked(t, func(kind string, n int) string {
			if kind == "createRuntime" && n == 0 {
				return "sleep 3 & echo $! > $dir/pid"
			}
			return ""
		})
		h.Must("run", "--bundle", h.bundle, h.id)
	})
	t.Run("a magic link, as docker's", func(t *testing.T) {
		h := newHooked(t, nothing, func(s *specs.Spec) {
			*hooksOf(s.Hooks, "prestart") = []specs.Hook{{
				Path: "/proc/" + strconv.Itoa(os.Getpid()) + "/exe", Args: []string{"libnetwork-setkey", "-test.run=^$"},
			}}
		})
		h.Must("run", "--bundle", h.bundle, h.id)
	})
	t.Run("relative path", func(t *testing.T) {
		h := newHooked(t, nothing, func(s *specs.Spec) { s.Hooks.Poststop[2].Path = "bin/true" })
		h.fails(`hooks.poststop\[2\].path`, "create", "--bundle", h.bundle, h.id)
		h.wantRan()
	})
	t.Run("user namespace", func(t *testing.T) {
		h := newHooked(t, func(kind string, n int) string {
			return "readlink /proc/self/ns/user > $dir/" + kind + ".user"
		}, harness.UserNamespace)
		h.Must("run", "--bundle", h.bundle, h.id)
		ours, _ := os.Readlink("/proc/self/ns/user")
		for _, kind := range hookKinds {
			got := strings.TrimSpace(harness.ReadFile(t, filepath.Join(h.dir, kind+".user")))
			if inside := kind == "createContainer" || kind == "startContainer"; (got != ours) != inside {
				t.Errorf("%s ran in %s, ours is %s", kind, got, ours)
			}
		}
	})
}

// TestExplainShowsHooks: each at its place.
func TestExplainShowsHooks(t *testing.T) {
	skipOld(t, "no explain")
	h := newHooked(t, nothing)
	var doc struct {
		Hooks []struct{ Kind, Path, File, Where, Barrier string }
	}
	if err := json.Unmarshal([]byte(h.Must("explain", "--json", "--bundle", h.bundle)), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Hooks) != 18 {
		t.Fatalf("%d hooks", len(doc.Hooks))
	}
	places := []string{"runtime runtime-hooks", "runtime runtime-hooks", "container container-hooks", "container ", "runtime ", "runtime "}
	for i, k := range doc.Hooks {
		kind := hookKinds[i/3]
		if k.Kind != kind || k.File != "/bin/sh" || k.Path != "hooks."+kind+"["+strconv.Itoa(i%3)+"]" || k.Where+" "+k.Barrier != places[i/3] {
			t.Errorf("hook %d: %+v", i, k)
		}
	}
	text, last := h.Must("explain", "--bundle", h.bundle), -1
	for _, words := range []string{
		"barrier runtime-hooks", "prestart hook, in the runtime's", "createRuntime hook, in the runtime's", "barrier container-hooks",
		"createContainer hook, in the container's", "barrier ready", "startContainer hook, in the container's", "exec ",
		"poststart hook, in the runtime's", "poststop hook, in the runtime's",
	} {
		at := strings.Index(text[last+1:], words)
		if at < 0 {
			t.Fatalf("no %q behind the one before:\n%s", words, text)
		}
		last += 1 + at
	}
	h.wantRan()
}
