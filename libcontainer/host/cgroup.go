package host

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// view is how layout sees the host: the kernel's own answers, or made-up ones.
type view struct {
	magic  func(path string) int64
	exists func(path string) bool
	read   func(path string) []byte
}

var kernelView = view{magic: magic, exists: exists, read: read}

// Booted says whether systemd is what runs this system (sd_booted(3)).
func Booted() bool {
	var st unix.Stat_t
	return unix.Lstat("/run/systemd/system", &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// base is where cgroup hierarchies are mounted by convention.
const base = "/sys/fs/cgroup"

// layout finds out how the hierarchies that /proc/self/cgroup lists are mounted.
// It looks in the conventional places and verifies the filesystem's type; only
// where one is not there does it read mountinfo, which is slow on hosts with many
// mounts.
func layout(procCgroup []byte, v view) Cgroup {
	f := finder{view: v}
	unified := v.magic(base) == unix.CGROUP2_SUPER_MAGIC
	var v1 int
	var c Cgroup
	for _, h := range parseCgroups(procCgroup) {
		switch {
		case h.V2 && unified:
			f.find(&h, base)
		case h.V2:
			// A host of v1 alone has this line too. Only by mountinfo could a v2
			// mount elsewhere be found, and nobody puts it elsewhere.
			f.find(&h, base+"/unified")
		case unified:
			// A leftover named hierarchy beside v2: nothing is controlled in it.
			continue
		default:
			f.find(&h, conventional(h.Controllers)...)
		}
		if h.Mount == "" {
			continue
		}
		if h.V2 {
			h.Controllers = strings.Fields(string(v.read(h.Mount + "/cgroup.controllers")))
		} else {
			v1++
		}
		c.Hierarchies = append(c.Hierarchies, h)
	}
	switch n := len(c.Hierarchies); {
	case n == 0:
		c.Mode = NoCgroup
	case v1 == 0:
		c.Mode = Unified
	case v1 < n:
		c.Mode = Hybrid
	default:
		c.Mode = Legacy
	}
	return c
}

// conventional lists where a v1 hierarchy may be mounted: under the names of all
// its controllers together, or under the name of one (a symbolic link, where
// several are mounted together).
func conventional(controllers []string) []string {
	if name, ok := strings.CutPrefix(controllers[0], "name="); ok {
		return []string{base + "/" + name}
	}
	places := []string{base + "/" + strings.Join(controllers, ",")}
	if len(controllers) > 1 {
		for _, c := range controllers {
			places = append(places, base+"/"+c)
		}
	}
	return places
}

// parseCgroups reads /proc/PID/cgroup, cgroups(7): lines of
// id:controllers:path, the controllers empty for v2.
func parseCgroups(text []byte) []Hierarchy {
	var all []Hierarchy
	for line := range bytes.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		h := Hierarchy{Own: strings.TrimSuffix(parts[2], " (deleted)")}
		if parts[1] == "" {
			h.V2 = true
		} else {
			h.Controllers = strings.Split(parts[1], ",")
		}
		all = append(all, h)
	}
	return all
}

// finder finds mount points, and reads mountinfo once if at all.
type finder struct {
	view
	mounts []cgroupMount
	read   bool
}

// find sets h.Mount, and h.Own relative to it, or leaves h.Mount empty.
func (f *finder) find(h *Hierarchy, places ...string) {
	want := int64(unix.CGROUP_SUPER_MAGIC)
	if h.V2 {
		want = unix.CGROUP2_SUPER_MAGIC
	}
	for _, place := range places {
		if f.magic(place) != want {
			continue
		}
		// In a container without a cgroup namespace what is mounted is a part of
		// the hierarchy, while the own path counts from the root of the whole.
		if h.Own == "/" || f.exists(place+h.Own) {
			h.Mount = place
			return
		}
	}
	if h.V2 && f.magic(places[0]) != want {
		return
	}
	if !f.read {
		f.read = true
		f.mounts = parseMountinfo(f.view.read("/proc/self/mountinfo"))
	}
	for _, m := range f.mounts {
		if own, ok := m.below(h); ok {
			h.Mount, h.Own = m.point, own
			return
		}
	}
}

// cgroupMount is one cgroup or cgroup2 mount of mountinfo.
type cgroupMount struct {
	root, point string
	options     []string // of the superblock: among them the controllers
	v2          bool
}

// below says whether m is a mount of the hierarchy h that shows h's own cgroup,
// and where in it that is.
func (m *cgroupMount) below(h *Hierarchy) (own string, ok bool) {
	if m.v2 != h.V2 {
		return "", false
	}
	for _, c := range h.Controllers {
		found := false
		for _, o := range m.options {
			found = found || o == c
		}
		if !found {
			return "", false
		}
	}
	if m.root == "/" {
		return h.Own, true
	}
	own, ok = strings.CutPrefix(h.Own, m.root)
	if !ok || own != "" && own[0] != '/' {
		return "", false
	}
	if own == "" {
		own = "/"
	}
	return own, true
}

// parseMountinfo picks the cgroup mounts out of /proc/self/mountinfo,
// proc_pid_mountinfo(5).
func parseMountinfo(text []byte) []cgroupMount {
	var all []cgroupMount
	for line := range bytes.Lines(text) {
		head, tail, ok := bytes.Cut(line, []byte(" - cgroup"))
		if !ok {
			continue
		}
		h, t := strings.Fields(string(head)), strings.Fields("cgroup"+string(tail))
		if len(h) < 6 || len(t) < 3 || t[0] != "cgroup" && t[0] != "cgroup2" {
			continue
		}
		all = append(all, cgroupMount{
			root: unescape(h[3]), point: unescape(h[4]),
			options: strings.Split(t[2], ","), v2: t[0] == "cgroup2",
		})
	}
	return all
}

// unescape undoes the octal escapes that mountinfo has for space, tab, newline
// and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
