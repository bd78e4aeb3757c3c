// Probe is run inside a container and prints, as a JSON object of strings, all that
// can be observed there: what the process is, what it sees, what it may. The
// arguments are paths to look at more closely.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seen is what was observed.
type seen map[string]string

func main() {
	s := seen{}
	s.process()
	s.status()
	s.limits()
	s.descriptors()
	s.namespaces()
	s.mounts()
	s.devices()
	s.kernel()
	s.cgroups()
	for _, p := range os.Args[1:] {
		s.path(p)
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.Write(append(b, '\n'))
}

// read is a small file without the white space around it, or the errno.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return errno(err)
	}
	return strings.TrimSpace(string(b))
}

func errno(err error) string {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	if no, ok := err.(syscall.Errno); ok {
		return "(" + unix.ErrnoName(no) + ")"
	}
	return "(" + err.Error() + ")"
}

func (s seen) process() {
	s["first"] = strconv.FormatBool(os.Getpid() == 1)
	mask := unix.Umask(0)
	unix.Umask(mask)
	s["umask"] = strconv.FormatInt(int64(mask), 8)
	cwd, err := os.Getwd()
	if err != nil {
		cwd = errno(err)
	}
	s["cwd"] = cwd
	for _, e := range os.Environ() {
		k, v, _ := strings.Cut(e, "=")
		if _, twice := s["env "+k]; twice {
			v += " (again)"
		}
		s["env "+k] = v
	}
	sid, _ := unix.Getsid(0)
	s["session"] = strconv.FormatBool(sid == os.Getpid()) + " " + strconv.FormatBool(unix.Getpgrp() == os.Getpid())
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	s["nice"] = strconv.Itoa(nice)
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	s["dumpable"] = strconv.Itoa(dumpable)
	var death int32
	_ = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&death)), 0, 0, 0)
	s["death signal"] = strconv.Itoa(int(death))
}

// status is what /proc says of this process, but for what changes from run to run.
func (s seen) status() {
	for line := range strings.SplitSeq(read("/proc/self/status"), "\n") {
		k, v, _ := strings.Cut(line, ":")
		v = strings.Join(strings.Fields(v), " ")
		switch k {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
			"Cpus_allowed_list", "Mems_allowed_list", "TracerPid", "SigIgn", "SigBlk":
			s["status "+k] = v
		}
	}
	s["oom_score_adj"] = read("/proc/self/oom_score_adj")
	s["uid_map"] = strings.Join(strings.Fields(read("/proc/self/uid_map")), " ")
	s["gid_map"] = strings.Join(strings.Fields(read("/proc/self/gid_map")), " ")
	s["setgroups"] = read("/proc/self/setgroups")
	s["comm of 1"] = read("/proc/1/comm")
	s["cmdline of 1"] = strings.ReplaceAll(read("/proc/1/cmdline"), "\x00", " ")
	s["loginuid"] = read("/proc/self/loginuid")
	s["personality"] = read("/proc/self/personality")
}

// limits are asked for by another program: package os has raised its own.
func (s seen) limits() {
	out, err := exec.Command("/bin/busybox", "cat", "/proc/self/limits").Output()
	if err != nil {
		s["limits"] = errno(err)
		return
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if i > 0 && len(line) > 26 {
			s["limit "+strings.TrimSpace(line[:26])] = strings.Join(strings.Fields(line[26:]), " ")
		}
	}
}

// descriptors says of each what it is; the Go runtime's own begin later.
func (s seen) descriptors() {
	for fd := range 20 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			continue
		}
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if fdflags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); fdflags&unix.FD_CLOEXEC != 0 {
			continue
		}
		s["fd "+strconv.Itoa(fd)] = kind(&st) + " " + strconv.FormatUint(uint64(st.Uid), 10) + " " + strconv.FormatInt(int64(flags&unix.O_ACCMODE), 10)
	}
}

func kind(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "link"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "c " + number(st)
	}
	return "b " + number(st)
}

func number(st *unix.Stat_t) string {
	return strconv.Itoa(int(unix.Major(st.Rdev))) + ":" + strconv.Itoa(int(unix.Minor(st.Rdev)))
}

func (s seen) namespaces() {
	for _, n := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		v, err := os.Readlink("/proc/self/ns/" + n)
		if err != nil {
			v = errno(err)
		}
		s["ns "+n] = v
	}
}

// mountpoint is a line of mountinfo (proc_pid_mountinfo(5)).
type mountpoint struct {
	id, parent, root, place, flags, typ, super string
	tags                                       []string
}

func mountinfo() ([]*mountpoint, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []*mountpoint
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if ok && len(a) >= 6 && len(b) >= 3 {
			list = append(list, &mountpoint{a[0], a[1], a[3], a[4], a[5], b[0], strings.Join(b[2:], " "), a[6:]})
		}
	}
	return list, nil
}

