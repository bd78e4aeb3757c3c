package cli

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/bundles"
	"berth/spec"
	"berth/tests/harness"
)

func needBerth(t *testing.T) {
	t.Helper()
	if !harness.Berth() {
		t.Skip("about Berth's own command line")
	}
}

// lastLine is what engines show of an error.
func lastLine(s string) string {
	lines := harness.Lines(s)
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

func TestVersion(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	for _, arg := range []string{"--version", "-v", "-version", "--version=true", "version"} {
		lines := strings.Split(h.Must(arg), "\n")
		if len(lines) != 5 || !strings.HasPrefix(lines[0], "berth version ") || !strings.HasPrefix(lines[1], "commit: ") ||
			lines[2] != "spec: "+specs.Version || !strings.HasPrefix(lines[3], "go: go1.") {
			t.Errorf("%s: %q", arg, lines)
		}
	}
}

// TestUsageErrors: help goes to standard output, the error is the last line of
// standard error, and the log has it too.
func TestUsageErrors(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	for _, c := range []struct {
		line, msg string
		code      int
		help      bool
	}{
		{"create", `berth: "create" requires exactly 1 argument(s)`, 1, true},
		{"start a b", `berth: "start" requires exactly 1 argument(s)`, 1, true},
		{"kill", `berth: "kill" requires a minimum of 1 argument(s)`, 1, true},
		{"state --bogus x", "flag provided but not defined: -bogus", 1, true},
		{"delete x --pid-file", "flag provided but not defined: -pid-file", 1, true},
		{"create x --pid-file", "flag needs an argument: -pid-file", 1, true},
		{"bogus", "No help topic for 'bogus'", 3, false},
		{"kil x", `No help topic for 'kil'. Did you mean "kill"?`, 3, false},
		{"state x", "container does not exist", 1, false},
		{"start x", "container does not exist", 1, false},
		{"kill x 9", "container does not exist", 1, false},
		{"kill x FOO", `unknown signal "FOO"`, 1, false},
		{"delete x", "container does not exist", 1, false},
		{"create ../x", "berth create failed: invalid container ID format", 1, false},
		{"run -b /nonexistent x", "berth run failed: JSON specification file config.json not found", 1, false},
		{"create --preserve-fds=-1 x", "berth create failed: invalid value for --preserve-fds", 1, false},
		{"list -f yaml", "invalid format option", 1, false},
		{"--rootless=maybe state x", "invalid value for --rootless: maybe", 1, false},
		{"--inject=step=x create x", `invalid value for --inject: "step=x"`, 1, false},
	} {
		log := filepath.Join(t.TempDir(), "log")
		args := append([]string{"--log", log, "--log-format=json"}, strings.Fields(c.line)...)
		res := h.Do(args...)
		if res.Code != c.code || !strings.HasPrefix(lastLine(res.Stderr), c.msg) || c.help != strings.Contains(res.Stdout, "USAGE:") {
			t.Errorf("%s: status %d\n%s\n%s", c.line, res.Code, res.Stdout, res.Stderr)
		}
		var rec struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(harness.ReadFile(t, log)), &rec); err != nil || rec.Level != "error" || rec.Msg != lastLine(res.Stderr) {
			t.Errorf("%s: %v: the log has %+v", c.line, err, rec)
		}
	}
	if res := h.Do("delete", "--force", "x"); res.Code != 0 || res.Stderr != "" {
		t.Errorf("delete --force of nothing: %+v", res)
	}
}

func TestLogOptions(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	res := h.Do("state", "x")
	if !strings.HasPrefix(res.Stderr, `time="`) || !strings.HasSuffix(res.Stderr, "level=error msg=\"container does not exist\"\n") {
		t.Errorf("without --log: %q", res.Stderr)
	}
	res = h.Do("--log-format=json", "state", "x")
	if !strings.HasPrefix(res.Stderr, `{"level":"error","msg":"container does not exist","time":"`) || len(harness.Lines(res.Stderr)) != 1 {
		t.Errorf("JSON without --log: %q", res.Stderr)
	}
	if res = h.Do("--log-format=xml", "state", "x"); res.Code != 1 || !strings.Contains(res.Stderr, "invalid log-format: xml") {
		t.Errorf("%+v", res)
	}
	if res = h.Do("--log=/nonexistent/log", "list"); res.Code != 1 || !strings.Contains(res.Stderr, "open /nonexistent/log: no such file or directory") {
		t.Errorf("%+v", res)
	}
	log := filepath.Join(t.TempDir(), "log")
	for range 2 {
		h.Do("--log", log, "state", "x")
	}
	if n := len(harness.Lines(harness.ReadFile(t, log))); n != 2 {
		t.Errorf("%d lines: the log must be appended to", n)
	}
}

