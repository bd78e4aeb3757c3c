package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/seccomp"
	"berth/tests/harness"
)

// recorded runs a bundle under the recorder, and gives the exit status, what the container
// said and the profile.
func (c *container) recorded(flags ...string) (harness.Result, *specs.LinuxSeccomp) {
	c.t.Helper()
	out := filepath.Join(c.t.TempDir(), "profile.json")
	res := c.Do(append(append([]string{"seccomp", "record", "--output", out, "--bundle", c.bundle}, flags...), c.id)...)
	text, err := os.ReadFile(out)
	if err != nil {
		c.t.Fatalf("no profile: %v\n%s", err, res.Stderr)
	}
	s := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(text, s); err != nil {
		c.t.Fatal(err)
	}
	return res, s
}

// names are the calls of a profile with an action.
func names(s *specs.LinuxSeccomp, action specs.LinuxSeccompAction) []string {
	var all []string
	for _, e := range s.Syscalls {
		if e.Action == action {
			all = append(all, e.Names...)
		}
	}
	return all
}

func skipRecord(t *testing.T) {
	t.Helper()
	if !harness.Berth() {
		t.Skip("a command of Berth's own")
	}
}

// TestRecord: what was recorded passes under the profile, to the letter, and another call
// does not.
func TestRecord(t *testing.T) {
	skipRecord(t)
	const script = `mkdir /tmp/x && cd /tmp/x && for i in 1 2 3; do echo $i > $i; done; ls | sort -r | tr -d '\n'; (sleep 0.01; exit 3) & wait $!; echo " $?"; exit 7`
	tmp := func(s *specs.Spec) { s.Mounts = append(s.Mounts, tmpfs("/tmp", "mode=1777")) }
	for name, more := range map[string][]change{
		"root":           nil,
		"user":           {processUser(1000)},
		"new privileges": {newPrivileges(false)},
		"user namespace": {harness.UserNamespace, newPrivileges(false)},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(script string, s *specs.LinuxSeccomp) harness.Result {
				c := newContainer(t, append(more, tmp, harness.Shell(script), func(spec *specs.Spec) { spec.Linux.Seccomp = s })...)
				return c.Do("run", "--bundle", c.bundle, c.id)
			}
			c := newContainer(t, append(more, tmp, harness.Shell(script))...)
			res, s := c.recorded()
			want := run(script, nil)
			if res.Code != 7 || res.Stdout != "321 3\n" || res.Stdout != want.Stdout || want.Code != 7 {
				t.Fatalf("recorded: %d %q %s, want %d %q", res.Code, res.Stdout, res.Stderr, want.Code, want.Stdout)
			}
			if res := run(script, s); res.Code != 7 || res.Stdout != want.Stdout || res.Stderr != "" {
				t.Errorf("under the profile: %d %q %s\n%q", res.Code, res.Stdout, res.Stderr, names(s, specs.ActAllow))
			}
			if res := run("ln -s a /tmp/b", s); res.Code == 0 || !strings.Contains(res.Stderr, "not permitted") {
				t.Errorf("a call that was not recorded: %d %s", res.Code, res.Stderr)
			}
			allowed := names(s, specs.ActAllow)
			for _, not := range []string{"mount", "symlink", "setresuid", "sendmsg", "recvmsg", "capset", "seccomp"} {
				if slices.Contains(allowed, not) {
					t.Errorf("%s was not made by the process", not)
				}
			}
			if !slices.IsSorted(s.Syscalls[0].Names) || len(s.Architectures) != 1 || s.DefaultAction != specs.ActErrno {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestRecordAgain: the same calls, the same profile; and a profile that is merged with one
// which has all that is needed stays as it is.
func TestRecordAgain(t *testing.T) {
	skipRecord(t)
	one := newContainer(t, harness.Shell("ls /; cat /etc/passwd"))
	_, first := one.recorded()
	_, second := one.recorded()
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) {
		t.Errorf("%s\n%s", a, b)
	}
	file := filepath.Join(t.TempDir(), "first.json")
	if err := os.WriteFile(file, a, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, merged := one.recorded("--merge", file); merged != nil {
		if c, _ := json.Marshal(merged); string(c) != string(a) {
			t.Errorf("merged with itself: %s\n%s", a, c)
		}
	}
	// More is added.
	two := newContainer(t, harness.Shell("mkdir /x; ls /"))
	_, more := two.recorded("--merge", file)
	had := names(first, specs.ActAllow)
	added := slices.DeleteFunc(names(more, specs.ActAllow), func(name string) bool { return slices.Contains(had, name) })
	if !slices.Equal(added, []string{"mkdir"}) {
		t.Errorf("added: %q", added)
	}
}

// TestRecordMerged: a default profile that refuses what the process needs gets that, and
// nothing else changes.
func TestRecordMerged(t *testing.T) {
	skipRecord(t)
	const moby = "../../libcontainer/seccomp/testdata/moby.json"
	c := newContainer(t, withCalls(t), harness.Args("/calls", "keyctl,"+callNumber(t, "keyctl")+",999", "clone3,"+callNumber(t, "clone3"), "unshare,"+callNumber(t, "unshare")+",0"))
	res, s := c.recorded("--merge", moby)
	// Go's threads come by clone; clone3 has ENOSYS, as in the profile.
	if res.Code != 0 || res.Stdout != "keyctl ENOTSUP\nclone3 ENOSYS\nunshare done\n" {
		t.Fatalf("%d %s%s", res.Code, res.Stdout, res.Stderr)
	}
	last := s.Syscalls[len(s.Syscalls)-1]
	if !slices.Equal(last.Names, []string{"keyctl", "unshare"}) || last.Action != specs.ActAllow || len(last.Args) != 0 {
		t.Errorf("added: %+v", last)
	}
	base := &specs.Spec{Linux: &specs.Linux{}}
	underProfile(t, "moby")(base)
	s.Syscalls = s.Syscalls[:len(s.Syscalls)-1]
	a, _ := json.Marshal(base.Linux.Seccomp)
	b, _ := json.Marshal(s)
	if string(a) != string(b) {
		t.Errorf("the profile has changed:\n%s\n%s", a, b)
	}
}

func callNumber(t *testing.T, name string) string {
	t.Helper()
	nr, ok := seccomp.Native().Number(name)
	if !ok {
		t.Skip("there is no " + name)
	}
	return strconv.FormatUint(uint64(nr), 10)
}

// TestRecordNamespaces: clone is allowed with flags for namespaces only if they were used.
func TestRecordNamespaces(t *testing.T) {
	skipRecord(t)
	masked := func(args ...string) bool {
		c := newContainer(t, withCalls(t), harness.Args(append([]string{"/calls"}, args...)...))
		_, s := c.recorded()
		i := slices.IndexFunc(s.Syscalls, func(e specs.LinuxSyscall) bool { return slices.Contains(e.Names, "clone") })
		if i < 0 {
			t.Fatalf("%+v", s)
		}
		return len(s.Syscalls[i].Args) == 1
	}
	if !masked() {
		t.Error("threads alone are no reason to allow namespaces")
	}
	if flags := strconv.Itoa(unix.CLONE_NEWUSER | unix.CLONE_FS); masked("clone," + callNumber(t, "clone") + "," + flags) {
		t.Error("a namespace was asked for, and is not allowed")
	}
}

// TestRecordExec: what is executed in the container is recorded, and how it ends.
func TestRecordExec(t *testing.T) {
	skipRecord(t)
	c := newContainer(t, harness.Shell("while :; do sleep 0.1; done"))
	out := filepath.Join(t.TempDir(), "p.json")
	done := make(chan harness.Result, 1)
	go func() { done <- c.Do("seccomp", "record", "-o", out, "-b", c.bundle, c.id) }()
	await(t, "the container", func() bool { return strings.Contains(c.Do("state", c.id).Stdout, `"running"`) })
	c.says(nil, "ln -s a /link; kill -0 1")
	c.Must("kill", c.id, "KILL")
	select {
	case res := <-done:
		if res.Code != 128+9 {
			t.Errorf("exit status %d: %s", res.Code, res.Stderr)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the recording does not end")
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"symlink", "kill"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not recorded: %s", want, text)
		}
	}
}

// TestRecordErrors: nothing is run in vain, and nothing is left.
func TestRecordErrors(t *testing.T) {
	skipRecord(t)
	dir, tmp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c := newContainer(t, harness.Shell("echo ran; touch /ran"))
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_NO"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, flags := range map[string][]string{
		"no such file":                        {"--output", dir + "/nowhere/p.json"},
		`syscalls\[0\]\.action`:               {"--output", dir + "/p.json", "--merge", bad},
		"nope.json":                           {"--output", dir + "/p.json", "--merge", dir + "/nope.json"},
		"has no profile to merge with":        {"--output", dir + "/p.json", "--merge", c.bundle},
		"config.json.*no such file|not found": {"--output", dir + "/p.json", "--bundle", dir},
	} {
		c.fails(want, append(append([]string{"seccomp", "record", "--bundle", c.bundle}, flags...), c.id)...)
	}
	// A command that can not be executed leaves no profile.
	spec := harness.Default()
	spec.Process.Args = []string{"/bin/nothing"}
	harness.WriteConfig(t, c.bundle, spec)
	c.fails("nothing", "seccomp", "record", "--bundle", c.bundle, "--output", dir+"/p.json", c.id)
	c.NothingLeft(c.id)
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	if _, err := os.Stat(filepath.Join(c.bundle, "rootfs/ran")); err == nil {
		t.Error("it was run")
	}
	harness.WriteConfig(t, c.bundle, harness.Default())
	if res := c.Do("seccomp", "record", "--bundle", c.bundle, c.id); res.Code != 0 || !strings.Contains(res.Stdout, `"defaultAction"`) {
		t.Errorf("standard output: %d %s%s", res.Code, res.Stdout, res.Stderr)
	}
	// The recorder's socket is not left either.
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}
