package bundles

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the sample configurations anew")

// samples says how each sample differs from the default.
func samples() map[string]*specs.Spec {
	box := Default(Options{Facts: rootFacts(), Args: []string{"busybox", "sh"}, Terminal: true, Hostname: "busybox"})

	limits := Default(Options{Facts: rootFacts(), Args: []string{"/bin/true"}, Hostname: "limits"})
	bytes, tasks := int64(256<<10), int64(1)
	limits.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &bytes}
	limits.Linux.Resources.Pids = &specs.LinuxPids{Limit: &tasks}

	user := Default(Options{
		Facts: rootFacts(), UserNamespace: true, Hostname: "userns",
		Args: []string{"sh", "-c", "id; cat /proc/self/uid_map; ls -ldn / /proc /tmp"},
	})
	return map[string]*specs.Spec{"busybox": box, "limits": limits, "userns": user}
}

// TestSamples keeps the samples in step with the default configuration.
func TestSamples(t *testing.T) {
	for name, s := range samples() {
		file := filepath.Join(name, "config.json")
		want, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decode(t, got)
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the default makes of it: go test ./bundles -update", file)
		}
		if _, err := os.Stat(filepath.Join(name, "README.md")); err != nil {
			t.Error(err)
		}
	}
}

// TestSamplePrograms makes the bundles of the READMEs.
func TestSamplePrograms(t *testing.T) {
	for name, programs := range map[string][]string{"busybox": {"busybox"}, "limits": {"/bin/true"}, "userns": {"sh", "id", "cat", "ls"}} {
		rep, err := Create(filepath.Join(t.TempDir(), name), programs, Options{Facts: rootFacts()})
		if err != nil {
			if name == "busybox" {
				t.Logf("no busybox here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		if cmd := samples()[name].Process.Args[0]; rep.Find(cmd) == nil {
			t.Errorf("%s: %s is not among the programs", name, cmd)
		}
	}
}
