package cgroups

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Create makes one pass that only looks, so that a single note holds everything
// that will be made, and a second that makes it.
func (m *v1) Create(note func([]Dir) error, before func(int, Action) error) error {
	defer m.close()
	if note == nil {
		note = func([]Dir) error { return nil }
	}
	var dirs []Dir
	for _, c := range m.cgroups {
		if err := c.descend(); err != nil {
			return err
		}
		if c.at == len(c.levels) {
			if err := c.fit(); err != nil {
				return err
			}
		}
		dirs = append(dirs, c.absent()...)
	}
	if len(dirs) > 0 {
		if err := note(dirs); err != nil {
			return err
		}
	}
	for i := 0; i < len(m.steps); {
		n := i + 1
		for m.steps[i].Group != 0 && n < len(m.steps) && m.steps[n].Group == m.steps[i].Group &&
			m.steps[n].cgroup == m.steps[i].cgroup {
			n++
		}
		if before != nil {
			for k := i; k < n; k++ {
				if err := before(k, m.steps[k].Action); err != nil {
					return err
				}
			}
		}
		if err := m.perform(m.steps[i:n], note); err != nil {
			return err
		}
		i = n
	}
	return nil
}

func (m *v1) close() {
	for _, c := range m.cgroups {
		c.setFD(-1, 0)
	}
}

func (c *cgroup) setFD(fd, at int) {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	if c.file != "" {
		unix.Close(c.open)
	}
	c.fd, c.at, c.file = fd, at, ""
}

// write writes a control file of the directory at fd, and keeps the file open:
// the rules on devices go to the same file one after the other. A write is one
// call, since the kernel takes each as a command.
func (c *cgroup) write(file, data string) error {
	if c.file != file {
		fd, err := openBeneath(c.fd, file, unix.O_WRONLY)
		if err != nil {
			return err
		}
		if c.file != "" {
			unix.Close(c.open)
		}
		c.file, c.open = file, fd
	}
	_, err := again(func() (int, error) { return unix.Write(c.open, []byte(data)) })
	return err
}

// descend opens the deepest level that is there. It tries the last first, and
// then the one above, which is nearly always there.
func (c *cgroup) descend() error {
	mount, err := openMount(c.mount)
	if err != nil {
		return fault.Wrap("cannot open the cgroup hierarchy "+c.mount, err)
	}
	for n := len(c.levels); n > 0; n-- {
		fd, err := openBeneath(mount, c.below(n), unix.O_PATH|unix.O_DIRECTORY)
		if err == nil {
			unix.Close(mount)
			c.setFD(fd, n)
			return nil
		}
		if err != unix.ENOENT {
			unix.Close(mount)
			return fault.Wrap("cannot open the cgroup "+c.path(n), err)
		}
	}
	c.setFD(mount, 0)
	return nil
}

// absent lists the levels that descend did not find.
func (c *cgroup) absent() []Dir {
	var dirs []Dir
	for n := c.at + 1; n <= len(c.levels); n++ {
		dirs = append(dirs, Dir{Path: c.path(n), Leaf: n == len(c.levels)})
	}
	return dirs
}

// fit checks a cgroup that was there before. Processes in it would share the
// limits and be killed with the container; frozen, it would never start.
func (c *cgroup) fit() error {
	pids, err := procs(c.fd, nil)
	if err != nil {
		return fault.Wrap("cannot list the processes in the cgroup "+c.dir(), err)
	}
	if n := len(unique(pids)); n > 0 {
		return &fault.Error{
			Msg:  "container's cgroup is not empty: " + strconv.Itoa(n) + " process(es) found",
			Path: "linux.cgroupsPath", Call: c.dir(),
		}
	}
	if !c.has("freezer") {
		return nil
	}
	state, err := readFile(c.fd, "freezer.state")
	if err == nil && !strings.HasPrefix(state, "THAWED") {
		return &fault.Error{Msg: "container's cgroup unexpectedly frozen", Path: "linux.cgroupsPath", Call: c.dir()}
	}
	return nil // the root of the hierarchy has no such file
}

