// Package guest makes and runs a small virtual machine with what this host may
// lack: pure cgroup v2, systemd, AppArmor, a user's own systemd. It is made of this
// host's own Debian, and runs under qemu, without KVM where that does not work.
package guest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/vm/wire"
)

const qemu = "qemu-system-x86_64"

// Cgroups is what systemd mounts at /sys/fs/cgroup.
type Cgroups string

// V2 is pure cgroup v2, V1 has all controllers in v1 and systemd's own hierarchy,
// Hybrid a v2 hierarchy without controllers beside these.
const (
	V2     Cgroups = "v2"
	V1     Cgroups = "v1"
	Hybrid Cgroups = "hybrid"
)

// Options say how a guest is to be.
type Options struct {
	Cgroups Cgroups
	// ReadOnly are directories of the host that the guest sees at the same path,
	// Scratch is one that it may write to.
	ReadOnly []string
	Scratch  string
	// Keep has the guest outlive this process; Find returns it then.
	Keep bool
	// Log is where a word about what takes long goes.
	Log io.Writer
}

// Guest is a virtual machine that runs.
type Guest struct {
	dir string
	// pid is qemu's.
	pid int
}

// Start boots a guest. It does not wait until that is up; the first Run does.
func Start(o Options) (*Guest, error) {
	if why := Missing(); why != "" {
		return nil, errors.New(why)
	}
	for _, dir := range append(o.ReadOnly, o.Scratch) {
		for _, own := range []string{"/dev", "/proc", "/sys", "/run"} {
			if dir == own || strings.HasPrefix(dir, own+"/") {
				return nil, fmt.Errorf("%s cannot be shared: the guest has a %s of its own", dir, own)
			}
		}
	}
	image, err := Build(o.Log)
	if err != nil {
		return nil, err
	}
	kernels, err := image.kernels()
	if err != nil {
		return nil, err
	}
	k := kernels[len(kernels)-1]
	if o.Cgroups != V2 {
		k = kernels[0]
	}
	dir, held, err := newDir(o)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	g := &Guest{dir: dir}
	if err := g.boot(image, k, o, held); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return g, nil
}

// newDir makes the directory of a guest. It is locked, and the lock goes to qemu:
// while one holds it the guest lives, and one that nobody holds is left over.
func newDir(o Options) (string, *os.File, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", nil, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	dirs, _ := filepath.Glob(filepath.Join(cache, "guest-*"))
	for _, dir := range dirs {
		if f, err := hold(dir); err == nil {
			os.RemoveAll(dir)
			f.Close()
		}
	}
	var dir string
	if o.Keep {
		dir = keptDir(cache, o.Cgroups)
		err = os.Mkdir(dir, 0o700)
		if errors.Is(err, os.ErrExist) {
			return "", nil, fmt.Errorf("a guest with %s runs already", o.Cgroups)
		}
	} else {
		dir, err = os.MkdirTemp(cache, "guest-")
	}
	if err != nil {
		return "", nil, err
	}
	f, err := hold(dir)
	return dir, f, err
}

func keptDir(cache string, c Cgroups) string { return filepath.Join(cache, "guest-"+string(c)) }

// hold takes the lock of a guest's directory if nobody has it.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Find returns the kept guest that another process started.
func Find(c Cgroups) (*Guest, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	g := &Guest{dir: keptDir(cache, c)}
	f, err := hold(g.dir)
	if err == nil {
		f.Close()
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("no guest with %s runs", c)
	}
	text, err := os.ReadFile(g.path("pid"))
	if err != nil {
		return nil, err
	}
	g.pid, err = strconv.Atoi(string(text))
	return g, err
}

func (g *Guest) path(name string) string { return filepath.Join(g.dir, name) }

// Scratch is the directory that the guest may write to.
func (g *Guest) Scratch() string {
	dir, err := os.Readlink(g.path("scratch"))
	if err != nil {
		return g.path("scratch")
	}
	return dir
}

