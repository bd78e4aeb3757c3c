package security

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// TestPasswd has an image whose /etc/passwd is anything but a list of users.
func TestPasswd(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	write(t, v.dir+"/etc/passwd", "root:x:0:0::/taken/from/the/host:/bin/sh\n")
	v.before = tree(t, v.dir)
	sparse := func(p string) error {
		f, err := os.Create(p)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Truncate(1 << 40)
	}
	text := func(s string) func(string) error {
		return func(p string) error { return os.WriteFile(p, []byte(s), 0o644) }
	}
	device := func(major, minor uint32) func(string) error {
		return func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))) }
	}
	for name, with := range map[string]func(string) error{
		"huge":          sparse,
		"fifo":          func(p string) error { return unix.Mkfifo(p, 0o666) },
		"zero":          device(1, 5),
		"tty":           device(5, 0),
		"no driver":     device(240, 7),
		"directory":     func(p string) error { return os.Mkdir(p, 0o755) },
		"host":          symlinkTo(v.dir + "/etc/passwd"),
		"dots":          symlinkTo(strings.Repeat("../", 30) + v.dir + "/etc/passwd"),
		"magic":         symlinkTo("/proc/self/root" + v.dir + "/etc/passwd"),
		"environ":       symlinkTo("/proc/self/environ"),
		"kmsg":          symlinkTo("/proc/kmsg"),
		"loop":          symlinkTo("passwd"),
		"garbage":       text(string(bytes.Repeat([]byte{0, 1, ':', 0xff, '\n', 0xc0}, 10000))),
		"NUL":           text("root:x:0:0::/a\x00b:/bin/sh\n"),
		"no newline":    text(strings.Repeat("root:x:0:0::", 80000)),
		"colons":        text(strings.Repeat(":", 1<<20)),
		"long home":     text("root:x:0:0::/" + strings.Repeat("h", 5000) + ":/bin/sh\n"),
		"relative home": text("root:x:0:0::../..:/bin/sh\n"),
		"newline":       text("root:x:0:0::/a\rLD_PRELOAD=/evil.so:/bin/sh\n"),
		"unreadable":    func(p string) error { return os.WriteFile(p, nil, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			bundle := harness.Bundle(t, harness.Shell("echo $HOME"))
			replace(t, filepath.Join(bundle, "rootfs"), "etc/passwd", with)
			res := bounded(t, h, 20*time.Second, "run", "--bundle", bundle, harness.ID(t))
			if res.Code != 0 || !strings.HasPrefix(res.Stdout, "/") || strings.Contains(res.Stdout, "taken") || strings.Contains(res.Stdout, "..") {
				t.Errorf("exit status %d: %q %s", res.Code, res.Stdout, res.Stderr)
			}
		})
	}
	v.unharmed(t)
}

// TestCVE_2025_31133_masks has an image without a /dev of its own, whose /dev/null
// is something else: what is masked is covered by the real one.
func TestCVE_2025_31133_masks(t *testing.T) {
	h := attack(t)
	v := newVictim(t)
	for name, with := range map[string]func(string) error{
		"link":   symlinkTo("/proc/sys/kernel/core_pattern"),
		"host":   symlinkTo(v.dir + "/file"),
		"file":   func(p string) error { return os.WriteFile(p, []byte("x"), 0o666) },
		"device": func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
	} {
		t.Run(name, func(t *testing.T) {
			bundle := harness.Bundle(t, withoutMount("/dev"), harness.Shell("stat -c %t,%T /proc/kcore; readlink /proc/sys/kernel/core_pattern; (: > /proc/sys/kernel/core_pattern) 2>&1 | grep -o Read-only"))
			replace(t, filepath.Join(bundle, "rootfs"), "dev/null", with)
			res := h.Do("run", "--bundle", bundle, harness.ID(t))
			plain(t, res)
			if res.Code == 0 && res.Stdout != "1,3\nRead-only\n" {
				t.Errorf("%s", res.Stdout)
			}
		})
	}
	v.unharmed(t)
}
