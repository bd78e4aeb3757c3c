package diff

import (
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// bundleDir stands in a config for the directory of the bundle.
const bundleDir = "@BUNDLE@"

// feature is one change of a config, drawn at random; a config is a list of them,
// so that it can be shrunk by leaving some out.
type feature struct {
	name  string
	apply func(r *rand.Rand, s *specs.Spec)
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func coin(r *rand.Rand) bool { return r.IntN(2) == 0 }

// some are a few of a list, in its order.
func some[T any](r *rand.Rand, list ...T) []T {
	var out []T
	for _, v := range list {
		if r.IntN(3) == 0 {
			out = append(out, v)
		}
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// features are all there are.
var features = []feature{
	{"user", func(r *rand.Rand, s *specs.Spec) {
		s.Process.User.UID, s.Process.User.GID = pick(r, uint32(0), 1, 1000, 65000), pick(r, uint32(0), 5, 1000)
		s.Process.User.AdditionalGids = some(r, uint32(4), 5, 100, 3000)
	}},
	{"umask", func(r *rand.Rand, s *specs.Spec) { s.Process.User.Umask = ptr(pick(r, uint32(0), 0o22, 0o77, 0o27)) }},
	{"cwd", func(r *rand.Rand, s *specs.Spec) {
		s.Process.Cwd = pick(r, "/tmp", "/root", "/new", "/new/deep", "/proc", "/link", "/etc")
	}},
	{"env", func(r *rand.Rand, s *specs.Spec) {
		s.Process.Env = append(s.Process.Env, some(r, "A=1", "B=", "HOME=/h", "HOME=", "A=2", "TERM=dumb")...)
	}},
	{"rlimits", func(r *rand.Rand, s *specs.Spec) {
		s.Process.Rlimits = nil
		for _, n := range some(r, "CORE", "NOFILE", "NPROC", "STACK", "MEMLOCK", "FSIZE", "CPU") {
			hard := pick(r, uint64(1<<20), 1<<30)
			s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_" + n, Soft: hard / pick(r, uint64(1), 2), Hard: hard})
		}
	}},
	{"capabilities", capabilities},
	{"no capabilities", func(_ *rand.Rand, s *specs.Spec) { s.Process.Capabilities = nil }},
	{"privileges", func(_ *rand.Rand, s *specs.Spec) { s.Process.NoNewPrivileges = false }},
	{"oom score", func(r *rand.Rand, s *specs.Spec) { s.Process.OOMScoreAdj = ptr(pick(r, -500, 0, 7, 1000)) }},
	{"read-only root", func(_ *rand.Rand, s *specs.Spec) { s.Root.Readonly = true }},
	{"propagation of the root", func(r *rand.Rand, s *specs.Spec) {
		s.Linux.RootfsPropagation = pick(r, "private", "rprivate", "slave", "rslave", "shared", "rshared")
	}},
	{"namespaces", func(r *rand.Rand, s *specs.Spec) {
		var left []specs.LinuxNamespace
		for _, n := range s.Linux.Namespaces {
			if n.Type == specs.MountNamespace || n.Type == specs.UserNamespace || r.IntN(3) > 0 {
				left = append(left, n)
			}
		}
		if s.Linux.Namespaces = left; !has(s, specs.UTSNamespace) {
			s.Hostname, s.Domainname = "", ""
		}
	}},
	{"cgroup namespace", func(_ *rand.Rand, s *specs.Spec) {
		if !has(s, specs.CgroupNamespace) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
	}},
	{"user namespace", func(r *rand.Rand, s *specs.Spec) {
		if has(s, specs.UserNamespace) {
			return
		}
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		m := pick(r, []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}, []specs.LinuxIDMapping{{Size: 70000}},
			[]specs.LinuxIDMapping{{HostID: 100000, Size: 1000}, {ContainerID: 1000, HostID: 300000, Size: 65000}})
		s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
	}},
	{"host name", func(r *rand.Rand, s *specs.Spec) {
		if has(s, specs.UTSNamespace) {
			s.Hostname = pick(r, "", "other", "a.b")
		}
	}},
	{"sysctl", func(r *rand.Rand, s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{}
		if has(s, specs.NetworkNamespace) {
			s.Linux.Sysctl["net.ipv4.ip_forward"] = pick(r, "0", "1")
		}
		if has(s, specs.IPCNamespace) {
			s.Linux.Sysctl["kernel.msgmax"] = "4000"
		}
	}},
	{"tmpfs", func(r *rand.Rand, s *specs.Spec) {
		options := some(r, "nosuid", "nodev", "noexec", "ro", "mode=711", "size=64k", "noatime", "strictatime", "relatime", "norelatime", "nodiratime", "sync")
		mount(s, specs.Mount{Destination: place(r), Type: "tmpfs", Source: "tmpfs", Options: append(options, spread(r)...)})
	}},
	{"bind", bind},
	{"bind again", bind},
	{"no devpts", func(_ *rand.Rand, s *specs.Spec) { without(s, "/dev/pts") }},
	{"no shm", func(_ *rand.Rand, s *specs.Spec) { without(s, "/dev/shm") }},
	{"no mqueue", func(_ *rand.Rand, s *specs.Spec) { without(s, "/dev/mqueue") }},
	{"no /dev", func(_ *rand.Rand, s *specs.Spec) { without(s, "/dev") }},
	{"no cgroup mount", func(_ *rand.Rand, s *specs.Spec) { without(s, "/sys/fs/cgroup") }},
	{"sysfs", func(r *rand.Rand, s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Type == "sysfs" {
				s.Mounts[i].Options = some(r, "nosuid", "noexec", "nodev", "ro")
			}
		}
	}},
	{"proc", func(r *rand.Rand, s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Type == "proc" {
				s.Mounts[i].Options = some(r, "nosuid", "noexec", "nodev")
			}
		}
	}},
	{"/dev", func(r *rand.Rand, s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Destination == "/dev" {
				s.Mounts[i].Options = some(r, "nosuid", "strictatime", "mode=755", "size=65536k", "ro", "noexec")
			}
		}
	}},
	{"masked", func(r *rand.Rand, s *specs.Spec) {
		s.Linux.MaskedPaths = some(r, "/proc/kcore", "/proc/keys", "/sys/firmware", "/data/file", "/data/dir", "/absent", "/etc/passwd", "/mnt")
	}},
	{"read-only", func(r *rand.Rand, s *specs.Spec) {
		s.Linux.ReadonlyPaths = some(r, "/proc/sys", "/proc/bus", "/sys", "/data", "/data/dir", "/data/file", "/absent", "/etc", "/mnt", "/")
	}},
	{"devices", devices},
	{"resources", resources},
	{"no resources", func(_ *rand.Rand, s *specs.Spec) { s.Linux.Resources = nil }},
}