func (g *Guest) boot(image Image, k kernel, o Options, held *os.File) error {
	if err := g.makeScratch(o.Scratch); err != nil {
		return err
	}
	shares := []wire.Share{{Tag: "share0", Path: g.Scratch(), Writable: true}}
	for i, dir := range o.ReadOnly {
		shares = append(shares, wire.Share{Tag: "share" + strconv.Itoa(i+1), Path: dir})
	}
	initrd, err := k.initrd(g.dir, shares)
	if err != nil {
		return err
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-smp", "2", "-m", "2048",
		"-kernel", k.image, "-initrd", initrd, "-append", commandLine(o.Cgroups),
		"-serial", "file:console.log",
		"-drive", "if=none,id=root,format=raw,snapshot=on,file=" + image.disk(), "-device", "virtio-blk-pci,drive=root",
		"-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
	}
	args = append(args, acceleration()...)
	for i := range wire.Ports {
		name := "port" + strconv.Itoa(i)
		args = append(args, "-chardev", "socket,server=on,wait=off,id="+name+",path="+name, "-device", "virtserialport,chardev="+name)
	}
	for _, s := range shares {
		readonly := map[bool]string{false: "on", true: "off"}[s.Writable]
		args = append(args, "-fsdev", "local,security_model=passthrough,multidevs=remap,id="+s.Tag+",readonly="+readonly+",path="+s.Path,
			"-device", "virtio-9p-pci,fsdev="+s.Tag+",mount_tag="+s.Tag)
	}
	cmd := exec.Command(qemu, args...)
	cmd.Dir = g.dir
	cmd.ExtraFiles = []*os.File{held}
	// Its own session: a terminal's ^C is for this process, which then ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !o.Keep {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	log, err := os.Create(g.path("qemu.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	started := make(chan error)
	go func() {
		// The death signal comes when the thread ends that started the process.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	g.pid = cmd.Process.Pid
	return os.WriteFile(g.path("pid"), []byte(strconv.Itoa(g.pid)), 0o600)
}

// makeScratch makes the directory, or a link to the one that was asked for.
func (g *Guest) makeScratch(dir string) error {
	if dir == "" {
		if err := os.Mkdir(g.path("scratch"), 0o700); err != nil {
			return err
		}
		// Both of the guest's users write to it; on the host none but this one gets there.
		return os.Chmod(g.path("scratch"), 0o777|os.ModeSticky)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return os.Symlink(dir, g.path("scratch"))
}

// commandLine is the kernel's. Mitigations cost time and protect nobody here.
func commandLine(c Cgroups) string {
	args := "console=ttyS0 quiet panic=-1 softlockup_panic=1 watchdog_thresh=30 mitigations=off nokaslr random.trust_cpu=on apparmor=1 security=apparmor systemd.show_status=0 systemd.unit=multi-user.target"
	switch c {
	case V2:
		return args + " systemd.unified_cgroup_hierarchy=1"
	case Hybrid:
		args += " systemd.legacy_systemd_cgroup_controller=0"
	case V1:
		args += " systemd.legacy_systemd_cgroup_controller=1"
	}
	// From 256 on systemd boots so only for those who insist.
	return args + " systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
}

// Stop ends the guest at once, and removes all that there is of it.
func (g *Guest) Stop() error {
	// The lock says that the pid is still qemu's.
	if f, err := hold(g.dir); err == nil {
		f.Close()
	} else if err := unix.Kill(g.pid, unix.SIGKILL); err != nil {
		return err
	}
	for range 200 {
		f, err := hold(g.dir)
		if errors.Is(err, unix.EWOULDBLOCK) {
			time.Sleep(25 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		defer f.Close()
		return os.RemoveAll(g.dir)
	}
	return fmt.Errorf("qemu (pid %d) does not end", g.pid)
}

// connect returns a port of the guest that no other command uses.
func (g *Guest) connect() (net.Conn, func(), error) {
	for i := range wire.Ports {
		name := "port" + strconv.Itoa(i)
		f, err := os.OpenFile(g.path(name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			continue
		}
		conn, err := g.dial(name)
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return conn, func() { conn.Close(); f.Close() }, nil
	}
	return nil, nil, fmt.Errorf("%d commands run in the guest already", wire.Ports)
}

// dial waits for qemu to listen. A socket's address has no room for a long path, so
// it goes by the directory's descriptor.
func (g *Guest) dial(name string) (net.Conn, error) {
	dir, err := os.Open(g.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	address := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", address)
		if err == nil {
			return conn, nil
		}
		if !g.alive() || time.Now().After(end) {
			return nil, g.trouble(err)
		}
	}
}

func (g *Guest) alive() bool {
	f, err := hold(g.dir)
	if err == nil {
		f.Close()
	}
	return errors.Is(err, unix.EWOULDBLOCK)
}

// Alive says whether the guest has not ended.
func (g *Guest) Alive() bool { return g.alive() }

// telling is the part of a log that tells most: where a kernel went wrong, the
// beginning of that, else the end.
func telling(text string) string {
	for _, word := range []string{"BUG: ", "Oops", "general protection fault", "Kernel panic", "Unable to handle"} {
		if i := strings.Index(text, word); i >= 0 {
			lines := strings.SplitAfterN(text[i:], "\n", 46)
			return strings.Join(lines[:min(45, len(lines))], "")
		}
	}
	return tail(text, 25)
}

// trouble adds what qemu and the guest's console had to say.
func (g *Guest) trouble(err error) error {
	var said strings.Builder
	for _, name := range []string{"qemu.log", "console.log"} {
		text, _ := os.ReadFile(g.path(name))
		if len(text) > 0 {
			fmt.Fprintf(&said, "\n%s:\n%s", name, telling(string(text)))
		}
	}
	if !g.alive() {
		return fmt.Errorf("the guest has ended%s", said.String())
	}
	return fmt.Errorf("the guest does not answer: %w%s", err, said.String())
}
