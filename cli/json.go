package cli

import (
	"strconv"
	"unicode/utf8"
)

// jsonWriter writes JSON as encoding/json would, whose tables of reflection cost
// more than the commands that print it. With an indent it lays out as
// json.MarshalIndent does, without one as json.Marshal.
type jsonWriter struct {
	buf    []byte
	indent string
	depth  int
	fresh  bool // nothing stands in the present object or array yet
}

func newJSON(indent string) *jsonWriter {
	return &jsonWriter{buf: make([]byte, 0, 512), indent: indent, fresh: true}
}

// begin opens an object or array.
func (j *jsonWriter) begin(c byte) {
	j.buf = append(j.buf, c)
	j.depth++
	j.fresh = true
}

// close closes it.
func (j *jsonWriter) close(c byte) {
	j.depth--
	if !j.fresh {
		j.line()
	}
	j.buf = append(j.buf, c)
	j.fresh = false
}

func (j *jsonWriter) line() {
	if j.indent == "" {
		return
	}
	j.buf = append(j.buf, '\n')
	for range j.depth {
		j.buf = append(j.buf, j.indent...)
	}
}

// item goes before each element of an array.
func (j *jsonWriter) item() *jsonWriter {
	if !j.fresh {
		j.buf = append(j.buf, ',')
	}
	j.fresh = false
	j.line()
	return j
}

// key writes the name of a member.
func (j *jsonWriter) key(name string) *jsonWriter {
	j.item().str(name)
	j.buf = append(j.buf, ':')
	if j.indent != "" {
		j.buf = append(j.buf, ' ')
	}
	return j
}

func (j *jsonWriter) raw(s string) { j.buf = append(j.buf, s...) }
func (j *jsonWriter) int(n int)    { j.buf = strconv.AppendInt(j.buf, int64(n), 10) }

// end closes the outermost object and ends the line.
func (j *jsonWriter) end() []byte {
	j.close('}')
	return append(j.buf, '\n')
}

const hexDigits = "0123456789abcdef"

// str writes a string. What would mean something in HTML is escaped, as in
// runc's output, which is encoding/json's.
func (j *jsonWriter) str(s string) {
	b := append(j.buf, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
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
	j.buf = append(b, '"')
}
