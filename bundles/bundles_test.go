package bundles

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/bundles/hostfs"
	"berth/libcontainer/host"
)

func rootFacts() *host.Facts { return &host.Facts{CgroupNS: true} }

func userFacts() *host.Facts { return &host.Facts{EUID: 1000, EGID: 1001, CgroupNS: true} }

func kinds(s *specs.Spec) string {
	var k []string
	for _, n := range s.Linux.Namespaces {
		k = append(k, string(n.Type))
	}
	return strings.Join(k, " ")
}

func TestDefault(t *testing.T) {
	s := Default(Options{Facts: rootFacts()})
	if got := kinds(s); got != "pid network ipc uts mount cgroup" {
		t.Errorf("namespaces %s", got)
	}
	if s.Linux.UIDMappings != nil || s.Linux.GIDMappings != nil {
		t.Error("id mappings without a user namespace")
	}
	p := s.Process
	if !p.NoNewPrivileges || p.Cwd != "/" || p.User.UID != 0 || p.Terminal || !reflect.DeepEqual(p.Args, []string{"sh"}) {
		t.Errorf("process %+v", p)
	}
	if want := []string{"PATH=" + defaultPath, "TERM=xterm", "HOME=/root"}; !reflect.DeepEqual(p.Env, want) {
		t.Errorf("env %q", p.Env)
	}
	if len(p.Capabilities.Bounding) != 14 || p.Capabilities.Inheritable != nil || p.Capabilities.Ambient != nil {
		t.Errorf("capabilities %+v", p.Capabilities)
	}
	if len(s.Mounts) != 7 || s.Root.Readonly || s.Root.Path != "rootfs" || s.Hostname != "berth" {
		t.Errorf("%d mounts, root %+v, hostname %s", len(s.Mounts), s.Root, s.Hostname)
	}
	// Two configurations share nothing that one could spoil for the other.
	p.Capabilities.Bounding[0], s.Linux.MaskedPaths[0] = "spoilt", "spoilt"
	if u := Default(Options{Facts: rootFacts()}); u.Process.Capabilities.Bounding[0] == "spoilt" || u.Process.Capabilities.Effective[0] == "spoilt" ||
		u.Linux.MaskedPaths[0] == "spoilt" {
		t.Error("two configurations share a list")
	}
}

func TestDefaultOptions(t *testing.T) {
	args := []string{"ls", "-l"}
	s := Default(Options{
		Facts: &host.Facts{}, Args: args, Env: []string{"TERM=linux", "A=b=c"}, Terminal: true, Hostname: "box", Term: "screen",
	})
	s.Process.Args[0] = "changed"
	if args[0] != "ls" {
		t.Error("the caller's arguments were changed")
	}
	if want := []string{"PATH=" + defaultPath, "TERM=linux", "HOME=/root", "A=b=c"}; !reflect.DeepEqual(s.Process.Env, want) {
		t.Errorf("env %q", s.Process.Env)
	}
	if strings.Contains(kinds(s), "cgroup") || s.Hostname != "box" || !s.Process.Terminal {
		t.Errorf("namespaces %s, host name %s", kinds(s), s.Hostname)
	}
}

