package security

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

// TestJoinHostMounts has a config that joins the mount namespace of the host. To
// set a container up there would mount over the host's root and pivot away from
// it. The test asks in a mount namespace of its own, whose loss would be no harm.
func TestJoinHostMounts(t *testing.T) {
	h := attack(t)
	for _, path := range []string{"/proc/self/ns/mnt", "/proc/thread-self/ns/mnt"} {
		id := harness.ID(t)
		res := spoilt(t, h, "true", "run", "--bundle", harness.Bundle(t, harness.Namespace(specs.MountNamespace, path)), id)
		if res.Code == 0 || !strings.Contains(res.Stderr, "runtime's own") {
			t.Errorf("%s: %d %s", path, res.Code, res.Stderr)
		}
		h.NothingLeft(id)
	}
	if _, err := os.Stat("/proc/self/ns/mnt"); err != nil {
		t.Error(err)
	}
}
