package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// configs returns the bytes of every config.json in testdata, by name. They were
// recorded from Docker, podman, containerd and its CRI plugin.
func configs(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/configs/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no configs", err)
	}
	m := map[string][]byte{}
	for _, f := range files {
		if m[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestDecodeConfigs compares what engines wrote with encoding/json's reading.
func TestDecodeConfigs(t *testing.T) {
	for name, data := range configs(t) {
		var want specs.Spec
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(name, err)
		}
		got, unknown, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(unknown) > 0 {
			t.Errorf("%s: unknown properties %v", name, unknown)
		}
		if !reflect.DeepEqual(got, &want) {
			t.Errorf("%s: decoded differently", name)
		}
	}
}