func has(s *specs.Spec, typ specs.LinuxNamespaceType) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == typ {
			return true
		}
	}
	return false
}

func mount(s *specs.Spec, m specs.Mount) { s.Mounts = append(s.Mounts, m) }

func without(s *specs.Spec, destination string) {
	var left []specs.Mount
	for _, m := range s.Mounts {
		if m.Destination != destination {
			left = append(left, m)
		}
	}
	s.Mounts = left
}

// places are where things are mounted, looked at, masked.
var places = []string{"/data", "/data/dir", "/data/new", "/mnt", "/mnt/new", "/mnt/new/sub", "/tmp", "/link", "/run", "/etc"}

func place(r *rand.Rand) string { return pick(r, places...) }

func spread(r *rand.Rand) []string {
	if coin(r) {
		return nil
	}
	return []string{pick(r, "private", "rprivate", "slave", "rslave", "shared", "rshared")}
}

func bind(r *rand.Rand, s *specs.Spec) {
	options := append([]string{pick(r, "bind", "rbind")}, some(r, "ro", "nosuid", "nodev", "noexec", "noatime", "relatime")...)
	m := specs.Mount{Type: pick(r, "bind", "none"), Options: append(options, spread(r)...)}
	if r.IntN(4) == 0 {
		m.Source, m.Destination = bundleDir+"/src/file", pick(r, "/data/file", "/newfile", "/mnt/f/file")
	} else {
		m.Source, m.Destination = bundleDir+pick(r, "/src", "/src/dir", "/src/tmpfs"), place(r)
	}
	mount(s, m)
}

func capabilities(r *rand.Rand, s *specs.Spec) {
	all := []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_AUDIT_READ"}
	bounding := some(r, all...)
	permitted := some(r, bounding...)
	inheritable := some(r, permitted...)
	s.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding: bounding, Permitted: permitted, Effective: some(r, permitted...), Inheritable: inheritable, Ambient: some(r, inheritable...),
	}
}

func devices(r *rand.Rand, s *specs.Spec) {
	d := specs.LinuxDevice{Path: pick(r, "/dev/extra", "/dev/sub/extra", "/data/node", "/dev/zero"), Type: "c", Major: 1, Minor: 5}
	if coin(r) {
		d.FileMode = ptr(pick(r, os.FileMode(0o600), 0o666))
	}
	if coin(r) {
		d.UID, d.GID = ptr(uint32(7)), ptr(uint32(8))
	}
	if r.IntN(4) == 0 {
		d.Type, d.Major, d.Minor = "p", 0, 0
	}
	s.Linux.Devices = append(s.Linux.Devices, d)
}

func resources(r *rand.Rand, s *specs.Spec) {
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	l := s.Linux.Resources
	if coin(r) {
		l.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20))}
	}
	if coin(r) {
		l.Pids = &specs.LinuxPids{Limit: ptr(pick(r, int64(50), 100))}
	}
	if coin(r) {
		l.CPU = &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000))}
	}
	for _, d := range []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(229)), Access: "rwm"},
		{Allow: true, Type: "b", Major: ptr(int64(7)), Access: "r"},
		{Allow: false, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(5)), Access: "w"},
	} {
		if coin(r) {
			l.Devices = append(l.Devices, d)
		}
	}
}

// choice is a feature that a config has, and what it draws its own choices from.
type choice struct {
	feature int
	seed    uint64
}

func (c choice) String() string {
	return features[c.feature].name + "/" + strconv.FormatUint(c.seed, 36)
}

// draw makes a config's list.
func draw(r *rand.Rand) []choice {
	var list []choice
	for range 1 + r.IntN(6) {
		list = append(list, choice{r.IntN(len(features)), r.Uint64()})
	}
	return list
}

func apply(list []choice, s *specs.Spec) {
	for _, c := range list {
		features[c.feature].apply(rand.New(rand.NewPCG(c.seed, 0)), s)
	}
}
