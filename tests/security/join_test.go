package security

import (
	"os"
	"strconv"
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

// TestJoinContainerMounts joins the mount namespace of another container, which
// does not have the bundle: to join moves a process to the root there, and that
// root must not be taken for the root file system and mounted over.
func TestJoinContainerMounts(t *testing.T) {
	h := attack(t)
	other := harness.ID(t)
	h.Must("create", "--bundle", harness.Bundle(t, harness.Args("/bin/sleep", "100")), other)
	mounts := "/proc/" + strconv.Itoa(h.State(other).Pid) + "/mountinfo"
	before := harness.ReadFile(t, mounts)
	id := harness.ID(t)
	bundle := harness.Bundle(t, harness.Namespace(specs.MountNamespace, "/proc/"+strconv.Itoa(h.State(other).Pid)+"/ns/mnt"))
	res := h.Do("create", "--bundle", bundle, id)
	if res.Code == 0 || !strings.Contains(res.Stderr, "root.path") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
	if after := harness.ReadFile(t, mounts); after != before {
		t.Errorf("the other container's mounts changed from\n%s\nto\n%s", before, after)
	}
	h.Must("delete", "--force", other)
	h.NothingLeft(id)
}
