package cgroups

import (
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// handle is the Handle of a container in whatever hierarchies there are.
type handle struct {
	cgroups []*cgroup
	mark    string
	single  bool // nobody is born into it
}

// Open opens the cgroups of a container again from what Records gave and its mark. It
// needs neither the config nor the facts of the host.
func Open(records []string, mark string) (Handle, error) {
	h := &handle{mark: mark}
	scope, records := cutScope(records)
	for _, r := range records {
		c, err := parseRecord(r)
		if err != nil {
			return nil, err
		}
		h.cgroups = append(h.cgroups, c)
	}
	if scope != nil {
		return &scopeHandle{handle: h, scope: *scope}, nil
	}
	return h, nil
}

// Settle has nothing to do where nobody is born into a cgroup for one.
func (h *handle) Settle() error { return nil }

func (h *handle) Close() {
	for _, c := range h.cgroups {
		c.setFD(-1, 0)
	}
}

// drop leaves out what Prepare had to do without, and gives the descriptors back but
// for the cgroup that is asked most.
func (h *handle) drop() {
	h.cgroups = slices.DeleteFunc(h.cgroups, func(c *cgroup) bool { return c.dropped })
	for _, c := range h.cgroups {
		if c != h.primary() {
			c.setFD(-1, 0)
		}
		c.closeFile()
	}
}

func (h *handle) Records() []string {
	var list []string
	for _, c := range h.cgroups {
		list = append(list, c.record())
	}
	return list
}

func (h *handle) EntryDir() string {
	for _, c := range h.cgroups {
		if c.v2() && !h.single {
			return c.dir()
		}
	}
	return ""
}

// open opens the cgroup c, unless it is open, and returns its descriptor. A cgroup that
// is another container's by now counts as gone (ENOENT).
func (h *handle) open(c *cgroup) (int, error) {
	if c.fd >= 0 {
		return c.fd, nil
	}
	fd, err := c.openDir(len(c.levels))
	if err != nil {
		return -1, err
	}
	mark, err := markOf(fd)
	if err == nil && mark != "" && mark != h.mark {
		err = unix.ENOENT
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	c.setFD(fd, len(c.levels))
	return fd, nil
}

func cannotOpen(c *cgroup, err error) error {
	return fault.Wrap("cannot open the container's cgroup "+c.dir(), err)
}

// primary is the cgroup that is asked for the container's processes: the one
// that can freeze them, if there is one.
func (h *handle) primary() *cgroup {
	for _, name := range [...]string{"freezer", "pids", "devices", "memory"} {
		if c := find(h.cgroups, name); c != nil && !c.v2() {
			return c
		}
	}
	if len(h.cgroups) > 0 {
		return h.cgroups[0]
	}
	return nil
}

// openPrimary opens the primary cgroup; -1 where it is gone or there is none.
func (h *handle) openPrimary() (*cgroup, int, error) {
	c := h.primary()
	if c == nil {
		return nil, -1, nil
	}
	fd, err := h.open(c)
	if err == unix.ENOENT {
		return c, -1, nil
	}
	if err != nil {
		return c, -1, cannotOpen(c, err)
	}
	return c, fd, nil
}

func (h *handle) Procs() ([]int, error) {
	c, fd, err := h.openPrimary()
	if fd < 0 {
		return nil, err
	}
	return c.procs(fd)
}

func (c *cgroup) procs(fd int) ([]int, error) {
	pids, err := procs(fd, nil)
	if err != nil {
		return nil, fault.Wrap("cannot list the processes in the cgroup "+c.dir(), err)
	}
	return unique(pids), nil
}

const (
	// killTime bounds how long Kill waits for the end of those that got SIGKILL.
	// Only uninterruptible sleep lasts longer.
	killTime = 200 * time.Millisecond
	// killRounds is in how many rounds SIGKILL may meet new processes before the
	// cgroup is frozen to get them all.
	killRounds = 4
)

// Kill sends sig to all. In v2 the kernel does that for SIGKILL. Else SIGKILL goes round until nobody is left: a child that is
// being forked appears in the list only after its parent could be signalled, and
// before that parent ends. For other signals several processes are frozen
// meanwhile, so that all of them are in the list.
func (h *handle) Kill(sig syscall.Signal) error {
	c, fd, err := h.openPrimary()
	if fd < 0 {
		return err
	}
	wasFrozen, err := h.Frozen()
	if err != nil {
		return err
	}
	var sent []int
	deadline := time.Now().Add(killTime)
	for met := 0; ; {
		pids, err := c.procs(fd)
		if err != nil || len(pids) == 0 {
			return err
		}
		if slices.Contains(pids, os.Getpid()) {
			return fault.New("the caller is itself in the container's cgroup " + c.dir() + ", so it is not killed")
		}
		if c.v2() && sig == unix.SIGKILL {
			return c.killAll(fd, deadline)
		}
		freeze := c.freezes() && !wasFrozen && len(pids) > 1 && (sig != unix.SIGKILL || met == killRounds)
		if freeze {
			freeze = c.freeze(fd) == nil
		}
		fresh, err := c.signal(fd, sig, sent)
		if freeze || wasFrozen && sig == unix.SIGKILL {
			if terr := c.thaw(fd); err == nil {
				err = terr
			}
		}
		if len(fresh) > 0 {
			sent = append(sent, fresh...)
			slices.Sort(sent)
		}
		if err == nil && sig == unix.SIGKILL && c.has("freezer") {
			if err = thawBelow(fd); err == nil && wasFrozen {
				err = c.leaveFrozenParent(fd, sent)
			}
		}
		if err != nil || sig != unix.SIGKILL || time.Now().After(deadline) {
			return err
		}
		if len(fresh) > 0 {
			met++
			continue
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// killAll has the kernel kill all in a v2 cgroup and below it, also what is frozen and
// what is being forked (cgroup.kill, Linux 5.14).
func (c *cgroup) killAll(fd int, deadline time.Time) error {
	if err := writeFile(fd, "cgroup.kill", "1"); err != nil && err != unix.ENODEV && err != unix.ENOENT {
		return fault.Wrap("cannot kill the processes in the cgroup "+c.dir(), err)
	}
	for {
		populated, err := event(fd, "populated")
		if err == unix.ENODEV || err == unix.ENOENT {
			return nil
		}
		if err != nil {
			return fault.Wrap("cannot read "+c.dir()+"/cgroup.events", err)
		}
		if !populated || time.Now().After(deadline) {
			return nil
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// thawBelow lets go what stands still by a v1 cgroup below: the container's own, where
// it has some, and a SIGKILL waits there for as long.
func thawBelow(fd int) error {
	names, err := children(fd)
	if err != nil {
		return fault.Wrap("cannot list the cgroups below the container's", err)
	}
	for _, name := range names {
		sub, err := openBeneath(fd, name, unix.O_PATH|unix.O_DIRECTORY)
		if err == nil {
			if err = writeFile(sub, "freezer.state", "THAWED"); err == nil {
				err = thawBelow(sub)
			}
			unix.Close(sub)
		}
		if err != nil && err != unix.ENOENT && err != unix.ENODEV {
			return fault.Wrap("cannot thaw a cgroup below the container's", err)
		}
	}
	return nil
}

// leaveFrozenParent gets those that have got SIGKILL out of a cgroup that a parent
// keeps frozen: in v1 only a thawed process ends, and moving it thaws it. It runs no
// instruction of its own before it dies. (In v2 the frozen can be killed.) What was
// forked meanwhile stays for the next round: it would escape.
func (c *cgroup) leaveFrozenParent(fd int, killed []int) error {
	frozen, err := c.isFrozen(fd)
	if err != nil || !frozen {
		return err
	}
	pids, err := c.procs(fd)
	if err != nil {
		return err
	}
	top, err := openMount(c.mount)
	if err != nil {
		return fault.Wrap("cannot open the cgroup hierarchy "+c.mount, err)
	}
	defer unix.Close(top)
	for _, pid := range pids {
		if _, found := slices.BinarySearch(killed, pid); !found {
			continue
		}
		if err := writeFile(top, "cgroup.procs", strconv.Itoa(pid)); err != nil && err != unix.ESRCH {
			e := fault.Wrap("cannot take a process that was killed out of its frozen cgroup", err)
			e.Call = "write " + strconv.Itoa(pid) + " to " + c.mount + "/cgroup.procs"
			return e
		}
	}
	return nil
}

// batch is how many processes are held by pidfds at a time. A table of
// descriptors that grows costs a multi-threaded process milliseconds.
const batch = 32

// signal sends sig to all processes in the cgroup that live, but to those in but,
// and returns to which.
func (c *cgroup) signal(fd int, sig syscall.Signal, but []int) ([]int, error) {
	pids, err := c.procs(fd)
	if err != nil {
		return nil, err
	}
	pids = slices.DeleteFunc(pids, func(pid int) bool {
		_, found := slices.BinarySearch(but, pid)
		return found
	})
	var sent []int
	for some := range slices.Chunk(pids, batch) {
		if sent, err = c.signalBatch(fd, some, sig, sent); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// signalBatch trusts no pid: it opens the pidfds and then reads the list again.
// The process behind a pidfd is in the cgroup if the pid is listed still and the
// process lives after that.
func (c *cgroup) signalBatch(fd int, pids []int, sig syscall.Signal, sent []int) ([]int, error) {
	var fds [batch]int
	for i, pid := range pids {
		p, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			p = -1 // gone
		}
		fds[i] = p
	}
	defer func() {
		for _, p := range fds[:len(pids)] {
			if p >= 0 {
				unix.Close(p)
			}
		}
	}()
	now, err := c.procs(fd)
	if err != nil {
		return sent, err
	}
	for i, pid := range pids {
		if _, listed := slices.BinarySearch(now, pid); !listed || fds[i] < 0 {
			continue
		}
		// An ended process answers ESRCH, so a pid given away since is never hit.
		switch err := unix.PidfdSendSignal(fds[i], sig, nil, 0); err {
		case nil:
			sent = append(sent, pid)
		case unix.ESRCH:
		default:
			return sent, fault.Wrap("cannot send signal "+strconv.Itoa(int(sig))+" to process "+strconv.Itoa(pid), err)
		}
	}
	return sent, nil
}
