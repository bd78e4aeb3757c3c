package libcontainer

import (
	"berth/libcontainer/host"
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