// perform does one step, or several that belong together.
func (m *v1) perform(steps []step, note func([]Dir) error) error {
	s := &steps[0]
	switch {
	case s.cgroup.dropped:
		return nil
	case s.Kind == Mkdir:
		return m.reach(s, note)
	case s.Kind == Inherit:
		return s.cgroup.inherit(s.level, s.file)
	}
	return writeAll(steps)
}

// vanishing bounds how often the parents of a cgroup are made anew. They vanish
// when the last other container in them is deleted at that moment.
const vanishing = 16

// reach makes the level of a Mkdir, unless it is there.
func (m *v1) reach(s *step, note func([]Dir) error) error {
	c := s.cgroup
	for try := 0; c.at < s.level; {
		n := c.at + 1
		err := unix.Mkdirat(c.fd, c.levels[n-1], 0o755)
		switch {
		case err == nil:
			c.made = max(c.made, len(c.levels)-n+1)
			err = c.down(n)
		case err == unix.EEXIST && n == len(c.levels):
			return &fault.Error{
				Msg: "container's cgroup was made by someone else at this moment", Path: s.JSON,
				Call: "mkdir " + c.path(n), Errno: unix.EEXIST,
			}
		case err == unix.EEXIST:
			err = c.down(n)
		case m.unprivileged && (err == unix.EACCES || err == unix.EPERM || err == unix.EROFS):
			if json := m.needs(c); json != "" {
				e := fault.Wrap("cannot make the cgroup that "+json+" needs", err)
				e.Path, e.Call = json, "mkdir "+c.path(n)
				e.Hint = "without root a cgroup has to be delegated to the user"
				return e
			}
			c.dropped = true
			return nil
		}
		if err == unix.ENOENT && try < vanishing {
			try++
			if err = c.remake(note); err == nil {
				continue
			}
		}
		if err != nil {
			return mkdirError(s, c.path(n), err)
		}
	}
	return nil
}

// down goes one level down, to level n.
func (c *cgroup) down(n int) error {
	fd, err := openBeneath(c.fd, c.levels[n-1], unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		c.setFD(fd, n)
	}
	return err
}

// remake looks again for what is there, after a parent vanished, and notes what
// is to be made in addition.
func (c *cgroup) remake(note func([]Dir) error) error {
	if err := c.descend(); err != nil {
		return err
	}
	return note(c.absent())
}

// needs returns the property of the config that can't do without c; empty where
// there is none.
func (m *v1) needs(c *cgroup) string {
	for i := range m.steps {
		if s := &m.steps[i]; s.cgroup == c && s.wanted {
			return s.JSON
		}
	}
	if m.named {
		return "linux.cgroupsPath"
	}
	return ""
}

func mkdirError(s *step, path string, err error) error {
	e := fault.Wrap("cannot make the container's cgroup in the hierarchy "+s.cgroup.name(), err)
	e.Path, e.Call = s.JSON, "mkdir "+path
	switch e.Errno {
	case unix.ENOSPC:
		e.Hint = "the cpuset of a parent is empty, or a limit on the number of cgroups is reached"
	case unix.EROFS:
		e.Hint = "the hierarchy is mounted read-only"
	}
	return e
}

// inherit fills a file of the cpuset at level n from the one above, where it is
// empty, and so on upwards: someone else may have made a parent and left it so.
func (c *cgroup) inherit(n int, file string) error {
	var err error
	if c.at == n {
		_, err = inheritAt(c.fd, file, n)
	} else {
		var fd int
		if fd, err = c.openDir(n); err == nil {
			_, err = inheritAt(fd, file, n)
			unix.Close(fd)
		}
	}
	if err != nil {
		e := fault.Wrap("cannot give the cpuset of the container's cgroup its first content", err)
		e.Call = "write " + c.path(n) + "/" + file
		return e
	}
	return nil
}

