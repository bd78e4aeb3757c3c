package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// spoilt runs a command of the runtime behind a shell script in a mount namespace
// of its own, which may do to the machine's mounts what it likes.
func spoilt(t *testing.T, h *harness.Host, script string, args ...string) harness.Result {
	t.Helper()
	unshare := harness.Need(t, "unshare", "util-linux")
	return h.Via([]string{"timeout", "20", unshare, "-m", "--propagation", "private", "sh", "-c", script + `; exec "$@"`, "sh"}, args...)
}

// TestFullStateRoot creates containers on a state root of ever more KiB, until
// one fits: before, each fails in one line and leaves nothing there.
func TestFullStateRoot(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t, process(func(p *specs.Process) { p.Env = append(p.Env, "X="+strings.Repeat("x", 20<<10)) }))
	root := t.TempDir()
	ok := false
	for _, size := range []string{"4k", "8k", "12k", "16k", "24k", "32k", "64k"} {
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = unix.Unmount(root, unix.MNT_DETACH) }()
			h.Global = []string{"--root", root}
			defer func() { h.Global = nil }()
			id := harness.ID(t)
			res := bounded(t, h, 20*time.Second, "create", "--bundle", bundle, id)
			plain(t, res)
			if res.Code == 0 {
				ok = true
				h.Must("start", id)
				h.Must("delete", "--force", id)
			} else if !strings.Contains(res.Stderr, "no space left") {
				t.Errorf("%s: %s", size, res.Stderr)
			}
			h.NothingLeft(id)
			if left, _ := os.ReadDir(root); len(left) > 0 {
				t.Errorf("%s: left: %v", size, left)
			}
		}()
	}
	if !ok {
		t.Error("not even 64 KiB are enough")
	}
}

