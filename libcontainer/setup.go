package libcontainer

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/compile"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// Setup is all that a create will do, before anything is done: the actions of
// the runtime and the program of the child. explain prints it.
type Setup struct {
	ID     string
	Bundle *Bundle
	Facts  *host.Facts
	// Cgroups is nil where the container gets none of its own.
	Cgroups *cgroups.Plan
	// Warnings and Notes are sentences on what has no effect: for everybody, and for who
	// looks closely.
	Warnings, Notes []string
	Program         *compile.Result
}

// setup makes the setup of a create or, where it is attached, of a run.
func (r *Runtime) setup(id string, b *Bundle, f *host.Facts, o *CreateOptions) (*Setup, error) {
	p := &Setup{ID: id, Bundle: b, Facts: f}
	if err := mayMakeNamespaces(b.Spec, f); err != nil {
		return nil, err
	}
	req := &compile.Request{
		ID:           id,
		Bundle:       b.Path,
		Rootfs:       b.Rootfs,
		StartFIFO:    !o.Attached,
		NoPivot:      o.NoPivot,
		NoNewKeyring: o.NoNewKeyring,
		PreserveFDs:  o.ListenFDs + o.PreserveFDs,
		Env:          activationEnv(o, r.notifies(b.Spec)),
	}
	if o.NoPivot {
		req.ProcMounts = host.ProcMounts(b.Rootfs)
	}
	s := b.Spec
	if r.notifies(s) {
		s = r.withNotify(s, id)
	}
	if err := p.planCgroups(r, req); err != nil {
		return nil, err
	}
	c, err := compile.Create(s, f, req)
	if err != nil {
		return nil, err
	}
	if err := c.Verify(); err != nil {
		return nil, err
	}
	p.Program = c
	return p, nil
}

// mayMakeNamespaces refuses what an ordinary user can not have: namespaces without one
// in which he is root.
func mayMakeNamespaces(s *specs.Spec, f *host.Facts) error {
	if f.EUID == 0 || f.Permitted&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return nil
	}
	if s.Linux != nil {
		for _, ns := range s.Linux.Namespaces {
			if ns.Type == specs.UserNamespace {
				return nil
			}
		}
	}
	return &fault.Error{
		Msg: "rootless container requires user namespaces", JSONPath: "linux.namespaces",
		Hint: "berth spec --rootless makes a config that has one; or run it as root",
	}
}

func (p *Setup) planCgroups(r *Runtime, req *compile.Request) error {
	var path string
	var res *specs.LinuxResources
	if l := p.Bundle.Spec.Linux; l != nil {
		path, res = l.CgroupsPath, l.Resources
	}
	if r.CgroupManager == cgroups.Disabled {
		req.Cgroups = cgroupDirs(p.Facts, nil)
		return p.noCgroups(res)
	}
	if r.CgroupManager != cgroups.Systemd && !p.Facts.Privileged() && r.Rootless != "false" && path == "" && !asksForLimits(res) {
		// An ordinary user has no cgroup to put a container into, unless one was
		// delegated to him: the container stays in the caller's.
		p.Notes = append(p.Notes, "the container stays in the caller's cgroup, with no rules on devices: without root none can be made")
		req.Cgroups = cgroupDirs(p.Facts, nil)
		return nil
	}
	p.Facts.Systemd = r.CgroupManager == cgroups.Systemd && host.Booted()
	m, err := cgroups.New(p.Facts, &cgroups.Request{
		ID: p.ID, Path: path, Resources: res, Owner: cgroupOwner(p.Bundle.Spec),
		Manager: r.CgroupManager, Annotations: p.Bundle.Spec.Annotations,
	})
	if err != nil {
		return err
	}
	p.Cgroups = m
	p.Warnings, p.Notes = append(p.Warnings, m.Warnings...), append(p.Notes, m.Notes...)
	req.CgroupsLate, req.CgroupEntry = m.Late, m.EntryFiles
	req.Cgroups = cgroupDirs(p.Facts, m.Dirs)
	return nil
}

// noCgroups is for a container that its caller wants to have none: it can not have limits
// then, nor rules on devices.
func (p *Setup) noCgroups(res *specs.LinuxResources) error {
	if asksForLimits(res) {
		return &fault.Error{
			Msg: "the config has limits, and cgroups are disabled", JSONPath: "linux.resources",
			Hint: "leave --cgroup-manager disabled out, or the limits",
		}
	}
	note := "no rules on devices are in force: cgroups are disabled"
	if p.Facts.Privileged() && !hasNamespace(p.Bundle.Spec, specs.UserNamespace) {
		p.Warnings = append(p.Warnings, note)
	} else {
		p.Notes = append(p.Notes, note)
	}
	return nil
}

// cgroupOwner is the host's user who gets the container's v2 cgroup: the process's, where
// it has a cgroup namespace and a writable view of it (config-linux.md, Cgroup
// ownership); -1 for nobody.
func cgroupOwner(s *specs.Spec) int {
	if s.Process == nil || s.Linux == nil || !hasNamespace(s, specs.CgroupNamespace) || !mountsCgroups(s) {
		return -1
	}
	uid := s.Process.User.UID
	if !hasNamespace(s, specs.UserNamespace) {
		return int(uid)
	}
	for _, m := range s.Linux.UIDMappings {
		if uid >= m.ContainerID && uint64(uid) < uint64(m.ContainerID)+uint64(m.Size) {
			return int(m.HostID + uid - m.ContainerID)
		}
	}
	return -1
}

// mountsCgroups says whether cgroups are mounted and can be written to.
func mountsCgroups(s *specs.Spec) bool {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if (m.Type == "cgroup" || m.Type == "cgroup2") && !slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro") {
			return true
		}
	}
	return false
}

// cgroupDirs are the container's cgroups by hierarchy: those of a manager, or,
// where dirs is nil, the caller's own.
func cgroupDirs(f *host.Facts, dirs map[string]string) []compile.CgroupDir {
	var all []compile.CgroupDir
	for _, h := range f.Cgroup.Hierarchies {
		key := strings.Join(h.Controllers, ",")
		if h.V2 {
			key = ""
		}
		dir, ok := dirs[key]
		if dirs == nil {
			dir, ok = h.Mount+h.Own, true
		}
		if ok {
			all = append(all, compile.CgroupDir{Controllers: h.Controllers, Path: dir, Mount: h.Mount, V2: h.V2})
		}
	}
	return all
}

// asksForLimits says whether resources ask for anything that needs a cgroup. Device
// rules do not count: without a cgroup no device can be made either.
func asksForLimits(r *specs.LinuxResources) bool {
	return r != nil && (r.Memory != nil || r.CPU != nil || r.Pids != nil || r.BlockIO != nil ||
		len(r.HugepageLimits) > 0 || r.Network != nil || len(r.Rdma) > 0 || len(r.Unified) > 0)
}

// inject breaks the step that was asked for.
func (r *Runtime) inject(p *program.Program) error {
	in := r.Inject
	if in == nil || in.Step == 0 {
		return nil
	}
	if in.Step < 1 || in.Step > len(p.Steps) {
		return fault.New("there is no step " + itoa(in.Step) + ": the program has " + itoa(len(p.Steps)))
	}
	p.Break(in.Step-1, in.Errno)
	return nil
}
