package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// asOrdinaryUser runs commands of Berth as the ordinary user who runs the test, in a
// session of systemd's.
func asOrdinaryUser(t *testing.T, global ...string) func(args ...string) harness.Result {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user in a session of systemd's")
	}
	if os.Getenv("XDG_RUNTIME_DIR") == "" {
		t.Fatal("XDG_RUNTIME_DIR is not set")
	}
	binary := os.Getenv("BERTH")
	if binary == "" {
		t.Fatal("BERTH has to name the binary")
	}
	root := t.TempDir()
	return func(args ...string) harness.Result {
		t.Helper()
		cmd := exec.Command(binary, append(append([]string{"--root", root}, global...), args...)...)
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		_ = cmd.Run()
		text, _ := os.ReadFile(out.Name())
		return harness.Result{Stdout: string(text), Code: cmd.ProcessState.ExitCode()}
	}
}

// userBundle is a bundle of the machine's own programs, for a user without root.
func userBundle(t *testing.T, do func(args ...string) harness.Result, changes ...change) string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "bundle")
	if res := do("bundle", "create", bundle, "sh", "sleep", "cat"); res.Code != 0 {
		t.Fatal(res.Stdout)
	}
	spec := harness.ReadConfig(t, bundle)
	spec.Process.Terminal = false
	harness.Args("sleep", "1000")(spec)
	for _, c := range changes {
		c(spec)
	}
	harness.WriteConfig(t, bundle, spec)
	return bundle
}

// An ordinary user has limits by his own systemd, from inside its cgroups and from
// outside, where a child may not be born into them.
func TestOrdinaryUsersScope(t *testing.T) {
	do := asOrdinaryUser(t, "--systemd-cgroup")
	bundle := userBundle(t, do, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(17))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}}
	})
	id := "bt-user-" + strconv.Itoa(os.Getpid())
	must := func(args ...string) string {
		t.Helper()
		res := do(args...)
		if res.Code != 0 {
			t.Fatalf("%q: %d %s", args, res.Code, res.Stdout)
		}
		return res.Stdout
	}
	must("run", "--detach", "--bundle", bundle, id)
	defer must("delete", "--force", id)
	dir := ""
	for _, pid := range strings.Fields(strings.Trim(must("ps", "--format", "json", id), "[]\n")) {
		n, _ := strconv.Atoi(pid)
		dir = harness.CgroupsOf(t, n)[""]
	}
	if uid := strconv.Itoa(os.Geteuid()); !strings.HasSuffix(dir, "/user-"+uid+".slice/user@"+uid+".service/user.slice/berth-"+id+".scope") {
		t.Errorf("it is in %q", dir)
	}
	look := func(file, want string) {
		t.Helper()
		if got := harness.ReadFile(t, filepath.Join(dir, file)); got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	look("pids.max", "17")
	look("memory.max", "67108864")
	if out := must("exec", id, "cat", "/proc/self/cgroup"); out != "0::/\n" {
		t.Errorf("exec is in %s", out)
	}
	must("update", "--pids-limit", "23", id)
	look("pids.max", "23")
	must("pause", id)
	look("cgroup.freeze", "1")
	must("resume", id)
	must("kill", id, "KILL")
}

// Controllers that nobody delegated are named, with how to get them.
func TestOrdinaryUsersMissingController(t *testing.T) {
	do := asOrdinaryUser(t, "--cgroup-manager", "cgroupfs")
	bundle := userBundle(t, do, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 0}}}
	})
	res := do("create", "--bundle", bundle, "bt-user-hugetlb")
	if res.Code == 0 || !strings.Contains(res.Stdout, "hugetlb") || !strings.Contains(res.Stdout, "delegated") && !strings.Contains(res.Stdout, "does not have it") {
		t.Errorf("%d %s", res.Code, res.Stdout)
	}
}

// A config for root is refused, and the way out that is named is one.
func TestOrdinaryUsersHint(t *testing.T) {
	do := asOrdinaryUser(t)
	bundle := userBundle(t, do, harness.WithoutNamespace(specs.UserNamespace), func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil })
	res := do("run", "--bundle", bundle, "bt-user-hint")
	if res.Code == 0 || !strings.Contains(res.Stdout, "rootless container requires user namespaces") || !strings.Contains(res.Stdout, "berth spec --rootless") {
		t.Fatalf("%d %s", res.Code, res.Stdout)
	}
	if res := do("explain", "--bundle", bundle); res.Code != 0 {
		t.Errorf("explain: %d %s", res.Code, res.Stdout)
	}
	if err := os.Remove(filepath.Join(bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
	if res := do("spec", "--rootless", "--bundle", bundle); res.Code != 0 {
		t.Fatalf("%d %s", res.Code, res.Stdout)
	}
	spec := harness.ReadConfig(t, bundle)
	spec.Process.Terminal = false
	harness.Args("sh", "-c", "echo it works")(spec)
	harness.WriteConfig(t, bundle, spec)
	if res := do("run", "--bundle", bundle, "bt-user-hint"); res.Code != 0 || !strings.Contains(res.Stdout, "it works") {
		t.Errorf("%d %s", res.Code, res.Stdout)
	}
}
