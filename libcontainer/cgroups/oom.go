package cgroups

import (
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// OOM tells when memory has run out in a container's cgroup.
type OOM struct {
	event, dir int
}

// WatchOOM begins to watch; nil where there is no memory controller.
//
// A v1 cgroup signals an eventfd that is written to cgroup.event_control together with
// a descriptor of memory.oom_control (Documentation/admin-guide/cgroup-v1/memory.rst).
// The kernel holds the eventfd alone from then on, until that is closed.
func (h *handle) WatchOOM() (*OOM, error) {
	c := find(h.cgroups, "memory")
	if c == nil {
		return nil, nil
	}
	fd, err := h.open(c)
	if err != nil {
		return nil, cannotOpen(c, err)
	}
	o := &OOM{event: -1, dir: -1}
	if err := o.register(fd); err != nil {
		o.Close()
		e := fault.Wrap("cannot watch whether memory runs out", err)
		e.Call = "write to " + c.dir() + "/cgroup.event_control"
		return nil, e
	}
	return o, nil
}

func (o *OOM) register(dir int) error {
	control, err := openBeneath(dir, "memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(control)
	if o.dir, err = unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	if o.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	return writeFile(dir, "cgroup.event_control", strconv.Itoa(o.event)+" "+strconv.Itoa(control))
}

// FD can be read (poll(2)) when there is something to tell.
func (o *OOM) FD() int { return o.event }

// Happened says whether memory has run out since the last call. The removal of the
// cgroup is signalled in the same way, and is none.
func (o *OOM) Happened() (bool, error) {
	var buf [8]byte
	_, err := sys.Retry(func() (int, error) { return unix.Read(o.event, buf[:]) })
	if err == unix.EAGAIN {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap("cannot hear whether memory has run out", err)
	}
	fd, err := openBeneath(o.dir, "memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return false, nil // the cgroup is gone
	}
	unix.Close(fd)
	return true, nil
}

// Close ends it.
func (o *OOM) Close() {
	for _, fd := range [...]int{o.event, o.dir} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
