package libcontainer

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

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
	Program *compile.Result
}

// setup makes the setup of a create or, where it is attached, of a run.
func (r *Runtime) setup(id string, b *Bundle, f *host.Facts, o *CreateOptions) (*Setup, error) {
	p := &Setup{ID: id, Bundle: b, Facts: f}
	if r.SystemdCgroup {
		return nil, &fault.Error{Msg: "the systemd cgroup driver is not supported by this version", Hint: "leave --systemd-cgroup out to use cgroupfs"}
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

func (p *Setup) planCgroups(r *Runtime, req *compile.Request) error {
	var path string
	var res *specs.LinuxResources
	if l := p.Bundle.Spec.Linux; l != nil {
		path, res = l.CgroupsPath, l.Resources
	}
	none := p.Facts.Cgroup.Mode == host.NoCgroup || r.rootless(p.Facts) && path == ""
	if none && !asksForLimits(res) {
		// An ordinary user has no cgroup to put a container into, unless one was
		// delegated to him: the container stays in the caller's.
		req.Cgroups = cgroupDirs(p.Facts, nil)
		return nil
	}
	m, err := cgroups.New(p.Facts, path, p.ID, res)
	if err != nil {
		return err
	}
	p.Cgroups = m
	req.CgroupEntry = m.EntryFiles
	req.Cgroups = cgroupDirs(p.Facts, m.Dirs)
	return nil
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
