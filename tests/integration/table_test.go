// Package integration tests Berth from outside: a bundle and a command line go
// in, what the container sees and what is left on the host come out. Cases stand
// in tables. RUNTIME=runc runs the same tables against another runtime, which
// shows that a case is right; what an old one can not do says so in the case.
//
// The field (or comment) rows names the rows of docs' checklist of the
// runtime-spec that a case proves.
package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// change is a change of the default config.
type change = func(*specs.Spec)

// scenario is one container that is run in the foreground and looked at.
type scenario struct {
	name string
	// rows are the rows of the checklist that this proves.
	rows string
	// change makes the config out of the default one, in this order.
	change []change
	// prep changes the bundle's files before the run; put helps.
	prep func(t *testing.T, bundle string)
	// flags are those of run.
	flags []string
	// code is the exit status that is right.
	code int
	// out is what the container prints, exactly but for white space at the ends;
	// not looked at when empty.
	out string
	// match are regular expressions that must fit the output, reject such as must
	// not. "^" and "$" are ends of lines.
	match, reject []string
	// err is a regular expression that must fit what the runtime says on standard
	// error; empty wants no word there, unless talks is set.
	err   string
	talks bool
	// after looks at the bundle when the container has gone.
	after func(t *testing.T, bundle string)
	// old is why runc 1.1.5 can not pass; empty when it can.
	old string
}

// one runs a single scenario.
func one(t *testing.T, s scenario) {
	t.Helper()
	t.Run(s.name, s.run)
}

func runAll(t *testing.T, table []scenario) {
	t.Helper()
	for i := range table {
		t.Run(table[i].name, table[i].run)
	}
}

// skipOld skips what the runtime under test, not Berth, is known not to do.
func skipOld(t *testing.T, why string) {
	t.Helper()
	if why != "" && !harness.Berth() {
		t.Skip("runc 1.1.5: " + why)
	}
}

func (s *scenario) run(t *testing.T) {
	skipOld(t, s.old)
	h := harness.New(t)
	id := harness.ID(t)
	t.Cleanup(func() { h.NothingLeft(id) })
	bundle := harness.Bundle(t, s.change...)
	if s.prep != nil {
		s.prep(t, bundle)
	}
	args := append([]string{"run", "--bundle", bundle}, s.flags...)
	s.check(t, h.Do(append(args, id)...))
	if s.after != nil {
		s.after(t, bundle)
	}
}

func (s *scenario) check(t *testing.T, res harness.Result) {
	t.Helper()
	if res.Code != s.code {
		t.Errorf("exit status %d, want %d", res.Code, s.code)
	}
	if s.out != "" && strings.TrimSpace(res.Stdout) != strings.TrimSpace(s.out) {
		t.Errorf("output is not\n%s", s.out)
	}
	for _, m := range s.match {
		if !fits(t, m, res.Stdout) {
			t.Errorf("output does not fit %q", m)
		}
	}
	for _, m := range s.reject {
		if fits(t, m, res.Stdout) {
			t.Errorf("output fits %q", m)
		}
	}
	switch {
	case s.err != "" && !fits(t, s.err, unquote(res.Stderr)):
		t.Errorf("error does not fit %q", s.err)
	case s.err == "" && !s.talks && res.Stderr != "" && harness.Berth():
		t.Error("something was said on standard error")
	}
	if s.err != "" && s.code == 1 && harness.Berth() && strings.Count(res.Stderr, "level=error")+strings.Count(res.Stderr, "level=fatal") > 1 {
		t.Error("there are several errors: engines show the last one only")
	}
	if t.Failed() {
		t.Logf("exit status %d\nstdout:\n%s\nstderr:\n%s", res.Code, res.Stdout, res.Stderr)
	}
}

// unquote takes the quoting of a text log away.
func unquote(s string) string { return strings.ReplaceAll(s, `\"`, `"`) }

func fits(t *testing.T, re, text string) bool {
	t.Helper()
	r, err := regexp.Compile("(?m)" + re)
	if err != nil {
		t.Fatal(err)
	}
	return r.MatchString(text)
}

// on puts changes in a list, for tables.
func on(c ...change) []change { return c }

// put writes a file of a bundle's rootfs with that mode. What is there goes
// first: the files of all bundles are hard links of the same image.
func put(t *testing.T, bundle, name, content string, mode os.FileMode) {
	t.Helper()
	p := filepath.Join(bundle, "rootfs", name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(p)
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
}

// files is a prep that puts files: name, content, name, content.
func files(list ...string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		t.Helper()
		for i := 0; i < len(list); i += 2 {
			put(t, bundle, list[i], list[i+1], 0o755)
		}
	}
}

// mkdirs is a prep that makes directories of the rootfs.
func mkdirs(list ...string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		t.Helper()
		for _, d := range list {
			if err := os.MkdirAll(filepath.Join(bundle, "rootfs", d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// symlink is a prep that makes a symbolic link in the rootfs.
func symlink(target, name string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		t.Helper()
		p := filepath.Join(bundle, "rootfs", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(p)
		if err := os.Symlink(target, p); err != nil {
			t.Fatal(err)
		}
	}
}

// preps puts several in one.
func preps(list ...func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		t.Helper()
		for _, f := range list {
			f(t, bundle)
		}
	}
}

// patience is how long a test waits for what must come; it is long because the
// machine may be busy, and costs nothing when all is well.
const patience = 20 * time.Second

// await waits for a condition.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// awaitFile waits until a file of the rootfs is there with a line in it.
func awaitFile(t testing.TB, bundle, name string) string {
	t.Helper()
	var text string
	p := filepath.Join(bundle, "rootfs", name)
	await(t, name+" of the container", func() bool {
		b, err := os.ReadFile(p)
		text = string(b)
		return err == nil && strings.HasSuffix(text, "\n")
	})
	return strings.TrimSpace(text)
}

// container is one that a test leads through its life.
type container struct {
	*harness.Host
	t      *testing.T
	id     string
	bundle string
}

// newContainer makes host, bundle and id; nothing is run.
func newContainer(t *testing.T, c ...change) *container {
	t.Helper()
	h := harness.New(t)
	id := harness.ID(t)
	t.Cleanup(func() {
		if res := h.Do("delete", "--force", id); res.Code != 0 {
			t.Errorf("delete --force: %s", res.Stderr)
		}
		h.NothingLeft(id)
	})
	return &container{Host: h, t: t, id: id, bundle: harness.Bundle(t, c...)}
}

// create creates it, with more flags.
func (c *container) create(flags ...string) {
	c.t.Helper()
	c.Must(append(append([]string{"create", "--bundle", c.bundle}, flags...), c.id)...)
}

// detached runs it in the background.
func (c *container) detached(flags ...string) {
	c.t.Helper()
	c.Must(append(append([]string{"run", "--detach", "--bundle", c.bundle}, flags...), c.id)...)
}

func (c *container) status() string {
	c.t.Helper()
	return string(c.State(c.id).Status)
}

func (c *container) awaitStatus(want string) {
	c.t.Helper()
	await(c.t, "status "+want, func() bool { return c.status() == want })
}

// fails runs a command that must fail with words that fit.
func (c *container) fails(re string, args ...string) {
	c.t.Helper()
	res := c.Do(args...)
	if res.Code == 0 || !fits(c.t, re, unquote(res.Stderr)) {
		c.t.Errorf("%s: exit status %d, want failure that fits %q\n%s", strings.Join(args, " "), res.Code, re, res.Stderr)
	}
}
