package spec

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// mountOptions are the options of config.md, "Linux mount options", and rnodev,
// which its table forgets (features.md has it), in order.
var mountOptions = []string{
	"async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "idmap", "iversion", "lazytime",
	"loud", "mand", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime",
	"nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime",
	"remount", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnorelatime", "rnostrictatime",
	"rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime",
	"rsuid", "rsymfollow", "runbindable", "rw", "shared", "silent", "slave", "strictatime", "suid", "symfollow",
	"sync", "tmpcopyup", "unbindable",
}

// MountOptions returns the mount options that are understood, in order. Every other
// option is data for the file system.
func MountOptions() []string { return slices.Clone(mountOptions) }

// fileSystemData says whether an option is neither understood by the runtime nor
// one of crun's own: idmap with its mappings, and how to treat symbolic links.
func fileSystemData(option string) bool {
	switch option {
	case "copy-symlink", "src-nofollow", "dest-nofollow":
		return false
	}
	if strings.HasPrefix(option, "idmap=") || strings.HasPrefix(option, "ridmap=") {
		return false
	}
	_, known := slices.BinarySearch(mountOptions, option)
	return !known
}

// checkMounts is the MNT rows.
func (c *checker) checkMounts(list []specs.Mount) {
	for i := range list {
		m := &list[i]
		if m.Destination == "" {
			c.add(index("mounts", i)+".destination", "must not be empty")
		}
		for _, s := range [...]struct{ name, value string }{
			{".destination", m.Destination},
			{".source", m.Source},
			{".type", m.Type},
		} {
			if strings.IndexByte(s.value, 0) >= 0 {
				c.add(index("mounts", i)+s.name, "must not contain a NUL byte")
			}
		}
		c.checkMountOptions(i, m)
		c.checkMountMappings(i, m)
	}
}

// isBind is MNT-5: the options decide, whatever the type says.
func isBind(m *specs.Mount) bool {
	return slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

// checkMountOptions is MNT-7 and MNT-67.
func (c *checker) checkMountOptions(i int, m *specs.Mount) {
	bind := isBind(m)
	for j, o := range m.Options {
		switch {
		case strings.IndexByte(o, 0) >= 0:
			c.add(index(index("mounts", i)+".options", j), "must not contain a NUL byte")
		case o == "tmpcopyup" && (bind || m.Type != "tmpfs"):
			c.add(index(index("mounts", i)+".options", j), "tmpcopyup is for mounts of type tmpfs only")
		case bind && o != "" && fileSystemData(o):
			c.add(index(index("mounts", i)+".options", j),
				"bind mounts cannot have any filesystem-specific options applied: "+quote(o))
		}
	}
}

// checkMountMappings is MNT-72, MNT-73, MNT-76 and MNT-77.
func (c *checker) checkMountMappings(i int, m *specs.Mount) {
	if len(m.UIDMappings) == 0 && len(m.GIDMappings) == 0 {
		j := slices.IndexFunc(m.Options, func(o string) bool { return o == "idmap" || o == "ridmap" })
		if j >= 0 && !c.has(specs.UserNamespace) {
			c.add(index(index("mounts", i)+".options", j),
				"id-mapped mounts must have both uid and gid mappings specified")
		}
		return
	}
	if len(m.UIDMappings) == 0 || len(m.GIDMappings) == 0 {
		c.add(index("mounts", i), "id-mapped mounts must have both uid and gid mappings specified")
	}
	c.checkMappings(index("mounts", i)+".uidMappings", m.UIDMappings)
	c.checkMappings(index("mounts", i)+".gidMappings", m.GIDMappings)
}

// mountWarnings is MNT-3, MNT-5 and MNT-78.
func mountWarnings(list []specs.Mount) []*fault.Error {
	var warnings []*fault.Error
	for i := range list {
		m := &list[i]
		if m.Destination != "" && m.Destination[0] != '/' {
			warnings = append(warnings, fault.At(index("mounts", i)+".destination",
				quote(m.Destination)+" is relative, which is deprecated: it is taken to begin at /"))
		}
		if m.Type == "bind" && !isBind(m) {
			warnings = append(warnings, fault.At(index("mounts", i)+".type",
				"this is no bind mount, whatever its type says: its options have neither bind nor rbind"))
		}
		if len(m.UIDMappings) > 0 && !slices.ContainsFunc(m.Options, isIDMap) {
			warnings = append(warnings, fault.At(index("mounts", i)+".uidMappings",
				"there are mappings but neither option idmap nor ridmap: taken as idmap"))
		}
	}
	return warnings
}

func isIDMap(option string) bool {
	name, _, _ := strings.Cut(option, "=")
	return name == "idmap" || name == "ridmap"
}
