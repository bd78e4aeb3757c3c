package state

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// Entry is one side effect on the host, written down before it is done: the intention
// alone. Whether the effect came about, and by whose hand, no second note could say,
// since a crash can come between the two. The effect itself has to tell, so an entry
// holds what identifies it: a cgroup's mark, a process's start time.
type Entry struct {
	Kind string
	Args []string
}

// Kind is a kind of side effect. The package that owns the effect says how it is
// undone.
type Kind struct {
	Name string
	// Undo takes the effect away, as the entry's arguments name it. It must take it
	// well that the effect never came about, was undone before or is another's by now.
	Undo func(p *sys.Patience, args []string) error
	// Last is true for what is due only when all else is undone, wherever it stands
	// in the journal: a poststop hook runs when the container is gone.
	Last bool
}

// ProcessKind is the kind of a process: pid, start time. It is the one effect that can
// only be noted after it came about, when the pid is known; so such a process has to
// end by itself when it loses its parent before.
var ProcessKind = Kind{Name: "process", Undo: undoProcess}

// ProcessEntry is for a process that was started.
func ProcessEntry(pid int, startTime uint64) Entry {
	return Entry{Kind: ProcessKind.Name, Args: []string{strconv.Itoa(pid), strconv.FormatUint(startTime, 10)}}
}

// Journal is the list of a container's side effects, in a file that only grows
// until it is undone. Whoever writes holds the Exclusive lock.
type Journal struct {
	d  *Dir
	fd int
}

// Journal opens the journal for writing and undoing, and makes it where there is
// none.
func (d *Dir) Journal() (*Journal, error) {
	fd, err := sys.Retry(func() (int, error) {
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

// Note appends entries as intended, in one write, all or none. The side effects may
// begin when it has returned.
func (j *Journal) Note(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := sys.WriteAll(j.fd, encodeEntries(entries)); err != nil {
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

// Noted is what the journal holds, as far as it can be read: for whoever has to look
// at it while another command has the lock and writes.
func (d *Dir) Noted() []Entry {
	entries, _ := (&Journal{d: d}).Entries()
	return entries
}

// Undo undoes every entry, the newest first and those of a kind that is Last at the
// end. It goes on after an error and returns all of them. The entries that failed
// stay in the journal for the next attempt.
func (j *Journal) Undo(p *sys.Patience, kinds []Kind) error {
	entries, err := j.Entries()
	var list fault.List
	if err != nil && !errors.As(err, &list) {
		return err
	}
	failed := make([]bool, len(entries))
	for _, last := range [...]bool{false, true} {
		for i := len(entries) - 1; i >= 0; i-- {
			k := kindOf(kinds, entries[i])
			if k.Last != last {
				continue
			}
			if err := k.Undo(p, entries[i].Args); err != nil {
				failed[i] = true
				list = append(list, asFault(err))
			}
		}
	}
	left := entries[:0]
	for i, e := range entries {
		if failed[i] {
			left = append(left, e)
		}
	}
	if err := j.keep(left); err != nil {
		list = append(list, asFault(err))
	}
	return list.OrNil()
}

// kindOf is the kind of an entry. One that nobody owns can't be undone.
func kindOf(kinds []Kind, e Entry) Kind {
	for _, k := range kinds {
		if k.Name == e.Kind {
			return k
		}
	}
	return Kind{Undo: func(*sys.Patience, []string) error {
		return fault.New("the journal has an entry of the unknown kind " + strconv.Quote(e.Kind))
	}}
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

func undoProcess(patience *sys.Patience, args []string) error {
	if len(args) != 2 {
		return fault.New("the journal's entry for a process is broken")
	}
	pid, start := args[0], args[1]
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
	return p.Wait(patience)
}
