package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// randomMounts is a config's mounts, masked and read-only paths, at random: over
// each other, in each other, through a link of the image, and sometimes at /.
type randomMounts struct {
	mounts           []specs.Mount
	masked, readonly []string
}

// The paths that mounts are made at and that are looked at. l is a link to a.
var randomPlaces = []string{"/a", "/a/b", "/a/b/c", "/a/new", "/d", "/d/e", "/l", "/l/b", "/l/n/m"}

func newRandomMounts(r *rand.Rand) *randomMounts {
	m := &randomMounts{}
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	for i := range 1 + r.IntN(7) {
		dest := pick(randomPlaces)
		var opts []string
		if r.IntN(3) == 0 {
			opts = append(opts, "ro")
		}
		switch r.IntN(8) {
		case 0, 1, 2:
			// The size tells one from the other.
			m.mounts = append(m.mounts, tmpfs(dest, append(opts, "mode=755", fmt.Sprintf("size=%dk", 64+4*i))...))
		case 3, 4:
			m.mounts = append(m.mounts, rbind(fmt.Sprintf("src%d", 1+r.IntN(2)), dest, opts...))
		case 5:
			m.mounts = append(m.mounts, bind("rootfs"+pick(randomPlaces), dest, opts...))
		case 6:
			m.mounts = append(m.mounts, rbind("rootfs"+pick(append(randomPlaces, "")), dest, opts...))
		case 7:
			// Another root with all that the image has.
			m.mounts = append(m.mounts, rbind("src0", "/"))
		}
	}
	// A mask goes to the mount that the config names, by its descriptor. One that a
	// link of the image leads over it is another mount, and not meant.
	alias := func(p string) bool { return p == "/l" || strings.HasPrefix(p, "/l/") }
	linked := slices.ContainsFunc(m.mounts, func(e specs.Mount) bool { return alias(e.Destination) })
	hidden := append([]string{"/a/mark", "/a/b/mark", "/d/mark", "/l/mark", "/nosuch/x"}, randomPlaces...)
	if linked {
		hidden = slices.DeleteFunc(hidden, func(p string) bool { return alias(p) || strings.HasPrefix(p, "/a") })
	}
	for range r.IntN(3) {
		m.masked = append(m.masked, pick(hidden))
	}
	for range r.IntN(3) {
		m.readonly = append(m.readonly, pick(append(hidden, "/")))
	}
	return m
}

