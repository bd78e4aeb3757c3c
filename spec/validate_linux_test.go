package spec

import (
	"io/fs"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// linux returns an edit of the linux object alone.
func linux(edit func(*specs.Linux)) func(*specs.Spec) {
	return func(s *specs.Spec) { edit(s.Linux) }
}

func TestValidateNamespaces(t *testing.T) {
	add := func(ns specs.LinuxNamespace) func(*specs.Spec) {
		return linux(func(l *specs.Linux) { l.Namespaces = append(l.Namespaces, ns) })
	}
	uids := func(m ...specs.LinuxIDMapping) func(*specs.Spec) {
		return linux(func(l *specs.Linux) { l.UIDMappings = m })
	}
	offsets := func(clock string, o specs.LinuxTimeOffset) func(*specs.Spec) {
		return linux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{clock: o} })
	}
	many := make([]specs.LinuxIDMapping, 341)
	for i := range many {
		many[i] = specs.LinuxIDMapping{ContainerID: uint32(i), HostID: uint32(i), Size: 1}
	}
	const uidPath = "linux.uidMappings"
	check(t, []rule{
		{"NS-9 unknown", add(specs.LinuxNamespace{Type: "x"}), "linux.namespaces[8].type", `namespace "x" does not exist`},
		{"NS-9 missing", add(specs.LinuxNamespace{}), "linux.namespaces[8].type", `namespace "" does not exist`},
		{"NS-11 relative", func(s *specs.Spec) { join(s, specs.PIDNamespace, "ns/pid") }, "linux.namespaces[4].path", `absolute path, not "ns/pid"`},
		{"NS-11 absolute", func(s *specs.Spec) { join(s, specs.PIDNamespace, "/proc/1/ns/pid") }, "", ""},
		{"NS-13 none", func(s *specs.Spec) { s.Linux = &specs.Linux{} }, "", ""},
		{"NS-14 twice", add(specs.LinuxNamespace{Type: "pid"}), "linux.namespaces[8].type", "malformed spec file: duplicated ns"},
		{"NS-15 size 0", uids(specs.LinuxIDMapping{}, specs.LinuxIDMapping{Size: 1}), uidPath + "[0].size", "must not be 0"},
		{"NS-15 container overlap", uids(specs.LinuxIDMapping{Size: 10}, specs.LinuxIDMapping{ContainerID: 9, HostID: 100, Size: 1}), uidPath + "[1]", "container ids overlap those of linux.uidMappings[0]"},
		{"NS-15 host overlap", uids(specs.LinuxIDMapping{HostID: 5, Size: 10}, specs.LinuxIDMapping{ContainerID: 10, HostID: 0, Size: 6}), uidPath + "[1]", "host ids overlap those of linux.uidMappings[0]"},
		{"NS-15 side by side", uids(specs.LinuxIDMapping{Size: 10}, specs.LinuxIDMapping{ContainerID: 10, HostID: 10, Size: 10}), "", ""},
		{"NS-15 all ids", uids(specs.LinuxIDMapping{Size: 1<<32 - 1}), "", ""},
		{"NS-15 container overflow", uids(specs.LinuxIDMapping{Size: 1}, specs.LinuxIDMapping{ContainerID: 1<<32 - 2, HostID: 5, Size: 2}), uidPath + "[1]", "containerID and size reach beyond"},
		{"NS-15 host overflow", uids(specs.LinuxIDMapping{HostID: 2, Size: 1<<32 - 2}), uidPath + "[0]", "hostID and size reach beyond"},
		{"NS-15 too many", uids(many...), uidPath, "341 mappings are more than the kernel takes, 340"},
		{"NS-15 as many as fit", uids(many[:340]...), "", ""},
		{"NS-15 uids without namespace", func(s *specs.Spec) {
			without(s, specs.UserNamespace)
			s.Linux.GIDMappings = nil
		}, uidPath, "need a user namespace"},
		{"NS-15 gids without namespace", func(s *specs.Spec) {
			without(s, specs.UserNamespace)
			s.Linux.UIDMappings = nil
		}, "linux.gidMappings", "need a user namespace"},
		{"NS-16 none", linux(func(l *specs.Linux) { l.UIDMappings, l.GIDMappings = nil, nil }), uidPath, "user namespaces enabled, but no namespace path to join nor mappings"},
		{"NS-16 no uids", uids(), uidPath, "gid mappings but no uid mappings"},
		{"NS-16 no gids", linux(func(l *specs.Linux) { l.GIDMappings = nil }), "linux.gidMappings", "uid mappings but no gid mappings"},
		{"NS-16 joined", func(s *specs.Spec) {
			join(s, specs.UserNamespace, "/proc/1/ns/user")
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}, "", ""},
		{"NS-18 joined with mappings", func(s *specs.Spec) { join(s, specs.UserNamespace, "/proc/1/ns/user") }, "", ""},
		{"NS-19 unknown clock", offsets("realtime", specs.LinuxTimeOffset{}), "linux.timeOffsets.realtime", "must be monotonic or boottime"},
		{"NS-19 no namespace", func(s *specs.Spec) {
			offsets("boottime", specs.LinuxTimeOffset{Secs: 1})(s)
			without(s, specs.TimeNamespace)
		}, "linux.timeOffsets", "need a time namespace"},
		{"NS-19 joined", func(s *specs.Spec) {
			offsets("boottime", specs.LinuxTimeOffset{Secs: 1})(s)
			join(s, specs.TimeNamespace, "/proc/1/ns/time")
		}, "linux.timeOffsets", "has its offsets already"},
		{"NS-20 negative", offsets("monotonic", specs.LinuxTimeOffset{Secs: -5}), "", ""},
		{"NS-21 too large", offsets("monotonic", specs.LinuxTimeOffset{Nanosecs: 1000000000}), "linux.timeOffsets.monotonic.nanosecs", "at most 999999999"},
	})
}

