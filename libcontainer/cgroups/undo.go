package cgroups

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups/devfilter"
	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// KindName is the kind of journal entry for a cgroup: its record (see cgroup.record)
// and the container's mark.
const KindName = "cgroup"

// entry is the journal's entry for c.
func (c *cgroup) entry(mark string) []string { return []string{c.record(), mark} }

// Undo removes the cgroup of a journal entry with all that is below it, and then each
// parent, from below, that one of our runtimes made and nobody is in any more: in
// whatever order containers end, the last one takes them away.
//
// What was there before the container loses the container's mark alone. What is
// another container's by now, or is nobody's that we made, is not touched.
func Undo(p *sys.Patience, args []string) error {
	if len(args) != 2 {
		return fault.New("the journal's entry for a cgroup is broken")
	}
	c, err := parseRecord(args[0])
	if err != nil {
		return err
	}
	if err := c.undo(p, args[1]); err != nil {
		return err
	}
	return c.removeParents()
}

func (c *cgroup) undo(p *sys.Patience, mark string) error {
	n := len(c.levels)
	if n == 0 {
		return nil // the top of a hierarchy was never ours
	}
	parent, err := c.openDir(n - 1)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fault.Wrap("cannot open the cgroup "+c.path(n-1), err)
	}
	defer unix.Close(parent)
	remove, err := c.release(parent, mark)
	if err == nil && remove {
		err = removeUntil(p, parent, c.levels[n-1], c.dir())
	}
	if err != nil && err != unix.ENOENT && err != unix.ENODEV {
		e := fault.Wrap("cannot remove the cgroup", err)
		e.Call = "rmdir " + c.dir()
		return e
	}
	return nil
}

// release says whether the container's cgroup, in the directory parent, is the
// container's to remove. One that was there before is only given free.
func (c *cgroup) release(parent int, mark string) (remove bool, err error) {
	name := c.levels[len(c.levels)-1]
	sticky, err := ours(parent, name)
	if err != nil {
		return false, err
	}
	now, err := markAt(c.dir())
	switch {
	case err != nil:
		return false, err
	case now == mark && sticky:
		return true, nil
	case now != "" && now != mark:
		return false, nil
	case now == "" && !sticky:
		return false, nil // create ended before it claimed what was there
	}
	fd, err := openBeneath(parent, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	if now == "" {
		// A create was killed between mkdir and its mark. It was ours, or else another
		// one is at this very point: the mark decides, and leaves that one an error.
		err := claim(fd, mark)
		if err == unix.EEXIST {
			return false, nil
		}
		return err == nil, err
	}
	if c.v2() {
		// As far as the rights go: whoever has none has set none.
		switch err := unfilter(fd); {
		case err == nil, errors.Is(err, devfilter.ErrNotPermitted):
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
			return false, nil // removed at this moment, by systemd
		default:
			return false, err
		}
	}
	return false, disclaim(fd)
}

// removeParents goes up as far as what is there was made by us and is empty.
func (c *cgroup) removeParents() error {
	for n := len(c.levels) - 1; n > c.sure; n-- {
		above, err := c.openDir(n - 1)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fault.Wrap("cannot open the cgroup "+c.path(n-1), err)
		}
		sticky, err := ours(above, c.levels[n-1])
		if err == nil && sticky {
			err = rmdir(above, c.levels[n-1])
		}
		unix.Close(above)
		switch {
		case err == unix.ENOENT:
		case err == unix.EBUSY, err == nil && !sticky:
			return nil // others are in it, or made it
		case err != nil:
			e := fault.Wrap("cannot remove a parent of the container's cgroup", err)
			e.Call = "rmdir " + c.path(n)
			return e
		}
	}
	return nil
}

// removeUntil removes a cgroup with all below it. A process that has just died
// still keeps it busy for a moment, so that is waited for, first shortly.
func removeUntil(p *sys.Patience, parent int, name, path string) error {
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		err := removeTree(parent, name)
		if err != unix.EBUSY {
			return err
		}
		if err := p.Sleep(wait, "the cgroup "+path+" to be empty"); err != nil {
			return busy(parent, name, err)
		}
	}
}

// busy adds to an error how many processes keep the cgroup.
func busy(parent int, name string, err error) error {
	fd, oerr := openBeneath(parent, name, unix.O_PATH|unix.O_DIRECTORY)
	if oerr != nil {
		return err
	}
	defer unix.Close(fd)
	pids, _ := procs(fd, nil)
	return &fault.Error{Msg: "it is busy", Err: err, Hint: strconv.Itoa(len(unique(pids))) + " process(es) in it"}
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

// rmdir removes a cgroup; one that is gone is no error.
func rmdir(parent int, name string) error {
	_, err := sys.Retry(func() (int, error) { return 0, unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) })
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
