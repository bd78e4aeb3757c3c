package state

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// The kinds of side effect that the journal knows. Kinds of their own are up to
// those who hand a function to Undo.
const (
	KindCgroup  = "cgroup"  // path, "leaf" or "parent": see cgroups.Dir
	KindProcess = "process" // pid, start time
	KindFile    = "file"    // path of a file, FIFO or socket that did not exist
)

// Entry is one side effect on the host, written down before it is done.
type Entry struct {
	Kind string
	Args []string
}

// CgroupEntry is for a cgroup directory about to be made.
func CgroupEntry(path string, leaf bool) Entry {
	if leaf {
		return Entry{KindCgroup, []string{path, "leaf"}}
	}
	return Entry{KindCgroup, []string{path, "parent"}}
}

// ProcessEntry is for a process that was started. It is the one effect that can
// only be noted after it came about, when the pid is known; so such a process
// has to end by itself when it loses its parent before.
func ProcessEntry(pid int, startTime uint64) Entry {
	return Entry{KindProcess, []string{strconv.Itoa(pid), strconv.FormatUint(startTime, 10)}}
}

// FileEntry is for a file, FIFO or socket about to be made where there is none.
func FileEntry(path string) Entry { return Entry{KindFile, []string{path}} }

// Journal is the list of a container's side effects, in a file that only grows
// until it is undone. Whoever writes holds the Exclusive lock.
type Journal struct {
	d  *Dir
	fd int
}

// Journal opens the journal for writing and undoing, and makes it where there is
// none.
func (d *Dir) Journal() (*Journal, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, journalFile,
			unix.O_RDWR|unix.O_CREAT|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return nil, fault.Wrap("cannot open the journal in "+d.path, err)
	}
	j := &Journal{d: d, fd: fd}
	if err := j.repair(); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// repair cuts off a last line that a killed writer left torn. What it announced was
// never done: Note returns only after the line is whole.
func (j *Journal) repair() error {
	var st unix.Stat_t
	err := unix.Fstat(j.fd, &st)
	if err == nil && st.Size > 0 {
		var data []byte
		if data, err = j.d.read(journalFile); err == nil {
			if end := bytes.LastIndexByte(data, '\n') + 1; end < len(data) {
				err = unix.Ftruncate(j.fd, int64(end))
			}
		}
	}
	if err != nil {
		return fault.Wrap("cannot repair the journal in "+j.d.path, err)
	}
	return nil
}

// Note appends entries in one write, all or none. It returns before any of the
// side effects may begin.
func (j *Journal) Note(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := writeAll(j.fd, encodeEntries(entries)); err != nil {
		err = fault.Wrap("cannot write the journal in "+j.d.path, err)
		if merr := j.repair(); merr != nil { // a full filesystem takes half a line
			return merr
		}
		return err
	}
	return nil
}

// Entries returns what the journal holds, oldest first, and an error for every
// line that can't be understood.
func (j *Journal) Entries() ([]Entry, error) {
	data, err := j.d.read(journalFile)
	if err != nil {
		return nil, fault.Wrap("cannot read the journal in "+j.d.path, err)
	}
	var entries []Entry
	var bad fault.List
	for line := 1; len(data) > 0; line++ {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break // torn: see repair
		}
		e, err := decodeEntry(data[:end])
		data = data[end+1:]
		if err != nil {
			bad = append(bad, fault.Wrap("journal line "+strconv.Itoa(line)+" of "+j.d.path, err))
			continue
		}
		entries = append(entries, e)
	}
	return entries, bad.OrNil()
}

// Undo calls undo for every entry, the newest first. It goes on after an error
// and returns all of them. The entries that failed stay in the journal for the
// next attempt; undo must take it well that an effect never came about, or was
// undone before.
func (j *Journal) Undo(undo func(Entry) error) error {
	entries, err := j.Entries()
	var list fault.List
	if err != nil && !errors.As(err, &list) {
		return err
	}
	var left []Entry
	for i := len(entries) - 1; i >= 0; i-- {
		if err := undo(entries[i]); err != nil {
			left = append(left, entries[i])
			list = append(list, asFault(err))
		}
	}
	for i, k := 0, len(left)-1; i < k; i, k = i+1, k-1 {
		left[i], left[k] = left[k], left[i]
	}
	if err := j.keep(left); err != nil {
		list = append(list, asFault(err))
	}
	return list.OrNil()
}

// keep makes entries the whole content of the journal.
func (j *Journal) keep(entries []Entry) error {
	if len(entries) == 0 {
		if err := unix.Ftruncate(j.fd, 0); err != nil {
			return fault.Wrap("cannot empty the journal in "+j.d.path, err)
		}
		return nil
	}
	if err := j.d.replace(journalFile, encodeEntries(entries)); err != nil {
		return err
	}
	j.Close() // it named the old file
	n, err := j.d.Journal()
	if err != nil {
		return err
	}
	*j = *n
	return nil
}

// Close gives the descriptor back. A second call does nothing.
func (j *Journal) Close() error {
	if j.fd < 0 {
		return nil
	}
	fd := j.fd
	j.fd = -1
	return unix.Close(fd)
}

func asFault(err error) *fault.Error {
	var e *fault.Error
	if errors.As(err, &e) && e.Error() == err.Error() {
		return e
	}
	return fault.Wrap("cannot undo", err)
}

// killWait is how long the end of a process is waited for after SIGKILL. Only
// uninterruptible sleep keeps it longer.
const killWait = 10 * time.Second

// UndoBasic undoes the kinds process and file. Any other kind is an error:
// the caller takes its own first.
func UndoBasic(e Entry) error {
	switch {
	case e.Kind == KindProcess && len(e.Args) == 2:
		return undoProcess(e.Args[0], e.Args[1])
	case e.Kind == KindFile && len(e.Args) == 1:
		if err := unix.Unlink(e.Args[0]); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return fault.Wrap("cannot remove "+e.Args[0], err)
		}
		return nil
	}
	return fault.New("the journal has an entry of the unknown kind " + strconv.Quote(e.Kind) +
		" with " + strconv.Itoa(len(e.Args)) + " arguments")
}

func undoProcess(pid, start string) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return fault.Wrap("the journal names a process that is no number", err)
	}
	ticks, err := strconv.ParseUint(start, 10, 64)
	if err != nil {
		return fault.Wrap("the journal names a start time that is no number", err)
	}
	p, err := OpenProcess(n, ticks)
	if err == ErrGone {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Signal(unix.SIGKILL); err != nil && err != ErrGone {
		return err
	}
	ended, err := p.Wait(killWait)
	if err == nil && !ended {
		err = fault.New("process " + pid + " does not end after SIGKILL")
	}
	return err
}