func TestUserNamespace(t *testing.T) {
	for name, c := range map[string]struct {
		opt              Options
		uid, gid, size   uint32
		gid5, anyDevices bool
	}{
		"not root":         {Options{Facts: userFacts()}, 1000, 1001, 1, false, false},
		"root who asks it": {Options{Facts: rootFacts(), UserNamespace: true}, SubIDBase, SubIDBase, SubIDCount, true, true},
	} {
		s := Default(c.opt)
		if got := kinds(s); got != "pid network ipc uts mount cgroup user" {
			t.Errorf("%s: namespaces %s", name, got)
		}
		u, g := []specs.LinuxIDMapping{{HostID: c.uid, Size: c.size}}, []specs.LinuxIDMapping{{HostID: c.gid, Size: c.size}}
		if !reflect.DeepEqual(s.Linux.UIDMappings, u) || !reflect.DeepEqual(s.Linux.GIDMappings, g) {
			t.Errorf("%s: mappings %v %v", name, s.Linux.UIDMappings, s.Linux.GIDMappings)
		}
		for _, m := range s.Mounts {
			if m.Type == "devpts" && slices.Contains(m.Options, "gid=5") != c.gid5 {
				t.Errorf("%s: devpts has %q", name, m.Options)
			}
		}
		if (s.Linux.Resources != nil) != c.anyDevices {
			t.Errorf("%s: resources %+v", name, s.Linux.Resources)
		}
	}
}

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "b")
	rep, err := Create(dir, nil, Options{Facts: rootFacts()})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Find("sh") == nil || rep.Rootfs != filepath.Join(dir, "rootfs") {
		t.Errorf("programs %v in %s", rep.Programs, rep.Rootfs)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := decode(t, text)
	if !reflect.DeepEqual(s, Default(Options{Facts: rootFacts()})) {
		t.Errorf("config.json does not hold the default configuration:\n%s", text)
	}
	if os.Geteuid() == 0 {
		cmd := exec.Command("/bin/sh", "-c", "exit 7")
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: filepath.Join(dir, s.Root.Path)}
		cmd.Dir = "/"
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("sh in it: %v", err)
		}
	}
}

