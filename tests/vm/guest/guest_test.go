package guest

import (
	"io"
	"strings"
	"testing"
)

// TestSharesThatCannotBe are refused before anything is made or started.
func TestSharesThatCannotBe(t *testing.T) {
	if why := Missing(); why != "" {
		t.Skip(why)
	}
	t.Setenv("BERTH_VM_CACHE", t.TempDir())
	for _, dir := range []string{"/run", "/run/user/0/x", "/dev/shm", "/proc/1"} {
		_, err := Start(Options{Cgroups: V2, ReadOnly: []string{dir}, Log: io.Discard})
		if err == nil || !strings.Contains(err.Error(), dir+" cannot be shared") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
