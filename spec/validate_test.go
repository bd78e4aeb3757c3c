package spec

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// good returns a configuration with nothing wrong, and with every namespace, for
// a test to break.
func good() *specs.Spec {
	l := &specs.Linux{
		UIDMappings: []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}},
		GIDMappings: []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}},
		Resources:   &specs.LinuxResources{},
	}
	for _, kind := range namespaces {
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: kind})
	}
	return &specs.Spec{
		Version: MaxVersion,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"sh"}, Env: []string{"PATH=/bin", "EMPTY="}, Cwd: "/"},
		Linux:   l,
	}
}

// without removes a kind of namespace.
func without(s *specs.Spec, kind specs.LinuxNamespaceType) {
	var kept []specs.LinuxNamespace
	for _, ns := range s.Linux.Namespaces {
		if ns.Type != kind {
			kept = append(kept, ns)
		}
	}
	s.Linux.Namespaces = kept
}

// join gives a path to a kind of namespace.
func join(s *specs.Spec, kind specs.LinuxNamespaceType, path string) {
	namespace(s, kind).Path = path
}

func ptr[T any](v T) *T { return &v }

// rule is one thing that validation has to refuse, or to accept where text is
// empty. The name begins with the row of the checklist that it is about.
type rule struct {
	name string
	edit func(*specs.Spec)
	path string
	text string
}

// check runs rules: exactly one error, at the path, with the text.
func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			s := good()
			r.edit(s)
			list := Validate(s)
			if r.text == "" {
				if len(list) > 0 {
					t.Errorf("refused: %v", list)
				}
				return
			}
			if len(list) != 1 {
				t.Fatalf("%d errors, want 1: %v", len(list), list)
			}
			if list[0].JSONPath != r.path || !strings.Contains(list[0].Msg, r.text) {
				t.Errorf("got %q at %s\nwant %q at %s", list[0].Msg, list[0].JSONPath, r.text, r.path)
			}
		})
	}
}

func TestGood(t *testing.T) {
	if list := Validate(good()); len(list) > 0 {
		t.Error(list)
	}
	if list := Warnings(good()); len(list) > 0 {
		t.Error(fault.List(list))
	}
}

func TestVersionConstants(t *testing.T) {
	if MaxVersion != specs.Version {
		t.Errorf("MaxVersion is %s, the types are of %s", MaxVersion, specs.Version)
	}
}

func TestValidateTop(t *testing.T) {
	version := func(v string) func(*specs.Spec) { return func(s *specs.Spec) { s.Version = v } }
	check(t, []rule{
		{"VER-1 missing", version(""), "ociVersion", "must be specified"},
		{"VER-1 two numbers", version("1.0"), "ociVersion", "not a semantic version"},
		{"VER-1 four numbers", version("1.0.0.0"), "ociVersion", "not a semantic version"},
		{"VER-1 word", version("latest"), "ociVersion", "not a semantic version"},
		{"VER-1 leading v", version("v1.0.0"), "ociVersion", "not a semantic version"},
		{"VER-1 leading zero", version("1.01.0"), "ociVersion", "not a semantic version"},
		{"VER-1 sign", version("1.+1.0"), "ociVersion", "not a semantic version"},
		{"VER-1 empty pre-release", version("1.0.0-"), "ociVersion", "not a semantic version"},
		{"VER-1 zero in pre-release", version("1.0.0-01"), "ociVersion", "not a semantic version"},
		{"VER-1 bad build", version("1.0.0+a_b"), "ociVersion", "not a semantic version"},
		{"VER-1 oldest", version("1.0.0"), "", ""},
		{"VER-1 dev", version("1.0.2-dev"), "", ""},
		{"VER-1 rc", version("1.1.0-rc.2"), "", ""},
		{"VER-1 old rc", version("1.0.0-rc5-dev"), "", ""},
		{"VER-1 build", version("1.3.0+dev.007"), "", ""},
		{"VER-2 major 2", version("2.0.0"), "ociVersion", `unsupported version "2.0.0": must be from 1.0.0 to 1.3.0`},
		{"VER-2 major 0", version("0.9.0"), "ociVersion", "unsupported version"},
		{"VER-2 newer minor", version("1.9.0"), "", ""},
		{"VER-3 minimum", version(MinVersion), "", ""},
		{"VER-3 maximum", version(MaxVersion), "", ""},
		{"ROOT-1 missing", func(s *specs.Spec) { s.Root = nil }, "root", "root must be specified"},
		{"ROOT-2 empty path", func(s *specs.Spec) { s.Root.Path = "" }, "root.path", "must not be empty"},
		{"ROOT-2 NUL", func(s *specs.Spec) { s.Root.Path = "a\x00" }, "root.path", "NUL"},
		{"ROOT-2 absolute", func(s *specs.Spec) { s.Root.Path = "/srv/rootfs" }, "", ""},
		{"UTS-1 no namespace", func(s *specs.Spec) {
			s.Hostname = "h"
			without(s, specs.UTSNamespace)
		}, "hostname", "unable to set hostname without a private UTS namespace"},
		{"UTS-1 too long", func(s *specs.Spec) { s.Hostname = strings.Repeat("h", 65) }, "hostname", "longer than 64"},
		{"UTS-1 joined", func(s *specs.Spec) {
			s.Hostname = strings.Repeat("h", 64)
			join(s, specs.UTSNamespace, "/proc/1/ns/uts")
		}, "", ""},
		{"UTS-2 no namespace", func(s *specs.Spec) {
			s.Domainname = "d"
			without(s, specs.UTSNamespace)
		}, "domainname", "unable to set domainname without a private UTS namespace"},
		{"ANN-1 empty key", func(s *specs.Spec) { s.Annotations = map[string]string{"": "a"} }, `annotations[""]`, "must not be empty"},
		{"ANN-1 empty map", func(s *specs.Spec) { s.Annotations = map[string]string{} }, "", ""},
		{"ANN-3 reserved key", func(s *specs.Spec) { s.Annotations = map[string]string{"org.opencontainers.x": ""} }, "", ""},
		{"PRO-1 no process", func(s *specs.Spec) { s.Process = nil }, "", ""},
		{"PLT-1 no linux", func(s *specs.Spec) { s.Linux = nil }, "", ""},
		{"PLT-1 no linux but a hostname", func(s *specs.Spec) {
			s.Linux = nil
			s.Hostname = "h"
		}, "hostname", "without a private UTS namespace"},
	})
}

