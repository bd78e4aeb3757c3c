package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/tests/vm/guest"
)

// guests are booted once for all tests of this package.
var (
	guests = map[guest.Cgroups]*guest.Guest{}
	mu     sync.Mutex
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, g := range guests {
		if err := g.Stop(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// boot returns a guest with these cgroups.
func boot(t *testing.T, c guest.Cgroups) *guest.Guest {
	t.Helper()
	if why := guest.Missing(); why != "" {
		t.Skip(why)
	}
	mu.Lock()
	defer mu.Unlock()
	if guests[c] != nil {
		return guests[c]
	}
	tree := moduleTop(t)
	began := time.Now()
	if _, err := guest.Build(os.Stderr); err != nil {
		t.Fatal(err)
	}
	built := time.Now()
	g, err := guest.Start(guest.Options{Cgroups: c, ReadOnly: []string{tree}, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	guests[c] = g
	out, _, _ := run(t, g, guest.Command{Args: []string{"true"}})
	t.Logf("image %v, boot to command %v %s", built.Sub(began).Round(time.Millisecond), time.Since(built).Round(time.Millisecond), out)
	return g
}

func run(t *testing.T, g *guest.Guest, c guest.Command) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	code, err := g.Run(ctx, c)
	if err != nil {
		t.Fatalf("%q: %v", c.Args, err)
	}
	return strings.TrimSpace(out.String()), strings.TrimSpace(errs.String()), code
}

// shell runs a script, which must succeed, and returns what it prints.
func shell(t *testing.T, g *guest.Guest, user bool, script string) string {
	t.Helper()
	out, errs, code := run(t, g, guest.Command{Args: []string{"sh", "-ec", script}, User: user})
	if code != 0 || errs != "" {
		t.Fatalf("%s: exit code %d, %q, %q", script, code, out, errs)
	}
	return out
}

func TestPureV2(t *testing.T) {
	g := boot(t, guest.V2)
	if got := shell(t, g, false, "stat -fc %T /sys/fs/cgroup"); got != "cgroup2fs" {
		t.Errorf("/sys/fs/cgroup is %s", got)
	}
	if got := shell(t, g, false, "grep -c cgroup /proc/self/mounts; cat /proc/self/cgroup | wc -l"); got != "1\n1" {
		t.Errorf("mounts and cgroups: %q", got)
	}
	for _, controller := range []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"} {
		if all := strings.Fields(shell(t, g, false, "cat /sys/fs/cgroup/cgroup.controllers")); !slices.Contains(all, controller) {
			t.Errorf("no %s among %v", controller, all)
		}
	}
}

func TestSystemd(t *testing.T) {
	g := boot(t, guest.V2)
	if got := shell(t, g, false, "cat /proc/1/comm"); got != "systemd" {
		t.Errorf("process 1 is %s", got)
	}
	if got, _, _ := run(t, g, guest.Command{Args: []string{"systemctl", "is-system-running", "--wait"}}); got != "running" {
		t.Errorf("the system is %s: %s", got, shell(t, g, false, "systemctl --failed --no-legend"))
	}
	if got := shell(t, g, false, "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer Ping && echo pong"); got != "pong" {
		t.Errorf("systemd's answer over D-Bus: %s", got)
	}
	// A command's own cgroup is delegated: it may make others in it.
	shell(t, g, false, `c=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
		mkdir $c/leaf; echo 0 >$c/leaf/cgroup.procs; echo +memory +pids >$c/cgroup.subtree_control
		mkdir $c/other; echo 10 >$c/other/pids.max`)
}

func TestAppArmor(t *testing.T) {
	g := boot(t, guest.V2)
	if got := shell(t, g, false, "cat /sys/module/apparmor/parameters/enabled; cat /proc/self/attr/apparmor/current"); got != "Y\nunconfined" {
		t.Errorf("AppArmor: %q", got)
	}
	// A profile can be loaded and confines.
	got := shell(t, g, false, `printf 'profile berth-vm-test { file, deny /etc/hostname r, }' | apparmor_parser -r -K
		aa-exec -p berth-vm-test -- cat /etc/passwd /etc/hostname 2>&1 | tail -n 1 || true
		printf 'profile berth-vm-test { }' | apparmor_parser -R`)
	if !strings.Contains(got, "Permission denied") {
		t.Errorf("a profile that denies a file: %q", got)
	}
}

func TestUserSession(t *testing.T) {
	g := boot(t, guest.V2)
	if got := shell(t, g, true, "id -u; systemctl --user is-system-running --wait"); got != "1000\nrunning" {
		t.Errorf("user and session: %q", got)
	}
	got := shell(t, g, true, `echo $XDG_RUNTIME_DIR $DBUS_SESSION_BUS_ADDRESS
		cat /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers
		grep -o 'user@1000.service/.*berth.*scope' /proc/self/cgroup | wc -l
		c=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); mkdir $c/leaf && echo made
		unshare --user --map-auto --map-root-user id -u`)
	want := "/run/user/1000 unix:path=/run/user/1000/bus\ncpuset cpu io memory pids\n1\nmade\n0"
	if got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestResults(t *testing.T) {
	g := boot(t, guest.V2)
	out, errs, code := run(t, g, guest.Command{Args: []string{"sh", "-c", "echo out; echo err >&2; exit 7"}})
	if out != "out" || errs != "err" || code != 7 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if _, _, code := run(t, g, guest.Command{Args: []string{"sh", "-c", "kill -KILL $$"}}); code != 128+9 {
		t.Errorf("killed: %d", code)
	}
	if out, _, _ := run(t, g, guest.Command{Args: []string{"sh", "-c", "pwd; echo $X"}, Dir: "/usr", Env: []string{"X=a b"}}); out != "/usr\na b" {
		t.Errorf("directory and environment: %q", out)
	}
	if out, _, _ := run(t, g, guest.Command{Args: []string{"wc", "-c"}, Stdin: strings.NewReader(strings.Repeat("x", 100000))}); out != "100000" {
		t.Errorf("stdin: %q", out)
	}
	if out, _, _ := run(t, g, guest.Command{Args: []string{"sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"}}); len(out) != 3000000 {
		t.Errorf("long output: %d bytes", len(out))
	}
	if out, _, _ := run(t, g, guest.Command{Args: []string{"sh", "-c", "test -t 0 && stty size"}, TTY: true, Stdin: strings.NewReader(""), Size: terminalSize(-1)}); out != "24 80" {
		t.Errorf("terminal: %q", out)
	}
}

// TestShares looks at the source tree, which the guest must not change, and at the
// scratch directory, by which both give each other files.
func TestShares(t *testing.T) {
	g := boot(t, guest.V2)
	tree := moduleTop(t)
	want, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if got := shell(t, g, true, "cat "+tree+"/go.mod"); got != strings.TrimSpace(string(want)) {
		t.Errorf("go.mod there: %q", got)
	}
	if _, errs, code := run(t, g, guest.Command{Args: []string{"touch", tree + "/new"}}); code == 0 {
		t.Errorf("the tree can be changed: %s", errs)
	}
	file := filepath.Join(g.Scratch(), "file")
	for _, text := range []string{"one", "another"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := shell(t, g, false, "cat "+file+"; echo back >"+file); got != text {
			t.Errorf("the host wrote %q, the guest reads %q", text, got)
		}
		if got, _ := os.ReadFile(file); string(got) != "back\n" {
			t.Errorf("the guest wrote back, the host reads %q", got)
		}
	}
}

// arrivals notes when what was written.
type arrivals struct {
	mu sync.Mutex
	at []time.Time
}

func (a *arrivals) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
	return len(p), nil
}

func TestOutputComesAtOnce(t *testing.T) {
	g := boot(t, guest.V2)
	var a arrivals
	_, err := g.Run(t.Context(), guest.Command{Args: []string{"sh", "-c", "echo one; sleep 2; echo two"}, Stdout: &a, Stderr: &a})
	if err != nil || len(a.at) != 2 || a.at[1].Sub(a.at[0]) < time.Second {
		t.Errorf("%v, output at %v", err, a.at)
	}
}

// TestInterrupted has commands killed whose client goes away, and the next one not
// see what they had still to say.
func TestInterrupted(t *testing.T) {
	g := boot(t, guest.V2)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		var out bytes.Buffer
		_, err := g.Run(ctx, guest.Command{
			Args:   []string{"sh", "-c", "while :; do echo noise; echo more >&2; done & exec sleep 1234"},
			Stdout: &out, Stderr: &out,
		})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(out.String(), "noise") {
			t.Fatalf("%v, %d bytes of output", err, out.Len())
		}
		if got := shell(t, g, false, "echo quiet"); got != "quiet" {
			t.Fatalf("the next command's output: %.100q", got)
		}
	}
	if got, _, _ := run(t, g, guest.Command{Args: []string{"pgrep", "-x", "sleep"}}); got != "" {
		t.Errorf("still runs: %s", got)
	}
}

func TestV1(t *testing.T) {
	for _, c := range []guest.Cgroups{guest.V1, guest.Hybrid} {
		t.Run(string(c), func(t *testing.T) {
			g := boot(t, c)
			if got := shell(t, g, false, "stat -fc %T /sys/fs/cgroup; cat /proc/1/comm"); got != "tmpfs\nsystemd" {
				t.Errorf("%q", got)
			}
			mounts := shell(t, g, false, "ls /sys/fs/cgroup")
			for _, name := range []string{"systemd", "memory", "cpuset", "devices", "pids", "blkio"} {
				if !slices.Contains(strings.Fields(mounts), name) {
					t.Errorf("no %s among %q", name, mounts)
				}
			}
			if got := slices.Contains(strings.Fields(mounts), "unified"); got != (c == guest.Hybrid) {
				t.Errorf("a v2 hierarchy: %v", got)
			}
		})
	}
}
