package spec

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// Warnings returns what is odd about a configuration but no reason to refuse it:
// what the runtime-spec deprecates, what cannot have the effect it seems to ask
// for, and what is ignored.
func Warnings(s *specs.Spec) []*fault.Error {
	var list []*fault.Error
	if w := versionWarning(s.Version); w != nil {
		list = append(list, w)
	}
	list = append(list, mountWarnings(s.Mounts)...)
	list = append(list, capabilityWarnings("process", s.Process)...)
	if s.Linux == nil {
		return list
	}
	ns := namespace(s, specs.UserNamespace)
	list = append(list, deviceWarnings(s.Linux, ns != nil && ns.Path == "")...)
	list = append(list, resourceWarnings("linux.resources", s.Linux.Resources)...)
	return append(list, rdtWarning(s.Linux.IntelRdt)...)
}

// ProcessWarnings is Warnings for a process by itself; path is its JSON path.
func ProcessWarnings(p *specs.Process, path string) []*fault.Error {
	return capabilityWarnings(path, p)
}
