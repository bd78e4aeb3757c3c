package libcontainer

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/compile"
	"berth/libcontainer/host"
	"berth/libcontainer/seccomp"
	"berth/spec"
)

// Features is what this version can do, whatever the host can (runtime-spec
// features.md).
type Features struct {
	OCIVersionMin, OCIVersionMax string
	Hooks                        []string
	MountOptions                 []string
	Namespaces                   []string
	// Capabilities are those that this kernel knows.
	Capabilities []string
	Cgroups      cgroups.Kinds
	Seccomp      SeccompFeatures
	// The others are whole parts of the specification.
	AppArmor, SELinux, IDMap, NetDevices bool
	RDT, RDTSchemata, RDTMonitoring      bool
}

// SeccompFeatures are the names that a profile may have.
type SeccompFeatures struct {
	Enabled                               bool
	Actions, Operators, Archs, KnownFlags []string
	// SupportedFlags are those that this kernel knows.
	SupportedFlags []string
}

// KnownFeatures asks those who refuse what this version can not do.
func KnownFeatures() *Features {
	f := &Features{
		OCIVersionMin: spec.MinVersion, OCIVersionMax: spec.MaxVersion,
		Hooks:        knownHooks(),
		MountOptions: compile.MountOptions(),
		Capabilities: knownCapabilities(),
		Cgroups:      cgroups.Supported,
		Seccomp:      seccompFeatures(),
		AppArmor:     takes(func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }),
		SELinux:      takes(func(s *specs.Spec) { s.Process.SelinuxLabel, s.Linux.MountLabel = "x", "x" }),
		NetDevices: takes(func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"x": {}}
		}),
		RDT:           takes(func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }),
		RDTSchemata:   takes(func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{Schemata: []string{"x"}} }),
		RDTMonitoring: takes(func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{EnableMonitoring: true} }),
	}
	f.IDMap = slices.Contains(f.MountOptions, "idmap")
	for _, ns := range compile.Namespaces() {
		f.Namespaces = append(f.Namespaces, ns.Name)
	}
	slices.Sort(f.Namespaces)
	return f
}

func seccompFeatures() SeccompFeatures {
	f := SeccompFeatures{
		Enabled: takes(func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} }),
		Actions: seccomp.Actions(), Operators: seccomp.Operators(), KnownFlags: seccomp.Flags(),
	}
	for _, a := range seccomp.Arches() {
		f.Archs = append(f.Archs, a.String())
	}
	slices.Sort(f.Archs)
	for _, name := range f.KnownFlags {
		if flag, _ := seccomp.Flag(name); seccompFlag(flag) {
			f.SupportedFlags = append(f.SupportedFlags, name)
		}
	}
	return f
}

// seccompFlag says whether the kernel knows a flag: it looks at flags before it looks for
// the filter, which is not there.
func seccompFlag(flag uint32) bool {
	_, _, err := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flag), 0)
	return err == unix.EFAULT
}

// takes says whether a config with something in it is one that this version can run.
func takes(set func(*specs.Spec)) bool {
	s := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}, Hooks: &specs.Hooks{}}
	set(s)
	return unsupported(s) == nil
}

func knownHooks() []string {
	one, known := []specs.Hook{{Path: "/x"}}, []string{}
	for _, kind := range [...]struct {
		name string
		set  func(*specs.Spec)
	}{
		//lint:ignore SA1019 prestart is deprecated, and what Docker uses.
		{"prestart", func(s *specs.Spec) { s.Hooks.Prestart = one }},
		{"createRuntime", func(s *specs.Spec) { s.Hooks.CreateRuntime = one }},
		{"createContainer", func(s *specs.Spec) { s.Hooks.CreateContainer = one }},
		{"startContainer", func(s *specs.Spec) { s.Hooks.StartContainer = one }},
		{"poststart", func(s *specs.Spec) { s.Hooks.Poststart = one }},
		{"poststop", func(s *specs.Spec) { s.Hooks.Poststop = one }},
	} {
		if takes(kind.set) {
			known = append(known, kind.name)
		}
	}
	return known
}

// knownCapabilities are those that have a name and that the kernel has; all that have a
// name where that can not be known.
func knownCapabilities() []string {
	all := spec.Capabilities[:]
	if facts, err := host.Gather(); err == nil && facts.LastCap+1 < len(all) {
		all = all[:facts.LastCap+1]
	}
	return slices.Clone(all)
}
