package harness

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Unified says whether the machine has cgroup v2 alone. Beside v1 hierarchies a v2 one
// counts for nothing here: what there is of a controller is theirs.
var Unified = sync.OnceValue(func() bool {
	for _, c := range cgroupMounts() {
		if c.v1 {
			return false
		}
	}
	return len(cgroupMounts()) > 0
})

// NeedV1 skips where there is no cgroup v1, and says why the test is about that alone.
func NeedV1(t testing.TB, why string) {
	t.Helper()
	if Unified() {
		t.Skip("cgroup v1 alone: " + why)
	}
}

// NeedV2 skips what only a machine with cgroup v2 alone can do.
func NeedV2(t testing.TB) {
	t.Helper()
	if !Unified() {
		t.Skip("needs cgroup v2 alone")
	}
}

// NeedControllers skips where one of these is missing, be it of v1 or of v2.
func NeedControllers(t testing.TB, names ...string) {
	t.Helper()
	have := CgroupMounts()
	for _, c := range names {
		if have[c] == "" {
			t.Skip("no cgroup controller " + c)
		}
	}
}

// cgroupMount is where a hierarchy is mounted, and what of it.
type cgroupMount struct {
	dir, root string
	v1        bool
	names     []string // v1: the controllers, or name=...
}

// cgroupMounts are the hierarchies (proc_pid_mountinfo(5)).
func cgroupMounts() []cgroupMount {
	var all []cgroupMount
	for _, line := range mountinfo() {
		before, after, ok := strings.Cut(line, " - ")
		f, fs := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(fs) < 3 || !strings.HasPrefix(fs[0], "cgroup") {
			continue
		}
		m := cgroupMount{dir: f[4], root: f[3], v1: fs[0] == "cgroup"}
		if m.v1 {
			m.names = strings.Split(fs[2], ",")
		}
		all = append(all, m)
	}
	return all
}

// inV2 are names of v1's for what v2 has without a controller or by another name.
var inV2 = []string{"freezer", "devices", "cpuacct", "blkio"}

// CgroupMounts has, for each controller, where its hierarchy is mounted, and for "" where
// that of v2 is. Tests go by v1's names; with v2 alone all are in one place.
func CgroupMounts() map[string]string {
	dirs := make(map[string]string)
	eachHierarchy(func(name string, m *cgroupMount) {
		if dirs[name] == "" { // the first of several mounts
			dirs[name] = m.dir
		}
	})
	return dirs
}

// eachHierarchy calls f for each controller and the mount where it is.
func eachHierarchy(f func(name string, m *cgroupMount)) {
	list := cgroupMounts()
	for i := range list {
		m := &list[i]
		switch {
		case m.v1:
			for _, name := range m.names {
				f(name, m)
			}
		default:
			f("", m)
			if Unified() {
				b, _ := os.ReadFile(m.dir + "/cgroup.controllers")
				for _, name := range append(strings.Fields(string(b)), inV2...) {
					f(name, m)
				}
			}
		}
	}
}

// CgroupsOf has a process's directory for each controller, and for "" that in v2's
// hierarchy (proc_pid_cgroup(5)).
func CgroupsOf(t testing.TB, pid int) map[string]string {
	t.Helper()
	paths := map[string]string{}
	for _, line := range Lines(ReadFile(t, "/proc/"+strconv.Itoa(pid)+"/cgroup")) {
		f := strings.SplitN(line, ":", 3)
		for name := range strings.SplitSeq(f[1], ",") {
			paths[name] = f[2]
		}
	}
	dirs := map[string]string{}
	eachHierarchy(func(name string, m *cgroupMount) {
		key := name
		if !m.v1 {
			key = ""
		}
		if path, ok := paths[key]; ok && dirs[name] == "" {
			dirs[name] = filepath.Join(m.dir, strings.TrimPrefix(path, strings.TrimSuffix(m.root, "/")))
		}
	})
	return dirs
}

// Freeze has the processes of a cgroup stand still, or go on, and waits until they do.
// The directory is that of the controller freezer.
func Freeze(t testing.TB, dir string, frozen bool) {
	t.Helper()
	for end := time.Now().Add(timeout / 6); ; time.Sleep(2 * time.Millisecond) {
		// Again and again: in v1 a task that was not to be frozen at the first write is
		// asked only by the next one.
		AskToFreeze(t, dir, frozen)
		if Frozen(t, dir) == frozen {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain for frozen to be %v in %s", frozen, dir)
		}
	}
}

// AskToFreeze writes to the freezer.
func AskToFreeze(t testing.TB, dir string, frozen bool) {
	t.Helper()
	file, words := "/freezer.state", [2]string{"THAWED", "FROZEN"}
	if Unified() {
		file, words = "/cgroup.freeze", [2]string{"0", "1"}
	}
	word := words[0]
	if frozen {
		word = words[1]
	}
	if err := os.WriteFile(dir+file, []byte(word), 0); err != nil {
		t.Fatal(err)
	}
}

// Frozen says whether all in a cgroup stands still, be it by a cgroup above. In v1 what
// is only on its way there counts as neither.
func Frozen(t testing.TB, dir string) bool {
	t.Helper()
	if Unified() {
		return strings.Contains(ReadFile(t, dir+"/cgroup.events"), "frozen 1")
	}
	return ReadFile(t, dir+"/freezer.state") == "FROZEN"
}

// MakeCgroup makes a cgroup of the test's own in each of these directories, which are
// removed, with the cgroups below them, when it ends.
func MakeCgroup(t testing.TB, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { RemoveCgroup(t, d) })
	}
}

// RemoveCgroup removes a cgroup with those below it. What has just died in it keeps it
// for a moment.
func RemoveCgroup(t testing.TB, dir string) {
	t.Helper()
	below, _ := filepath.Glob(dir + "/*/cgroup.procs")
	for _, b := range below {
		RemoveCgroup(t, filepath.Dir(b))
	}
	for end := time.Now().Add(settle); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return
		}
		if time.Now().After(end) {
			t.Errorf("rmdir %s: %v", dir, err)
			return
		}
	}
}
