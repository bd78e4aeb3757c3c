package libcontainer

import (
	"errors"
	"os/user"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/state"
)

// State says where a container is in its life.
func (c *Container) State() (*State, error) {
	rec, err := c.record(cmdState)
	if err != nil {
		return nil, err
	}
	return describe(c.dir, rec)
}

func describe(d *state.Dir, rec *state.Record) (*State, error) {
	status, p, err := d.Probe(rec)
	if err != nil {
		return nil, err
	}
	s := &State{
		OCIVersion: specs.Version, ID: rec.ID, Status: status.String(), Bundle: rec.Bundle,
		Rootfs: rec.Rootfs, Created: rec.Created, Annotations: rec.Annotations, uid: rec.UID,
	}
	if p != nil {
		s.Pid = p.PID()
		p.Close()
	}
	if alive(status) && paused(rec) {
		s.Status = statusPaused
	}
	return s, nil
}

// statusPaused is the status that the cgroup's freezer has, and not the process.
const statusPaused = "paused"

func paused(rec *state.Record) bool {
	h, err := openCgroups(rec)
	if err != nil || h == nil {
		return false
	}
	defer h.Close()
	return frozen(h)
}

// List describes all containers. One that is being made or removed just now, and
// has no record, is passed over.
func (r *Runtime) List() ([]State, error) {
	s := r.store()
	ids, err := s.List()
	if err != nil {
		return nil, err
	}
	var all []State
	for _, id := range ids {
		st, err := r.stateOf(id)
		switch {
		case errors.Is(err, state.ErrNotExist), errors.Is(err, state.ErrNoRecord):
			continue
		case err != nil:
			r.Log.Warn("container " + id + ": " + err.Error())
			continue
		}
		st.Owner = userName(st.uid)
		all = append(all, *st)
	}
	return all, nil
}

func (r *Runtime) stateOf(id string) (*State, error) {
	c, err := r.Open(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.State()
}

// userName is the name of a user of the host, or his number.
func userName(uid int) string {
	s := strconv.Itoa(uid)
	if u, err := user.LookupId(s); err == nil {
		return u.Username
	}
	return "#" + s
}
