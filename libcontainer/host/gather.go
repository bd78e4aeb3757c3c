package host

import (
	"bytes"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// minKernel is the oldest kernel that Berth runs on (RHEL 9): it has openat2,
// clone3 with CLONE_INTO_CGROUP, pidfds, mount_setattr, close_range and
// cgroup.kill, which are then used without asking.
var minKernel = Version{5, 14}

// Gather asks the running kernel for the facts. It makes some eighty short
// system calls, half of them prctl, and reads no list whose length grows with
// the host unless a cgroup hierarchy is not where it is by convention.
//
// A kernel older than 5.14 is an error. What can't be read is taken as absent:
// whatever needs it will say so.
func Gather() (*Facts, error) {
	release, err := release()
	if err != nil {
		return nil, err
	}
	f := &Facts{PageSize: os.Getpagesize(), EUID: os.Geteuid(), EGID: os.Getegid()}
	if f.Kernel, err = checkKernel(release); err != nil {
		return nil, err
	}
	f.UserNS = InUserNS()
	f.Permitted, err = permitted()
	if err != nil {
		return nil, err
	}
	f.Bounding, f.LastCap = bounding(func(n int) (int, error) {
		return unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
	})
	f.TimeNS = exists("/proc/self/ns/time")
	f.CgroupNS = exists("/proc/self/ns/cgroup")
	f.UserNSAllowed = exists("/proc/self/ns/user")
	f.AppArmor = bytes.HasPrefix(read("/sys/module/apparmor/parameters/enabled"), []byte("Y"))
	f.SELinux = magic("/sys/fs/selinux") == unix.SELINUX_MAGIC
	f.Seccomp = seccomp()
	f.IgnoredSignals, f.BlockedSignals = ignoredSignals(), blockedSignals()
	f.MemfdExec = memfdExec(read("/proc/sys/vm/memfd_noexec"))
	f.Cgroup = layout(read("/proc/self/cgroup"), kernelView)
	return f, nil
}

func release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fault.Wrap("cannot ask for the kernel's version", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

func checkKernel(release string) (Version, error) {
	v, ok := parseVersion(release)
	if !ok {
		return v, fault.New("cannot understand the kernel's version " + strconv.Quote(release))
	}
	if !v.AtLeast(minKernel.Major, minKernel.Minor) {
		return v, fault.New("Linux " + strconv.Itoa(minKernel.Major) + "." + strconv.Itoa(minKernel.Minor) +
			" or later is needed, and this is " + release)
	}
	return v, nil
}

// parseVersion reads the two numbers at the head of a release such as
// "6.1.0-18-amd64" or "5.14-rc3".
func parseVersion(release string) (Version, bool) {
	major, rest, ok := leadingNumber(release)
	if !ok || rest == "" || rest[0] != '.' {
		return Version{}, false
	}
	minor, _, ok := leadingNumber(rest[1:])
	return Version{major, minor}, ok
}

func leadingNumber(s string) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	n, err := strconv.Atoi(s[:i])
	return n, s[i:], err == nil
}

// InUserNS says whether the caller is in another user namespace than the first.
func InUserNS() bool { return inUserNS(read("/proc/self/uid_map")) }

// inUserNS says whether a uid_map is not that of the initial user namespace,
// which alone maps all ids onto themselves in one line, user_namespaces(7).
func inUserNS(uidMap []byte) bool {
	f := bytes.Fields(uidMap)
	if len(f) == 0 {
		return false // no user namespaces in this kernel
	}
	return len(f) != 3 || string(f[0]) != "0" || string(f[1]) != "0" || string(f[2]) != "4294967295"
}

func permitted() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fault.Wrap("cannot ask for the capabilities", err)
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted), nil
}

// bounding asks for one capability after the other. The first that the kernel
// refuses is the one behind the last it knows; so two facts come without opening
// a file, in a third of the time.
func bounding(ask func(n int) (int, error)) (set uint64, last int) {
	for n := range 64 {
		in, err := ask(n)
		if err != nil {
			return set, n - 1
		}
		if in == 1 {
			set |= 1 << n
		}
	}
	return set, 63
}

// seccomp asks whether filters exist, by asking for an action that all kernels
// with filters have.
func seccomp() bool {
	action := uint32(0x7fff0000) // SECCOMP_RET_ALLOW
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0,
		uintptr(unsafe.Pointer(&action)))
	return errno == 0
}

// memfdExec reads vm.memfd_noexec. At 2 the kernel (6.3 and later) makes no memfd
// that may be executed; at 1 it still does for whoever asks by MFD_EXEC.
func memfdExec(text []byte) bool {
	return !bytes.HasPrefix(text, []byte("2"))
}

func exists(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0) == nil
}

// magic is the type of the filesystem at path; 0 where there is nothing.
func magic(path string) int64 {
	var st unix.Statfs_t
	if _, err := sys.Retry(func() (int, error) { return 0, unix.Statfs(path, &st) }); err != nil {
		return 0
	}
	return int64(st.Type)
}

// read returns a file of procfs or sysfs, whose size stat does not tell; nil
// where it can't be read.
func read(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	buf := make([]byte, 2048)
	for n := 0; ; {
		got, err := sys.Retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return nil
		}
		if got == 0 {
			return buf[:n]
		}
		if n += got; n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}
