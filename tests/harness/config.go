package harness

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// caps are those that runc's default config has.
var caps = []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}

// Default is the config that tests start from: what `spec` of any runtime makes,
// without a terminal, and with a program that does nothing.
func Default() *specs.Spec {
	opts := func(s string) []string { return strings.Split(s, ",") }
	return &specs.Spec{
		Version:  "1.0.2",
		Hostname: "test",
		Root:     &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args:            []string{"/bin/true"},
			Env:             []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
			Cwd:             "/",
			Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			NoNewPrivileges: true,
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: opts("nosuid,strictatime,mode=755,size=65536k")},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: opts("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5")},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: opts("nosuid,noexec,nodev,mode=1777,size=65536k")},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: opts("nosuid,noexec,nodev")},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: opts("nosuid,noexec,nodev,ro")},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: opts("nosuid,noexec,nodev,relatime,ro")},
		},
		Linux: &specs.Linux{
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// Args sets the process's command line.
func Args(args ...string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.Args = args }
}

// Shell makes the process a shell that runs a script.
func Shell(script string) func(*specs.Spec) { return Args("/bin/sh", "-c", script) }

// UserNamespace gives the container a user namespace whose root is host id 100000.
func UserNamespace(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
}

// Namespace adds a namespace, to be joined if it has a path, and takes out what
// was there of that type.
func Namespace(typ specs.LinuxNamespaceType, path string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		WithoutNamespace(typ)(s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: path})
	}
}

// WithoutNamespace takes a namespace out: the container inherits the runtime's.
func WithoutNamespace(typ specs.LinuxNamespaceType) func(*specs.Spec) {
	return func(s *specs.Spec) {
		var left []specs.LinuxNamespace
		for _, n := range s.Linux.Namespaces {
			if n.Type != typ {
				left = append(left, n)
			}
		}
		s.Linux.Namespaces = left
	}
}
