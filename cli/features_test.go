package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"berth/libcontainer"
)

// The document is what runtime-spec's own types read, whole, and is laid out as runc's.
func TestFeaturesJSON(t *testing.T) {
	f := libcontainer.KnownFeatures()
	text := featuresJSON(f, &Build{Version: "1.2.3", Commit: "abc"})
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var got features.Features
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got.OCIVersionMin != "1.0.0" || got.OCIVersionMax != specs.Version {
		t.Errorf("versions %s to %s", got.OCIVersionMin, got.OCIVersionMax)
	}
	if got.Hooks == nil || !slices.Equal(got.Hooks, f.Hooks) || !slices.Equal(got.MountOptions, f.MountOptions) {
		t.Errorf("hooks %v, options %v", got.Hooks, got.MountOptions)
	}
	want := []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}
	if !slices.Equal(got.Linux.Namespaces, want) {
		t.Errorf("namespaces %v", got.Linux.Namespaces)
	}
	// Nothing is left unknown that could be said.
	l := reflect.ValueOf(*got.Linux)
	for i := range l.NumField() {
		if name := l.Type().Field(i).Name; l.Field(i).IsNil() && name != "MemoryPolicy" {
			t.Errorf("%s is not told", name)
		}
	}
	if v := got.Annotations; v["berth.version"] != "1.2.3" || v["berth.commit"] != "abc" {
		t.Errorf("annotations %v", v)
	}
	if c := got.Linux.Capabilities; len(c) == 0 || c[0] != "CAP_CHOWN" || len(c) > lastCap(t)+1 || len(c) < min(lastCap(t)+1, 41) {
		t.Errorf("capabilities %v", c)
	}
	var again bytes.Buffer
	if err := json.Indent(&again, text, "", "    "); err != nil || again.String() != string(text) {
		t.Errorf("layout: %v\n%s", err, text)
	}
}

// lastCap is the highest capability of the kernel.
func lastCap(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Skip(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
