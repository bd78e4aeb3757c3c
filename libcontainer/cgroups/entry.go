package cgroups

import (
	"context"
	"os"
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
	// Late, where it is set, puts a process that waits into the v2 cgroup: the caller may
	// not have it born there.
	Late func(ctx context.Context, pid int) error
}

// mayEnter says whether a child of the caller's can be born into a v2 cgroup: that takes
// the right to write to cgroup.procs of the nearest cgroup above both.
func mayEnter(c *cgroup, dir string) bool {
	own := ownV2(os.Getpid())
	there := strings.TrimPrefix(dir, c.mount)
	common := ""
	for part := range strings.SplitSeq(strings.TrimPrefix(own, "/"), "/") {
		if next := common + "/" + part; strings.HasPrefix(there+"/", next+"/") {
			common = next
			continue
		}
		break
	}
	return own != "" && unix.Faccessat(unix.AT_FDCWD, c.mount+common+"/cgroup.procs", unix.W_OK, unix.AT_EACCESS) == nil
}

// ownV2 is the v2 cgroup of a process, from the top of what the caller sees; empty where
// it can not be known.
func ownV2(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

// EntryOf is the directory of the v2 cgroup that a process of the container is in: itself
// or one below. A container that makes cgroups of its own, as systemd in it does, has no
// process in its own one any more, and none may enter it.
func (h *handle) EntryOf(pid int) (string, error) {
	for _, c := range h.cgroups {
		if at := c.mount + ownV2(pid); c.v2() && strings.HasPrefix(at, c.dir()+"/") {
			return at, nil
		}
	}
	return "", fault.New("process " + strconv.Itoa(pid) + " is in no cgroup below the container's")
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
