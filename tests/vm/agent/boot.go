package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/vm/wire"
)

const (
	disk    = "/dev/vda"
	newRoot = "/root"
	// agentPath lies in /run, which systemd takes over as it is: the image holds
	// nothing of ours, and need not be made anew when the agent changes.
	agentPath = "/run/berth-agent"
	unitDir   = "/run/systemd/system"
)

//go:embed berth-agent.service
var unit []byte

// boot is what the initrd is for. It returns only with an error.
func boot() error {
	config, err := readConfig()
	if err != nil {
		return err
	}
	for _, m := range []struct{ fstype, at string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		if err := mount(m.fstype, m.at, m.fstype, 0, ""); err != nil {
			return err
		}
	}
	for _, m := range config.Modules {
		if err := loadModule(m); err != nil {
			return err
		}
	}
	if err := mountRoot(); err != nil {
		return err
	}
	for _, s := range config.Shares {
		if err := mountShare(s); err != nil {
			return err
		}
	}
	if err := installAgent(); err != nil {
		return err
	}
	return switchRoot()
}

func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s (%s, %q): %w", source, target, fstype, data, err)
	}
	return nil
}

// loadModule has the kernel unpack what is compressed, which Debian's do from 6.2 on.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if !strings.HasSuffix(path, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// mountRoot waits for the disk: its driver finds it on a thread of its own.
func mountRoot() error {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(disk); err == nil {
			return mount(disk, newRoot, "ext4", unix.MS_NOATIME, "")
		} else if time.Now().After(end) {
			return err
		}
	}
}

// mountShare asks the host about every name anew (cache=none), so that a running
// guest sees what is built on the host meanwhile.
func mountShare(s wire.Share) error {
	var flags uintptr = unix.MS_NOATIME
	if !s.Writable {
		flags |= unix.MS_RDONLY
	}
	return mount(s.Tag, newRoot+s.Path, "9p", flags, "trans=virtio,version=9p2000.L,msize=512000,cache=none")
}

func installAgent() error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	out, err := os.OpenFile(agentPath, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, self); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	wants := filepath.Join(unitDir, "multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	name := "berth-agent.service"
	if err := os.WriteFile(filepath.Join(unitDir, name), unit, 0o644); err != nil {
		return err
	}
	return os.Symlink("../"+name, filepath.Join(wants, name))
}

func switchRoot() error {
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return err
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"})
}
