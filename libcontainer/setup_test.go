package libcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

// bundle makes a bundle and loads it.
func bundle(t *testing.T, config string) (*Bundle, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("rootfs", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return (&Runtime{}).LoadBundle(&CreateOptions{Bundle: dir})
}

const minimal = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["/x"],"cwd":"/"}`

func TestLoadBundle(t *testing.T) {
	b, err := bundle(t, minimal+"}")
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(b.Rootfs) != "rootfs" || !filepath.IsAbs(b.Rootfs) || len(b.Raw) == 0 {
		t.Errorf("%+v", b)
	}
	for name, c := range map[string]struct{ config, want string }{
		"no config":   {"", "config.json not found"},
		"no rootfs":   {strings.Replace(minimal, `"rootfs"`, `"nowhere"`, 1) + "}", "invalid rootfs"},
		"a file":      {strings.Replace(minimal, `"rootfs"`, `"config.json"`, 1) + "}", "invalid rootfs"},
		"a symlink":   {strings.Replace(minimal, `"rootfs"`, `"link"`, 1) + "}", "invalid rootfs: not an absolute path, or a symlink"},
		"mountLabel":  {minimal + `,"linux":{"mountLabel":"x"}}`, "linux.mountLabel is not supported"},
		"all at once": {minimal + `,"hostname":"x","linux":{"maskedPaths":["relative"]}}`, "UTS namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bundle(t, c.config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	_, err = bundle(t, minimal+`,"hostname":"x","linux":{"maskedPaths":["relative"]}}`)
	var l fault.List
	if !errors.As(err, &l) || len(l) < 2 {
		t.Errorf("validation must say all at once: %v", err)
	}
}

// TestCgroupsOfUsers: an ordinary user's container stays in his own cgroup unless
// it asks for limits or a path.
func TestCgroupsOfUsers(t *testing.T) {
	// Who may make namespaces, and is not root.
	f := &host.Facts{EUID: 1000, Permitted: 1 << unix.CAP_SYS_ADMIN, PageSize: 4096, CgroupNS: true, Cgroup: host.Cgroup{
		Mode:        host.Hybrid,
		Hierarchies: []host.Hierarchy{{Controllers: []string{"pids"}, Mount: "/sys/fs/cgroup/pids", Own: "/user"}},
	}}
	for _, c := range []struct {
		name, config, rootless string
		managed                bool
	}{
		{name: "no limits", config: minimal + "}"},
		{name: "device rules are no limits", config: minimal + `,"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}]}}}`},
		{name: "limits", config: minimal + `,"linux":{"resources":{"pids":{"limit":5}}}}`, managed: true},
		{name: "a path", config: minimal + `,"linux":{"cgroupsPath":"/user/x"}}`, managed: true},
		{name: "told that he is root", config: minimal + "}", rootless: "false", managed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := bundle(t, c.config)
			if err != nil {
				t.Fatal(err)
			}
			p, err := (&Runtime{Rootless: c.rootless}).setup("x", b, f, &CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if (p.Cgroups != nil) != c.managed {
				t.Errorf("has cgroups: %v, want %v", p.Cgroups != nil, c.managed)
			}
		})
	}
	b, err := bundle(t, minimal+"}")
	if err != nil {
		t.Fatal(err)
	}
	f.Permitted = 0
	if _, err := (&Runtime{}).setup("x", b, f, &CreateOptions{}); err == nil || !strings.Contains(err.Error(), "rootless container requires user namespaces") {
		t.Errorf("who may not: %v", err)
	}
}

func TestMapText(t *testing.T) {
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65535}}
	if got, want := mapText(m), "0 1000 1\n1 100000 65535\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if ownID(m, 1000) {
		t.Error("two lines need a helper")
	}
	if !ownID(m[:1], 1000) || ownID(m[:1], 1001) {
		t.Error("a user's own id needs no helper, another's does")
	}
}

func TestCheckStdio(t *testing.T) {
	tty := &Bundle{Spec: &specs.Spec{Process: &specs.Process{Terminal: true}}}
	plain := &Bundle{Spec: &specs.Spec{Process: &specs.Process{}}}
	for name, c := range map[string]struct {
		b        *Bundle
		socket   string
		detached bool
		fds      int
		want     string
	}{
		"terminal, detached, no socket": {tty, "", true, 0, "cannot allocate tty if berth will detach without setting console socket"},
		"socket without terminal":       {plain, "/s", true, 0, "cannot use console socket"},
		"terminal with socket":          {tty, "/s", true, 0, ""},
		"terminal in the foreground":    {tty, "", false, 0, ""},
		"no such descriptor":            {plain, "", true, 500, "unable to stat preserved-fd"},
	} {
		err := checkStdio(c.b, &CreateOptions{ConsoleSocket: c.socket, PreserveFDs: c.fds, Foreground: !c.detached})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
