package cgroups

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

// cgroup is the container's cgroup in one hierarchy.
type cgroup struct {
	// controllers are joined with commas: "cpu,cpuacct"; empty for v2.
	controllers string
	mount       string
	// levels are the names from the mount point down to the cgroup; the first
	// sure of them are there for certain, since the caller itself is in them.
	levels []string
	sure   int
	// offers are the controllers of a v2 hierarchy; nil where that is not known yet.
	offers []string
	// member is a process that may be in it already; 0 for none.
	member int
	// dropped is true when an unprivileged caller may not make it and nothing in
	// the config depends on it.
	dropped bool

	// at and fd are where Prepare, and with all levels a Handle, stands: the
	// descriptor of the first at levels; -1 for none.
	at, fd int
	// file is the control file in it that is open, as the descriptor open; empty
	// where none is.
	file string
	open int
}

func (c *cgroup) v2() bool { return c.controllers == "" }

func (c *cgroup) has(controller string) bool {
	rest := c.controllers
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, ",")
		if name == controller {
			return true
		}
	}
	return false
}

// offer says whether the v2 hierarchy has a controller. The core files are always there.
func (c *cgroup) offer(controller string) bool {
	if controller == "cgroup" {
		return true
	}
	if c.offers == nil {
		fd, err := openMount(c.mount)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		c.offers = append([]string{}, controllersAt(fd, "cgroup.controllers")...)
	}
	return slices.Contains(c.offers, controller)
}

// path is the absolute path of the first n levels.
func (c *cgroup) path(n int) string {
	if n == 0 {
		return c.mount
	}
	return c.mount + "/" + strings.Join(c.levels[:n], "/")
}

func (c *cgroup) dir() string { return c.path(len(c.levels)) }

// below is the first n levels relative to the mount point.
func (c *cgroup) below(n int) string {
	if n == 0 {
		return "."
	}
	return strings.Join(c.levels[:n], "/")
}

// name says which hierarchy it is, for messages.
func (c *cgroup) name() string {
	if c.v2() {
		return "cgroup2"
	}
	return c.controllers
}

// locate applies the rule of cgroupsPath (config-linux.md, Cgroups Path) to one
// hierarchy. The form slice:prefix:name has no meaning without systemd and is a
// relative path with that very name, as it is with runc's cgroupfs driver.
func locate(h *host.Hierarchy, unified bool, cgroupsPath, id string) (*cgroup, error) {
	c := &cgroup{mount: h.Mount, fd: -1}
	if h.V2 {
		c.offers = append([]string{}, h.Controllers...)
	} else {
		c.controllers = strings.Join(h.Controllers, ",")
	}
	if cgroupsPath == "" {
		cgroupsPath = id
	}
	if cgroupsPath[0] != '/' {
		own, err := split(base(h, unified))
		if err != nil {
			return nil, &fault.Error{
				Msg:      "the caller's own cgroup " + h.Own + " in the " + c.name() + " hierarchy cannot be seen",
				JSONPath: "linux.cgroupsPath",
				Hint:     "it is outside the cgroup namespace; give an absolute path",
			}
		}
		c.levels, c.sure = own, len(own)
	}
	more, err := split(cgroupsPath)
	if err != nil {
		return nil, err
	}
	c.levels = append(c.levels[:c.sure:c.sure], more...)
	return c, nil
}

// base is the cgroup that relative paths begin at: the caller's own, or with v2 alone
// the one above it, as with runc. There are processes in the caller's own, so it can
// give the cgroups below it no controllers (cgroups(7), no internal processes).
func base(h *host.Hierarchy, unified bool) string {
	if !unified || strings.HasPrefix(h.Own, "/..") {
		return h.Own
	}
	return path.Dir(h.Own)
}

// split takes a cgroup path apart, and refuses what would leave the hierarchy.
func split(path string) ([]string, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, fault.At("linux.cgroupsPath", "the cgroup path contains a null byte")
	}
	var levels []string
	for rest, more := path, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		switch name {
		case "", ".":
		case "..":
			return nil, fault.At("linux.cgroupsPath", "the cgroup path "+strconv.Quote(path)+" contains ..")
		default:
			levels = append(levels, name)
		}
	}
	return levels, nil
}

// record is the form that the state record and the journal keep:
//
//	cpu,cpuacct:0:/sys/fs/cgroup/cpu,cpuacct/./jobs/web
//
// the controllers, how many of the first directories are there for certain, and the
// path with the mount point marked off by a dot, so that it still is a path.
func (c *cgroup) record() string {
	return c.controllers + ":" + strconv.Itoa(c.sure) + ":" + c.mount + "/./" + strings.Join(c.levels, "/")
}

// parseRecord reads what record wrote.
func parseRecord(s string) (*cgroup, error) {
	c := &cgroup{fd: -1}
	f := strings.SplitN(s, ":", 3)
	if len(f) == 3 {
		var rel string
		var ok bool
		c.controllers = f[0]
		if c.mount, rel, ok = strings.Cut(f[2], "/./"); ok && strings.HasPrefix(c.mount, "/") {
			var nerr, perr error
			c.sure, nerr = strconv.Atoi(f[1])
			c.levels, perr = split(rel)
			if nerr == nil && perr == nil && c.sure >= 0 && c.sure <= len(c.levels) {
				return c, nil
			}
		}
	}
	return nil, fault.New("cannot understand the recorded cgroup " + strconv.Quote(s))
}
