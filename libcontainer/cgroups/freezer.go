package cgroups

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// freezes says whether the processes in c can be frozen: v1 has a controller for that,
// in v2 each cgroup can.
func (c *cgroup) freezes() bool { return c.v2() || c.has("freezer") }

// freezing is the cgroup by which the container is frozen; nil for none.
func (h *handle) freezing() *cgroup {
	var v2 *cgroup
	for _, c := range h.cgroups {
		switch {
		case c.has("freezer"):
			return c
		case c.v2():
			v2 = c
		}
	}
	return v2
}

// freezer opens the freezer cgroup.
func (h *handle) freezer() (*cgroup, int, error) {
	c := h.freezing()
	if c == nil {
		return nil, -1, fault.New("the container cannot be paused: the cgroup controller freezer is not mounted")
	}
	fd, err := h.open(c)
	if err != nil {
		return c, -1, cannotOpen(c, err)
	}
	return c, fd, nil
}

func (h *handle) Freeze() error {
	c, fd, err := h.freezer()
	if err != nil {
		return err
	}
	return c.freeze(fd)
}

// freezeTime bounds how long a freeze is tried. A process in uninterruptible
// sleep, on a dead network filesystem, can hold it up for ever.
const freezeTime = 2 * time.Second

// freeze has the processes stand still, and returns when the kernel says that they do. A
// process that forks or is about to die meanwhile can leave a v1 freezer in FREEZING;
// letting all go for a moment gets it unstuck.
func (c *cgroup) freeze(fd int) error {
	deadline := time.Now().Add(freezeTime)
	for try := 1; ; try++ {
		if try%32 == 0 && !c.v2() {
			if err := c.setFreezer(fd, false); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		if try == 1 || !c.v2() {
			if err := c.setFreezer(fd, true); err != nil {
				return err
			}
		}
		still, err := c.stands(fd)
		if err != nil {
			return fault.Wrap("cannot read whether "+c.dir()+" is frozen", err)
		}
		if still {
			return nil
		}
		if time.Now().After(deadline) {
			if err := c.setFreezer(fd, false); err != nil {
				return err
			}
			return &fault.Error{
				Msg: "unable to freeze: the container's processes do not stand still", Call: c.dir() + "/" + c.freezerFile(),
				Hint: "one may be waiting for a device or a network filesystem",
			}
		}
		time.Sleep(time.Duration(min(try, 20)) * 50 * time.Microsecond)
	}
}

// freezerFile is what is written to freeze.
func (c *cgroup) freezerFile() string {
	if c.v2() {
		return "cgroup.freeze"
	}
	return "freezer.state"
}

func (c *cgroup) setFreezer(fd int, frozen bool) error {
	word := [...][2]string{{"THAWED", "0"}, {"FROZEN", "1"}}[btoi(frozen)][btoi(c.v2())]
	if err := writeFile(fd, c.freezerFile(), word); err != nil {
		e := fault.Wrap("cannot change the freezer of the container", err)
		e.Call = "write " + word + " to " + c.dir() + "/" + c.freezerFile()
		return e
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stands says whether all processes stand still.
func (c *cgroup) stands(fd int) (bool, error) {
	if c.v2() {
		return event(fd, "frozen")
	}
	state, err := readFile(fd, "freezer.state")
	return strings.HasPrefix(state, "FROZEN"), err
}

// event reads a value of cgroup.events, which are 0 or 1.
func event(fd int, name string) (bool, error) {
	text, err := readFile(fd, "cgroup.events")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value) == "1", nil
		}
	}
	return false, nil
}

func (h *handle) Thaw() error {
	c, fd, err := h.freezer()
	if err != nil {
		return err
	}
	if err := c.thaw(fd); err != nil {
		return err
	}
	above, err := c.frozenAbove(fd)
	if err == nil && above {
		return &fault.Error{Msg: "unable to thaw: the container's processes stand still all the same", Call: c.dir() + "/" + c.freezerFile(), Hint: "a cgroup above it is frozen"}
	}
	return nil
}

func (c *cgroup) thaw(fd int) error { return c.setFreezer(fd, false) }

// frozenAbove says whether it is by a cgroup above that processes stand still. Not by
// the state: it may be that somebody else has frozen them again by now.
func (c *cgroup) frozenAbove(fd int) (bool, error) {
	if !c.v2() {
		above, err := readNumber(fd, "freezer.parent_freezing")
		return above != 0, err
	}
	// v2 says nothing of those above, and the frozen take a moment to be up again.
	for deadline := time.Now().Add(thawTime); ; time.Sleep(100 * time.Microsecond) {
		still, err := event(fd, "frozen")
		if err != nil || !still {
			return false, err
		}
		if own, err := readNumber(fd, "cgroup.freeze"); err != nil || own != 0 {
			return false, err
		}
		if time.Now().After(deadline) {
			return true, nil
		}
	}
}

// thawTime is how long it may take a v2 cgroup to say that it is thawed.
const thawTime = 200 * time.Millisecond

// Frozen is false where there is no freezer or no cgroup any more.
func (h *handle) Frozen() (bool, error) {
	c := h.freezing()
	if c == nil {
		return false, nil
	}
	fd, err := h.open(c)
	if err == nil {
		var frozen bool
		if frozen, err = c.isFrozen(fd); err == nil {
			return frozen, nil
		}
	}
	if err == unix.ENOENT || err == unix.ENODEV {
		return false, nil
	}
	return false, fault.Wrap("cannot read "+c.dir()+"/"+c.freezerFile(), err)
}

// isFrozen says whether a freezer cgroup stands still or is about to, by itself or
// by a parent.
func (c *cgroup) isFrozen(fd int) (bool, error) {
	if c.v2() {
		own, err := readNumber(fd, "cgroup.freeze")
		if err != nil || own != 0 {
			return own != 0, err
		}
		return event(fd, "frozen")
	}
	state, err := readFile(fd, "freezer.state")
	return err == nil && !strings.HasPrefix(state, "THAWED"), err
}
