package cgroups

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// OOM tells when memory has run out in a container's cgroup.
type OOM struct {
	event, dir int
	v2         bool
	killed     uint64 // v2: how many were, when last looked at
}

// WatchOOM begins to watch; nil where there is no memory controller.
//
// A v1 cgroup signals an eventfd that is written to cgroup.event_control together with
// a descriptor of memory.oom_control (Documentation/admin-guide/cgroup-v1/memory.rst).
// The kernel holds the eventfd alone from then on, until that is closed. In v2 the file
// memory.events is modified, which inotify(7) tells.
func (h *handle) WatchOOM() (*OOM, error) {
	c := find(h.cgroups, "memory")
	if c == nil {
		return nil, nil
	}
	fd, err := h.open(c)
	if err != nil {
		return nil, cannotOpen(c, err)
	}
	o := &OOM{event: -1, dir: -1, v2: c.v2()}
	register, call := o.register, "write to "+c.dir()+"/cgroup.event_control"
	if c.v2() {
		register, call = o.register2, "inotify_add_watch("+c.dir()+"/memory.events)"
	}
	err = register(fd)
	if err == nil {
		return o, nil
	}
	o.Close()
	if err == unix.ENOENT && c.v2() {
		return nil, nil // the controller is there, and was not given to this cgroup
	}
	e := fault.Wrap("cannot watch whether memory runs out", err)
	e.Call = call
	return nil, e
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

func (o *OOM) register2(dir int) error {
	events, err := openBeneath(dir, "memory.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(events)
	if o.dir, err = unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	if o.event, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return err
	}
	// By descriptor, since the name may be another cgroup's by now.
	if _, err := unix.InotifyAddWatch(o.event, "/proc/self/fd/"+strconv.Itoa(events), unix.IN_MODIFY); err != nil {
		return err
	}
	o.killed, err = oomKills(dir)
	return err
}

// oomKills is how many processes were killed for want of memory.
func oomKills(dir int) (uint64, error) {
	text, err := readFile(dir, "memory.events")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, nil
}

// FD can be read (poll(2)) when there is something to tell.
func (o *OOM) FD() int { return o.event }

// Happened says whether memory has run out since the last call. The removal of the
// cgroup is signalled in the same way, and is none.
func (o *OOM) Happened() (bool, error) {
	var buf [4096]byte // an eventfd takes 8, and gives no more
	_, err := sys.Retry(func() (int, error) { return unix.Read(o.event, buf[:]) })
	if err == unix.EAGAIN {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap("cannot hear whether memory has run out", err)
	}
	if o.v2 {
		before := o.killed
		// An error: the cgroup is gone.
		now, err := oomKills(o.dir)
		if err == nil {
			o.killed = now
		}
		return err == nil && now > before, nil
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
