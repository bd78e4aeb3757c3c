package cgroups

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// prepare makes one pass that only looks, so that what is another's is refused with
// nothing touched and a single note holds everything, and a second that makes it.
func (m *cgroupfs) prepare(making *Making) (Handle, error) {
	h := &handle{cgroups: m.cgroups, mark: making.Mark, single: m.single}
	if err := m.make(making); err != nil {
		h.Close()
		return nil, err
	}
	h.drop()
	if m.scope != nil {
		return &scopeHandle{handle: h, scope: m.scope.scope, alone: m.scope.alone}, nil
	}
	return h, nil
}

func (m *cgroupfs) make(making *Making) error {
	m.mark = making.Mark
	if m.scope != nil {
		if err := m.scope.note(making); err != nil {
			return err
		}
	}
	var entries [][]string
	for _, c := range m.cgroups {
		c.member = making.PID
		if err := c.descend(); err != nil {
			return err
		}
		if c.at == len(c.levels) {
			err := c.free()
			if err == nil {
				err = c.fit()
			}
			if err != nil {
				return err
			}
		}
		entries = append(entries, c.entry(making.Mark))
	}
	if len(entries) > 0 {
		if err := making.Note(KindName, entries); err != nil {
			return err
		}
	}
	for i := 0; i < len(m.actions); {
		n := groupEnd(m.actions, i)
		for k := i; k < n; k++ {
			if err := making.Before(k); err != nil {
				return err
			}
		}
		if err := m.perform(m.actions[i:n]); err != nil {
			return err
		}
		for k := i; k < n; k++ {
			if err := making.After(k); err != nil {
				return err
			}
		}
		i = n
	}
	return nil
}

// groupEnd is the end of the group of actions on one cgroup that begins at i.
func groupEnd(actions []action, i int) int {
	n := i + 1
	for actions[i].Group != 0 && n < len(actions) && actions[n].Group == actions[i].Group && actions[n].cgroup == actions[i].cgroup {
		n++
	}
	return n
}

func (c *cgroup) setFD(fd, at int) {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	c.closeFile()
	c.fd, c.at = fd, at
}

func (c *cgroup) closeFile() {
	if c.file != "" {
		unix.Close(c.open)
		c.file = ""
	}
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
		c.closeFile()
		c.file, c.open = file, fd
	}
	_, err := sys.Retry(func() (int, error) { return unix.Write(c.open, []byte(data)) })
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
		fd, err := openBeneath(mount, c.below(n), c.flags(n))
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

// flags opens the last level in a way that its mark can be read.
func (c *cgroup) flags(n int) int {
	if n == len(c.levels) {
		return unix.O_RDONLY | unix.O_DIRECTORY
	}
	return unix.O_PATH | unix.O_DIRECTORY
}

// free checks a cgroup that was there before: nothing of ours made it, and no
// container's mark is on it.
func (c *cgroup) free() error {
	var st unix.Stat_t
	err := unix.Fstat(c.fd, &st)
	mark := ""
	if err == nil {
		mark, err = markOf(c.fd)
	}
	if err != nil {
		return fault.Wrap("cannot look at the cgroup "+c.dir(), err)
	}
	if mark != "" || st.Mode&unix.S_ISVTX != 0 {
		return owned(c.fd, c.dir())
	}
	return nil
}

// adopt takes a cgroup that is there as the container's. What is in it is looked at
// once it is ours, so that of two that look at the same time only one goes on.
func (c *cgroup) adopt(mark string) error {
	err := c.free()
	if err == nil {
		err = c.claim(mark)
	}
	if err == unix.EEXIST {
		return owned(c.fd, c.dir())
	}
	if err == nil {
		err = c.fit()
	}
	return err
}

// claim puts the mark on the cgroup; the error is EEXIST alone when there is another.
func (c *cgroup) claim(mark string) error {
	err := claim(c.fd, mark)
	if err != nil && err != unix.EEXIST {
		e := fault.Wrap("cannot mark the cgroup as the container's", err)
		e.JSONPath, e.Call = "linux.cgroupsPath", "fsetxattr "+trustedMark+" of "+c.dir()
		return e
	}
	return err
}

// fit checks what is in a cgroup that was there before. Processes in it would share
// the limits and be killed with the container; frozen, it would never start.
func (c *cgroup) fit() error {
	pids, err := procs(c.fd, nil)
	if err != nil {
		return fault.Wrap("cannot list the processes in the cgroup "+c.dir(), err)
	}
	pids = slices.DeleteFunc(unique(pids), func(pid int) bool { return pid == c.member })
	if n := len(pids); n > 0 {
		return &fault.Error{
			Msg:      "container's cgroup is not empty: " + strconv.Itoa(n) + " process(es) found",
			JSONPath: "linux.cgroupsPath", Call: c.dir(),
		}
	}
	return c.thawed()
}

