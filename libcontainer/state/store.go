// Package state keeps what has to outlive one command about a container: its
// directory with the lock, the record, the copy of config.json, the start FIFO
// and the journal of what create did to the host. The status of a container is
// not stored; it is computed from the process.
package state

import (
	"errors"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// The conditions that callers tell apart, by errors.Is. The first three are
// worded as engines expect them.
var (
	ErrExists    = fault.New("container with given ID already exists")
	ErrNotExist  = fault.New("container does not exist")
	ErrInvalidID = fault.New("invalid container ID format")
	// ErrNoRecord means that create was killed, or is still at work, before it
	// wrote a record. The journal says what is to be undone.
	ErrNoRecord = fault.New("container has no state record yet")
	// ErrGone means that the process ended, or that its pid belongs to another
	// process by now.
	ErrGone = fault.New("process does not exist")
)

// LockMode is how a container's directory is locked.
type LockMode uint8

// The modes. Unlocked is for readers of the record and for kill.
const (
	Unlocked LockMode = iota
	Shared
	Exclusive
)

// Store is the directory that holds one directory for each container.
type Store struct{ root string }

// Open returns the store at root, an absolute path. The directory is made by
// the first Create.
func Open(root string) *Store { return &Store{root: filepath.Clean(root)} }

// CheckID returns ErrInvalidID unless id consists of [A-Za-z0-9_+.-] and is a
// name that can stand for a directory.
func CheckID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > unix.NAME_MAX {
		return ErrInvalidID
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '+', c == '.', c == '-':
		default:
			return ErrInvalidID
		}
	}
	return nil
}

// dirMode keeps everybody else out: what the child needs it inherits open.
const dirMode = 0o700

// Create makes the directory of a new container and returns it with the
// Exclusive lock held. Of two that create the same id one gets ErrExists.
func (s *Store) Create(id string) (*Dir, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	path := s.root + "/" + id
	for {
		err := unix.Mkdir(path, dirMode)
		if err == unix.ENOENT {
			if err = os.MkdirAll(s.root, dirMode); err == nil {
				err = unix.Mkdir(path, dirMode)
			}
		}
		if errors.Is(err, unix.EEXIST) {
			return nil, ErrExists
		}
		if err != nil {
			return nil, fault.Wrap("cannot create the state directory "+path, err)
		}
		d, err := s.open(id)
		if err == nil {
			err = d.Lock(Exclusive)
		}
		switch {
		case err == nil:
			d.creator = true
			return d, d.fixMode()
		case err != ErrNotExist:
			return nil, err
		}
		// A forced delete came between mkdir and the lock: begin again.
	}
}

// fixMode undoes what the umask took from the directory's mode.
func (d *Dir) fixMode() error {
	if err := unix.Fchmod(d.fd, dirMode); err != nil {
		return fault.Wrap("cannot set the mode of the state directory "+d.path, err)
	}
	return nil
}

// Get opens the directory of a container and waits for the lock, if one is
// asked for. It returns ErrNotExist where there is none; a container without a
// record is no error here.
func (s *Store) Get(id string, mode LockMode) (*Dir, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	for {
		d, err := s.open(id)
		if err != nil {
			return nil, err
		}
		if err = d.Lock(mode); err == nil {
			return d, nil
		}
		if err != ErrNotExist {
			return nil, err
		}
		// Deleted while we waited. A new container of that id may stand there:
		// open says.
	}
}

// List returns the ids of all containers, in order. A store that was never used
// has none.
func (s *Store) List() ([]string, error) {
	f, err := os.Open(s.root)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap("cannot list containers", err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fault.Wrap("cannot list containers", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && CheckID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	sort.Strings(ids)
	return ids, nil
}

func (s *Store) open(id string) (*Dir, error) {
	path := s.root + "/" + id
	fd, err := sys.Retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	switch err {
	case nil:
		return &Dir{id: id, path: path, fd: fd}, nil
	case unix.ENOENT:
		return nil, ErrNotExist
	}
	return nil, fault.Wrap("cannot open the state directory "+path, err)
}