// TestStateRoot has state roots that can not be written, are not there, are links,
// are files.
func TestStateRoot(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t)
	dir := t.TempDir()
	try := func(root string, works bool) {
		t.Helper()
		h.Global = []string{"--root", root}
		defer func() { h.Global = nil }()
		id := harness.ID(t)
		res := bounded(t, h, 20*time.Second, "create", "--bundle", bundle, id)
		plain(t, res)
		if works != (res.Code == 0) {
			t.Errorf("%s: %d %s", root, res.Code, res.Stderr)
		}
		if works {
			h.Must("start", id)
			h.Must("delete", "--force", id)
		} else {
			refused(t, h.Do("state", id))
			refused(t, h.Do("start", id))
		}
		h.NothingLeft(id)
	}
	try(filepath.Join(dir, "not/there/yet"), true)
	if err := os.Symlink("not/there", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	try(filepath.Join(dir, "link/yet"), true)
	try(filepath.Join(dir, "link/../link/yet/"), true)
	write(t, filepath.Join(dir, "file"), "")
	try(filepath.Join(dir, "file"), false)
	try(filepath.Join(dir, "file/below"), false)
	if err := os.Symlink("dangling", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	try(filepath.Join(dir, "dangling"), false)
	ro := filepath.Join(dir, "ro")
	if err := os.Mkdir(ro, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", ro, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(ro, unix.MNT_DETACH) }()
	try(ro, false)
	try(filepath.Join(ro, "x"), false)
}

// TestStateIsPrivate: nobody but root can write to, or list, the state of a
// container, also where the container's own root is another user.
func TestStateIsPrivate(t *testing.T) {
	for name, change := range map[string]change{"root": func(*specs.Spec) {}, "user": harness.UserNamespace} {
		t.Run(name, func(t *testing.T) {
			h := attack(t)
			id, _ := created(t, h, harness.Bundle(t, change))
			err := filepath.WalkDir(filepath.Join(h.Root, id), func(p string, _ os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				var st unix.Stat_t
				if err := unix.Lstat(p, &st); err != nil {
					return err
				}
				if st.Uid != 0 || st.Gid != 0 || st.Mode&0o066 != 0 {
					t.Errorf("%s: owner %d, mode %o", p, st.Uid, st.Mode)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStateTampered has a root's own accidents: links, FIFOs and rubbish in place
// of the files of a container's state. Nothing of the host is followed into.
func TestStateTampered(t *testing.T) {
	v := newVictim(t)
	for _, file := range []string{"state.json", "config.json", "journal", "exec.fifo"} {
		for name, with := range map[string]func(string) error{
			"link":    symlinkTo(v.dir + "/file"),
			"fifo":    func(p string) error { return unix.Mkfifo(p, 0o600) },
			"rubbish": func(p string) error { return os.WriteFile(p, []byte("\x00{]\n\xff"), 0o600) },
			"empty":   func(p string) error { return os.WriteFile(p, nil, 0o600) },
			"gone":    func(string) error { return nil },
		} {
			if file == "exec.fifo" && name == "fifo" {
				continue
			}
			t.Run(file+" "+name, func(t *testing.T) {
				h := attack(t)
				id, _ := created(t, h, harness.Bundle(t))
				path := filepath.Join(h.Root, id, file)
				if err := os.Rename(path, path+".saved"); err != nil {
					t.Fatal(err)
				}
				replace(t, filepath.Join(h.Root, id), file, with)
				for _, args := range [][]string{{"state", id}, {"list"}, {"start", id}, {"kill", id, "0"}} {
					res := bounded(t, h, 10*time.Second, args...)
					if strings.Contains(res.Stderr, "goroutine") {
						t.Errorf("%v: %s", args, short(res.Stderr))
					}
				}
				os.Remove(path)
				if err := os.Rename(path+".saved", path); err != nil {
					t.Fatal(err)
				}
				h.Must("delete", "--force", id)
				v.unharmed(t)
			})
		}
	}
}

// TestFewDescriptors gives the runtime itself very few descriptors.
func TestFewDescriptors(t *testing.T) {
	h := attack(t)
	worked := 0
	for _, n := range []string{"4", "6", "8", "10", "12", "16", "20", "30", "41", "44", "64"} {
		id := harness.ID(t)
		res := h.Via([]string{"timeout", "20", "sh", "-c", "ulimit -n " + n + `; exec "$@"`, "sh"}, "run", "--bundle", harness.Bundle(t, harness.Shell("true"),
			process(func(p *specs.Process) { p.Rlimits = nil })), id)
		if strings.Contains(res.Stderr, "goroutine") || res.Code > 1 {
			t.Errorf("ulimit -n %s: %d %s", n, res.Code, short(res.Stderr))
		}
		if res.Code == 0 {
			worked++
		} else {
			t.Logf("ulimit -n %s: %s", n, res.Stderr)
		}
		h.NothingLeft(id)
	}
	if worked == 0 {
		t.Error("not even 64 are enough")
	}
}

// TestSpoiltHost takes /proc, /sys/fs/cgroup and others away from the runtime, or
// puts something else in their place.
func TestSpoiltHost(t *testing.T) {
	h := attack(t)
	for name, script := range map[string]string{
		"no proc":       "mount -t tmpfs x /proc",
		"a fake proc":   "mkdir -p /tmp/fake$$ && mount -t tmpfs x /tmp/fake$$ && mkdir -p /tmp/fake$$/self/fd && echo 0 0 4294967295 > /tmp/fake$$/self/uid_map && mount --move /tmp/fake$$ /proc; rmdir /tmp/fake$$",
		"no cgroups":    "mount -t tmpfs x /sys/fs/cgroup",
		"no sys":        "mount -t tmpfs x /sys",
		"cgroups ro":    "for m in /sys/fs/cgroup/*; do mount -o remount,ro,bind $m; done 2>/dev/null",
		"no dev":        "mount -t tmpfs x /dev",
		"false null":    "mount -t tmpfs x /dev; echo x > /dev/null",
		"zero for null": "mount --bind /dev/zero /dev/null",
		"link for null": "mount -t tmpfs x /dev; ln -s zero /dev/null; mknod /dev/zero c 1 5",
	} {
		t.Run(name, func(t *testing.T) {
			for _, change := range []change{func(*specs.Spec) {}, harness.UserNamespace} {
				id := harness.ID(t)
				res := spoilt(t, h, script, "run", "--bundle", harness.Bundle(t, change, harness.Shell("stat -c %t,%T /proc/kcore; true")), id)
				if strings.Contains(res.Stderr, "goroutine") || res.Code > 1 {
					t.Errorf("%d %s", res.Code, short(res.Stderr))
				}
				if res.Code == 0 && res.Stdout != "1,3\n" {
					t.Errorf("what is masked is %s", res.Stdout)
				}
				if strings.HasSuffix(name, "null") && res.Code == 0 {
					t.Errorf("a false /dev/null covers what is masked: %s", res.Stdout)
				}
				t.Logf("%d %s", res.Code, res.Stderr)
				h.NothingLeft(id)
			}
		})
	}
}

// TestNoMoreNamespaces has the limits on namespaces reached, in a user namespace of
// the test's own.
func TestNoMoreNamespaces(t *testing.T) {
	h := attack(t)
	unshare := harness.Need(t, "unshare", "util-linux")
	for _, kind := range []string{"user", "mnt", "pid", "net", "uts", "ipc"} {
		for _, user := range []bool{false, true} {
			id := harness.ID(t)
			change := func(s *specs.Spec) {
				if user {
					harness.UserNamespace(s)
					m := []specs.LinuxIDMapping{{Size: 1}}
					s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
				}
			}
			bundle := harness.Bundle(t, change, harness.Shell("true"))
			// --root is the namespace's own, or the state would be another user's.
			h.Global = []string{"--root", h.Root, "--rootless", "true"}
			res := h.Via([]string{"timeout", "20", unshare, "-Umr", "sh", "-c", "echo 0 > /proc/sys/user/max_" + kind + `_namespaces; exec "$@"`, "sh"}, "run", "--bundle", bundle, id)
			h.Global = nil
			if strings.Contains(res.Stderr, "goroutine") || res.Code > 1 || res.Code == 0 && (kind != "user" || user) {
				t.Errorf("%s: %d %s", kind, res.Code, short(res.Stderr))
			}
			t.Logf("%s, user %v: %d %s", kind, user, res.Code, res.Stderr)
			h.NothingLeft(id)
		}
	}
}

// TestMemfdsMayNotBeExecuted has vm.memfd_noexec at 2, which holds for a pid
// namespace, and state directories on file systems that are noexec, as Debian's
// initramfs mounts /run.
func TestMemfdsMayNotBeExecuted(t *testing.T) {
	if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err != nil {
		t.Skip("needs Linux 6.3: ", err)
	}
	h := attack(t)
	unshare := harness.Need(t, "unshare", "util-linux")
	const noexec = `mount -t tmpfs -o noexec x "$ROOT"`
	for name, c := range map[string]struct {
		script string
		works  bool
	}{
		"state directory":          {"true", true},
		"it is noexec":             {noexec, true},
		"every place is noexec":    {noexec + "; mount -t tmpfs -o noexec x /var/tmp; mount --bind /tmp /tmp; mount -o remount,bind,noexec /tmp", false},
		"memfds may be, no places": {"echo 1 >/proc/sys/vm/memfd_noexec; " + noexec, true},
	} {
		t.Run(name, func(t *testing.T) {
			id := harness.ID(t)
			root := t.TempDir()
			bundle := harness.Bundle(t, harness.Shell("echo runs"))
			script := `mount -t tmpfs x /mnt; cp "$1" /mnt/berth; set -- /mnt/berth; echo 2 >/proc/sys/vm/memfd_noexec || exit 99; ROOT=` + root + "; " + c.script + `
				"$1" --root $ROOT create --bundle ` + bundle + " " + id + ` || exit 1
				"$1" --root $ROOT state ` + id + ` | grep -q '"created"' || exit 98
				"$1" --root $ROOT start ` + id + ` && sleep 0.2; "$1" --root $ROOT delete --force ` + id
			res := h.Via([]string{unshare, "-mpf", "--mount-proc", "--propagation", "private", "sh", "-c", script, "sh"})
			if res.Code == 99 {
				t.Skip("the kernel does not let us: ", res.Stderr)
			}
			if c.works && (res.Code != 0 || res.Stdout != "runs\n") {
				t.Errorf("%d %s%s", res.Code, res.Stdout, res.Stderr)
			}
			if !c.works && (res.Code != 1 || !strings.Contains(res.Stderr, "no place that the container's image can be executed from") ||
				strings.Count(res.Stderr, "permission denied") != 3) {
				t.Errorf("%d %s", res.Code, res.Stderr)
			}
			h.NothingLeft(id)
			if left, _ := os.ReadDir(root); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