func TestValidateHooks(t *testing.T) {
	hook := func(h specs.Hook) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true", Timeout: ptr(1), Env: []string{"A="}}, h}}
		}
	}
	kinds := map[string]func(*specs.Hooks) *[]specs.Hook{
		"HOK-1 prestart": func(h *specs.Hooks) *[]specs.Hook {
			return &h.Prestart //lint:ignore SA1019 deprecated, yet in use
		},
		"HOK-2 createRuntime":   func(h *specs.Hooks) *[]specs.Hook { return &h.CreateRuntime },
		"HOK-3 createContainer": func(h *specs.Hooks) *[]specs.Hook { return &h.CreateContainer },
		"HOK-4 startContainer":  func(h *specs.Hooks) *[]specs.Hook { return &h.StartContainer },
		"HOK-5 poststart":       func(h *specs.Hooks) *[]specs.Hook { return &h.Poststart },
		"HOK-6 poststop":        func(h *specs.Hooks) *[]specs.Hook { return &h.Poststop },
	}
	var rules []rule
	for name, list := range kinds {
		rules = append(rules, rule{name, func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{}
			*list(s.Hooks) = []specs.Hook{{Path: "x"}}
		}, "hooks." + name[6:] + "[0].path", "absolute path"})
	}
	check(t, append(rules,
		rule{"HOK-7 missing path", hook(specs.Hook{}), "hooks.poststop[1].path", "must not be empty"},
		rule{"HOK-7 NUL", hook(specs.Hook{Path: "/a\x00"}), "hooks.poststop[1].path", "NUL"},
		rule{"HOK-8 no args", hook(specs.Hook{Path: "/a"}), "", ""},
		rule{"HOK-8 NUL in args", hook(specs.Hook{Path: "/a", Args: []string{"a", "\x00"}}), "hooks.poststop[1].args[1]", "NUL"},
		rule{"HOK-9 env without =", hook(specs.Hook{Path: "/a", Env: []string{"A"}}), "hooks.poststop[1].env[0]", "missing '='"},
		rule{"HOK-10 zero", hook(specs.Hook{Path: "/a", Timeout: ptr(0)}), "hooks.poststop[1].timeout", "more than 0 seconds, not 0"},
		rule{"HOK-10 negative", hook(specs.Hook{Path: "/a", Timeout: ptr(-1)}), "hooks.poststop[1].timeout", "not -1"},
	))
}

// TestAllAtOnce checks that every error is told, in the same order every time.
func TestAllAtOnce(t *testing.T) {
	s := &specs.Spec{
		Mounts:      []specs.Mount{{}},
		Process:     &specs.Process{},
		Annotations: map[string]string{"": ""},
		Linux: &specs.Linux{
			Sysctl:  map[string]string{"vm.a": "", "vm.b": "", "vm.c": ""},
			Seccomp: &specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{{}}},
		},
	}
	want := []string{
		"ociVersion", "root", "mounts[0].destination", `annotations[""]`, "process.cwd", "process.args",
		`linux.sysctl["vm.a"]`, `linux.sysctl["vm.b"]`, `linux.sysctl["vm.c"]`,
		"linux.seccomp.defaultAction", "linux.seccomp.syscalls[0].names", "linux.seccomp.syscalls[0].action",
	}
	for range 20 {
		list := Validate(s)
		var got []string
		for _, e := range list {
			got = append(got, e.JSONPath)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	}
	var e *fault.Error
	if err := Validate(s).OrNil(); !errors.As(err, &e) || e.JSONPath != "ociVersion" {
		t.Errorf("got %v", err)
	}
}

