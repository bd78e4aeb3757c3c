package compile

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// layer is one mount of the container, as the config asks for it.
type layer struct {
	// entry is the index in the config's mounts. A cgroup entry may be several layers.
	entry int
	dest  string // where, cleaned
	fs    string // the file system's type; empty for a bind mount
	// dir says that what is mounted is a directory for sure.
	dir bool
	// fresh says that it is a new and empty file system: nothing is in it but what
	// later steps make.
	fresh bool
	// readonly says that the config wants it read-only.
	readonly bool
	spread   []uint64 // propagations that the options ask for: MS_* with MS_REC

	// in is the layer that the mount point lies in, and rest the path from there;
	// nil where that is the root file system.
	in   *layer
	rest string
	// made and hidden say that something is made, or masked or write-protected, in
	// the layer once it is mounted.
	made, hidden bool

	// fd is the mount's descriptor, once it is there. Where held is false it is
	// closed as soon as the mount is attached.
	fd   *program.Slot
	held bool
	// late says that the mount becomes read-only only when all in it is made.
	late bool
}

// stack is what the config mounts, in that order: a small model of the mount tree
// that the program makes. It says what a path of the container lies in, and so
// whether something is still to be made, masked or write-protected in a mount, and
// through which descriptor.
//
// It goes by the names in the config. What a symbolic link of the image makes of
// them is not known here: so a name is never taken for proof that something is
// there, and what is done in a mount is done through its own descriptor.
type stack struct {
	layers []*layer
	at     map[string]int // the last layer at a path
}

// add mounts a layer over what is there.
func (s *stack) add(l *layer) {
	l.in, l.rest = s.holder(l.dest)
	if l.in != nil && l.rest != "" {
		l.in.made = true
	}
	if s.at == nil {
		s.at = make(map[string]int)
	}
	s.at[l.dest] = len(s.layers)
	s.layers = append(s.layers, l)
}

// holder returns the layer that a path lies in, and the rest of the path; nil where
// that is the root file system. The last one that was mounted at the path or above
// it covers all others.
func (s *stack) holder(p string) (l *layer, rest string) {
	if path.Clean(p) != p || p[0] != '/' {
		return nil, "" // who knows where dots lead to from a link
	}
	last := -1
	for dir := p; ; dir = path.Dir(dir) {
		if i, ok := s.at[dir]; ok && i > last {
			last = i
		}
		if dir == "/" {
			break
		}
	}
	if last < 0 {
		return nil, ""
	}
	l = s.layers[last]
	return l, strings.TrimPrefix(p[len(l.dest):], "/")
}

// top returns the layer that is mounted at a path and not covered; nil where none is.
func (s *stack) top(p string) *layer {
	if l, rest := s.holder(p); l != nil && rest == "" {
		return l
	}
	return nil
}

// note marks the layers in which something happens when all is mounted.
func (s *stack) note(p string, mark func(*layer)) {
	if l, rest := s.holder(p); l != nil && rest != "" {
		mark(l)
	}
}

// planMounts makes the model of all that the config mounts, and of what is done in it.
func (c *compiler) planMounts() {
	for i := range c.spec.Mounts {
		m := &c.spec.Mounts[i]
		if o := parseOptions(m.Options); !o.remount {
			c.planMount(i, m, o)
		}
	}
	for _, p := range c.madePaths() {
		c.stack.note(p, func(l *layer) { l.made = true })
	}
	for _, list := range [...][]string{c.linux().MaskedPaths, c.linux().ReadonlyPaths} {
		for _, p := range list {
			c.stack.note(p, func(l *layer) { l.hidden = true })
		}
	}
	dev := c.stack.top("/dev")
	for _, l := range c.stack.layers {
		// Also where nothing is made in it by name: a link of the image may lead there.
		l.late = l.fresh && l.readonly
		l.held = l.late || l.hidden || l.fresh && l.made || l == dev || l == c.ptsLayer()
	}
}

func (c *compiler) planMount(i int, m *specs.Mount, o *mountOptions) {
	l := &layer{entry: i, dest: path.Join("/", m.Destination), spread: o.propagations, readonly: o.readonly || o.recSet&unix.MOUNT_ATTR_RDONLY != 0}
	switch {
	case o.bind:
	case m.Type == "cgroup" && c.host.Cgroup.Mode != host.Unified:
		l.fs, l.dir, l.fresh = "tmpfs", true, true
	default:
		l.fs, l.dir, l.fresh = m.Type, true, m.Type == "tmpfs"
	}
	c.stack.add(l)
	if o.bind || m.Type != "cgroup" || l.fs == "cgroup" {
		return
	}
	// The tmpfs has a directory for each hierarchy.
	for k := range c.req.Cgroups {
		if h := &c.req.Cgroups[k]; !h.V2 {
			c.stack.add(&layer{entry: i, dest: path.Join(l.dest, path.Base(h.Mount)), fs: "cgroup", dir: true})
		}
	}
}

// take returns the next layer to be mounted.
func (c *compiler) take() *layer {
	l := c.stack.layers[c.taken]
	c.taken++
	return l
}

// ownDev says whether /dev is filled. One that is bound from outside is left as it
// is: what were made there would appear outside.
func (c *compiler) ownDev() bool {
	dev := c.stack.top("/dev")
	return dev == nil || dev.fs != ""
}

// ptsLayer is the devpts through which the console is opened, if it is one that the
// kernel makes anew: what is bound there may be anything, and is looked at (foundPts).
func (c *compiler) ptsLayer() *layer {
	if c.spec.Process == nil || !c.spec.Process.Terminal {
		return nil
	}
	if l := c.stack.top("/dev/pts"); l != nil && l.fs == "devpts" {
		return l
	}
	return nil
}

// madePaths are the paths that are made when all is mounted.
func (c *compiler) madePaths() []string {
	var list []string
	if c.ownDev() {
		for i := range defaultNodes {
			list = append(list, defaultNodes[i].path)
		}
		for i := range c.linux().Devices {
			list = append(list, path.Clean(c.linux().Devices[i].Path))
		}
	}
	if c.spec.Process != nil {
		list = append(list, path.Clean(c.spec.Process.Cwd))
	}
	return list
}

// readonlyMounts makes those mounts read-only that had to wait for what is in them.
func (c *compiler) readonlyMounts() {
	for _, l := range c.stack.layers {
		if l.late {
			c.at(item("mounts", l.entry))
			c.setattr(l.fd, mountAttr{set: unix.MOUNT_ATTR_RDONLY}, false, "make "+l.dest+" read-only, now that all in it is made")
		}
	}
}
