package guest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// recipe is all that the image depends on; its hash names it.
type recipe struct {
	Arch, Suite, Mirror string
	// Sources are lines of sources.list.
	Sources  []string
	Packages []string
	// Excluded are files that are not unpacked.
	Excluded []string
	Size     string
	Script   string
}

//go:embed customize.sh
var customize string

const kernelPackage = "linux-image-amd64"

var packages = []string{
	"systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "apparmor", "iproute2", "procps",
	"util-linux", "uidmap", "mount", "kmod", "busybox-static", "libcap2-bin", "runc", "crun", kernelPackage,
}

// excluded are manuals, and drivers of hardware that no guest has.
var excluded = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*",
	"*/lib/modules/*/sound/*", "*/lib/modules/*/drivers/gpu/*", "*/lib/modules/*/drivers/media/*",
	"*/lib/modules/*/drivers/net/ethernet/*", "*/lib/modules/*/drivers/net/wireless/*", "*/lib/modules/*/drivers/infiniband/*",
	"*/lib/modules/*/drivers/iio/*", "*/lib/modules/*/drivers/usb/*", "*/lib/modules/*/drivers/staging/*",
}

// Image is a root file system for guests, with its kernels.
type Image struct{ dir string }

func (m Image) String() string { return m.dir }

func (m Image) disk() string { return filepath.Join(m.dir, "root.img") }

// CacheDir is where images and running guests are: $BERTH_VM_CACHE, or berth-vm in
// the user's cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("BERTH_VM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "berth-vm"), err
}

// Missing says why no guest can be made or run here; "" if it can.
func Missing() string {
	if runtime.GOARCH != "amd64" {
		return "the guest is made for amd64"
	}
	if os.Geteuid() != 0 {
		return "needs root"
	}
	for _, p := range []struct{ program, debian string }{
		{qemu, "qemu-system-x86"}, {"mmdebstrap", "mmdebstrap"}, {"mke2fs", "e2fsprogs"}, {"apt-get", "apt"},
	} {
		if _, err := lookPath(p.program); err != nil {
			return "needs " + p.program + " (Debian: " + p.debian + ")"
		}
	}
	return ""
}

// lookPath also looks where an ordinary user's PATH does not lead.
func lookPath(program string) (string, error) {
	if p, err := exec.LookPath(program); err == nil {
		return p, nil
	}
	return exec.LookPath("/usr/sbin/" + program)
}

// Build returns the image of the recipe, and makes it if the cache has none, which
// it says to log.
func Build(log io.Writer) (Image, error) {
	r, err := newRecipe()
	if err != nil {
		return Image{}, err
	}
	cache, err := CacheDir()
	if err != nil {
		return Image{}, err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return Image{}, err
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return Image{}, err
	}
	sum := sha256.Sum256(text)
	image := Image{filepath.Join(cache, "image-"+hex.EncodeToString(sum[:6]))}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if _, err := os.Stat(image.dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(log, "making the guest's image, which takes a minute or two")
		if err := r.make(image.dir, text); err != nil {
			return Image{}, fmt.Errorf("the guest's image: %w", err)
		}
	} else if err != nil {
		return Image{}, err
	}
	now := time.Now()
	_ = os.Chtimes(image.dir, now, now)
	removeOld(cache)
	return image, nil
}

// lock waits for a lock on a file, and returns what gives it back.
func lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// removeOld removes what was left by a build that was killed, and images that
// nobody has used for a day: another checkout may have a recipe of its own. A guest
// that still runs has its disk open.
func removeOld(cache string) {
	for _, pattern := range []string{"image-*", "making-*"} {
		dirs, _ := filepath.Glob(filepath.Join(cache, pattern))
		for _, dir := range dirs {
			info, err := os.Stat(dir)
			if err == nil && (time.Since(info.ModTime()) > 24*time.Hour || strings.HasPrefix(filepath.Base(dir), "making-")) {
				_ = os.RemoveAll(dir)
			}
		}
	}
}

// newRecipe reads suite and mirror from the host's own apt.
func newRecipe() (*recipe, error) {
	suite, err := codename()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get indextargets: %w", err)
	}
	r := &recipe{Arch: runtime.GOARCH, Suite: suite, Packages: packages, Excluded: excluded, Size: "3G", Script: customize}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Split(line, "\t")
		// The suite itself, its updates and its security fixes; other people's
		// packages are none of the guest's.
		if len(f) != 3 || f[2] != "main" || f[1] != suite && f[1] != suite+"-updates" && f[1] != suite+"-security" {
			continue
		}
		if f[1] == suite {
			r.Mirror = f[0]
		}
		r.Sources = append(r.Sources, "deb "+f[0]+" "+f[1]+" main")
	}
	if r.Mirror == "" {
		return nil, errors.New("apt has no mirror of Debian " + suite + " (apt-get indextargets)")
	}
	return r, nil
}

func codename() (string, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	values := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if k, v, ok := strings.Cut(line, "="); ok {
			values[k] = strings.Trim(v, `"`)
		}
	}
	if values["ID"] != "debian" || values["VERSION_CODENAME"] == "" {
		return "", errors.New("the guest is made of this host's own Debian, and this is " + values["PRETTY_NAME"])
	}
	return values["VERSION_CODENAME"], nil
}

// make builds the image beside its place and then renames it.
func (r *recipe) make(dir string, text []byte) error {
	making, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(making)
	root := filepath.Join(making, "root")
	if err := r.bootstrap(making, root); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(root, "boot"), filepath.Join(making, "boot")); err != nil {
		return err
	}
	// No journal: the disk is thrown away after each boot.
	mke2fs, err := lookPath("mke2fs")
	if err != nil {
		return err
	}
	img := filepath.Join(making, "root.img")
	if err := run(nil, mke2fs, "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-m", "0", "-d", root, img, r.Size); err != nil {
		return err
	}
	// The initrd's modules are taken from here.
	if err := os.Rename(filepath.Join(root, "usr/lib/modules"), filepath.Join(making, "modules")); err != nil {
		return err
	}
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(making, "recipe.json"), text, 0o644); err != nil {
		return err
	}
	return os.Rename(making, dir)
}

func (r *recipe) bootstrap(making, root string) error {
	script := filepath.Join(making, "customize")
	if err := os.WriteFile(script, []byte(r.Script), 0o755); err != nil {
		return err
	}
	args := []string{
		"--quiet", "--variant=minbase", "--include=" + strings.Join(r.Packages, ","), "--customize-hook=" + script,
	}
	for _, e := range r.Excluded {
		args = append(args, "--dpkgopt=path-exclude="+e)
	}
	args = append(append(args, r.Suite, root), r.Sources...)
	// INITRD=No: the guest has an initrd of its own, and update-initramfs takes long.
	env := []string{"INITRD=No", "GUEST_BACKPORTS=" + r.Suite + "-backports", "GUEST_MIRROR=" + r.Mirror, "GUEST_KERNEL=" + kernelPackage}
	return run(env, "mmdebstrap", args...)
}

// run runs a program; where it fails, the error has the end of what it said.
func run(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, tail(string(said), 20))
	}
	return nil
}

// tail are the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