func TestValidateDevices(t *testing.T) {
	device := func(d specs.LinuxDevice) func(*specs.Spec) {
		return linux(func(l *specs.Linux) {
			l.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, d}
		})
	}
	const path = "linux.devices[1]"
	check(t, []rule{
		{"DEV-2 missing", device(specs.LinuxDevice{Path: "/dev/x"}), path + ".type", `invalid device type "": must be one of c, b, u, p`},
		{"DEV-2 a", device(specs.LinuxDevice{Path: "/dev/x", Type: "a"}), path + ".type", "invalid device type"},
		{"DEV-2 u", device(specs.LinuxDevice{Path: "/dev/x", Type: "u"}), "", ""},
		{"DEV-3 missing", device(specs.LinuxDevice{Type: "c"}), path + ".path", "must not be empty"},
		{"DEV-3 relative", device(specs.LinuxDevice{Path: "dev/x", Type: "c"}), path + ".path", "absolute path"},
		{"DEV-5 negative major", device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: -1}), path + ".major", "between 0 and 4095, not -1"},
		{"DEV-5 large major", device(specs.LinuxDevice{Path: "/dev/x", Type: "b", Major: 4096}), path + ".major", "not 4096"},
		{"DEV-5 large minor", device(specs.LinuxDevice{Path: "/dev/x", Type: "b", Minor: 1 << 20}), path + ".minor", "between 0 and 1048575"},
		{"DEV-5 FIFO", device(specs.LinuxDevice{Path: "/dev/x", Type: "p", Major: -1, Minor: -1}), "", ""},
		{"DEV-6 with type bits", device(specs.LinuxDevice{Path: "/dev/x", Type: "c", FileMode: ptr(fs.FileMode(0o20666))}), "", ""},
		{"DEV-6 more than a mode", device(specs.LinuxDevice{Path: "/dev/x", Type: "c", FileMode: ptr(fs.FileMode(0o200000))}), path + ".fileMode", "at most 511"},
		{"DEV-7 unmapped", device(specs.LinuxDevice{Path: "/dev/x", Type: "c", UID: ptr(uint32(1 << 20))}), "", ""},
	})
}

