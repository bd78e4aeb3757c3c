// Package jsonw writes JSON without tables of reflection: encoding/json's cost more than
// the commands that print it.
package jsonw

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Writer writes JSON as encoding/json would. With an indent it lays out as
// json.MarshalIndent does, without one as json.Marshal.
type Writer struct {
	Buf []byte // what is written
	// Bytes keeps in strings what is no UTF-8, since a path may hold any byte, and
	// escapes no more than JSON wants: for what only Berth itself reads.
	Bytes  bool
	indent string
	depth  int
	fresh  bool // nothing stands in the present object or array yet
}

// New returns a writer.
func New(indent string) *Writer {
	return &Writer{Buf: make([]byte, 0, 512), indent: indent, fresh: true}
}

// Begin opens an object or array.
func (j *Writer) Begin(c byte) {
	j.Buf = append(j.Buf, c)
	j.depth++
	j.fresh = true
}

// Close closes it.
func (j *Writer) Close(c byte) {
	j.depth--
	if !j.fresh {
		j.line()
	}
	j.Buf = append(j.Buf, c)
	j.fresh = false
}

func (j *Writer) line() {
	if j.indent == "" {
		return
	}
	j.Buf = append(j.Buf, '\n')
	for range j.depth {
		j.Buf = append(j.Buf, j.indent...)
	}
}

// Item goes before each element of an array.
func (j *Writer) Item() *Writer {
	if !j.fresh {
		j.Buf = append(j.Buf, ',')
	}
	j.fresh = false
	j.line()
	return j
}

// Key writes the name of a member.
func (j *Writer) Key(name string) *Writer {
	j.Item().Str(name)
	j.Buf = append(j.Buf, ':')
	if j.indent != "" {
		j.Buf = append(j.Buf, ' ')
	}
	return j
}

// Raw writes s as it is.
func (j *Writer) Raw(s string) { j.Buf = append(j.Buf, s...) }

// Int writes a number.
func (j *Writer) Int(n int) { j.Buf = strconv.AppendInt(j.Buf, int64(n), 10) }

// Uint writes a number.
func (j *Writer) Uint(n uint64) { j.Buf = strconv.AppendUint(j.Buf, n, 10) }

// Bool writes true or false.
func (j *Writer) Bool(b bool) { j.Buf = strconv.AppendBool(j.Buf, b) }

// Strs writes an array of strings.
func (j *Writer) Strs(list []string) {
	j.Begin('[')
	for _, s := range list {
		j.Item().Str(s)
	}
	j.Close(']')
}

// StrMap writes an object whose members are strings, in the order of their names.
func (j *Writer) StrMap(m map[string]string) {
	j.Begin('{')
	for _, name := range slices.Sorted(maps.Keys(m)) {
		j.Key(name).Str(m[name])
	}
	j.Close('}')
}

// End closes the outermost object and ends the line.
func (j *Writer) End() []byte {
	j.Close('}')
	return append(j.Buf, '\n')
}

const hexDigits = "0123456789abcdef"

// Str writes a string. What would mean something in HTML is escaped, as in
// runc's output, which is encoding/json's.
func (j *Writer) Str(s string) {
	b := append(j.Buf, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf && !j.Bytes {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(b, `\ufffd`...)
			case r == '\u2028' || r == '\u2029': // line ends to JavaScript
				b = append(b, `\u202`...)
				b = append(b, hexDigits[r&0xf])
			default:
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		case '<', '>', '&':
			if j.Bytes {
				b = append(b, c)
				continue
			}
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&0xf])
		default:
			if c < ' ' {
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&0xf])
				continue
			}
			b = append(b, c)
		}
	}
	j.Buf = append(b, '"')
}
