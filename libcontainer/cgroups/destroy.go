package cgroups

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Destroy goes through the hierarchies in the reverse order of their making, and
// goes on after an error.
func (m *v1) Destroy(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	var errs fault.List
	for i := len(m.cgroups) - 1; i >= 0; i-- {
		c := m.cgroups[i]
		if c.dropped || c.made == 0 {
			continue
		}
		if err := c.destroy(deadline); err != nil {
			errs = append(errs, err)
		}
	}
	return errs.OrNil()
}

// destroy removes the levels that were made: the last with all below it, the
// parents as far as nobody else is in them.
func (c *cgroup) destroy(deadline time.Time) *fault.Error {
	for n := len(c.levels); n > len(c.levels)-c.made; n-- {
		parent, err := c.openDir(n - 1)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fault.Wrap("cannot open the cgroup "+c.path(n-1), err)
		}
		var left bool
		if n == len(c.levels) {
			err = removeUntil(parent, c.levels[n-1], deadline)
		} else {
			left, err = removeEmpty(parent, c.levels[n-1])
		}
		if err != nil {
			e := removeError(parent, c.levels[n-1], c.path(n), err)
			unix.Close(parent)
			return e
		}
		unix.Close(parent)
		if left {
			break
		}
	}
	return nil
}

// RemoveDir undoes the making of one directory that Create announced. It is
// for a journal: the directory may be gone, or never have been made.
func RemoveDir(d Dir, timeout time.Duration) error {
	i := strings.LastIndexByte(d.Path, '/')
	if i <= 0 {
		return fault.New("the cgroup path " + strconv.Quote(d.Path) + " is not absolute")
	}
	parent, err := openMount(d.Path[:i])
	if err == unix.ENOENT {
		return nil
	}
	if err == nil {
		defer unix.Close(parent)
		if d.Leaf {
			err = removeUntil(parent, d.Path[i+1:], time.Now().Add(timeout))
		} else {
			_, err = removeEmpty(parent, d.Path[i+1:])
		}
	}
	if err != nil {
		return removeError(parent, d.Path[i+1:], d.Path, err)
	}
	return nil
}

// removeUntil removes a cgroup with all below it. A process that has just died
// still keeps it busy for a moment, so that is waited for, first shortly.
func removeUntil(parent int, name string, deadline time.Time) error {
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		err := removeTree(parent, name)
		if err != unix.EBUSY || time.Now().After(deadline) {
			return err
		}
		time.Sleep(wait)
	}
}

// removeTree removes a cgroup, and only where that fails what is below it. Files
// are never removed, so that nothing but cgroups can go.
func removeTree(parent int, name string) error {
	err := rmdir(parent, name)
	if err != unix.EBUSY {
		return err
	}
	fd, err := openBeneath(parent, name, unix.O_PATH|unix.O_DIRECTORY)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := children(fd)
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := removeTree(fd, child); err != nil {
			return err
		}
	}
	return rmdir(parent, name)
}

// removeEmpty removes a parent, or says that others are in it.
func removeEmpty(parent int, name string) (left bool, err error) {
	err = rmdir(parent, name)
	if err == unix.EBUSY {
		return true, nil
	}
	return false, err
}

// rmdir removes a cgroup; one that is gone is no error.
func rmdir(parent int, name string) error {
	_, err := again(func() (int, error) { return 0, unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) })
	switch err {
	case unix.ENOENT, unix.ENODEV:
		return nil
	case unix.ENOTEMPTY, unix.EEXIST:
		return unix.EBUSY
	case unix.EROFS:
		// Said before the kernel looks whether there is anything to remove.
		var st unix.Stat_t
		if unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT {
			return nil
		}
	}
	return err
}

func removeError(parent int, name, path string, err error) *fault.Error {
	e := fault.Wrap("cannot remove the cgroup", err)
	e.Call = "rmdir " + path
	if err == unix.EBUSY {
		if fd, oerr := openBeneath(parent, name, unix.O_PATH|unix.O_DIRECTORY); oerr == nil {
			pids, _ := procs(fd, nil)
			unix.Close(fd)
			e.Hint = strconv.Itoa(len(unique(pids))) + " process(es) in it"
		}
	}
	return e
}