// decode reads a config.json and refuses what the specification does not know.
func decode(t *testing.T, text []byte) *specs.Spec {
	t.Helper()
	s := new(specs.Spec)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateChoosesACommand(t *testing.T) {
	for name, c := range map[string]struct {
		programs, args, want []string
	}{
		"the first program": {[]string{"true", "ls"}, nil, []string{"true"}},
		"a shell":           {[]string{"true", "sh"}, nil, []string{"sh"}},
		"the one asked for": {[]string{"true"}, []string{"ls", "/"}, []string{"ls", "/"}},
	} {
		dir := filepath.Join(t.TempDir(), "b")
		if _, err := Create(dir, c.programs, Options{Facts: rootFacts(), Args: c.args}); err != nil {
			t.Error(err)
			continue
		}
		text, _ := os.ReadFile(filepath.Join(dir, "config.json"))
		if s := decode(t, text); !reflect.DeepEqual(s.Process.Args, c.want) {
			t.Errorf("%s: %q", name, s.Process.Args)
		}
	}
}

func TestCreateLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	full, empty, absent := filepath.Join(parent, "full"), filepath.Join(parent, "empty"), filepath.Join(parent, "absent")
	for _, d := range []string{full, empty} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(full, "config.json"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(full, nil, Options{Facts: rootFacts()}); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("a full directory gives %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(full, "config.json")); string(b) != "mine" {
		t.Error("the config.json that was there is gone")
	}
	for _, d := range []string{empty, absent, ""} {
		if _, err := Create(d, nil, Options{Facts: rootFacts(), Args: []string{"no-such-program"}}); err == nil {
			t.Error("made a bundle without its command")
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := os.Lstat(absent); !os.IsNotExist(err) {
		t.Error("the directory is still there")
	}
	// A rootfs that can't be filled: config.json stands where none can.
	if _, err := Create(filepath.Join(full, "config.json", "x"), nil, Options{Facts: rootFacts()}); err == nil {
		t.Error("made a bundle below a file")
	}
}

func TestEphemeral(t *testing.T) {
	cache := t.TempDir()
	a, err := Ephemeral(cache, Options{Facts: rootFacts(), Args: []string{"ls"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if !a.Spec.Root.Readonly || a.Spec.Root.Path != a.Report.Rootfs || !strings.HasPrefix(a.Spec.Root.Path, cache) {
		t.Errorf("root %+v", a.Spec.Root)
	}
	var tmpfs []string
	for _, m := range a.Spec.Mounts[7:] {
		tmpfs = append(tmpfs, m.Type+" "+m.Destination)
		if _, err := os.Stat(a.Spec.Root.Path + m.Destination); err != nil {
			t.Errorf("no mount point: %v", err)
		}
	}
	if got := strings.Join(tmpfs, ", "); got != "tmpfs /tmp, tmpfs /root, tmpfs /run, tmpfs /var" {
		t.Errorf("scratch: %s", got)
	}
	b, err := Ephemeral(cache, Options{Facts: rootFacts()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Spec.Root.Path != a.Spec.Root.Path {
		t.Error("another command of the default set got another root filesystem")
	}
	if _, err := Ephemeral(cache, Options{Facts: rootFacts(), Args: []string{"no-such-program"}}); err == nil ||
		!strings.Contains(err.Error(), "executable file not found in $PATH") {
		t.Errorf("a command that is not there gives %v", err)
	}
}

// TestEphemeralUnderScratch tries a program from where a tmpfs will be.
func TestEphemeralUnderScratch(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "berth-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/tool", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a, err := Ephemeral(t.TempDir(), Options{Facts: rootFacts(), Args: []string{"tool", "x"}, Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	i := slices.IndexFunc(a.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == dir+"/tool" })
	j := slices.IndexFunc(a.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/tmp" })
	if i < 0 || j < 0 || i < j || a.Spec.Mounts[i].Source != dir+"/tool" {
		t.Errorf("mounts %+v", a.Spec.Mounts[7:])
	}
	if !strings.HasSuffix(a.Spec.Process.Env[0], ":"+dir) {
		t.Errorf("PATH does not lead to the program: %s", a.Spec.Process.Env[0])
	}
}

func TestBelow(t *testing.T) {
	files := func(paths ...string) *hostfs.Report {
		r := new(hostfs.Report)
		for _, p := range paths {
			p, target, _ := strings.Cut(p, " ")
			r.Files = append(r.Files, hostfs.File{Path: p, Target: target})
		}
		return r
	}
	for name, c := range map[string]struct {
		rep    *hostfs.Report
		inside []string
		linked bool
	}{
		"nothing":       {files("/rootfile", "/usr/bin/a"), nil, false},
		"files":         {files("/root/a", "/root/b-c/d", "/root/b/c", "/root/b/d"), []string{"/root/a", "/root/b-c/d", "/root/b/c", "/root/b/d"}, false},
		"a deeper link": {files("/root/b/c x"), nil, true},
		"a link":        {files("/root/b x"), nil, true},
		"itself a link": {files("/root x"), nil, true},
	} {
		if inside, linked := below(c.rep, "/root"); !reflect.DeepEqual(inside, c.inside) || linked != c.linked {
			t.Errorf("%s: %q %v", name, inside, linked)
		}
	}
	s := Default(Options{Facts: rootFacts()})
	rep := files("/run/current x")
	scratch(s, rep)
	for _, m := range s.Mounts {
		if m.Destination == "/run" {
			t.Error("a tmpfs hides the way to a program")
		}
	}
	if len(rep.Warnings) != 1 {
		t.Errorf("warnings %q", rep.Warnings)
	}
}

func TestCacheDir(t *testing.T) {
	for _, c := range []struct {
		euid            int
		xdg, home, want string
	}{
		{0, "/x", "/home/u", "/var/cache/berth"},
		{1000, "/x", "/home/u", "/x/berth"},
		{1000, "x", "/home/u", "/home/u/.cache/berth"},
		{1000, "", "/home/u", "/home/u/.cache/berth"},
		{1000, "", "", ""},
	} {
		got := CacheDir(c.euid, func(n string) string { return map[string]string{"XDG_CACHE_HOME": c.xdg, "HOME": c.home}[n] })
		if got != c.want {
			t.Errorf("%+v gives %q", c, got)
		}
	}
}
