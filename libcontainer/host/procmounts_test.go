package host

import (
	"slices"
	"testing"
)

func TestProcMounts(t *testing.T) {
	const text = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw
24 22 0:22 / /sys rw,nosuid shared:6 - sysfs sysfs rw
25 24 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 22 0:21 / /srv/a\040chroot/proc rw - proc proc rw
27 23 0:21 /bus /proc/bus ro - proc proc rw
28 22 0:21 / /bundle/rootfs/proc rw - proc proc rw
29 22 0:21 / /proc rw - proc proc rw
broken
30 22 0:9 / /dev/mqueue rw - mqueue mqueue rw
`
	want := []string{"/proc", "/sys", "/srv/a chroot/proc"}
	if got := procMounts([]byte(text), "/bundle/rootfs"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
