package spec

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestValidateMounts(t *testing.T) {
	// The mount under test comes second, so that the index is seen to count.
	mount := func(m specs.Mount) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}, m}
		}
	}
	options := func(kind string, o ...string) func(*specs.Spec) {
		return mount(specs.Mount{Destination: "/a", Type: kind, Source: "/b", Options: o})
	}
	maps := func(u, g []specs.LinuxIDMapping) func(*specs.Spec) {
		return mount(specs.Mount{Destination: "/a", Source: "/b", Options: []string{"bind", "idmap"}, UIDMappings: u, GIDMappings: g})
	}
	hostUsers := func(edit func(*specs.Spec)) func(*specs.Spec) {
		return func(s *specs.Spec) {
			edit(s)
			without(s, specs.UserNamespace)
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}
	}
	one := []specs.LinuxIDMapping{{Size: 1}}
	const both = "id-mapped mounts must have both uid and gid mappings specified"
	check(t, []rule{
		{"MNT-2 missing", mount(specs.Mount{Type: "tmpfs"}), "mounts[1].destination", "must not be empty"},
		{"MNT-2 NUL", mount(specs.Mount{Destination: "/\x00"}), "mounts[1].destination", "NUL"},
		{"MNT-3 relative", mount(specs.Mount{Destination: "data", Type: "tmpfs"}), "", ""},
		{"MNT-4 NUL", mount(specs.Mount{Destination: "/a", Source: "\x00"}), "mounts[1].source", "NUL"},
		{"MNT-4 relative", mount(specs.Mount{Destination: "/a", Source: "b", Options: []string{"bind"}}), "", ""},
		{"MNT-5 type is a dummy", options("ext4", "rbind", "ro"), "", ""},
		{"MNT-5 type bind alone", options("bind", "size=1"), "", ""},
		{"MNT-6 NUL", mount(specs.Mount{Destination: "/a", Type: "\x00"}), "mounts[1].type", "NUL"},
		{"MNT-7 data on a bind", options("bind", "ro", "size=64k", "bind"), "mounts[1].options[1]", `bind mounts cannot have any filesystem-specific options applied: "size=64k"`},
		{"MNT-7 data on a tmpfs", options("tmpfs", "size=64k", "nosuch"), "", ""},
		{"MNT-7 empty option", options("none", "bind", ""), "", ""},
		{"MNT-7 NUL", options("tmpfs", "size=1\x00"), "mounts[1].options[0]", "NUL"},
		{"MNT-7 upper case is data", options("none", "bind", "RO"), "mounts[1].options[1]", "filesystem-specific"},
		{"MNT-7 options of crun", options("none", "bind", "copy-symlink", "src-nofollow", "dest-nofollow", "idmap=uids=0-1-1;gids=0-1-1"), "", ""},
		{"MNT-67 tmpcopyup", options("tmpfs", "tmpcopyup"), "", ""},
		{"MNT-67 tmpcopyup on a proc", options("proc", "tmpcopyup"), "mounts[1].options[0]", "type tmpfs only"},
		{"MNT-67 tmpcopyup on a bind", options("tmpfs", "bind", "tmpcopyup"), "mounts[1].options[1]", "type tmpfs only"},
		{"MNT-72 mappings of the namespace", options("none", "bind", "idmap"), "", ""},
		{"MNT-73 idmap", hostUsers(options("none", "bind", "idmap")), "mounts[1].options[1]", both},
		{"MNT-73 ridmap", hostUsers(options("none", "bind", "ridmap")), "mounts[1].options[1]", both},
		{"MNT-71 mappings of the mount", hostUsers(maps(one, one)), "", ""},
		{"MNT-76 no gids", maps(one, nil), "mounts[1]", both},
		{"MNT-76 no uids", maps(nil, one), "mounts[1]", both},
		{"MNT-77 empty size", maps([]specs.LinuxIDMapping{{}}, one), "mounts[1].uidMappings[0].size", "must not be 0"},
		{"MNT-77 overlap", maps(one, []specs.LinuxIDMapping{{Size: 2}, {ContainerID: 1, HostID: 5, Size: 1}}), "mounts[1].gidMappings[1]", "container ids overlap those of mounts[1].gidMappings[0]"},
		{"MNT-77 empty arrays", maps([]specs.LinuxIDMapping{}, []specs.LinuxIDMapping{}), "", ""},
	})
}

// TestMountOptions is MNT-10 to MNT-70: none of them is data for a file system,
// and the list is fit for a binary search.
func TestMountOptions(t *testing.T) {
	list := MountOptions()
	if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		t.Error("not sorted, or an option is there twice")
	}
	if len(list) != 62 {
		t.Errorf("%d options", len(list))
	}
	for _, o := range list {
		if fileSystemData(o) {
			t.Errorf("%s is taken for data", o)
		}
	}
	list[0] = "changed"
	if MountOptions()[0] == "changed" {
		t.Error("the caller can change the list")
	}
	for _, o := range []string{"size=1", "ro=recursive", "x-mount", "zzz", "Ro", "idmapped"} {
		if !fileSystemData(o) {
			t.Errorf("%s is not taken for data", o)
		}
	}
}