func TestValidateNetDevices(t *testing.T) {
	net := func(m map[string]specs.LinuxNetDevice) func(*specs.Spec) {
		return linux(func(l *specs.Linux) { l.NetDevices = m })
	}
	named := func(name string) func(*specs.Spec) {
		return net(map[string]specs.LinuxNetDevice{"eth0": {Name: name}})
	}
	const path = "linux.netDevices"
	check(t, []rule{
		{"NET-2 no namespace", func(s *specs.Spec) {
			named("")(s)
			without(s, specs.NetworkNamespace)
		}, path, "unable to move network devices without a NET namespace"},
		{"NET-1 good", named(""), "", ""},
		{"NET-1 empty key", net(map[string]specs.LinuxNetDevice{"": {Name: "a"}}), path + `[""]`, "must not be empty"},
		{"NET-1 bad key", net(map[string]specs.LinuxNetDevice{"a/b": {Name: "a"}}), path + `["a/b"]`, `it has "/"`},
		{"NET-3 too long", named("abcdefghijklmnop"), path + ".eth0.name", "longer than 15 bytes"},
		{"NET-3 longest", named("abcdefghijklmno"), "", ""},
		{"NET-3 dot", named("."), path + ".eth0.name", "names a directory"},
		{"NET-3 dots", named(".."), path + ".eth0.name", "names a directory"},
		{"NET-3 colon", named("a:b"), path + ".eth0.name", `it has ":"`},
		{"NET-3 space", named("a b"), path + ".eth0.name", `it has " "`},
		{"NET-4 same name", net(map[string]specs.LinuxNetDevice{"a": {Name: "b"}, "b": {}}), path + ".b", `gets the name "b" in the container, as linux.netDevices.a does`},
		{"NET-4 swapped", net(map[string]specs.LinuxNetDevice{"a": {Name: "b"}, "b": {Name: "a"}}), "", ""},
		{"NET-5 template", net(map[string]specs.LinuxNetDevice{"a": {Name: "eth%d"}, "b": {Name: "eth%d"}}), "", ""},
	})
}

func TestValidatePlaces(t *testing.T) {
	cgroup := func(p string) func(*specs.Spec) { return linux(func(l *specs.Linux) { l.CgroupsPath = p }) }
	propagation := func(p string) func(*specs.Spec) {
		return linux(func(l *specs.Linux) { l.RootfsPropagation = p })
	}
	rules := []rule{
		{"CGP-2 dots", cgroup("/a/../b"), "linux.cgroupsPath", `must not have .. in it: "/a/../b"`},
		{"CGP-2 NUL", cgroup("/a\x00"), "linux.cgroupsPath", "NUL"},
		{"CGP-2 dots in a name", cgroup("/a..b"), "", ""},
		{"CGP-6 systemd", cgroup("system.slice:berth:a"), "", ""},
		{"SEC-3 unknown", propagation("x"), "linux.rootfsPropagation", "rootfsPropagation=x is not supported"},
		{"SEC-7 relative", linux(func(l *specs.Linux) { l.MaskedPaths = []string{"/a", "proc/kcore"} }), "linux.maskedPaths[1]", "absolute path"},
		{"SEC-7 empty", linux(func(l *specs.Linux) { l.MaskedPaths = []string{""} }), "linux.maskedPaths[0]", "must not be empty"},
		{"SEC-8 relative", linux(func(l *specs.Linux) { l.ReadonlyPaths = []string{"proc/sys"} }), "linux.readonlyPaths[0]", "absolute path"},
		{"SEC-9 masked", func(s *specs.Spec) {
			s.Linux.MaskedPaths = []string{"/a"}
			without(s, specs.MountNamespace)
		}, "linux.maskedPaths", "unable to restrict sys entries without a private MNT namespace"},
		{"SEC-9 read-only", func(s *specs.Spec) {
			s.Linux.ReadonlyPaths = []string{"/a"}
			without(s, specs.MountNamespace)
		}, "linux.readonlyPaths", "unable to restrict sys entries without a private MNT namespace"},
		{"SEC-9 nothing to restrict", func(s *specs.Spec) { without(s, specs.MountNamespace) }, "", ""},
		{"SEC-10 NUL", linux(func(l *specs.Linux) { l.MountLabel = "\x00" }), "linux.mountLabel", "NUL"},
		{"SEC-11 missing", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{} }), "linux.personality.domain", "invalid personality domain"},
		{"SEC-11 unknown", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "BSD"} }), "linux.personality.domain", `invalid personality domain "BSD"`},
		{"SEC-11 LINUX32", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "LINUX32"} }), "", ""},
		{"SEC-12 flags", linux(func(l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: "LINUX", Flags: []specs.LinuxPersonalityFlag{"X"}}
		}), "linux.personality.flags", "no flag"},
	}
	for _, p := range []string{"shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"} {
		rules = append(rules, rule{"SEC-3 " + p, propagation(p), "", ""})
	}
	check(t, rules)
}