// TestValidateConfigs holds validation to what engines really write.
func TestValidateConfigs(t *testing.T) {
	for name, data := range configs(t) {
		s, _, err := Decode(data)
		if err != nil {
			t.Fatal(name, err)
		}
		if list := Validate(s); len(list) > 0 {
			t.Errorf("%s: %v", name, list)
		}
		for _, w := range Warnings(s) {
			// These three of containerd's CRI are mapped without an option.
			if name != "cri-userns-idmap.json" || !strings.HasSuffix(w.JSONPath, ".uidMappings") {
				t.Errorf("%s: warning %v", name, w)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, r := range []rule{
		{"VER-2 newer minor", func(s *specs.Spec) { s.Version = "1.4.0" }, "ociVersion", "newer than 1.3.0"},
		{"VER-2 newer patch", func(s *specs.Spec) { s.Version = "1.3.7" }, "", ""},
		{"MNT-3 relative", func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "data"}} }, "mounts[0].destination", "relative"},
		{"MNT-5 type bind alone", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Type: "bind"}}
		}, "mounts[0].type", "neither bind nor rbind"},
		{"MNT-78 no option", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Options: []string{"bind"}, UIDMappings: s.Linux.UIDMappings}}
		}, "mounts[0].uidMappings", "neither option idmap nor ridmap"},
		{"MNT-78 ridmap", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Options: []string{"ridmap"}, UIDMappings: s.Linux.UIDMappings}}
		}, "", ""},
		{"PRO-16 not permitted", func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_KILL"}}
		}, "process.capabilities.effective[0]", "CAP_KILL is not in the permitted set"},
		{"PRO-19 not inheritable", func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Ambient: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}}
		}, "process.capabilities.ambient[0]", "can't raise ambient capability"},
		{"PRO-20 unknown", func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_BPF", "CAP_NONE"}}
		}, "process.capabilities.bounding[1]", `"CAP_NONE" is not a capability`},
		{"DEV-7 unmapped", func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{UID: ptr(uint32(70000))}}
		}, "linux.devices[0].uid", "no mapping"},
		{"DEV-8 unmapped", func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{GID: ptr(uint32(70000))}}
		}, "linux.devices[0].gid", "no mapping"},
		{"DEV-9 twice", func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Type: "c", Major: 1}, {Type: "b", Major: 1}, {Type: "c", Major: 1}}
		}, "linux.devices[2]", "the same device as linux.devices[0]"},
		{"RES-9 kernel memory", func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{}
			//lint:ignore SA1019 the test is about it
			s.Linux.Resources.Memory.Kernel = ptr(int64(1))
		}, "linux.resources.memory.kernel", "ignored"},
		{"RES-10 TCP memory", func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{KernelTCP: ptr(int64(1))}
		}, "linux.resources.memory.kernelTCP", "not recommended"},
		{"RDT-4 prefix", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: "L2:0=f"} }, "linux.intelRdt.l3CacheSchema", "L3:"},
		{"PLT-1 no linux", func(s *specs.Spec) { s.Linux = nil }, "", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := good()
			r.edit(s)
			list := Warnings(s)
			switch {
			case r.text == "" && len(list) == 0:
			case len(list) != 1 || list[0].JSONPath != r.path || !strings.Contains(list[0].Msg, r.text):
				t.Errorf("got %v, want %q at %s", fault.List(list), r.text, r.path)
			}
		})
	}
}

func TestKnownCapabilities(t *testing.T) {
	data, _, err := Decode(configs(t)["ctr1-privileged.json"])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range data.Process.Capabilities.Bounding {
		if !knownCapability(name) {
			t.Errorf("%s is unknown", name)
		}
	}
	if w := ProcessWarnings(&specs.Process{Capabilities: &specs.LinuxCapabilities{Ambient: []string{"x"}}}, "p"); len(w) != 1 || w[0].JSONPath != "p.capabilities.ambient[0]" {
		t.Errorf("got %v", fault.List(w))
	}
}

func BenchmarkValidate(b *testing.B) {
	s, _, err := Decode(configs(b)["docker-default.json"])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Validate(s)) > 0 || len(Warnings(s)) > 0 {
			b.Fatal("refused")
		}
	}
}