// thawed refuses a cgroup that is frozen, be it by a parent: create would wait there
// until somebody thaws it, and nobody knew for what.
func (c *cgroup) thawed() error {
	if !c.freezes() {
		return nil
	}
	if frozen, err := c.isFrozen(c.fd); err == nil && frozen {
		word := "THAWED"
		if c.v2() {
			word = "0"
		}
		return &fault.Error{
			Msg: "container's cgroup unexpectedly frozen", JSONPath: "linux.cgroupsPath", Call: c.dir(),
			Hint: "it or a parent of it is paused: write " + word + " to that one's " + c.freezerFile(),
		}
	}
	return nil // the root of the hierarchy has no such file
}

// perform does one action, or several that belong together.
func (m *cgroupfs) perform(actions []action) error {
	a := &actions[0]
	switch {
	case a.cgroup.dropped:
		return nil
	case a.Kind == Mkdir:
		return m.reach(a)
	case a.Kind == Inherit:
		return a.cgroup.inherit(a.level, a.file)
	case a.Kind == Enable:
		return a.enable()
	case a.Kind == Filter:
		return m.attach(a)
	case a.Kind == Chown:
		return a.chown(m.owner)
	case a.Kind == Scope:
		return m.scope.start(m)
	}
	return writeAll(actions)
}

// vanishing bounds how often the parents of a cgroup are made anew. They vanish
// when the last other container in them is deleted at that moment, so each time
// somebody else has got on.
const vanishing = 1000

// reach makes the level of a Mkdir, unless it is there, and the container's own cgroup
// the container's.
func (m *cgroupfs) reach(a *action) error {
	c := a.cgroup
	for try := 0; c.at < a.level; {
		n := c.at + 1
		err := unix.Mkdirat(c.fd, c.levels[n-1], dirMode)
		made := err == nil
		if made || err == unix.EEXIST {
			err = c.down(n)
		}
		switch {
		case err == nil && made && n == len(c.levels):
			if err := c.own(m.mark); err != unix.EEXIST {
				return err
			}
			// The undo of another create, that had noted the same path, took it for that
			// one's before it had our mark, and removes it at this moment.
			if try, err = c.gone(try); err != nil {
				return err
			}
		case err == nil:
		case err == unix.ENOENT && try < vanishing:
			try++
			if err := c.descend(); err != nil {
				return err
			}
		case m.unprivileged && (err == unix.EACCES || err == unix.EPERM || err == unix.EROFS):
			return m.drop(c, n, err)
		default:
			return mkdirError(a, c.path(n), err)
		}
	}
	if a.level == len(c.levels) {
		return c.adopt(m.mark)
	}
	return nil
}

// gone waits until the container's cgroup has been removed, and stands above it then.
func (c *cgroup) gone(try int) (int, error) {
	for ; try < vanishing; try++ {
		if err := c.descend(); err != nil || c.at < len(c.levels) {
			return try + 1, err
		}
		time.Sleep(20 * time.Microsecond)
	}
	return try, owned(c.fd, c.dir())
}

// own marks the cgroup that was just made. The error is EEXIST alone when somebody
// else was first.
func (c *cgroup) own(mark string) error {
	if err := c.claim(mark); err != nil {
		return err
	}
	if len(c.levels) == c.sure+1 {
		return nil // in the caller's own cgroup, which runs
	}
	return c.thawed()
}

// drop does without a hierarchy that an unprivileged caller may not use.
func (m *cgroupfs) drop(c *cgroup, n int, err error) error {
	if json := m.needs(c); json != "" {
		e := fault.Wrap("cannot make the cgroup that "+json+" needs", err)
		e.JSONPath, e.Call = json, "mkdir "+c.path(n)
		e.Hint = "without root a cgroup has to be delegated to the user"
		return e
	}
	c.dropped = true
	return nil
}

// down goes one level down, to level n.
func (c *cgroup) down(n int) error {
	fd, err := openBeneath(c.fd, c.levels[n-1], c.flags(n))
	if err == nil {
		c.setFD(fd, n)
	}
	return err
}

// needs returns the property of the config that can't do without c; empty where
// there is none.
func (m *cgroupfs) needs(c *cgroup) string {
	for i := range m.actions {
		if a := &m.actions[i]; a.cgroup == c && a.wanted {
			return a.JSONPath
		}
	}
	if m.named {
		return "linux.cgroupsPath"
	}
	return ""
}

