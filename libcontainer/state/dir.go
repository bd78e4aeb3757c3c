package state

import (
	"os"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// The files in a container's directory.
const (
	recordFile  = "state.json"
	configFile  = "config.json"
	journalFile = "journal"
	fifoFile    = "exec.fifo"
	tempSuffix  = ".new"
)

// Dir is the open directory of one container. Its methods are for one
// goroutine; the descriptor is close-on-exec.
type Dir struct {
	id, path string
	fd       int
	mode     LockMode
	creator  bool
}

// ID is the container's id.
func (d *Dir) ID() string { return d.id }

// Path is the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

// Close drops the lock and the descriptor. A second call does nothing.
func (d *Dir) Close() error {
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd, d.mode = -1, Unlocked
	return unix.Close(fd)
}

// Lock waits for the lock of the given mode, in place of the one held now (which
// flock(2) may drop on the way). When the container was deleted meanwhile, d is
// closed and the error is ErrNotExist.
func (d *Dir) Lock(mode LockMode) error {
	if mode == Unlocked {
		return d.Unlock()
	}
	op := unix.LOCK_SH
	if mode == Exclusive {
		op = unix.LOCK_EX
	}
	if _, err := sys.Retry(func() (int, error) { return 0, unix.Flock(d.fd, op) }); err != nil {
		d.Close()
		return fault.Wrap("cannot lock the state directory "+d.path, err)
	}
	d.mode = mode
	linked, err := d.linked()
	if err == nil && !linked {
		err = ErrNotExist
	}
	if err != nil {
		d.Close()
	}
	return err
}

// Unlock drops the lock; d stays usable.
func (d *Dir) Unlock() error {
	if d.mode == Unlocked {
		return nil
	}
	d.mode = Unlocked
	if err := unix.Flock(d.fd, unix.LOCK_UN); err != nil {
		return fault.Wrap("cannot unlock the state directory "+d.path, err)
	}
	return nil
}

// linked says whether d is still what its path names. The inode number can't be
// used again while the descriptor is open, so comparing it is exact; the link
// count is not on every filesystem.
func (d *Dir) linked() (bool, error) {
	var own, now unix.Stat_t
	if err := unix.Fstat(d.fd, &own); err != nil {
		return false, fault.Wrap("cannot look at the state directory "+d.path, err)
	}
	err := unix.Lstat(d.path, &now)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap("cannot look at the state directory "+d.path, err)
	}
	return own.Dev == now.Dev && own.Ino == now.Ino, nil
}

// Busy says whether another command holds the Exclusive lock just now. It never
// waits.
func (d *Dir) Busy() (bool, error) {
	if d.mode != Unlocked {
		return false, nil
	}
	_, err := sys.Retry(func() (int, error) { return 0, unix.Flock(d.fd, unix.LOCK_SH|unix.LOCK_NB) })
	switch err {
	case nil:
		return false, unix.Flock(d.fd, unix.LOCK_UN)
	case unix.EWOULDBLOCK:
		return true, nil
	}
	return false, fault.Wrap("cannot look at the lock of "+d.path, err)
}

// WriteConfig keeps a copy of config.json.
func (d *Dir) WriteConfig(data []byte) error { return d.replace(configFile, data) }

// Config returns the copy of config.json; ErrNoRecord where create did not come
// so far.
func (d *Dir) Config() ([]byte, error) {
	data, err := d.read(configFile)
	if err == unix.ENOENT {
		return nil, ErrNoRecord
	}
	if err != nil {
		return nil, fault.Wrap("cannot read "+d.path+"/"+configFile, err)
	}
	return data, nil
}

// FIFOPath is the path of the start FIFO.
func (d *Dir) FIFOPath() string { return d.path + "/" + fifoFile }

// ImageDirs are the directories that the image of the interpreter may be a file of,
// without a name, on hosts whose memfds may not be executed.
func (d *Dir) ImageDirs() []string { return []string{d.path, "/var/tmp", "/tmp"} }

// MakeFIFO makes the start FIFO for the caller alone: the child inherits it open.
func (d *Dir) MakeFIFO() error {
	if err := unix.Mkfifoat(d.fd, fifoFile, 0o600); err != nil {
		return fault.Wrap("cannot make the start FIFO "+d.FIFOPath(), err)
	}
	return nil
}

// HasFIFO says whether the start FIFO is there: the container was not started.
func (d *Dir) HasFIFO() bool {
	return unix.Faccessat(d.fd, fifoFile, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// RemoveFIFO removes the start FIFO, which is how start says that it is done.
func (d *Dir) RemoveFIFO() error {
	if err := unix.Unlinkat(d.fd, fifoFile, 0); err != nil && err != unix.ENOENT {
		return fault.Wrap("cannot remove the start FIFO "+d.FIFOPath(), err)
	}
	return nil
}

// Remove removes the directory with all that is in it. It follows no symbolic
// link. The record goes last, so that whoever reads without a lock, or deletes
// again after this was interrupted, still finds it. d stays open.
func (d *Dir) Remove() error {
	for _, name := range [...]string{
		fifoFile, configFile, configFile + tempSuffix,
		journalFile + tempSuffix, recordFile + tempSuffix, journalFile, recordFile,
	} {
		if err := unix.Unlinkat(d.fd, name, 0); err != nil && err != unix.ENOENT && err != unix.EISDIR {
			return fault.Wrap("cannot remove "+d.path+"/"+name, err)
		}
	}
	err := unix.Rmdir(d.path)
	if err == unix.ENOTEMPTY || err == unix.EEXIST {
		err = os.RemoveAll(d.path) // openat and unlinkat below an open directory; see its source
	}
	if err != nil && err != unix.ENOENT {
		return fault.Wrap("cannot remove the state directory "+d.path, err)
	}
	return nil
}

// read returns the content of a small file in the directory, or a bare errno.
func (d *Dir) read(name string) ([]byte, error) {
	fd, err := sys.Retry(func() (int, error) {
		// What is no regular file must not be waited for.
		return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	buf := make([]byte, st.Size+1) // one more, so that the first read sees the end
	for n := 0; ; {
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		got, err := sys.Retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return nil, err
		}
		if got == 0 {
			return buf[:n], nil
		}
		n += got
	}
}

// replace writes a file under another name and renames it: a reader sees the
// old content or the new. The directory lies on tmpfs, or is worthless after a
// crash of the machine, so nothing is synced.
func (d *Dir) replace(name string, data []byte) error {
	fail := func(err error) error { return fault.Wrap("cannot write "+d.path+"/"+name, err) }
	fd, err := sys.Retry(func() (int, error) {
		return unix.Openat(d.fd, name+tempSuffix,
			unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return fail(err)
	}
	err = sys.WriteAll(fd, data)
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(d.fd, name+tempSuffix, d.fd, name)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
