package libcontainer

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/compile"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// Explain makes the plan of a bundle on this host, and runs nothing. An ordinary
// user is shown what root would do, unless the bundle has a user namespace in
// which he could do it himself.
func (r *Runtime) Explain(id string, o *CreateOptions) (*Setup, error) {
	b, err := r.LoadBundle(o)
	if err != nil {
		return nil, err
	}
	f, err := host.Gather()
	if err != nil {
		return nil, err
	}
	if !f.Privileged() && !f.UserNS && !hasNamespace(b.Spec, "user") {
		asRoot(f)
	}
	return r.setup(id, b, f, o)
}

// asRoot makes facts those that root has on the same host.
func asRoot(f *host.Facts) {
	f.EUID, f.EGID = 0, 0
	f.Bounding = 1<<(f.LastCap+1) - 1
	f.Permitted = f.Bounding
}

// PlannedHook is a hook at its place.
type PlannedHook struct {
	Kind, JSONPath string
	Path           string
	Args           []string
	Timeout        *int
	// Inside says that it runs in the container's namespaces.
	Inside bool
	// Barrier is where the child waits for it, 0 behind the last one: startContainer
	// before execve, poststart after it, poststop when the container is gone.
	Barrier program.Barrier
}

// Hooks are the hooks of the config in the order in which they run.
func (p *Setup) Hooks() []PlannedHook {
	h := p.Bundle.Spec.Hooks
	if h == nil {
		return nil
	}
	var all []PlannedHook
	add := func(kind string, list []specs.Hook, b program.Barrier, inside bool) {
		for i := range list {
			all = append(all, PlannedHook{
				Kind: kind, JSONPath: "hooks." + kind + "[" + itoa(i) + "]", Path: list[i].Path,
				Args: compile.HookArgs(&list[i]), Timeout: list[i].Timeout, Inside: inside, Barrier: b,
			})
		}
	}
	//lint:ignore SA1019 prestart is deprecated, and what Docker uses.
	add("prestart", h.Prestart, program.BarrierRuntimeHooks, false)
	add("createRuntime", h.CreateRuntime, program.BarrierRuntimeHooks, false)
	add("createContainer", h.CreateContainer, program.BarrierContainerHooks, true)
	add("startContainer", h.StartContainer, 0, true)
	add("poststart", h.Poststart, 0, false)
	add("poststop", h.Poststop, 0, false)
	return all
}