func TestValidateSysctl(t *testing.T) {
	sysctl := func(keys ...string) func(*specs.Spec) {
		return linux(func(l *specs.Linux) {
			l.Sysctl = map[string]string{}
			for _, k := range keys {
				l.Sysctl[k] = "1"
			}
		})
	}
	lacking := func(kind specs.LinuxNamespaceType, key string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			sysctl(key)(s)
			without(s, kind)
		}
	}
	path := func(key string) string { return field("linux.sysctl", key) }
	const separate = " is not in a separate kernel namespace"
	check(t, []rule{
		{"SEC-1 host", sysctl("vm.swappiness"), path("vm.swappiness"), `sysctl "vm.swappiness"` + separate},
		{"SEC-1 no network namespace", lacking(specs.NetworkNamespace, "net.core.somaxconn"), path("net.core.somaxconn"), `sysctl "net.core.somaxconn"` + separate},
		{"SEC-1 no IPC namespace", lacking(specs.IPCNamespace, "fs.mqueue.msg_max"), path("fs.mqueue.msg_max"), separate},
		{"SEC-1 no UTS namespace", lacking(specs.UTSNamespace, "kernel.domainname"), path("kernel.domainname"), separate},
		{"SEC-1 in namespaces", sysctl("net.core.somaxconn", "fs.mqueue.msg_max", "kernel.domainname", "kernel.shmmax", "user.max_user_namespaces"), "", ""},
		{"SEC-1 other kernel key", sysctl("kernel.core_pattern"), path("kernel.core_pattern"), separate},
		{"SEC-1 other fs key", sysctl("fs.file-max"), path("fs.file-max"), separate},
		{"SEC-1 prefix is no name", sysctl("network.x"), path("network.x"), separate},
		{"SEC-1 hostname", sysctl("kernel.hostname"), path("kernel.hostname"), "conflicts with the property hostname"},
		{"SEC-1 empty key", sysctl(""), path(""), "names nothing below /proc/sys"},
		{"SEC-1 NUL in value", linux(func(l *specs.Linux) { l.Sysctl = map[string]string{"net.a": "\x00"} }), path("net.a"), "NUL"},
		{"SEC-2 slashes", sysctl("net/ipv4/conf/eno2.100/rp_filter"), "", ""},
		{"SEC-2 slashes to the host", sysctl("kernel/core_pattern"), path("kernel/core_pattern"), separate},
		{"SEC-2 hostname with a slash", sysctl("kernel/hostname"), path("kernel/hostname"), "conflicts"},
		{"SEC-2 escape", sysctl("net/../kernel/core_pattern"), path("net/../kernel/core_pattern"), "names nothing"},
		{"SEC-2 escape with dots", sysctl("net.//.kernel.core_pattern"), path("net.//.kernel.core_pattern"), "names nothing"},
		{"SEC-2 same twice", sysctl("net.a.b", "net/a/b"), path("net/a/b"), `is the same as "net.a.b"`},
	})
}

