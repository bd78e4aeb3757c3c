package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/seccomp"
	"berth/libcontainer/seccomp/audit"
	"berth/spec"
)

// profileFile is a profile with where it comes from.
type profileFile struct {
	profile *specs.LinuxSeccomp
	// file is what was read; path is what the profile is in it: linux.seccomp, or empty.
	file, path string
	// rights are the process's, nil where nothing is known of it.
	rights *audit.Rights
	// docker says that the profile has conditions of Docker's and Podman's, which were worked
	// out as for a container with default capabilities.
	docker bool
	// none says that the config has no profile; then profile lets everything through.
	none bool
}

// readProfile reads a bundle, a config.json, a profile as in linux.seccomp, or one as
// Docker and Podman take it.
func readProfile(name string) (*profileFile, error) {
	f := &profileFile{file: name}
	if fi, err := os.Stat(name); err == nil && fi.IsDir() {
		f.file = filepath.Join(name, "config.json")
	}
	data, err := spec.ReadFile(f.file)
	if err != nil {
		return nil, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, fault.Wrap("cannot read "+f.file, err)
	}
	_, config := keys["ociVersion"]
	switch {
	case config:
		err = f.fromConfig(data)
	case keys["defaultAction"] == nil:
		err = fault.New(f.file + " is neither a config.json nor a profile: it has neither ociVersion nor defaultAction")
	case isDockers(keys):
		f.docker = true
		f.profile, err = fromDocker(data)
	default:
		f.profile, _, err = spec.DecodeSeccomp(data)
	}
	if err != nil {
		return nil, f.blame(err)
	}
	return f, nil
}

// blame says which file an error is about.
func (f *profileFile) blame(err error) error {
	if e, ok := err.(*fault.Error); ok && f.path == "" {
		e.JSONPath = strings.TrimPrefix(strings.TrimPrefix(e.JSONPath, "linux.seccomp"), ".")
	}
	return &fault.Error{Msg: "cannot take the profile in " + f.file, Err: err}
}

func (f *profileFile) fromConfig(data []byte) error {
	f.path = "linux.seccomp"
	s, _, err := spec.Decode(data)
	if err != nil {
		return err
	}
	f.rights = &audit.Rights{}
	if s.Process != nil && s.Process.Capabilities != nil {
		f.rights.Bounding = s.Process.Capabilities.Bounding
	}
	if s.Linux == nil || s.Linux.Seccomp == nil {
		f.none = true
		f.profile = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		for _, a := range seccomp.Native().Compat() {
			f.profile.Architectures = append(f.profile.Architectures, specs.Arch(a.String()))
		}
	} else {
		f.profile = s.Linux.Seccomp
	}
	if s.Linux != nil {
		f.rights.UserNamespace = slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	}
	return nil
}

// at is the property that an entry of syscalls is or, where rule is -1, the default action.
func (f *profileFile) at(rule int) string {
	path := rulePath(seccomp.Verdict{Rule: rule, Reason: seccomp.ByRule})
	if rule < 0 {
		path = rulePath(seccomp.Verdict{Reason: seccomp.ByDefault})
	}
	if f.path == "" {
		path = strings.TrimPrefix(path, "linux.seccomp.")
	}
	return path
}

// dockerProfile is a profile as engines read it: entries hold for some architectures,
// capabilities and kernels only.
type dockerProfile struct {
	specs.LinuxSeccomp
	ArchMap []struct {
		Architecture     specs.Arch   `json:"architecture"`
		SubArchitectures []specs.Arch `json:"subArchitectures"`
	} `json:"archMap"`
	Syscalls []struct {
		specs.LinuxSyscall
		Name     string       `json:"name"`
		Includes dockerFilter `json:"includes"`
		Excludes dockerFilter `json:"excludes"`
	} `json:"syscalls"`
}

type dockerFilter struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

func isDockers(keys map[string]json.RawMessage) bool {
	if keys["archMap"] != nil {
		return true
	}
	var entries []map[string]json.RawMessage
	_ = json.Unmarshal(keys["syscalls"], &entries) // who reads it as a profile says what is wrong
	return slices.ContainsFunc(entries, func(e map[string]json.RawMessage) bool {
		return e["includes"] != nil || e["excludes"] != nil || e["name"] != nil
	})
}

// defaultCapabilities are those that engines give to a container.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// fromDocker works out what an engine would make of its profile on this machine, for a
// container with default capabilities.
func fromDocker(data []byte) (*specs.LinuxSeccomp, error) {
	var d dockerProfile
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fault.Wrap("cannot be read", err)
	}
	facts, err := host.Gather()
	if err != nil {
		return nil, err
	}
	native := seccomp.Native()
	s := d.LinuxSeccomp
	for _, m := range d.ArchMap {
		if string(m.Architecture) == native.String() {
			s.Architectures = append([]specs.Arch{m.Architecture}, m.SubArchitectures...)
		}
	}
	for i := range d.Syscalls {
		e := &d.Syscalls[i]
		if !e.Includes.holds(native, facts.Kernel, true) || e.Excludes.holds(native, facts.Kernel, false) {
			continue
		}
		if e.Name != "" {
			e.Names = append(e.Names, e.Name)
		}
		s.Syscalls = append(s.Syscalls, e.LinuxSyscall)
	}
	return &s, nil
}

// holds says whether all that a filter names is so, or for excludes any of it.
func (f *dockerFilter) holds(native seccomp.Arch, kernel host.Version, all bool) bool {
	var conditions []bool
	for _, c := range f.Caps {
		conditions = append(conditions, slices.Contains(defaultCapabilities, c))
	}
	if len(f.Arches) > 0 {
		conditions = append(conditions, slices.ContainsFunc(f.Arches, func(name string) bool { return dockerArches[name] == native }))
	}
	if f.MinKernel != "" {
		conditions = append(conditions, atLeast(kernel, f.MinKernel))
	}
	if all {
		return !slices.Contains(conditions, false)
	}
	return slices.Contains(conditions, true)
}

func atLeast(kernel host.Version, version string) bool {
	major, minor, _ := strings.Cut(version, ".")
	x, _ := strconv.Atoi(major) // what is no number any kernel has
	y, _ := strconv.Atoi(minor)
	return kernel.AtLeast(x, y)
}

// dockerArches are the names of architectures in includes and excludes.
var dockerArches = map[string]seccomp.Arch{
	"386": seccomp.X86, "amd64": seccomp.AMD64, "arm": seccomp.ARM, "arm64": seccomp.ARM64, "riscv64": seccomp.RISCV64, "loong64": seccomp.Loong64,
	"mips": seccomp.MIPS, "mips64": seccomp.MIPS64, "mipsel": seccomp.MIPSEL, "mipsel64": seccomp.MIPSEL64, "mips64le": seccomp.MIPSEL64,
	"ppc64": seccomp.PPC64, "ppc64le": seccomp.PPC64LE, "s390x": seccomp.S390X,
}
