package libcontainer

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/state"
	"berth/spec"
)

// Update changes the limits of a container to those that r holds and leaves all others
// as they are. Values are as in linux.resources of config.json; there as here 0 and
// absent mean the same for most. When one is refused nothing changes. A container that
// is paused stays so.
//
// Rules on devices stay as they are, whatever r says: engines send those of the config
// along with each change of a limit, and what was let in beside the config, as for a
// GPU, would be lost; nor could the kernel's list be replaced at once.
func (c *Container) Update(r *specs.LinuxResources) error {
	if err := spec.ValidateResources(r, "linux.resources").OrNil(); err != nil {
		return err
	}
	return c.onCgroups(cmdUpdate, func(h cgroups.Handle, status state.Status) error {
		if !alive(status) {
			return ErrNotRunning
		}
		limits := *r
		if len(limits.Devices) > 0 {
			limits.Devices = nil
			c.rt.Log.Debug("linux.resources.devices: an update leaves the rules on devices as they are")
		}
		warnings, err := h.Set(&limits)
		for _, w := range warnings {
			c.rt.Log.Warn(w)
		}
		return err
	})
}