func TestSysctlPath(t *testing.T) {
	for key, want := range map[string]string{
		"kernel.shmmax":                    "kernel/shmmax",
		"net/ipv4/conf/eno2.100/rp_filter": "net/ipv4/conf/eno2.100/rp_filter",
		"net.ipv4.conf.eno2/100.rp_filter": "net/ipv4/conf/eno2.100/rp_filter",
		"plain":                            "plain",
		"/kernel/x":                        "",
		".kernel.x":                        "",
		"kernel.":                          "",
		"kernel..x":                        "",
		"kernel/./x":                       "",
		"kernel/../x":                      "",
		"kernel.//.x":                      "",
		"kernel.x\x00":                     "",
		"":                                 "",
	} {
		if got := SysctlPath(key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

func TestValidateHardware(t *testing.T) {
	rdt := func(r specs.LinuxIntelRdt) func(*specs.Spec) {
		return linux(func(l *specs.Linux) { l.IntelRdt = &r })
	}
	policy := func(mode specs.MemoryPolicyModeType, nodes string, flags ...specs.MemoryPolicyFlagType) func(*specs.Spec) {
		return linux(func(l *specs.Linux) {
			l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: mode, Nodes: nodes, Flags: flags}
		})
	}
	const nodes = "linux.memoryPolicy.nodes"
	check(t, []rule{
		{"RDT-3 dots", rdt(specs.LinuxIntelRdt{ClosID: ".."}), "linux.intelRdt.closID", `invalid closID ".."`},
		{"RDT-3 dot", rdt(specs.LinuxIntelRdt{ClosID: "."}), "linux.intelRdt.closID", "invalid closID"},
		{"RDT-3 slash", rdt(specs.LinuxIntelRdt{ClosID: "a/b"}), "linux.intelRdt.closID", "invalid closID"},
		{"RDT-3 root", rdt(specs.LinuxIntelRdt{ClosID: "/"}), "", ""},
		{"RDT-4 newline", rdt(specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f\nMB:0=1"}), "linux.intelRdt.l3CacheSchema", "one line"},
		{"RDT-5 prefix", rdt(specs.LinuxIntelRdt{MemBwSchema: "L3:0=f"}), "linux.intelRdt.memBwSchema", "must begin with MB:"},
		{"RDT-5 newline", rdt(specs.LinuxIntelRdt{MemBwSchema: "MB:0=1\n"}), "linux.intelRdt.memBwSchema", "one line"},
		{"RDT-6 newline", rdt(specs.LinuxIntelRdt{Schemata: []string{"L3:0=f", "MB:0=1\n"}}), "linux.intelRdt.schemata[1]", "one line"},
		{"RDT-6 good", rdt(specs.LinuxIntelRdt{ClosID: "a", Schemata: []string{"L2:0=f"}, L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=1"}), "", ""},
		{"MEM-1 missing", policy("", ""), "linux.memoryPolicy.mode", "must be specified"},
		{"MEM-1 unknown", policy("MPOL_X", "0"), "linux.memoryPolicy.mode", `unknown memory policy mode "MPOL_X"`},
		{"MEM-2 no nodes", policy("MPOL_BIND", ""), nodes, "memory policy mode requires at least one node"},
		{"MEM-2 only blanks", policy("MPOL_INTERLEAVE", " , "), nodes, "requires at least one node"},
		{"MEM-2 nodes for DEFAULT", policy("MPOL_DEFAULT", "0"), nodes, "MPOL_DEFAULT takes no nodes"},
		{"MEM-2 nodes for LOCAL", policy("MPOL_LOCAL", "0"), nodes, "MPOL_LOCAL takes no nodes"},
		{"MEM-2 bad list", policy("MPOL_BIND", "0-"), nodes, "bad list"},
		{"MEM-2 DEFAULT", policy("MPOL_DEFAULT", ""), "", ""},
		{"MEM-2 PREFERRED without", policy("MPOL_PREFERRED", ""), "", ""},
		{"MEM-2 good", policy("MPOL_WEIGHTED_INTERLEAVE", "0-1,3"), "", ""},
		{"MEM-3 unknown", policy("MPOL_BIND", "0", "X"), "linux.memoryPolicy.flags[0]", `unknown memory policy flag "X"`},
		{"MEM-3 both", policy("MPOL_BIND", "0", "MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"), "linux.memoryPolicy.flags", "exclude each other"},
		{"MEM-3 one", policy("MPOL_BIND", "0", "MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"), "", ""},
	})
}
