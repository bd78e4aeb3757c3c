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

// loadProfile loads a profile that lets everything be done but to read /etc/secret, and
// takes it away again.
func loadProfile(t *testing.T) string {
	t.Helper()
	if b, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); strings.TrimSpace(string(b)) != "Y" {
		t.Skip("needs a kernel with AppArmor in force")
	}
	parser := harness.Need(t, "apparmor_parser", "apparmor")
	name := strings.ReplaceAll(harness.ID(t), "-", "_")
	text := "profile " + name + " flags=(attach_disconnected,mediate_deleted) {\n" +
		"  file,\n  capability,\n  network,\n  signal,\n  mount,\n  umount,\n  deny /etc/secret rwk,\n}\n"
	file := filepath.Join(t.TempDir(), "profile")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(parser, "--replace", "--skip-cache", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command(parser, "--remove", file).Run() })
	return name
}

// rows: PRO-20 SEC-1
func TestAppArmor(t *testing.T) {
	name := loadProfile(t)
	confined := func(s *specs.Spec) { s.Process.ApparmorProfile = name }
	secret := func(t *testing.T, bundle string) {
		put(t, bundle, "/etc/secret", "nobody may read this\n", 0o644)
	}
	runAll(t, []scenario{
		{name: "confined", change: on(confined, harness.Shell("cat /proc/self/attr/current; cat /etc/secret 2>&1")), prep: secret, code: 1, match: []string{"^" + name + " \\(enforce\\)$", "Permission denied"}},
		{name: "a user's process", change: on(confined, processUser(1000), harness.Shell("cat /proc/self/attr/current; cat /etc/secret 2>&1")), prep: secret, code: 1, match: []string{"^" + name, "Permission denied"}},
		{name: "no new privileges", change: on(confined, newPrivileges(true), harness.Shell("cat /proc/self/attr/current; cat /etc/secret 2>&1")), prep: secret, code: 1, match: []string{"^" + name, "Permission denied"}},
		{name: "user namespace", change: on(confined, harness.UserNamespace, harness.Shell("cat /proc/self/attr/current")), match: []string{"^" + name}},
		{name: "none", change: on(harness.Shell("cat /proc/self/attr/current")), match: []string{"^unconfined$"}},
		{name: "one that is not loaded", change: on(func(s *specs.Spec) { s.Process.ApparmorProfile = "bt_nobody" }), code: 1, err: "apparmor|AppArmor"},
	})
	t.Run("exec", func(t *testing.T) {
		c := running(t, confined)
		if out := c.says(nil, "cat /proc/self/attr/current"); !strings.HasPrefix(out, name) {
			t.Errorf("exec is %q", out)
		}
		if out := c.says([]string{"--apparmor", "unconfined"}, "cat /proc/self/attr/current"); !strings.HasPrefix(out, "unconfined") {
			t.Errorf("exec --apparmor unconfined is %q", out)
		}
	})
}
