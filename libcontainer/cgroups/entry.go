package cgroups

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Entry is how a process that joins a container gets into its cgroups.
type Entry struct {
	// Files are those into which it writes "0" while it is single-threaded (v1).
	Files []string
	// Dir is the directory of the v2 cgroup to be born into; empty for none.
	Dir string
}

// Entry is the way into the container's cgroups or, in some hierarchies, into others
// below them that are there already: each of below is a path, or the names of v1
// controllers and a path ("cpu,memory:path"), as exec --cgroup has them.
func (h *handle) Entry(below []string) (*Entry, error) {
	paths, err := h.below(below)
	if err != nil {
		return nil, err
	}
	e := &Entry{}
	for _, c := range h.cgroups {
		dir := c.dir()
		if levels := paths[c]; len(levels) > 0 {
			sub := strings.Join(levels, "/")
			fd, err := h.open(c)
			if err == nil {
				var there int
				if there, err = openBeneath(fd, sub, unix.O_PATH|unix.O_DIRECTORY); err == nil {
					unix.Close(there)
				}
			}
			if err != nil {
				return nil, &fault.Error{Msg: "cannot enter the cgroup " + strconv.Quote(sub) + " of the container", Call: "open " + dir + "/" + sub, Err: err}
			}
			dir += "/" + sub
		}
		if c.v2() {
			e.Dir = dir
		} else {
			e.Files = append(e.Files, dir+"/tasks")
		}
	}
	return e, nil
}

// below says which cgroups below are meant, by hierarchy.
func (h *handle) below(list []string) (map[*cgroup][]string, error) {
	paths := make(map[*cgroup][]string)
	for _, arg := range list {
		names, path, named := strings.Cut(arg, ":")
		if !named {
			names, path = "", arg
		}
		levels, err := split(path)
		if err != nil {
			return nil, fault.New("bad sub cgroup path " + strconv.Quote(arg) + ": a path must not lead up or hold a NUL")
		}
		if !named {
			if len(list) > 1 {
				return nil, fault.New("bad cgroup " + strconv.Quote(arg) + ": with several, each must name its controllers")
			}
			// v1 has one path for all; the v2 hierarchy beside it keeps the container's.
			for _, c := range h.cgroups {
				if !c.v2() || len(h.cgroups) == 1 {
					paths[c] = levels
				}
			}
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			c := find(h.cgroups, name)
			switch {
			case name == "" || c == nil:
				return nil, fault.New("bad cgroup " + strconv.Quote(arg) + ": unknown controller " + strconv.Quote(name) + " in the container's cgroups")
			case paths[c] != nil && !slices.Equal(paths[c], levels):
				return nil, fault.New("bad cgroup " + strconv.Quote(arg) + ": the controller " + name + " was named before")
			}
			if paths[c] = levels; levels == nil {
				paths[c] = []string{}
			}
		}
	}
	return paths, nil
}
