package state

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"berth/libcontainer/fault"
	"berth/libcontainer/jsonw"
)

// decoder reads JSON. The first error stays; after it every method returns at
// once.
type decoder struct {
	buf []byte
	pos int
	err error
}

func (d *decoder) fail(msg string) {
	if d.err == nil {
		d.err = fault.New(msg + " at byte " + strconv.Itoa(d.pos))
	}
}

// next passes over white space and returns the byte there, 0 at the end.
func (d *decoder) next() byte {
	for d.pos < len(d.buf) {
		switch c := d.buf[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) expect(c byte) {
	if d.err == nil && d.next() != c {
		d.fail("no " + strconv.QuoteRune(rune(c)))
	}
	if d.err == nil {
		d.pos++
	}
}

// end makes anything behind the value an error.
func (d *decoder) end() {
	if d.err == nil {
		d.next()
		if d.pos != len(d.buf) {
			d.fail("something follows")
		}
	}
}

func (d *decoder) object(member func(key string)) {
	d.members('{', '}', func() {
		key := d.str()
		d.expect(':')
		if d.err == nil {
			member(key)
		}
	})
}

func (d *decoder) array(element func()) { d.members('[', ']', element) }

func (d *decoder) members(opening, closing byte, member func()) {
	d.expect(opening)
	if d.err == nil && d.next() == closing {
		d.pos++
		return
	}
	for d.err == nil {
		member()
		if d.err != nil {
			return
		}
		if d.next() == closing {
			d.pos++
			return
		}
		d.expect(',')
	}
}

func (d *decoder) str() string {
	d.expect('"')
	if d.err != nil {
		return ""
	}
	start := d.pos
	for i := start; i < len(d.buf); i++ {
		switch c := d.buf[i]; {
		case c == '"':
			d.pos = i + 1
			return string(d.buf[start:i])
		case c == '\\':
			return d.escaped(start, i)
		case c < 0x20:
			d.fail("a control character in a string")
			return ""
		}
	}
	d.fail("a string without end")
	return ""
}

// escaped goes on with a string that has escapes: from start, the first of them
// at i.
func (d *decoder) escaped(start, i int) string {
	out := append([]byte(nil), d.buf[start:i]...)
	for i < len(d.buf) {
		c := d.buf[i]
		i++
		switch {
		case c == '"':
			d.pos = i
			return string(out)
		case c < 0x20:
			d.fail("a control character in a string")
			return ""
		case c != '\\':
			out = append(out, c)
			continue
		}
		var ok bool
		if out, i, ok = d.escape(out, i); !ok {
			d.fail("a wrong escape in a string")
			return ""
		}
	}
	d.fail("a string without end")
	return ""
}

// escape appends what the escape whose letter is at i stands for. Pairs of
// surrogates are not joined: the encoder writes none.
func (d *decoder) escape(out []byte, i int) ([]byte, int, bool) {
	if i >= len(d.buf) {
		return out, i, false
	}
	switch c := d.buf[i]; c {
	case '"', '\\', '/':
		return append(out, c), i + 1, true
	case 'n':
		return append(out, '\n'), i + 1, true
	case 't':
		return append(out, '\t'), i + 1, true
	case 'r':
		return append(out, '\r'), i + 1, true
	case 'b':
		return append(out, '\b'), i + 1, true
	case 'f':
		return append(out, '\f'), i + 1, true
	case 'u':
		if i+5 > len(d.buf) {
			return out, i, false
		}
		n, err := strconv.ParseUint(string(d.buf[i+1:i+5]), 16, 16)
		return utf8.AppendRune(out, rune(n)), i + 5, err == nil
	}
	return out, i, false
}

// number returns the text of a number, as RFC 8259, section 6, has it.
func (d *decoder) number() string {
	if d.err != nil {
		return ""
	}
	c := d.next()
	start := d.pos
	if c == '-' {
		d.pos++
	}
	ok := d.digits()
	if whole := d.buf[start:d.pos]; ok && len(whole) > 1 && (whole[0] == '0' || whole[0] == '-' && len(whole) > 2 && whole[1] == '0') {
		ok = false // 007
	}
	if ok && d.take(".") {
		ok = d.digits()
	}
	if ok && d.take("eE") {
		d.take("+-")
		ok = d.digits()
	}
	if !ok {
		d.fail("no number")
	}
	return string(d.buf[start:d.pos])
}

// digits passes over decimal digits, and says whether there was one.
func (d *decoder) digits() bool {
	start := d.pos
	for d.take("0123456789") {
	}
	return d.pos > start
}

// take passes over the next byte if it is one of set.
func (d *decoder) take(set string) bool {
	if d.pos < len(d.buf) && strings.IndexByte(set, d.buf[d.pos]) >= 0 {
		d.pos++
		return true
	}
	return false
}

func (d *decoder) int() int64 {
	n, err := strconv.ParseInt(d.number(), 10, 64)
	if err != nil {
		d.fail("no whole number")
	}
	return n
}

func (d *decoder) uint() uint64 {
	n, err := strconv.ParseUint(d.number(), 10, 64)
	if err != nil {
		d.fail("no whole number")
	}
	return n
}

func (d *decoder) bool() bool {
	switch d.word() {
	case "true":
		return true
	case "false":
	default:
		d.fail("neither true nor false")
	}
	return false
}

func (d *decoder) word() string {
	if d.err != nil {
		return ""
	}
	d.next()
	start := d.pos
	for d.pos < len(d.buf) && 'a' <= d.buf[d.pos] && d.buf[d.pos] <= 'z' {
		d.pos++
	}
	return string(d.buf[start:d.pos])
}

// maxDepth bounds the recursion of skip.
const maxDepth = 32

// skip passes over a value of any kind, which a later version may have added.
func (d *decoder) skip(depth int) {
	if d.err != nil {
		return
	}
	if depth > maxDepth {
		d.fail("nested too deeply")
		return
	}
	switch c := d.next(); {
	case c == '{':
		d.object(func(string) { d.skip(depth + 1) })
	case c == '[':
		d.array(func() { d.skip(depth + 1) })
	case c == '"':
		d.str()
	case c == '-' || '0' <= c && c <= '9':
		d.number()
	default:
		if w := d.word(); w != "true" && w != "false" && w != "null" {
			d.fail("no JSON value")
		}
	}
}

// encodeEntries writes journal entries, each an array of strings on a line.
func encodeEntries(entries []Entry) []byte {
	var text []byte
	for _, entry := range entries {
		j := jsonw.New("")
		j.Bytes = true
		j.Strs(append([]string{entry.Kind}, entry.Args...))
		text = append(append(text, j.Buf...), '\n')
	}
	return text
}

func decodeEntry(line []byte) (Entry, error) {
	var all []string
	d := decoder{buf: line}
	d.array(func() { all = append(all, d.str()) })
	d.end()
	if d.err == nil && len(all) == 0 {
		d.fail("an empty entry")
	}
	if d.err != nil {
		return Entry{}, d.err
	}
	return Entry{Kind: all[0], Args: all[1:]}, nil
}