// members are the names in a JSON object, in their order.
func members(t *testing.T, text string) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		t.Fatalf("%v: %s", err, text)
	}
	var names []string
	for d.More() {
		name, err := d.Token()
		var skip json.RawMessage
		if err == nil {
			err = d.Decode(&skip)
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
	}
	return names
}

// TestSameAsRunc makes equal containers by berth and runc and compares what the
// two print: all but pids and times must be the same, to the byte.
func TestSameAsRunc(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	runc := harness.Need(t, "runc", "runc")
	bundle := harness.Bundle(t, func(s *specs.Spec) {
		s.Process.Args = []string{"sleep", "1000"}
		s.Process.Terminal = false
		s.Annotations = map[string]string{"b<c>": "d&e", "a": "\"é\u2028"}
	})
	root, err := os.MkdirTemp("", "berth-runc-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	id := harness.ID(t)
	other := func(args ...string) (string, error) {
		out, err := exec.Command(runc, append([]string{"--root", root}, args...)...).Output()
		return string(out), err
	}
	theirs := id + "-r" // cgroups are per id
	cmd := exec.Command(runc, "--root", root, "create", "--bundle", bundle, theirs)
	if err := cmd.Run(); err != nil {
		t.Skip("runc can't create here: ", err)
	}
	defer other("delete", "--force", theirs)
	h.Must("create", "--bundle", bundle, id)
	for _, args := range [][]string{{"state", "ID"}, {"list"}, {"list", "--format", "json"}, {"list", "-q"}} {
		mine, yours := slices.Clone(args), slices.Clone(args)
		if i := slices.Index(args, "ID"); i >= 0 {
			mine[i], yours[i] = id, theirs
		}
		a := h.Must(mine...)
		b, err := other(yours...)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := mask(a, id), mask(b, theirs); a != b {
			t.Errorf("%v:\nberth %q\nrunc  %q", args, a, b)
		}
	}
	if a, b := members(t, h.Must("state", id)), []string{"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"}; !slices.Equal(a, b) {
		t.Errorf("members %v", a)
	}
}

// mask hides what differs between equal containers, and the version of the spec,
// which is that of each runtime's library. The width of a column may
// depend on it, so blanks count for one.
func mask(s, id string) string {
	s = strings.ReplaceAll(s, id, "ID")
	out := strings.Builder{}
	digits := false
	for _, r := range s {
		isDigit := '0' <= r && r <= '9' || digits && (r == '-' || r == ':' || r == 'T' || r == '.' || r == 'Z')
		switch {
		case isDigit && !digits:
			out.WriteByte('N')
		case isDigit, r == ' ' && strings.HasSuffix(out.String(), " "):
		default:
			out.WriteRune(r)
		}
		digits = isDigit
	}
	return strings.ReplaceAll(out.String(), "Ndev", "N") // a version between two
}

func TestSpec(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	dir := t.TempDir()
	h.Must("spec", "--bundle", dir)
	s, _, unknown, err := spec.Load(filepath.Join(dir, "config.json"))
	if err != nil || len(unknown) > 0 {
		t.Fatal(err, unknown)
	}
	if l := spec.Validate(s); len(l) > 0 {
		t.Error(l)
	}
	if !s.Process.Terminal || !slices.Equal(s.Process.Args, []string{"sh"}) || !s.Root.Readonly || s.Root.Path != "rootfs" || s.Hostname == "" ||
		s.Linux.Seccomp != nil || len(s.Linux.MaskedPaths) == 0 || len(s.Linux.ReadonlyPaths) == 0 || len(s.Mounts) != 7 {
		t.Errorf("%+v", s)
	}
	res := h.Do("spec", "-b", dir)
	if res.Code != 1 || !strings.Contains(res.Stderr, "File config.json exists. Remove it first") {
		t.Errorf("a second time: %+v", res)
	}
	rootless := t.TempDir()
	h.Must("spec", "--rootless", "-b", rootless)
	if s, _, _, err = spec.Load(filepath.Join(rootless, "config.json")); err != nil {
		t.Fatal(err)
	}
	if l := spec.Validate(s); len(l) > 0 {
		t.Error(l)
	}
	want := specs.LinuxIDMapping{ContainerID: 0, HostID: uint32(os.Geteuid()), Size: 1}
	if len(s.Linux.UIDMappings) != 1 || s.Linux.UIDMappings[0] != want || s.Linux.Resources != nil {
		t.Errorf("%+v", s.Linux)
	}
}

// TestSpecLikeRunc compares with the config that runc writes: what differs is
// differing on purpose.
func TestSpecLikeRunc(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	runc := harness.Need(t, "runc", "runc")
	a, b := t.TempDir(), t.TempDir()
	h.Must("spec", "-b", a)
	if out, err := exec.Command(runc, "spec", "--bundle", b).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mine, yours := &specs.Spec{}, &specs.Spec{}
	for _, c := range []struct {
		dir string
		s   *specs.Spec
	}{{a, mine}, {b, yours}} {
		if err := json.Unmarshal([]byte(harness.ReadFile(t, filepath.Join(c.dir, "config.json"))), c.s); err != nil {
			t.Fatal(err)
		}
		s := c.s
		s.Version, s.Hostname = "", ""
		// runc before 1.2 had ambient capabilities without inheritable ones.
		s.Process.Capabilities.Ambient = nil
		slices.Sort(s.Linux.MaskedPaths)
		s.Linux.MaskedPaths = slices.DeleteFunc(s.Linux.MaskedPaths, func(p string) bool { return strings.HasPrefix(p, "/sys/devices/") || p == "/proc/interrupts" })
	}
	x, _ := json.Marshal(mine)
	y, _ := json.Marshal(yours)
	if string(x) != string(y) {
		t.Errorf("berth %s\nrunc  %s", x, y)
	}
}

// nobody runs a command of berth as an ordinary user.
func nobody(t *testing.T, h *harness.Host, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.Binary, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestExplainAsNobody: nothing is needed for it, and root sees the same program.
func TestExplainAsNobody(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	bundle := harness.Bundle(t)
	out, code := nobody(t, h, "explain", "--json", "--bundle", bundle, "x")
	if code != 0 {
		t.Fatal(out)
	}
	var his, mine explainDoc
	if err := json.Unmarshal([]byte(out), &his); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(h.Must("explain", "--json", "--bundle", bundle, "x")), &mine); err != nil {
		t.Fatal(err)
	}
	if len(his.Steps) != len(mine.Steps) || len(his.Steps) < 50 || his.ID != "x" || his.Bundle != bundle {
		t.Errorf("%d steps for nobody, %d for root", len(his.Steps), len(mine.Steps))
	}
	for i, st := range mine.Steps {
		if st.Number != i+1 || st.Why == "" || st.Call == "" || st.Phase == "" {
			t.Errorf("step %d: %+v", i+1, st)
		}
	}
	out, code = nobody(t, h, "explain", "--bundle", bundle)
	if code != 0 || !strings.HasPrefix(out, "Container "+filepath.Base(bundle)+"\n") || !strings.Contains(lastLine(out), " of the child, ") {
		t.Errorf("%d: %s", code, out)
	}
	if run := h.Must("explain", "--run", "--bundle", bundle); strings.Contains(run, "wait for start") {
		t.Error("run does not wait for start")
	}
}

func TestTry(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	// Root's cache has a fixed place; do not leave one where there was none.
	cache := bundles.CacheDir(os.Geteuid(), os.Getenv)
	if _, err := os.Stat(cache); os.IsNotExist(err) {
		defer os.RemoveAll(cache)
	}
	res := h.DoIn("hello\n", "try", "sh", "-c", "cat; hostname; echo $$; exit 7")
	if res.Code != 7 || res.Stdout != "hello\nberth\n1\n" || res.Stderr != "" {
		t.Errorf("%+v", res)
	}
	// A program in a directory that is memory in the container.
	dir, err := os.MkdirTemp("/tmp", "berth-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/tool", []byte("#!/bin/sh\necho ran; touch /tmp/x && exit 4\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if res = h.Do("try", dir+"/tool"); res.Code != 4 || res.Stdout != "ran\n" {
		t.Errorf("a program under /tmp: %d, %q, %s", res.Code, res.Stdout, res.Stderr)
	}
	res = h.Do("try", "no-such-program-here")
	if res.Code != 1 || !strings.Contains(res.Stderr, "executable file not found in $PATH") {
		t.Errorf("%+v", res)
	}
	if res = h.Do("try", "--verbose", "true"); res.Code != 0 || !strings.Contains(res.Stderr, "in all ") || res.Stdout != "" {
		t.Errorf("%+v", res)
	}
}

func TestBundleCreate(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	dir := filepath.Join(t.TempDir(), "b")
	out := h.Must("bundle", "create", dir, "sh", "cat")
	if !strings.HasPrefix(out, "Made a bundle in "+dir+"\n") || !strings.Contains(out, "programs  sh cat\n") {
		t.Errorf("%s", out)
	}
	id := harness.ID(t)
	if res := h.DoIn("echo hi; exit 3\n", "run", "--bundle", dir, id); res.Code != 3 || res.Stdout != "hi\n" {
		t.Errorf("%+v", res)
	}
	if res := h.Do("bundle", "create", dir); res.Code != 1 || !strings.Contains(res.Stderr, "is not empty") {
		t.Errorf("%+v", res)
	}
	var rep struct {
		Bundle, Rootfs string
		Programs       []struct{ Name, Path string }
		Files          []struct{ Path, Why string }
	}
	dir += "2"
	if err := json.Unmarshal([]byte(h.Must("bundle", "create", dir, "sh", "--json")), &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Bundle != dir || len(rep.Programs) != 1 || rep.Programs[0].Name != "sh" || len(rep.Files) == 0 {
		t.Errorf("%+v", rep)
	}
}

// TestRunStatus: what run returns, and the words before its errors.
func TestRunStatus(t *testing.T) {
	h := harness.New(t)
	for _, c := range []struct {
		args []string
		code int
		msg  string
	}{
		{[]string{"sh", "-c", "exit 5"}, 5, ""},
		{[]string{"true"}, 0, ""},
		{[]string{"no-such-program"}, 1, `run failed: unable to start container process: exec: "no-such-program": executable file not found in $PATH`},
	} {
		bundle := harness.Bundle(t, func(s *specs.Spec) { s.Process.Args, s.Process.Terminal = c.args, false })
		log := filepath.Join(t.TempDir(), "log")
		res := h.Do("--log", log, "--log-format", "json", "run", "--bundle", bundle, harness.ID(t))
		if res.Code != c.code || !strings.Contains(res.Stderr, c.msg) {
			t.Errorf("%v: %+v", c.args, res)
		}
		text := harness.ReadFile(t, log)
		if c.msg == "" && text != "" && harness.Berth() {
			t.Errorf("%v: the log has %s", c.args, text)
		}
		if c.msg != "" {
			var rec struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(lastLine(text)), &rec); err != nil || rec.Level != "error" || !strings.Contains(rec.Msg, c.msg) {
				t.Errorf("%v: the log has %s", c.args, text)
			}
		}
	}
}

// TestInterrupted: whenever a create is told to stop, it either has succeeded or
// leaves nothing behind.
func TestInterrupted(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	bundle := harness.Bundle(t, func(s *specs.Spec) { s.Process.Terminal = false })
	undone := 0
	for delay := time.Duration(0); delay < 20*time.Millisecond; delay += 700 * time.Microsecond {
		id := harness.ID(t)
		cmd := h.Command(context.Background(), "create", "--bundle", bundle, id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if err == nil {
			h.Must("delete", "--force", id)
			continue
		}
		if cmd.ProcessState.ExitCode() == 1 {
			undone++
		}
		if _, err := os.Stat(filepath.Join(h.Root, id)); !os.IsNotExist(err) {
			t.Errorf("after %v: the state directory is there (%v)", delay, cmd.ProcessState)
		}
		h.NothingLeft(id)
	}
	if undone == 0 {
		t.Error("no create was interrupted while it was under way")
	}
}
