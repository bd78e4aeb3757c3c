package hostfs

import (
	"path"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's own limit on symbolic links in one lookup (path_resolution(7)).
const maxLinks = 40

// stamp is the identity of a file: while it stays the same, so does the content.
type stamp struct {
	mode     uint32 // type and permissions; 0 where nothing of this name exists
	size     int64
	mtime    int64 // nanoseconds
	ino, dev uint64
}

func (s stamp) kind() uint32  { return s.mode & unix.S_IFMT }
func (s stamp) isDir() bool   { return s.kind() == unix.S_IFDIR }
func (s stamp) isLink() bool  { return s.kind() == unix.S_IFLNK }
func (s stamp) isFile() bool  { return s.kind() == unix.S_IFREG }
func (s stamp) perm() uint32  { return s.mode & 0o777 }
func (s stamp) runs() bool    { return s.isFile() && s.mode&0o111 != 0 }
func (s stamp) missing() bool { return s.mode == 0 }

func stampOf(st *unix.Stat_t) stamp {
	return stamp{mode: st.Mode, size: st.Size, mtime: st.Mtim.Nano(), ino: st.Ino, dev: uint64(st.Dev)} //nolint:unconvert // 32 bits on some architectures
}

// look is one question put to the host and its answer. Together the looks of a
// build say on what its result rests, absent files included; the cache asks
// them again and needs no second resolution.
type look struct {
	stamp
	target string // where a link points
	// listed is true for a directory whose names were read, so that a new name
	// in it matters. For all other directories only their being there counts:
	// installing any package changes the time of /usr/lib.
	listed bool
}

// host is the file system that programs are taken from.
type host struct {
	root  string // "" is the real one
	looks map[string]*look
}

func newHost(root string) *host {
	return &host{root: strings.TrimSuffix(root, "/"), looks: make(map[string]*look, 512)}
}

// at says what is at an absolute clean path, links not followed. What can't be
// asked about (no permission) counts as missing, as it does for execve's search.
func (h *host) at(p string) *look {
	if l := h.looks[p]; l != nil {
		return l
	}
	l := askHost(h.root, p)
	h.looks[p] = l
	return l
}

func askHost(root, p string) *look {
	l := new(look)
	var st unix.Stat_t
	if unix.Lstat(root+p, &st) != nil {
		return l
	}
	l.stamp = stampOf(&st)
	switch {
	case l.isLink():
		var buf [pathMax]byte
		n, err := unix.Readlink(root+p, buf[:])
		if err != nil || n == 0 {
			return new(look)
		}
		l.target = string(buf[:n])
	case l.isDir():
		// The size and the time of a directory change with every name in it.
		l.size, l.mtime = 0, 0
	}
	return l
}

// list marks a directory as read and returns its names in order.
func (h *host) list(dir string) []string {
	l := h.at(dir)
	if !l.isDir() {
		return nil
	}
	var st unix.Stat_t
	if unix.Lstat(h.root+dir, &st) != nil {
		return nil
	}
	l.listed, l.mtime = true, st.Mtim.Nano()
	return readNames(h.root + dir)
}

// resolve follows p to a real path. The trail holds every link and directory
// that the kernel passes on the way: all of them must be reproduced for p to
// mean the same in the new root.
func (h *host) resolve(p string) (real string, trail []string, err error) {
	links := 0
	rest := p
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if name == ".." {
			real = path.Dir(real)
			if real == "/" || real == "." {
				real = ""
			}
			continue
		}
		if name == "" || name == "." {
			continue
		}
		next := real + "/" + name
		l := h.at(next)
		switch {
		case l.missing():
			return "", nil, syscall.ENOENT
		case l.isLink():
			if links++; links > maxLinks {
				return "", nil, syscall.ELOOP
			}
			trail = append(trail, next)
			rest = l.target + "/" + rest
			if strings.HasPrefix(l.target, "/") {
				real = ""
			}
		case l.isDir():
			trail = append(trail, next)
			real = next
		case strings.Trim(rest, "/") != "":
			return "", nil, syscall.ENOTDIR
		default:
			real = next
			rest = ""
		}
	}
	if real == "" {
		real = "/"
	}
	return real, trail, nil
}

// node is one name of the root filesystem to be made.
type node struct {
	path    string
	mode    uint32 // type and permissions
	target  string // of a link
	content string // of a file that does not come from the host
	from    *look  // of a file that does
	why     string
}

// tree is the root filesystem to be made: paths in it never lead over a link,
// so that writing it never follows one.
type tree map[string]*node

// sorted gives the nodes in the order of their paths, a directory always before
// what is in it.
func (t tree) sorted() []*node {
	all := make([]*node, 0, len(t))
	for _, n := range t {
		all = append(all, n)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].path < all[j].path })
	return all
}

// real follows links that are themselves part of the tree.
func (t tree) real(p string) string {
	for i := 0; i < maxLinks; i++ {
		moved := false
		for j := 1; j <= len(p); j++ {
			if j < len(p) && p[j] != '/' {
				continue
			}
			n := t[p[:j]]
			if n == nil || n.mode&unix.S_IFMT != unix.S_IFLNK {
				continue
			}
			if path.IsAbs(n.target) {
				p = path.Clean(n.target + p[j:])
			} else {
				p = path.Clean(path.Join("/", path.Dir(p[:j]), n.target) + p[j:])
			}
			moved = true
			break
		}
		if !moved {
			break
		}
	}
	return p
}

// put adds a directory or a file of Berth's own making, with the directories
// above it. What the host's programs already brought stays as it is.
func (t tree) put(p string, mode uint32, content, why string) {
	p = t.real(p)
	if t[p] != nil {
		return
	}
	for d := path.Dir(p); d != "/" && t[d] == nil; d = path.Dir(d) {
		t[d] = &node{path: d, mode: unix.S_IFDIR | 0o755, why: why}
	}
	t[p] = &node{path: p, mode: mode, content: content, why: why}
}

// take adds the file at p as the host has it, with all that leads to it, and
// returns its real path.
func (t tree) take(h *host, p, why string) (string, error) {
	real, trail, err := h.resolve(p)
	if err != nil {
		return "", err
	}
	l := h.at(real)
	if !l.isFile() {
		return "", errNotFile
	}
	for _, p := range trail {
		t.pass(h, p, why)
	}
	if t[real] == nil {
		// The set-user-ID and set-group-ID bits are dropped (perm has none of
		// them): the copies belong to whoever made the root filesystem, so a bit
		// kept would hand that user's identity to every user of the host who can
		// reach the directory. File capabilities are not copied for the same
		// reason. Inside a container the bits would do nothing anyway:
		// noNewPrivileges is set.
		t[real] = &node{path: real, mode: unix.S_IFREG | l.perm(), from: l, why: why}
	}
	return real, nil
}

// pass adds one link or directory of a trail.
func (t tree) pass(h *host, p, why string) {
	if t[p] != nil {
		return
	}
	l := h.at(p)
	if l.isLink() {
		t[p] = &node{path: p, mode: unix.S_IFLNK | 0o777, target: l.target, why: why}
		return
	}
	t[p] = &node{path: p, mode: unix.S_IFDIR | l.perm() | 0o700, why: why}
}