// randomBundle lays out what random mounts are made of. All directories are the
// container's root's, so that it can make and write the same as root of the host.
func randomBundle(t *testing.T, owner int, change ...change) string {
	t.Helper()
	bundle := harness.Bundle(t, change...)
	if out, err := exec.Command("cp", "-al", filepath.Join(bundle, "rootfs"), filepath.Join(bundle, "src0")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %s", out)
	}
	for _, root := range []string{"rootfs", "src0", "src1", "src2"} {
		for _, dir := range []string{"", "a", "a/b", "a/b/c", "d", "e", "b"} {
			p := filepath.Join(bundle, root, dir)
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			if dir == "" && strings.HasSuffix(root, "0") || root == "rootfs" && dir == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(p, "mark"), []byte(root+" "+dir+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		dev := filepath.Join(bundle, root, "dev")
		if err := errors.Join(os.MkdirAll(dev, 0o755), unix.Mknod(dev+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("a", filepath.Join(bundle, root, "l")); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(filepath.Join(bundle, root), func(p string, d os.DirEntry, err error) error {
			if err == nil && (d.IsDir() || d.Name() == "mark") {
				err = os.Chown(p, owner, owner)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return bundle
}

// randomProbe prints where something is mounted, what can be seen of each place, and
// whether it can be written to.
func randomProbe() string {
	places := append([]string{"/", "/e", "/b", "/a/e", "/d/b", "/a/n", "/a/b/b", "/a/n/m"}, randomPlaces...)
	return `awk '$5 !~ "^/(dev|proc)" { print $5 }' /proc/self/mountinfo 2>/dev/null | sort -u | while read p; do [ -e $p ] && echo mounted: $p; done
	for p in ` + strings.Join(places, " ") + `; do
		[ -d $p ] || { echo "$p: none"; continue; }
		w=ro; if touch $p/probe 2>/dev/null; then w=rw; rm $p/probe; fi
		[ $p = / ] && echo "$p: $w" && continue
		echo "$p: $w $(stat -f -c '%T %b' $p | sed 's/^[^t].*//') $(ls $p | tr '\n' ' ') $(cat $p/mark 2>/dev/null)"
	done`
}

// A config's mounts come to the same as the same mounts made one by one.
//
// rows: MNT-1 MNT-2 SEC-7 SEC-8
func TestRandomMounts(t *testing.T) {
	harness.NeedRoot(t)
	skipOld(t, "needs /proc in the container")
	rounds := 60
	if os.Getenv("ROUNDS") != "" {
		_, _ = fmt.Sscan(os.Getenv("ROUNDS"), &rounds)
	}
	failed := 0
	for seed := range rounds {
		m := newRandomMounts(rand.New(rand.NewPCG(uint64(seed), 1)))
		user := seed%2 == 1
		var own change = func(*specs.Spec) {}
		owner := 0
		if user {
			own, owner = harness.UserNamespace, 100000
		}
		set := func(s *specs.Spec) {
			proc := specs.Mount{Destination: "/proc", Type: "proc", Source: "proc"}
			s.Mounts = append([]specs.Mount{proc}, m.mounts...)
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = m.masked, m.readonly
		}
		want, refErr := m.reference(randomBundle(t, owner))
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := harness.New(t)
			bundle := randomBundle(t, owner, own, set, harness.Shell(randomProbe()))
			res := h.Do("run", "--bundle", bundle, harness.ID(t))
			switch {
			case refErr != nil && res.Code == 0:
				t.Errorf("it must not run: %v", refErr)
			case refErr == nil && res.Code != 0:
				t.Errorf("%s", res.Stderr)
			case refErr == nil && res.Stdout != want:
				t.Errorf("inside:\n%s\nwant:\n%s", res.Stdout, want)
			}
			if t.Failed() {
				for _, e := range m.mounts {
					t.Logf("mount %+v", e)
				}
				t.Logf("masked %v, read-only %v, user namespace %v", m.masked, m.readonly, user)
			}
		})
		if refErr != nil {
			failed++
		}
		if !ok && os.Getenv("ROUNDS") == "" {
			t.Fatal("the first that differs")
		}
	}
	if failed > rounds/2 {
		t.Errorf("%d of %d configs can not be mounted at all: that proves little", failed, rounds)
	}
}

// reference makes the mounts one by one, by plain paths below a changed root, and
// probes there. It does so on a thread of its own, which ends with its namespace.
func (m *randomMounts) reference(bundle string) (out string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		out, err = m.mountAndProbe(bundle)
	}()
	<-done
	return out, err
}

func (m *randomMounts) mountAndProbe(bundle string) (string, error) {
	sources := map[string]int{}
	open := func(p string) (int, error) { return unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0) }
	root := filepath.Join(bundle, "rootfs")
	if err := errors.Join(
		unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS),
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount(root, root, "", unix.MS_BIND, ""),
		unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""),
	); err != nil {
		return "", err
	}
	for _, name := range []string{"src0", "src1", "src2"} {
		fd, err := open(filepath.Join(bundle, name))
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		sources[name] = fd
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer null.Close()
	if err := unix.Chroot(root); err != nil {
		return "", err
	}
	var late []int // to be made read-only at the end
	for i := range m.mounts {
		e := &m.mounts[i]
		fd, err := m.mountOne(e, sources)
		if err != nil {
			return "", fmt.Errorf("mount %d at %s: %w", i, e.Destination, err)
		}
		if e.Type == "tmpfs" && e.Options[0] == "ro" {
			late = append(late, fd)
		} else {
			defer unix.Close(fd)
		}
		if e.Destination == "/" {
			// "/.." leads to what is mounted over the root.
			if err := errors.Join(unix.Chroot("/.."), unix.Chdir("/")); err != nil {
				return "", err
			}
		}
	}
	for _, fd := range late {
		if err := readonlyMount(fd, ""); err != nil {
			return "", err
		}
		unix.Close(fd)
	}
	for _, p := range m.readonly {
		if err := bindReadonly(p); err != nil {
			return "", fmt.Errorf("read-only %s: %w", p, err)
		}
	}
	for _, p := range m.masked {
		if err := maskOne(p, int(null.Fd())); err != nil {
			return "", fmt.Errorf("mask %s: %w", p, err)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", randomProbe())
	cmd.Stdin, cmd.Stderr = null, null
	b, err := cmd.Output()
	return string(b), err
}

// mountOne makes one mount and returns its descriptor.
func (m *randomMounts) mountOne(e *specs.Mount, sources map[string]int) (int, error) {
	if e.Type == "tmpfs" {
		if err := os.MkdirAll(e.Destination, 0o755); err != nil {
			return -1, err
		}
		if err := unix.Mount("tmpfs", e.Destination, "tmpfs", 0, strings.TrimPrefix(strings.Join(e.Options, ","), "ro,")); err != nil {
			return -1, err
		}
		return unix.Open(e.Destination, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	dir, name := unix.AT_FDCWD, "/"+strings.TrimPrefix(e.Source, "rootfs")
	if fd, ok := sources[e.Source]; ok {
		dir, name = fd, ""
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if e.Options[0] == "rbind" {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, name, flags)
	if err != nil {
		return -1, err
	}
	if len(e.Options) > 1 {
		if err := readonlyMount(fd, ""); err != nil {
			return -1, err
		}
	}
	if err := os.MkdirAll(e.Destination, 0o755); err != nil {
		return -1, err
	}
	return fd, unix.MoveMount(fd, "", unix.AT_FDCWD, e.Destination, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
}

func readonlyMount(fd int, p string) error {
	return unix.MountSetattr(fd, p, unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

func bindReadonly(p string) error {
	if _, err := os.Stat(p); err != nil {
		return nil
	}
	if p != "/" {
		if err := unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	return readonlyMount(unix.AT_FDCWD, p)
}

func maskOne(p string, null int) error {
	info, err := os.Stat(p)
	switch {
	case err != nil:
		return nil
	case info.IsDir():
		return unix.Mount("tmpfs", p, "tmpfs", unix.MS_RDONLY, "")
	}
	fd, err := unix.OpenTree(null, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, p, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
}
