// Package bundles has the container that Berth makes when nobody has given it
// one: a default configuration, and with hostfs a root filesystem of the host's
// own programs. So the first container needs no network, no image and no other
// tool.
package bundles

import (
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/bundles/hostfs"
	"berth/libcontainer/host"
)

// Options are what the command line decides. The zero value is a bundle with a
// shell, without a terminal, for the calling user.
type Options struct {
	// Args are the command and its arguments; empty is a shell.
	Args []string
	// Env are NAME=value pairs beside PATH, HOME and TERM, or in their place.
	Env []string
	// Hostname is the container's host name; empty is "berth".
	Hostname string
	// Terminal asks for a pseudo-terminal.
	Terminal bool
	// Term is the caller's $TERM; empty is xterm.
	Term string
	// UserNamespace gives the container a user namespace of its own. A caller who
	// is not root has no choice: there it is always one.
	UserNamespace bool
	// Path is the caller's $PATH, where programs are searched.
	Path string
	// Facts are those of this machine. nil: the caller's ids are asked for, and
	// the kernel is taken to have cgroup namespaces, as all since Linux 4.6 may.
	Facts *host.Facts
}

// SubIDBase and SubIDCount are the host's ids that stand for a container's own
// when root asks for a user namespace: the range that useradd(8) hands out
// first, for want of one that is registered in /etc/subuid for root.
const (
	SubIDBase  = 100000
	SubIDCount = 65536
)

// ociVersion is the oldest version of the runtime-spec that has all that the
// default configuration uses, so that a bundle runs under older runtimes too.
const ociVersion = "1.0.2"

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (o *Options) ids() (uid, gid int) {
	if o.Facts != nil {
		return o.Facts.EUID, o.Facts.EGID
	}
	return os.Geteuid(), os.Getegid()
}

func (o *Options) rootless() bool {
	uid, _ := o.ids()
	return uid != 0
}

// owner is who owns the files of a root filesystem: root, or the one that root
// of the container is mapped to. A caller who is not root owns them anyway.
func (o *Options) owner() int {
	if o.UserNamespace && !o.rootless() {
		return SubIDBase
	}
	return 0
}

// Default returns the default configuration. It is what `runc spec` gives, for
// a root user or as its --rootless for another, but for these: the host name; a
// cgroup namespace, so that the container sees its own cgroup as the root of
// all; and the fourteen capabilities of Docker's containers in place of three,
// because a container to play in should let one chown, su, ping and mknod as in
// those that people know.
func Default(opt Options) *specs.Spec {
	hostname := opt.Hostname
	if hostname == "" {
		hostname = "berth"
	}
	s := &specs.Spec{
		Version:  ociVersion,
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: hostname,
		Process:  process(&opt),
		Mounts:   mounts(opt.rootless()),
		Linux: &specs.Linux{
			Namespaces: namespaces(opt.Facts),
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if !opt.rootless() {
		// All devices are denied; the runtime adds those that every container has.
		// A user who is not root can't make device nodes, and may not even have a cgroup.
		s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
	}
	if opt.rootless() || opt.UserNamespace {
		userNamespace(s.Linux, &opt)
	}
	return s
}

func process(opt *Options) *specs.Process {
	args := opt.Args
	if len(args) == 0 {
		args = []string{"sh"}
	}
	term := opt.Term
	if term == "" {
		term = "xterm"
	}
	return &specs.Process{
		Terminal:        opt.Terminal,
		Args:            append([]string(nil), args...),
		Env:             environment([]string{"PATH=" + defaultPath, "TERM=" + term, "HOME=/root"}, opt.Env),
		Cwd:             "/",
		Capabilities:    capabilities(),
		Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
		NoNewPrivileges: true,
	}
}

// environment puts more over base; the last value of a name counts.
func environment(base, more []string) []string {
	env := append([]string(nil), base...)
next:
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		for i := range env {
			if n, _, _ := strings.Cut(env[i], "="); n == name {
				env[i] = kv
				continue next
			}
		}
		env = append(env, kv)
	}
	return env
}

// capabilities leaves the inheritable and the ambient set empty, so that a
// program of another user in the container gains none on execve (CVE-2022-24769).
func capabilities() *specs.LinuxCapabilities {
	set := func() []string {
		return []string{
			"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
			"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
		}
	}
	return &specs.LinuxCapabilities{Bounding: set(), Effective: set(), Permitted: set()}
}

func namespaces(facts *host.Facts) []specs.LinuxNamespace {
	ns := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace},
		{Type: specs.NetworkNamespace},
		{Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace},
		{Type: specs.MountNamespace},
	}
	if facts == nil || facts.CgroupNS {
		ns = append(ns, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return ns
}

// mounts are the seven that every container has. Without root sysfs needs no
// bind mount of the host's, as where the network namespace is shared: the new
// network namespace belongs to the new user namespace, and that is what the
// kernel asks for.
func mounts(rootless bool) []specs.Mount {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if !rootless {
		// The group tty. A user namespace of one id can't map it.
		pts = append(pts, "gid=5")
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
}

func userNamespace(l *specs.Linux, opt *Options) {
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	uid, gid := opt.ids()
	count := uint32(1)
	if !opt.rootless() {
		uid, gid, count = SubIDBase, SubIDBase, SubIDCount
	}
	l.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(uid), Size: count}}
	l.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(gid), Size: count}}
}

// hostOptions are the options of hostfs for a container with the command args.
func (o *Options) hostOptions(command string) hostfs.Options {
	return hostfs.Options{Command: command, Path: o.Path, Term: o.Term, Owner: o.owner()}
}

// fit makes a configuration run the programs of a root filesystem: PATH leads
// to all of them, and a command with a slash is where the report says.
func fit(s *specs.Spec, rep *hostfs.Report) {
	for i := range rep.Programs {
		p := &rep.Programs[i]
		dir := path.Dir(p.Path)
		for j, kv := range s.Process.Env {
			if dirs, ok := strings.CutPrefix(kv, "PATH="); ok && !strings.Contains(p.Name, "/") && !strings.Contains(":"+dirs+":", ":"+dir+":") {
				s.Process.Env[j] = kv + ":" + dir
			}
		}
	}
	if p := rep.Find(s.Process.Args[0]); p != nil && strings.Contains(p.Name, "/") {
		s.Process.Args[0] = p.Path
	}
}