// depth is how many mounts lie below m on the same place. The order of the lines does
// not say it.
func (m *mountpoint) depth(list []*mountpoint) int {
	for _, p := range list {
		if p.id == m.parent && p.place == m.place && p != m {
			return p.depth(list) + 1
		}
	}
	return 0
}

// mounts says of each mount, by place and depth there, what it is, without ids.
func (s seen) mounts() {
	list, err := mountinfo()
	if err != nil {
		s["mounts"] = errno(err)
		return
	}
	var order []string
	for _, m := range list {
		key := m.place + strings.Repeat("'", m.depth(list))
		order = append(order, key)
		var spread []string
		for _, tag := range m.tags {
			word, _, _ := strings.Cut(tag, ":")
			spread = append(spread, word)
		}
		s["mount "+key+" flags"] = sorted(m.flags)
		s["mount "+key+" spread"] = strings.Join(spread, ",")
		s["mount "+key+" type"] = m.typ
		switch m.typ {
		case "tmpfs", "devpts", "mqueue", "proc", "sysfs":
			s["mount "+key+" super"] = sorted(m.super)
		}
		if m.root != "/" {
			s["mount "+key+" root"] = m.root
		}
	}
	s["mounts"] = strings.Join(order, " ")
}

func sorted(list string) string {
	l := strings.Split(list, ",")
	sort.Strings(l)
	return strings.Join(l, ",")
}

func (s seen) devices() {
	_ = filepath.WalkDir("/dev", func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && (p == "/dev/pts" || p == "/dev/mqueue" || p == "/dev/shm") {
			s["dev "+p] = "directory"
			return filepath.SkipDir
		}
		s["dev "+p] = lstat(p)
		return nil
	})
}

func lstat(p string) string {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return errno(err)
	}
	v := kind(&st) + " " + strconv.FormatUint(uint64(st.Mode&0o7777), 8) + " " + strconv.FormatUint(uint64(st.Uid), 10) + ":" + strconv.FormatUint(uint64(st.Gid), 10)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		to, _ := os.Readlink(p)
		v = "link to " + to
	}
	return v
}

func (s seen) kernel() {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s["hostname"] = unix.ByteSliceToString(u.Nodename[:])
		s["domainname"] = unix.ByteSliceToString(u.Domainname[:])
		s["machine"] = unix.ByteSliceToString(u.Machine[:])
	}
	for _, p := range []string{"net/ipv4/ip_forward", "kernel/shmmax", "kernel/msgmax", "fs/mqueue/msg_max", "net/core/somaxconn"} {
		s["sysctl "+p] = read("/proc/sys/" + p)
	}
	s["loopback"] = read("/sys/class/net/lo/flags")
	names, _ := os.ReadDir("/sys/class/net")
	var nets []string
	for _, n := range names {
		nets = append(nets, n.Name())
	}
	s["interfaces"] = strings.Join(nets, " ")
	s["keyring"] = strings.Join(strings.Fields(keyring()), " ")
}

// keyring describes the session keyring (keyctl(2)).
func keyring() string {
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		return errno(err)
	}
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
	if err != nil {
		return errno(err)
	}
	return text
}

func (s seen) cgroups() {
	for line := range strings.SplitSeq(read("/proc/self/cgroup"), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) == 3 {
			s["cgroup "+f[1]] = f[2]
		}
	}
	for _, p := range []string{
		"memory/memory.limit_in_bytes", "memory/memory.soft_limit_in_bytes", "memory/memory.swappiness", "pids/pids.max", "cpu/cpu.shares",
		"cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpuset/cpuset.cpus", "devices/devices.list",
	} {
		s["control "+p] = strings.ReplaceAll(read("/sys/fs/cgroup/"+p), "\n", "; ")
	}
}

// path says what is at p and what may be done there.
func (s seen) path(p string) {
	s["path "+p] = lstat(p)
	fi, err := os.Stat(p)
	if err != nil {
		s["path "+p+" stat"] = errno(err)
		return
	}
	if fi.IsDir() {
		names, err := os.ReadDir(p)
		var list []string
		for _, n := range names {
			list = append(list, n.Name())
		}
		if s["path "+p+" list"] = strings.Join(list, " "); err != nil {
			s["path "+p+" list"] = errno(err)
		}
		name := filepath.Join(p, ".probe")
		fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
		if s["path "+p+" write"] = "yes"; err != nil {
			s["path "+p+" write"] = errno(err)
			return
		}
		unix.Close(fd)
		_ = unix.Unlink(name)
		return
	}
	for _, way := range []struct {
		word string
		flag int
	}{{"read", unix.O_RDONLY}, {"write", unix.O_WRONLY}} {
		fd, err := unix.Open(p, way.flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if s["path "+p+" "+way.word] = "yes"; err != nil {
			s["path "+p+" "+way.word] = errno(err)
			continue
		}
		unix.Close(fd)
	}
}
