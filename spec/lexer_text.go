package spec

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain marks the bytes that stand for themselves in a string: ASCII but for
// control characters, the quote and the backslash.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// text decodes the string that begins at pos.
func (d *decoder) text() string {
	d.pos++
	start := d.pos
	for d.pos < len(d.s) {
		c := d.s[d.pos]
		switch {
		case plain[c]:
			d.pos++
		case c == '"':
			d.pos++
			return d.s[start : d.pos-1]
		case c == '\\':
			return d.escaped(start)
		case !d.wide(c):
			return ""
		}
	}
	d.unexpected("a closing quote")
	return ""
}

// wide consumes one character beyond ASCII. A control character is an error.
func (d *decoder) wide(c byte) bool {
	if c < 0x20 {
		d.fail(d.pos, "a control character in a string must be escaped")
		return false
	}
	r, n := utf8.DecodeRuneInString(d.s[d.pos:])
	if r == utf8.RuneError && n == 1 {
		d.badUTF8()
		return false
	}
	d.pos += n
	return true
}

// escaped goes on with a string at its first backslash; start is where the
// string's content begins.
func (d *decoder) escaped(start int) string {
	buf := append(make([]byte, 0, d.pos-start+32), d.s[start:d.pos]...)
	for d.pos < len(d.s) {
		c := d.s[d.pos]
		switch {
		case plain[c]:
			buf = append(buf, c)
			d.pos++
		case c == '"':
			d.pos++
			return string(buf)
		case c == '\\':
			buf = d.escape(buf)
		default:
			from := d.pos
			if !d.wide(c) {
				return ""
			}
			buf = append(buf, d.s[from:d.pos]...)
		}
	}
	d.unexpected("a closing quote")
	return ""
}

// escape decodes one escape sequence on to buf.
func (d *decoder) escape(buf []byte) []byte {
	if d.pos+1 >= len(d.s) {
		d.fail(len(d.s), "the text ends inside an escape sequence")
		return buf
	}
	c := d.s[d.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return d.unicodeEscape(buf)
	default:
		d.fail(d.pos, "invalid escape sequence in a string")
		return buf
	}
	d.pos += 2
	return append(buf, c)
}

// unicodeEscape decodes \uXXXX on to buf. A surrogate without its other half
// becomes U+FFFD, as in encoding/json, which the engines write with.
func (d *decoder) unicodeEscape(buf []byte) []byte {
	r := hex4(d.s, d.pos)
	if r < 0 {
		d.fail(d.pos, "\\u must be followed by four hexadecimal digits")
		return buf
	}
	d.pos += 6
	if utf16.IsSurrogate(r) {
		pair := utf16.DecodeRune(r, hex4(d.s, d.pos))
		if pair != utf8.RuneError {
			d.pos += 6
		}
		r = pair
	}
	return utf8.AppendRune(buf, r)
}

// hex4 returns the code unit of the \uXXXX at pos, or -1 where there is none.
func hex4(s string, pos int) rune {
	if len(s)-pos < 6 || s[pos] != '\\' || s[pos+1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range []byte(s[pos+2 : pos+6]) {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// list decodes an array of strings; null is nil. The strings are gathered in
// one place first, so that each list, such as the names in a seccomp profile, is
// allocated once and in its size.
func list[T ~string](d *decoder) []T {
	if !d.open('[') {
		return nil
	}
	base := len(d.strs)
	for first := true; d.more(first, ']'); first = false {
		d.strs = append(d.strs, d.str())
	}
	out := make([]T, len(d.strs)-base)
	for i := range out {
		out[i] = T(d.strs[base+i])
	}
	d.strs = d.strs[:base]
	return out
}
