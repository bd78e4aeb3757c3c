package spec

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// checkLinux checks the linux object, all of it but the domains that have a file
// of their own.
func (c *checker) checkLinux(l *specs.Linux) {
	c.checkNamespaces(l)
	c.checkTimeOffsets(l.TimeOffsets)
	c.checkSysctl(l.Sysctl)
	c.checkDevices(l.Devices)
	c.checkNetDevices(l.NetDevices)
	c.checkCgroupsPath(l.CgroupsPath)
	if l.Resources != nil {
		c.checkResources("linux.resources", l.Resources)
	}
	if l.IntelRdt != nil {
		c.checkIntelRdt(l.IntelRdt)
	}
	if l.MemoryPolicy != nil {
		c.checkMemoryPolicy(l.MemoryPolicy)
	}
	c.checkPaths(l)
	if l.Personality != nil {
		c.checkPersonality(l.Personality)
	}
	if l.Seccomp != nil {
		c.checkSeccomp("linux.seccomp", l.Seccomp)
	}
}

var namespaces = []specs.LinuxNamespaceType{
	specs.CgroupNamespace, specs.IPCNamespace, specs.MountNamespace, specs.NetworkNamespace,
	specs.PIDNamespace, specs.TimeNamespace, specs.UserNamespace, specs.UTSNamespace,
}

// checkNamespaces is NS-9, NS-11, NS-14, NS-15 and NS-16.
func (c *checker) checkNamespaces(l *specs.Linux) {
	for i, ns := range l.Namespaces {
		path := index("linux.namespaces", i)
		if !slices.Contains(namespaces, ns.Type) {
			c.add(path+".type", "namespace "+quote(string(ns.Type))+" does not exist")
		} else if namespace(c.s, ns.Type) != &l.Namespaces[i] {
			c.add(path+".type", "malformed spec file: duplicated ns "+quote(string(ns.Type)))
		}
		if ns.Path == "" {
			continue
		}
		if msg := absolute(ns.Path); msg != "" {
			c.add(path+".path", msg)
		}
	}
	c.checkMappings("linux.uidMappings", l.UIDMappings)
	c.checkMappings("linux.gidMappings", l.GIDMappings)
	uids, gids := len(l.UIDMappings) > 0, len(l.GIDMappings) > 0
	ns := namespace(c.s, specs.UserNamespace)
	switch {
	case ns == nil && uids:
		c.add("linux.uidMappings", "mappings need a user namespace, and linux.namespaces has none")
	case ns == nil && gids:
		c.add("linux.gidMappings", "mappings need a user namespace, and linux.namespaces has none")
	case ns == nil || ns.Path != "" || uids && gids:
	case !uids && !gids:
		c.add("linux.uidMappings", "user namespaces enabled, but no namespace path to join nor mappings specified")
	case !uids:
		c.add("linux.uidMappings", "the user namespace has gid mappings but no uid mappings")
	default:
		c.add("linux.gidMappings", "the user namespace has uid mappings but no gid mappings")
	}
}

// maxMappings is UID_GID_MAP_MAX_EXTENTS: as many lines as uid_map takes.
const maxMappings = 340

// checkMappings is NS-15 and MNT-77: what the kernel would refuse with a bare
// EINVAL when the map is written.
func (c *checker) checkMappings(path string, list []specs.LinuxIDMapping) {
	if len(list) > maxMappings {
		c.add(path, decimal(len(list))+" mappings are more than the kernel takes, 340")
		return
	}
	for i, m := range list {
		if m.Size == 0 {
			c.add(index(path, i)+".size", "must not be 0")
			continue
		}
		// The last id, 4294967295, stands for none at all.
		if uint64(m.ContainerID)+uint64(m.Size) > 1<<32-1 {
			c.add(index(path, i), "containerID and size reach beyond the largest id, 4294967294")
		}
		if uint64(m.HostID)+uint64(m.Size) > 1<<32-1 {
			c.add(index(path, i), "hostID and size reach beyond the largest id, 4294967294")
		}
		for j, other := range list[:i] {
			if overlap(m.ContainerID, m.Size, other.ContainerID, other.Size) {
				c.add(index(path, i), "container ids overlap those of "+index(path, j))
			}
			if overlap(m.HostID, m.Size, other.HostID, other.Size) {
				c.add(index(path, i), "host ids overlap those of "+index(path, j))
			}
		}
	}
}

