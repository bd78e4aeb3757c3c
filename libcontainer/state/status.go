package state

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Status is where a container is in its life, in the words of the runtime-spec
// (runtime.md, State). Paused is asked from the cgroup by the caller.
type Status uint8

// The statuses.
const (
	Creating Status = iota
	Created
	Running
	Stopped
)

// String is the status as `state` prints it.
func (s Status) String() string {
	return [...]string{"creating", "created", "running", "stopped"}[s]
}

// Status computes where the container with record r is.
func (d *Dir) Status(r *Record) (Status, error) {
	st, p, err := d.Probe(r)
	if p != nil {
		p.Close()
	}
	return st, err
}

// Probe computes the status and returns, unless it is Stopped, the very process
// it was computed from; the caller closes it. In Creating there may be none.
//
// A record that create left unfinished counts as Stopped once that create is
// dead, so that delete clears it away. Where create only finished after r was
// read, r becomes the record that it wrote.
func (d *Dir) Probe(r *Record) (Status, *Process, error) {
	p, err := OpenProcess(r.PID, r.StartTime)
	if err != nil && err != ErrGone {
		return Stopped, nil, err
	}
	st := Stopped
	switch {
	case r.Creating:
		var busy bool
		if busy, err = d.Busy(); err != nil {
			break
		}
		if busy || d.creator {
			return Creating, p, nil
		}
		if d.mode == Unlocked {
			if done, err := d.finished(r); done || err != nil {
				if p != nil {
					p.Close()
				}
				if err != nil {
					return Stopped, nil, err
				}
				return d.Probe(r)
			}
		}
	case p != nil:
		var waits, alive bool
		if waits, alive, err = d.waitsForStart(p); err != nil || !alive {
			break
		}
		if waits {
			st = Created
		} else {
			st = Running
		}
		return st, p, nil
	default:
		err = nil
	}
	if p != nil {
		p.Close()
	}
	return Stopped, nil, err
}

// finished says whether the create that r was read under has written its last
// record since. Whoever reads without the lock may find the lock free for that
// reason, and must not take the container for a dead create's.
func (d *Dir) finished(r *Record) (bool, error) {
	now, err := d.Record()
	if err != nil || now.Creating {
		return false, err
	}
	*r = *now
	return true, nil
}

// waitsForStart says whether the process still is Berth's interpreter, waiting at
// the start FIFO. The FIFO alone does not say so: start removes it only after
// the program was executed, and may be killed in between.
func (d *Dir) waitsForStart(p *Process) (waits, alive bool, err error) {
	if !d.HasFIFO() {
		return false, true, nil
	}
	path := "/proc/" + strconv.Itoa(p.PID()) + "/exe"
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(path, buf[:])
	switch err {
	case nil:
		return d.isInterpreter(string(buf[:n])), true, nil
	case unix.EACCES, unix.EPERM:
		// Not dumpable, as the interpreter is and a program just executed is not.
		return true, true, nil
	case unix.ENOENT, unix.ESRCH:
		// It has no memory any more: it is ending, if it has not ended yet.
		return false, false, nil
	}
	return false, false, fault.Wrap("cannot read "+path, err)
}

// isInterpreter recognises the image by what /proc/PID/exe shows of it: a memfd,
// or a file that never had a name: "/run/berth/id/#1234 (deleted)".
func (d *Dir) isInterpreter(exe string) bool {
	if strings.HasPrefix(exe, "/memfd:berth") {
		return true
	}
	name, ok := strings.CutSuffix(exe, " (deleted)")
	i := strings.LastIndexByte(name, '/')
	if !ok || i < 0 || !slices.Contains(d.ImageDirs(), name[:i]) {
		return false
	}
	number, ok := strings.CutPrefix(name[i+1:], "#")
	_, err := strconv.ParseUint(number, 10, 64)
	return ok && err == nil
}
