package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// raw changes config.json as text, for what the Go types can not say.
func raw(old, with string) func(*testing.T, string) {
	return func(t *testing.T, bundle string) {
		t.Helper()
		p := filepath.Join(bundle, "config.json")
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), old) {
			t.Fatalf("config.json has no %q", old)
		}
		if err := os.WriteFile(p, []byte(strings.Replace(string(b), old, with, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfig(t *testing.T) {
	runAll(t, []scenario{
		{name: "unknown properties", rows: "BND-6 PLT-2 PLT-3 PLT-4", prep: raw(`"hostname"`, `"nosuch": {"a": [1, null]}, "windows": {"layerFolders": ["x"]}, "solaris": {}, "zos": {}, "freebsd": {"devices": []}, "vm": {"kernel": {"path": "/k"}}, "hostname"`), change: on(harness.Args("/bin/hostname")), out: "test"},
		{name: "names are case sensitive", rows: "BND-8", prep: raw(`"hostname": "test"`, `"Hostname": "wrong", "hostname": "right", "HOSTNAME": "wrong"`), change: on(harness.Args("/bin/hostname")), out: "right", old: "takes the last of any case"},
		{name: "a name twice", rows: "BND-4", prep: raw(`"hostname": "test"`, `"hostname": "one", "hostname": "two"`), code: 1, err: "hostname", old: "takes the last"},
		{name: "null is absent", rows: "BND-10", prep: raw(`"hostname": "test"`, `"hostname": null, "hooks": null, "annotations": null`), change: on(harness.Args("/bin/echo", "ran")), out: "ran"},
		{name: "no JSON", rows: "BND-1", prep: raw(`{`, `{,`), code: 1, err: "invalid character|config.json"},
		{name: "wrong type", rows: "BND-7", prep: raw(`"hostname": "test"`, `"hostname": 5`), code: 1, err: "hostname"},
		{name: "not UTF-8", rows: "BND-3", prep: raw(`"hostname": "test"`, "\"hostname\": \"te\xffst\""), code: 1, err: "UTF-8", old: "replaces it"},
		{name: "number too large", rows: "BND-9", prep: raw(`"uid": 0`, `"uid": 4294967296`), code: 1, err: "uid|4294967296"},
		{name: "fraction", rows: "BND-9", prep: raw(`"uid": 0`, `"uid": 0.5`), code: 1, err: "uid|0.5"},
		{name: "several errors at once", rows: "BND-7", change: on(cwd("relative"), func(s *specs.Spec) { s.Linux.CgroupsPath = "../x" }), code: 1, err: "process.cwd.*linux.cgroupsPath|linux.cgroupsPath.*process.cwd", old: "names one"},
		{name: "version 1.0.0", rows: "VER-1 VER-2 VER-3", change: on(func(s *specs.Spec) { s.Version = "1.0.0" })},
		{name: "version 1.3.0", rows: "VER-1 VER-3", change: on(func(s *specs.Spec) { s.Version = "1.3.0" })},
		{name: "version 1.2.0-rc.1+dev", rows: "VER-1", change: on(func(s *specs.Spec) { s.Version = "1.2.0-rc.1+dev" })},
		{name: "version to come", rows: "VER-2 LIF-2", change: on(func(s *specs.Spec) { s.Version = "1.99.0" }), talks: true},
		{name: "version 2", rows: "VER-2", change: on(func(s *specs.Spec) { s.Version = "2.0.0" }), code: 1, err: "ociVersion", old: "not checked"},
		{name: "no version", rows: "VER-1", change: on(func(s *specs.Spec) { s.Version = "" }), code: 1, err: "ociVersion", old: "not checked"},
	})
}

// A config may lack nearly everything.
//
// rows: PLT-1 BND-10 NS-13
func TestNoLinuxObject(t *testing.T) {
	skipOld(t, "panics without a linux object")
	c := newContainer(t, harness.Shell("echo $$ > /ran; ls / > /list"), func(s *specs.Spec) {
		s.Linux, s.Mounts, s.Hostname = nil, nil, ""
		s.Process.Capabilities, s.Process.Rlimits, s.Process.Env = nil, nil, []string{"PATH=/bin"}
	})
	c.Must("run", "--bundle", c.bundle, c.id)
	if got := harness.ReadFile(t, c.bundle+"/rootfs/ran"); got == "1" || got == "" {
		t.Errorf("pid %q: it has a pid namespace that nobody asked for", got)
	}
	if got := harness.ReadFile(t, c.bundle+"/rootfs/list"); strings.Contains(got, "home") {
		t.Errorf("it sees the host's root: %s", got)
	}
}

// rows: MNT-6 MNT-7
func TestOverlay(t *testing.T) {
	h := newContainer(t, harness.Shell("cat /m/low; echo up > /m/high; rm /m/low; ls /m"))
	for _, d := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(h.bundle, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(h.bundle, "lower/low"), []byte("from below\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var s specs.Spec
	b, err := os.ReadFile(filepath.Join(h.bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + h.bundle + "/lower", "upperdir=" + h.bundle + "/upper", "workdir=" + h.bundle + "/work",
	}})
	harness.WriteConfig(t, h.bundle, &s)
	if out := h.Must("run", "--bundle", h.bundle, h.id); out != "from below\nhigh\n" {
		t.Errorf("got %q", out)
	}
	if got := harness.ReadFile(t, filepath.Join(h.bundle, "upper/high")); got != "up" {
		t.Errorf("the upper directory has %q", got)
	}
}