func overlap(a, sizeA, b, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

// checkTimeOffsets is NS-19 and NS-21.
func (c *checker) checkTimeOffsets(offsets map[string]specs.LinuxTimeOffset) {
	if len(offsets) == 0 {
		return
	}
	switch ns := namespace(c.s, specs.TimeNamespace); {
	case ns == nil:
		c.add("linux.timeOffsets", "offsets need a time namespace, and linux.namespaces has none")
	case ns.Path != "":
		c.add("linux.timeOffsets", "a time namespace that is joined has its offsets already")
	}
	for _, clock := range keys(offsets) {
		path := field("linux.timeOffsets", clock)
		if clock != "monotonic" && clock != "boottime" {
			c.add(path, "unknown clock "+quote(clock)+": must be monotonic or boottime")
		}
		if ns := offsets[clock].Nanosecs; ns > 999999999 {
			c.add(path+".nanosecs", "must be at most 999999999, not "+unsigned(ns))
		}
	}
}

// checkDevices is DEV-2, DEV-3, DEV-5 and DEV-6.
func (c *checker) checkDevices(list []specs.LinuxDevice) {
	for i := range list {
		d := &list[i]
		path := index("linux.devices", i)
		if msg := absolute(d.Path); msg != "" {
			c.add(path+".path", msg)
		}
		switch d.Type {
		case "c", "b", "u":
			// The kernel has 12 and 20 bits for them (MAJOR and MINOR in
			// include/linux/kdev_t.h); mknod(2) would cut off the rest.
			if d.Major < 0 || d.Major >= 1<<12 {
				c.add(path+".major", "must be between 0 and 4095, not "+decimal(d.Major))
			}
			if d.Minor < 0 || d.Minor >= 1<<20 {
				c.add(path+".minor", "must be between 0 and 1048575, not "+decimal(d.Minor))
			}
		case "p":
		default:
			c.add(path+".type", "invalid device type "+quote(d.Type)+": must be one of c, b, u, p")
		}
		// podman writes the whole st_mode, type of file included, so only what
		// is beyond its 16 bits is wrong.
		if d.FileMode != nil && *d.FileMode > 0o177777 {
			c.add(path+".fileMode", "must be at most 511 (0777), not "+unsigned(uint32(*d.FileMode)))
		}
	}
}

// checkNetDevices is NET-2 to NET-5.
func (c *checker) checkNetDevices(devices map[string]specs.LinuxNetDevice) {
	if len(devices) > 0 && !c.has(specs.NetworkNamespace) {
		c.add("linux.netDevices", "unable to move network devices without a NET namespace")
	}
	inside := make(map[string]string, len(devices))
	for _, host := range keys(devices) {
		path := field("linux.netDevices", host)
		if msg := badInterface(host); msg != "" {
			c.add(path, msg)
		}
		name := devices[host].Name
		if name == "" {
			name = host
		} else if msg := badInterface(name); msg != "" {
			c.add(path+".name", msg)
		}
		if other, taken := inside[name]; taken && !strings.HasSuffix(name, "%d") {
			c.add(path, "gets the name "+quote(name)+" in the container, as "+other+" does")
		}
		inside[name] = path
	}
}

// badInterface returns what is wrong with the name of a network device, or
// nothing. The rules are the kernel's (dev_valid_name in net/core/dev.c).
func badInterface(name string) string {
	bad := "invalid name of a network device " + quote(name) + ": "
	switch {
	case name == "":
		return "the name of a network device must not be empty"
	case len(name) > 15:
		return bad + "it is longer than 15 bytes"
	case name == "." || name == "..":
		return bad + "it names a directory"
	}
	for i := 0; i < len(name); i++ {
		switch b := name[i]; b {
		case '/', ':', 0, ' ', '\t', '\n', '\v', '\f', '\r', 0xa0:
			return bad + "it has " + quote(string(rune(b)))
		}
	}
	return ""
}

// checkCgroupsPath is CGP-2. Whether a path has the form that systemd wants
// depends on the command line, and is checked where that is known.
func (c *checker) checkCgroupsPath(path string) {
	c.noNUL("linux.cgroupsPath", path)
	if slices.Contains(strings.Split(path, "/"), "..") {
		c.add("linux.cgroupsPath", "must not have .. in it: "+quote(path))
	}
}

// checkPaths is SEC-3, and SEC-7 to SEC-9.
func (c *checker) checkPaths(l *specs.Linux) {
	switch l.RootfsPropagation {
	case "", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable":
	default:
		c.add("linux.rootfsPropagation", "rootfsPropagation="+l.RootfsPropagation+" is not supported")
	}
	c.noNUL("linux.mountLabel", l.MountLabel)
	for _, set := range [...]struct {
		name  string
		paths []string
	}{{"linux.maskedPaths", l.MaskedPaths}, {"linux.readonlyPaths", l.ReadonlyPaths}} {
		if len(set.paths) > 0 && !c.has(specs.MountNamespace) {
			c.add(set.name, "unable to restrict sys entries without a private MNT namespace")
		}
		for i, p := range set.paths {
			if msg := absolute(p); msg != "" {
				c.add(index(set.name, i), msg)
			}
		}
	}
}

// checkPersonality is SEC-11 and SEC-12.
func (c *checker) checkPersonality(p *specs.LinuxPersonality) {
	if p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32 {
		c.add("linux.personality.domain",
			"invalid personality domain "+quote(string(p.Domain))+": must be LINUX or LINUX32")
	}
	if len(p.Flags) > 0 {
		c.add("linux.personality.flags", "no flag of personality(2) is supported")
	}
}

// deviceWarnings is DEV-7 to DEV-9. In a user namespace a device is bound from
// the host and keeps its owner, so an id without a mapping is no error.
func deviceWarnings(l *specs.Linux, newUserNS bool) []*fault.Error {
	type node struct {
		kind         string
		major, minor int64
	}
	var list []*fault.Error
	seen := map[node]int{}
	for i := range l.Devices {
		d := &l.Devices[i]
		path := index("linux.devices", i)
		n := node{d.Type, d.Major, d.Minor}
		if j, dup := seen[n]; dup && d.Type != "p" {
			list = append(list, fault.At(path, "the same device as "+index("linux.devices", j)))
		} else {
			seen[n] = i
		}
		if newUserNS && d.UID != nil && !mapped(l.UIDMappings, *d.UID) {
			list = append(list, fault.At(path+".uid", "uid "+unsigned(*d.UID)+" has no mapping in the user namespace"))
		}
		if newUserNS && d.GID != nil && !mapped(l.GIDMappings, *d.GID) {
			list = append(list, fault.At(path+".gid", "gid "+unsigned(*d.GID)+" has no mapping in the user namespace"))
		}
	}
	return list
}
