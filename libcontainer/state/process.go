package state

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// Process is a process that can't be mistaken for another: it is held by a
// pidfd that was checked against the start time.
type Process struct {
	pid, fd int
}

// OpenProcess opens the process pid that started at startTime (see StartTime).
// It returns ErrGone where that process has ended, be it a zombie still, and
// where the pid belongs to another by now.
func OpenProcess(pid int, startTime uint64) (*Process, error) {
	if pid <= 0 {
		return nil, ErrGone
	}
	// The pidfd first: a pid that is given away between the two calls then shows
	// in the start time, never the other way round.
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case nil:
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // EINVAL, newer kernels ENOENT: a thread has that id now
		return nil, ErrGone
	default:
		return nil, fault.Wrap("cannot open process "+strconv.Itoa(pid), err)
	}
	start, dead, err := stat(pid)
	if err == nil && (dead || start != startTime) {
		err = ErrGone
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Process{pid: pid, fd: fd}, nil
}

// PID is the pid, in the caller's pid namespace.
func (p *Process) PID() int { return p.pid }

// FD is the process's pidfd. It is the Process's: Close closes it.
func (p *Process) FD() int { return p.fd }

// Signal sends a signal; ErrGone where the process has ended.
func (p *Process) Signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(p.fd, sig, nil, 0)
	if err == unix.ESRCH {
		return ErrGone
	}
	if err != nil {
		return fault.Wrap("cannot send signal "+strconv.Itoa(int(sig))+" to process "+strconv.Itoa(p.pid), err)
	}
	return nil
}

// Wait waits until the process has ended, for as long as the patience lasts. It
// reaps nothing.
func (p *Process) Wait(patience *sys.Patience) error {
	return patience.Readable(p.fd, "the end of process "+strconv.Itoa(p.pid)+" after SIGKILL")
}

// Close gives the pidfd back. A second call does nothing.
func (p *Process) Close() error {
	if p.fd < 0 {
		return nil
	}
	fd := p.fd
	p.fd = -1
	return unix.Close(fd)
}

// StartTime is when a process started, in clock ticks since boot: field 22 of
// /proc/PID/stat, proc_pid_stat(5). With the pid it names a process for good.
func StartTime(pid int) (uint64, error) {
	start, _, err := stat(pid)
	return start, err
}

// stat reads the start time of a process and whether it is a zombie or dead.
func stat(pid int) (start uint64, dead bool, err error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := sys.Retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err == unix.ENOENT || err == unix.ESRCH {
		return 0, false, ErrGone
	}
	if err != nil {
		return 0, false, fault.Wrap("cannot open "+path, err)
	}
	defer unix.Close(fd)
	var buf [1024]byte // 52 fields of at most 20 digits
	n, err := sys.Retry(func() (int, error) { return unix.Read(fd, buf[:]) })
	if err == unix.ESRCH {
		return 0, false, ErrGone
	}
	if err != nil {
		return 0, false, fault.Wrap("cannot read "+path, err)
	}
	start, dead, ok := parseStat(buf[:n])
	if !ok {
		return 0, false, fault.New("cannot understand " + path)
	}
	return start, dead, nil
}

// parseStat takes /proc/PID/stat apart. The name in parentheses may itself hold
// parentheses and spaces, so the last one counts.
func parseStat(text []byte) (start uint64, dead, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 || end+2 >= len(text) {
		return 0, false, false
	}
	rest := text[end+2:]
	dead = rest[0] == 'Z' || rest[0] == 'X'
	for range 19 { // from field 3 to field 22
		i := bytes.IndexByte(rest, ' ')
		if i < 0 {
			return 0, false, false
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, ' '); i >= 0 {
		rest = rest[:i]
	}
	start, err := strconv.ParseUint(string(rest), 10, 64)
	return start, dead, err == nil
}