func mkdirError(a *action, path string, err error) error {
	e := fault.Wrap("cannot make the container's cgroup in the hierarchy "+a.cgroup.name(), err)
	e.JSONPath, e.Call = a.JSONPath, "mkdir "+path
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
	parent, err := sys.Retry(func() (int, error) {
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
func writeAll(actions []action) error {
	for i := 0; i < len(actions); {
		n := groupEnd(actions, i)
		if err := writeGroup(actions[i:n]); err != nil {
			return err
		}
		i = n
	}
	return nil
}

func writeGroup(actions []action) error {
	var first error
	var waiting []action
	for i := range actions {
		err := actions[i].write()
		if err == unix.EINVAL && len(actions) > 1 {
			if first == nil {
				first = writeError(&actions[i], err)
			}
			waiting = append(waiting, actions[i])
			continue
		}
		if err != nil {
			return writeError(&actions[i], err)
		}
	}
	if len(waiting) == len(actions) {
		return first
	}
	if len(waiting) > 0 {
		if writeGroup(waiting) != nil {
			return first
		}
	}
	return nil
}

func (a *action) write() error {
	err := a.cgroup.write(a.file, a.Data)
	if err == unix.ENOENT && a.alt != "" {
		err = a.cgroup.write(a.alt, a.ElseData)
	}
	if err == unix.ENOENT && a.Optional {
		return nil
	}
	return err
}

// writeError says what was to be set, and, for the usual refusals, why not.
func writeError(a *action, err error) error {
	e := fault.Wrap("cannot "+a.Why, err)
	e.JSONPath, e.Call = a.JSONPath, "write "+strconv.Quote(a.Data)+" to "+a.Path
	switch {
	case e.Errno == unix.ENOENT && strings.Contains(a.file, ".memsw."):
		e.Hint = "the kernel does not account swap: boot with swapaccount=1"
	case e.Errno == unix.ENOENT && strings.HasPrefix(a.file, "hugetlb."):
		e.Hint = "page sizes of this host: " + strings.Join(hugePageSizes(a.cgroup.fd, a.file[strings.LastIndex(a.file, "B.")+1:]), ", ")
	case e.Errno == unix.ENOENT && a.cgroup.v2() && !slices.Contains(controllersAt(a.cgroup.fd, "cgroup.controllers"), a.controller):
		e.Hint = "the controller " + a.controller + " is not given to the container's cgroup"
	case e.Errno == unix.ENOENT:
		e.Hint = "the kernel does not have this control"
	case e.Errno == unix.EBUSY && strings.HasPrefix(a.file, "memory."):
		if usage, err := readNumber(a.cgroup.fd, "memory.usage_in_bytes"); err == nil {
			peak, _ := readNumber(a.cgroup.fd, "memory.max_usage_in_bytes")
			e.Hint = "current usage: " + itoa(usage) + ", peak usage: " + itoa(peak)
		}
	case e.Errno == unix.EINVAL:
		e.Hint = atOdds(a)
	case e.Errno == unix.EPERM && strings.HasPrefix(a.file, "devices."):
		e.Hint = "the parent cgroup does not allow it"
	}
	if e.Hint == "" && strings.HasPrefix(a.file, "cpuset.") && (e.Errno == unix.EACCES || e.Errno == unix.ERANGE || e.Errno == unix.EINVAL) {
		e.Hint = "not all of these are there, or the parent cgroup has them"
	}
	return e
}

// atOdds lists the values in force that the kernel holds a new one against, where it
// answers EINVAL for both of a pair that does not fit.
func atOdds(a *action) string {
	var hint string
	for _, pair := range [...][]string{
		{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"},
		{"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us"},
		{"cpu.max", "cpu.max.burst"},
		{"cpu.rt_period_us", "cpu.rt_runtime_us"},
		{"cpu.shares", "cpu.idle"},
		{"cpu.weight", "cpu.idle"},
	} {
		if !slices.Contains(pair, a.file) {
			continue
		}
		for _, file := range pair {
			if text, err := readFile(a.cgroup.fd, file); err == nil {
				hint += ", " + file + " " + strings.TrimSpace(text)
			}
		}
	}
	if hint == "" {
		return ""
	}
	return "in force:" + hint[1:]
}

// hugePageSizes lists the sizes that the hugetlb controller has files for.
func hugePageSizes(dir int, file string) []string {
	names, err := list(dir)
	if err != nil {
		return nil
	}
	var sizes []string
	for _, name := range names {
		if s, ok := strings.CutPrefix(name, "hugetlb."); ok {
			if s, ok = strings.CutSuffix(s, file); ok && !strings.Contains(s, ".") {
				sizes = append(sizes, s)
			}
		}
	}
	slices.Sort(sizes)
	return sizes
}

func readNumber(dir int, file string) (int64, error) {
	text, err := readFile(dir, file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}
