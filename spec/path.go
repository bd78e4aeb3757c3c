package spec

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// field returns the JSON path of a member: linux.sysctl["net.ipv4.ip_forward"].
func field(path, name string) string {
	if !identifier(name) {
		return path + "[" + strconv.Quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// index returns the JSON path of an element: mounts[3].
func index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

func identifier(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// position returns line:column of a byte, both counted from 1, columns in
// characters.
func position(s string, pos int) string {
	line := 1 + strings.Count(s[:pos], "\n")
	begin := strings.LastIndexByte(s[:pos], '\n') + 1
	column := 1 + utf8.RuneCountInString(s[begin:pos])
	return strconv.Itoa(line) + ":" + strconv.Itoa(column)
}

// frame is one object or array that the walk is inside of.
type frame struct {
	array bool
	// active is true from a member's name to the end of its value, and while an
	// element is read.
	active bool
	i      int
	name   string
}

// locate returns the JSON paths of the values, or of the names, at the given
// byte offsets, which must ascend. The text before the last of them need not be
// good beyond what the decoder has accepted.
func locate(s string, offsets []int) []string {
	w := walker{d: decoder{s: s}, offsets: offsets}
	w.walk()
	// What is left lies at or behind the place where the walk had to stop.
	w.reach(len(s) + 1)
	return w.paths
}

type walker struct {
	d       decoder
	frames  []frame
	offsets []int
	paths   []string
}

// reach gives the present path to every offset before end.
func (w *walker) reach(end int) {
	for len(w.offsets) > 0 && w.offsets[0] < end {
		w.paths = append(w.paths, w.path())
		w.offsets = w.offsets[1:]
	}
}

func (w *walker) path() string {
	p := ""
	for _, f := range w.frames {
		switch {
		case !f.active:
		case f.array:
			p = index(p, f.i)
		default:
			p = field(p, f.name)
		}
	}
	return p
}

// top is the innermost frame, nil outside of all.
func (w *walker) top() *frame {
	if len(w.frames) == 0 {
		return nil
	}
	return &w.frames[len(w.frames)-1]
}

// begin marks that a value starts.
func (w *walker) begin() {
	if f := w.top(); f != nil && f.array {
		f.active = true
	}
}

// end marks that a value is over.
func (w *walker) end() {
	if f := w.top(); f != nil {
		f.active = false
		f.i++
	}
}

func (w *walker) walk() {
	for len(w.offsets) > 0 {
		c := w.d.peek()
		switch c {
		case 0:
			return
		case '{', '[':
			w.begin()
			w.d.pos++
			w.reach(w.d.pos)
			w.frames = append(w.frames, frame{array: c == '['})
		case '}', ']':
			if len(w.frames) == 0 {
				return
			}
			w.frames = w.frames[:len(w.frames)-1]
			w.d.pos++
			w.reach(w.d.pos)
			w.end()
		case ',', ':':
			w.d.pos++
			w.reach(w.d.pos)
		default:
			if !w.scalar(c) {
				return
			}
		}
	}
}

// scalar walks over a name or a value that holds no others.
func (w *walker) scalar(c byte) bool {
	if f := w.top(); c == '"' && f != nil && !f.array && !f.active {
		name := w.d.text()
		if w.d.failed {
			return false
		}
		f.active, f.name = true, name
		w.reach(w.d.pos)
		return true
	}
	w.begin()
	w.d.skip()
	if w.d.failed {
		return false
	}
	w.reach(w.d.pos)
	w.end()
	return true
}