func inheritAt(dir int, file string, level int) (string, error) {
	own, err := readFile(dir, file)
	own = strings.TrimSpace(own)
	if err != nil || own != "" || level == 0 {
		return own, err
	}
	// The level above is inside the hierarchy as long as level counts down to the
	// mount point; RESOLVE_BENEATH would refuse the dots.
	parent, err := again(func() (int, error) {
		return unix.Openat(dir, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return "", err
	}
	own, err = inheritAt(parent, file, level-1)
	unix.Close(parent)
	if err == nil {
		err = writeFile(dir, file, own)
	}
	return own, err
}

// writeAll performs writes on one cgroup. Those of a group that the kernel finds
// at odds with a value still in force wait until the others are done.
func writeAll(steps []step) error {
	for i := 0; i < len(steps); {
		n := i + 1
		for steps[i].Group != 0 && n < len(steps) && steps[n].Group == steps[i].Group {
			n++
		}
		if err := writeGroup(steps[i:n]); err != nil {
			return err
		}
		i = n
	}
	return nil
}

func writeGroup(steps []step) error {
	var first error
	var waiting []step
	for i := range steps {
		err := steps[i].write()
		if err == unix.EINVAL && len(steps) > 1 {
			if first == nil {
				first = writeError(&steps[i], err)
			}
			waiting = append(waiting, steps[i])
			continue
		}
		if err != nil {
			return writeError(&steps[i], err)
		}
	}
	if len(waiting) == len(steps) {
		return first
	}
	if len(waiting) > 0 {
		if writeGroup(waiting) != nil {
			return first
		}
	}
	return nil
}

func (s *step) write() error {
	err := s.cgroup.write(s.file, s.Data)
	if err == unix.ENOENT && s.alt != "" {
		err = s.cgroup.write(s.alt, s.Data)
	}
	if err == unix.ENOENT && s.Optional {
		return nil
	}
	return err
}

// writeError says what was to be set, and, for the usual refusals, why not.
func writeError(s *step, err error) error {
	e := fault.Wrap("cannot "+s.Why, err)
	e.Path, e.Call = s.JSON, "write "+strconv.Quote(s.Data)+" to "+s.Path
	switch {
	case e.Errno == unix.ENOENT && strings.Contains(s.file, ".memsw."):
		e.Hint = "the kernel does not account swap: boot with swapaccount=1"
	case e.Errno == unix.ENOENT && strings.HasPrefix(s.file, "hugetlb."):
		e.Hint = "page sizes of this host: " + pageSizes(s.cgroup.fd)
	case e.Errno == unix.ENOENT:
		e.Hint = "the kernel does not have this control"
	case e.Errno == unix.EBUSY && strings.HasPrefix(s.file, "memory."):
		if usage, err := readNumber(s.cgroup.fd, "memory.usage_in_bytes"); err == nil {
			peak, _ := readNumber(s.cgroup.fd, "memory.max_usage_in_bytes")
			e.Hint = "current usage: " + itoa(usage) + ", peak usage: " + itoa(peak)
		}
	case e.Errno == unix.EPERM && strings.HasPrefix(s.file, "devices."):
		e.Hint = "the parent cgroup does not allow it"
	case strings.HasPrefix(s.file, "cpuset.") && (e.Errno == unix.EACCES || e.Errno == unix.ERANGE || e.Errno == unix.EINVAL):
		e.Hint = "not all of these are there, or the parent cgroup has them"
	}
	return e
}

// pageSizes lists the sizes that the hugetlb controller has files for.
func pageSizes(dir int) string {
	names, err := list(dir)
	if err != nil {
		return "unknown"
	}
	var sizes []string
	for _, name := range names {
		if s, ok := strings.CutPrefix(name, "hugetlb."); ok {
			if s, ok = strings.CutSuffix(s, ".limit_in_bytes"); ok && !strings.Contains(s, ".") {
				sizes = append(sizes, s)
			}
		}
	}
	return strings.Join(sizes, ", ")
}

func readNumber(dir int, file string) (int64, error) {
	text, err := readFile(dir, file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}
