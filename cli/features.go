package cli

import (
	"os"

	"berth/libcontainer"
	"berth/libcontainer/jsonw"
)

var featuresCommand = command{
	name:  "features",
	usage: "print what this version can do, as JSON",
	about: `The document is that of the runtime-spec's features.md. It tells of this version,
but for the capabilities, which are this kernel's; what the host lacks is no matter.`,
	run: func(c *call) (int, error) {
		_, err := os.Stdout.Write(featuresJSON(libcontainer.KnownFeatures(), c.build))
		return 0, err
	},
}

func featuresJSON(f *libcontainer.Features, b *Build) []byte {
	j := jsonw.New("    ")
	j.Begin('{')
	j.Key("ociVersionMin").Str(f.OCIVersionMin)
	j.Key("ociVersionMax").Str(f.OCIVersionMax)
	// An empty list says "none", and no list "unknown".
	j.Key("hooks").Strs(f.Hooks)
	j.Key("mountOptions").Strs(f.MountOptions)
	j.Key("linux").Begin('{')
	j.Key("namespaces").Strs(f.Namespaces)
	j.Key("capabilities").Strs(f.Capabilities)
	bools(j, "cgroup", []answer{
		{"v1", f.Cgroups.V1},
		{"v2", f.Cgroups.V2},
		{"systemd", f.Cgroups.Systemd},
		{"systemdUser", f.Cgroups.SystemdUser},
		{"rdma", f.Cgroups.RDMA},
	})
	s := &f.Seccomp
	j.Key("seccomp").Begin('{')
	j.Key("enabled").Bool(s.Enabled)
	j.Key("actions").Strs(s.Actions)
	j.Key("operators").Strs(s.Operators)
	j.Key("archs").Strs(s.Archs)
	j.Key("knownFlags").Strs(s.KnownFlags)
	j.Key("supportedFlags").Strs(s.SupportedFlags)
	j.Close('}')
	bools(j, "apparmor", []answer{{"enabled", f.AppArmor}})
	bools(j, "selinux", []answer{{"enabled", f.SELinux}})
	bools(j, "intelRdt", []answer{{"enabled", f.RDT}, {"schemata", f.RDTSchemata}, {"monitoring", f.RDTMonitoring}})
	j.Key("mountExtensions").Begin('{')
	bools(j, "idmap", []answer{{"enabled", f.IDMap}})
	j.Close('}')
	bools(j, "netDevices", []answer{{"enabled", f.NetDevices}})
	j.Close('}')
	// The name of the last is runc's, and what whoever wants to checkpoint looks at.
	j.Key("annotations").StrMap(map[string]string{
		"berth.version": b.Version,
		"berth.commit":  b.commit(),
		"org.opencontainers.runc.checkpoint.enabled": "false",
	})
	return j.End()
}

// answer is a member of an object of booleans.
type answer struct {
	name string
	on   bool
}

func bools(j *jsonw.Writer, name string, answers []answer) {
	j.Key(name).Begin('{')
	for _, f := range answers {
		j.Key(f.name).Bool(f.on)
	}
	j.Close('}')
}
