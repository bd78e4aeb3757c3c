package integration

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"berth/tests/harness"
)

// What features promises is taken, and what it denies is refused: engines go by it and
// do not try.
func TestFeaturesTellTheTruth(t *testing.T) {
	h := harness.New(t)
	var f features.Features
	if err := json.Unmarshal([]byte(h.Must("features")), &f); err != nil {
		t.Fatal(err)
	}
	skipOld(t, "tells less")
	hook := func(kind string, set func(*specs.Hooks, []specs.Hook)) (bool, change) {
		return slices.Contains(f.Hooks, kind), func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{}
			set(s.Hooks, []specs.Hook{{Path: "/bin/true"}})
		}
	}
	type promise struct {
		name   string
		kept   bool
		change change
	}
	list := []promise{
		{"seccomp", *f.Linux.Seccomp.Enabled, func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		}},
		{"idmap", *f.Linux.MountExtensions.IDMap.Enabled, func(s *specs.Spec) {
			one := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}}
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: t.TempDir(), Options: []string{"bind", "idmap"}, UIDMappings: one, GIDMappings: one})
		}},
		{"tmpcopyup", slices.Contains(f.MountOptions, "tmpcopyup"), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
		}},
		{"rro", slices.Contains(f.MountOptions, "rro"), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: "/dev", Options: []string{"rbind", "rro"}})
		}},
		{"time namespace", slices.Contains(f.Linux.Namespaces, "time"), harness.Namespace(specs.TimeNamespace, "")},
	}
	for kind, set := range map[string]func(*specs.Hooks, []specs.Hook){
		//lint:ignore SA1019 prestart is deprecated, and what Docker uses.
		"prestart":        func(k *specs.Hooks, h []specs.Hook) { k.Prestart = h },
		"createRuntime":   func(k *specs.Hooks, h []specs.Hook) { k.CreateRuntime = h },
		"createContainer": func(k *specs.Hooks, h []specs.Hook) { k.CreateContainer = h },
		"startContainer":  func(k *specs.Hooks, h []specs.Hook) { k.StartContainer = h },
		"poststart":       func(k *specs.Hooks, h []specs.Hook) { k.Poststart = h },
		"poststop":        func(k *specs.Hooks, h []specs.Hook) { k.Poststop = h },
	} {
		kept, c := hook(kind, set)
		list = append(list, promise{kind, kept, c})
	}
	for _, p := range list {
		t.Run(p.name, func(t *testing.T) {
			h := harness.New(t)
			id := harness.ID(t)
			t.Cleanup(func() { h.NothingLeft(id) })
			res := h.Do("run", "--bundle", harness.Bundle(t, p.change), id)
			switch refused := fits(t, "not supported by this version", res.Stderr); {
			case p.kept && res.Code != 0:
				t.Errorf("promised, and: %s", res.Stderr)
			case !p.kept && !refused:
				t.Errorf("denied, and not refused: %d %s", res.Code, res.Stderr)
			}
		})
	}
}
