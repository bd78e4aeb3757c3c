package hostfs

import (
	"sort"
	"strconv"
	"strings"
)

// A manifest lies beside each cached root filesystem: on which answers of the
// host it rests, and the report of its build. Its format is private to one
// version: a list of fields, each ended by a NUL, which no path can hold. That
// is read in a tenth of the time that JSON and its reflection would take.

// manifestVersion changes with the format and with what a build puts in, so
// that root filesystems made by an older Berth are not used again.
const manifestVersion = "berth hostfs 2"

type fields struct{ b strings.Builder }

func (f *fields) str(s ...string) {
	for _, s := range s {
		f.b.WriteString(s)
		f.b.WriteByte(0)
	}
}

func (f *fields) num(n ...uint64) {
	var buf [20]byte
	for _, n := range n {
		f.b.Write(strconv.AppendUint(buf[:0], n, 36))
		f.b.WriteByte(0)
	}
}

func (f *fields) strs(list []string) {
	f.num(uint64(len(list)))
	f.str(list...)
}

// looksText is the looks of a build in the order of their paths.
func looksText(looks map[string]*look) string {
	paths := make([]string, 0, len(looks))
	for p := range looks {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	var f fields
	f.num(uint64(len(paths)))
	for _, p := range paths {
		l := looks[p]
		listed := uint64(0)
		if l.listed {
			listed = 1
		}
		f.str(p, l.target)
		f.num(listed, uint64(l.mode), uint64(l.size), uint64(l.mtime), l.ino, l.dev)
	}
	return f.b.String()
}

// manifestText is a whole manifest: version, request, looks, report.
func manifestText(request, looks string, rep *Report) string {
	var f fields
	f.str(manifestVersion, request)
	f.b.WriteString(looks)
	f.num(uint64(len(rep.Programs)))
	for _, p := range rep.Programs {
		f.str(p.Name, p.Path, p.Kind, p.Interpreter)
		f.strs(p.Needs)
	}
	f.num(uint64(len(rep.Files)))
	for _, x := range rep.Files {
		f.str(x.Path, x.Target, x.Why)
		f.num(uint64(x.Bytes))
	}
	f.strs(rep.Warnings)
	f.strs(rep.Absent)
	f.str("end")
	return f.b.String()
}

// scanner reads fields back. A manifest that ends early or holds nonsense sets
// bad, and then the entry is not used.
type scanner struct {
	s   string
	bad bool
}

func (s *scanner) str() string {
	v, rest, ok := strings.Cut(s.s, "\x00")
	if !ok {
		s.bad = true
		return ""
	}
	s.s = rest
	return v
}

func (s *scanner) num() uint64 {
	n, err := strconv.ParseUint(s.str(), 36, 64)
	s.bad = s.bad || err != nil
	return n
}

// count reads the length of a list, each member of which takes a byte at least.
func (s *scanner) count() int {
	n := s.num()
	if s.bad || n > uint64(len(s.s)) {
		s.bad = true
		return 0
	}
	return int(n)
}

func (s *scanner) strs() []string {
	var list []string
	for n := s.count(); n > 0 && !s.bad; n-- {
		list = append(list, s.str())
	}
	return list
}

// readManifest returns the report in a manifest if it is about this request and
// the host still gives the same answers; else nil.
func readManifest(text, request, root string) *Report {
	s := scanner{s: text}
	if s.str() != manifestVersion || s.str() != request {
		return nil
	}
	for n := s.count(); n > 0; n-- {
		p, target := s.str(), s.str()
		listed := s.num() == 1
		then := stamp{mode: uint32(s.num()), size: int64(s.num()), mtime: int64(s.num()), ino: s.num(), dev: s.num()}
		if s.bad {
			return nil
		}
		now := askHost(root, p)
		if listed {
			h := host{root: root, looks: map[string]*look{p: now}}
			h.list(p)
		}
		if now.stamp != then || now.target != target {
			return nil
		}
	}
	rep := new(Report)
	for n := s.count(); n > 0 && !s.bad; n-- {
		p := Executable{Name: s.str(), Path: s.str(), Kind: s.str(), Interpreter: s.str()}
		p.Needs = s.strs()
		rep.Programs = append(rep.Programs, p)
	}
	for n := s.count(); n > 0 && !s.bad; n-- {
		f := File{Path: s.str(), Target: s.str(), Why: s.str()}
		f.Bytes = int64(s.num())
		rep.Files = append(rep.Files, f)
		rep.Bytes += f.Bytes
	}
	rep.Warnings, rep.Absent = s.strs(), s.strs()
	if s.str() != "end" || s.bad {
		return nil
	}
	return rep
}
