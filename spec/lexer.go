package spec

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"berth/libcontainer/fault"
)

// maxDepth bounds how deep objects and arrays may nest. The deepest property of
// the runtime-spec lies nine levels down; the rest is room for unknown ones.
// Without a bound, a file of opening brackets would grow the stack at will.
const maxDepth = 128

// maxUnknown bounds how many unknown properties are remembered. They are only
// of use to a reader of the debug log.
const maxUnknown = 256

// maxLacking bounds how many absent properties are reported, since each costs a
// walk through the text.
const maxLacking = 16

// decoder pulls values out of one JSON text (RFC 8259). The text is a string, so
// that the strings decoded from it can share its memory and nobody can change
// them later. The first error sticks: it moves pos to the end, and every method
// then returns a zero value. Where in the document an error or an unknown
// property lies is found by a second walk (locate), which good input never pays.
type decoder struct {
	s     string
	doc   string // what errors call the text; empty: config.json
	pos   int
	depth int
	// keyPos is where the name of the member at hand begins.
	keyPos int

	failed  bool
	errPos  int
	errMsg  string
	unknown []int
	lacking []lacking
	strs    []string
}

// lacking is a required property that an object does not have.
type lacking struct {
	pos  int
	name string
}

// members remembers the names seen in an object that has no struct to count
// them in. A few are compared one by one; beyond that a map keeps a hostile
// file from costing the square of its size.
type members struct {
	few  []string
	many map[string]struct{}
}

// add says whether name is new.
func (m *members) add(name string) bool {
	if m.many != nil {
		_, dup := m.many[name]
		m.many[name] = struct{}{}
		return !dup
	}
	for _, old := range m.few {
		if old == name {
			return false
		}
	}
	m.few = append(m.few, name)
	if len(m.few) > 16 {
		m.many = make(map[string]struct{}, 2*len(m.few))
		for _, old := range m.few {
			m.many[old] = struct{}{}
		}
	}
	return true
}

// fail keeps the first error and ends the decoding.
func (d *decoder) fail(pos int, msg string) {
	if !d.failed {
		d.failed, d.errPos, d.errMsg = true, pos, msg
		d.pos = len(d.s)
	}
}

// peek skips white space and returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	for d.pos < len(d.s) {
		switch c := d.s[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

// unexpected fails at the next byte because it is not what has to stand there.
func (d *decoder) unexpected(want string) {
	if d.pos >= len(d.s) {
		d.fail(len(d.s), "the text ends where "+want+" is expected")
		return
	}
	r, n := utf8.DecodeRuneInString(d.s[d.pos:])
	if r == utf8.RuneError && n == 1 {
		d.badUTF8()
		return
	}
	d.fail(d.pos, "unexpected "+strconv.QuoteRune(r)+" where "+want+" is expected")
}

// mismatch fails at the next value because it is of another kind than want.
func (d *decoder) mismatch(want string) {
	var got string
	switch c := d.peek(); {
	case c == '"':
		got = "a string"
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == 't', c == 'f':
		got = "a boolean"
	case c == '-', c >= '0' && c <= '9':
		got = "a number"
	default:
		d.unexpected(want)
		return
	}
	d.fail(d.pos, "must be "+want+", not "+got)
}

func (d *decoder) badUTF8() {
	d.fail(d.pos, "invalid UTF-8 at byte "+strconv.Itoa(d.pos))
}

// literal consumes null, true or false.
func (d *decoder) literal(word string) bool {
	if !strings.HasPrefix(d.s[d.pos:], word) {
		d.fail(d.pos, "only null, true and false may stand without quotes")
		return false
	}
	d.pos += len(word)
	return true
}

// null consumes a null, if there is one. To the runtime-spec that is the same as
// no property at all.
func (d *decoder) null() bool { return d.peek() == 'n' && d.literal("null") }

// open begins an object or an array. It returns false for null and on an error.
func (d *decoder) open(c byte) bool {
	switch d.peek() {
	case c:
	case 'n':
		d.literal("null")
		return false
	default:
		if c == '{' {
			d.mismatch("an object")
		} else {
			d.mismatch("an array")
		}
		return false
	}
	if d.depth++; d.depth > maxDepth {
		d.fail(d.pos, "nested deeper than "+strconv.Itoa(maxDepth)+" levels")
		return false
	}
	d.pos++
	return true
}

// more says whether another member or element follows, and consumes what stands
// between: the comma, or the closing bracket.
func (d *decoder) more(first bool, end byte) bool {
	c := d.peek()
	if c == end {
		d.pos++
		d.depth--
		return false
	}
	if first {
		return !d.failed
	}
	if c != ',' {
		d.unexpected("a comma or '" + string(rune(end)) + "'")
		return false
	}
	d.pos++
	if d.peek() == end {
		d.fail(d.pos, "a comma stands before '"+string(rune(end))+"'")
	}
	return !d.failed
}

// key returns the name of the next member and consumes the colon behind it.
func (d *decoder) key() string {
	if d.peek() != '"' {
		d.unexpected("a name in double quotes")
		return ""
	}
	d.keyPos = d.pos
	name := d.text()
	if d.peek() != ':' {
		d.unexpected("a colon")
		return ""
	}
	d.pos++
	return name
}

// once marks a known member as seen and refuses a second of its name: parsers
// disagree about which of the two counts, so a checker and a runtime could read
// different configurations out of one file.
func (d *decoder) once(seen *uint64, bit uint64) {
	if *seen&bit != 0 {
		d.duplicate()
	}
	*seen |= bit
}

func (d *decoder) duplicate() {
	d.fail(d.keyPos, "the object has this name twice")
}

// other takes a member that no struct field stands for.
func (d *decoder) other(seen *members, name string) {
	if !seen.add(name) {
		d.duplicate()
		return
	}
	if len(d.unknown) < maxUnknown && !d.failed {
		d.unknown = append(d.unknown, d.keyPos)
	}
	d.skip()
}

// require notes each of the names whose bit, counted from the lowest, is not in
// present.
func (d *decoder) require(pos int, present uint64, names ...string) {
	if d.failed {
		return
	}
	for i, name := range names {
		if present&(1<<i) == 0 && len(d.lacking) < maxLacking {
			d.lacking = append(d.lacking, lacking{pos, name})
		}
	}
}

// skip consumes any value, and holds it to the same grammar as the others.
func (d *decoder) skip() {
	switch c := d.peek(); c {
	case '{':
		if !d.open('{') {
			return
		}
		var seen members
		for first := true; d.more(first, '}'); first = false {
			if !seen.add(d.key()) {
				d.duplicate()
			}
			d.skip()
		}
	case '[':
		if !d.open('[') {
			return
		}
		for first := true; d.more(first, ']'); first = false {
			d.skip()
		}
	case '"':
		d.text()
	case 'n':
		d.literal("null")
	case 't':
		d.literal("true")
	case 'f':
		d.literal("false")
	default:
		if c != '-' && (c < '0' || c > '9') {
			d.unexpected("a value")
			return
		}
		d.number()
	}
}

// boolean decodes true or false; null is false.
func (d *decoder) boolean() bool {
	switch d.peek() {
	case 't':
		return d.literal("true")
	case 'f':
		d.literal("false")
	case 'n':
		d.literal("null")
	default:
		d.mismatch("true or false")
	}
	return false
}

// str decodes a string; null is the empty string.
func (d *decoder) str() string {
	switch d.peek() {
	case '"':
		return d.text()
	case 'n':
		d.literal("null")
	default:
		d.mismatch("a string")
	}
	return ""
}

// digits consumes decimal digits and says whether there was one.
func (d *decoder) digits() bool {
	start := d.pos
	for d.pos < len(d.s) && d.s[d.pos]-'0' <= 9 {
		d.pos++
	}
	return d.pos > start
}

// number consumes a number and returns it, and whether it has neither fraction
// nor exponent.
func (d *decoder) number() (lit string, whole bool) {
	start := d.pos
	if d.s[d.pos] == '-' {
		d.pos++
	}
	zero := d.pos < len(d.s) && d.s[d.pos] == '0'
	intPos := d.pos
	if !d.digits() {
		d.unexpected("a digit")
		return "0", true
	}
	if zero && d.pos > intPos+1 {
		d.fail(intPos, "a number must not begin with 0")
		return "0", true
	}
	whole = true
	if d.pos < len(d.s) && d.s[d.pos] == '.' {
		whole = false
		d.pos++
		if !d.digits() {
			d.unexpected("a digit")
			return "0", true
		}
	}
	if d.pos < len(d.s) && d.s[d.pos]|0x20 == 'e' {
		whole = false
		d.pos++
		if d.pos < len(d.s) && (d.s[d.pos] == '+' || d.s[d.pos] == '-') {
			d.pos++
		}
		if !d.digits() {
			d.unexpected("a digit")
			return "0", true
		}
	}
	return d.s[start:d.pos], whole
}

// integer consumes a number that has to be whole. A null, and whatever is
// wrong, gives an empty literal.
func (d *decoder) integer() (lit string, start int) {
	c := d.peek()
	if c == 'n' {
		d.literal("null")
		return "", 0
	}
	if c != '-' && (c < '0' || c > '9') {
		d.mismatch("an integer")
		return "", 0
	}
	start = d.pos
	lit, whole := d.number()
	if d.failed {
		return "", 0
	}
	if !whole {
		d.fail(start, lit+" is not an integer written without fraction and exponent")
		return "", 0
	}
	return lit, start
}

// signed decodes an integer that fits in the given number of bits; null is 0.
func (d *decoder) signed(bits int) int64 {
	lit, start := d.integer()
	if lit == "" {
		return 0
	}
	n, err := strconv.ParseInt(lit, 10, bits)
	if err != nil {
		low := int64(-1) << (bits - 1)
		d.fail(start, lit+" is out of range: must be between "+strconv.FormatInt(low, 10)+
			" and "+strconv.FormatInt(-(low+1), 10))
		return 0
	}
	return n
}

// unsigned decodes an integer that fits in the given number of bits; null is 0.
func (d *decoder) unsigned(bits int) uint64 {
	lit, start := d.integer()
	if lit == "" {
		return 0
	}
	n, err := strconv.ParseUint(lit, 10, bits)
	if err != nil {
		d.fail(start, lit+" is out of range: must be between 0 and "+
			strconv.FormatUint(^uint64(0)>>(64-bits), 10))
		return 0
	}
	return n
}

// finish checks that nothing follows the value, and tells what came of it.
func (d *decoder) finish() ([]string, error) {
	if d.peek(); d.pos < len(d.s) {
		d.unexpected("the end of the text")
	}
	if d.failed {
		e := fault.At(locate(d.s, []int{d.errPos})[0], d.errMsg)
		e.Pos, e.Doc = position(d.s, d.errPos), d.doc
		return nil, e
	}
	if len(d.lacking) > 0 {
		return nil, d.lackingErrors()
	}
	if len(d.unknown) == 0 {
		return nil, nil
	}
	return locate(d.s, d.unknown), nil
}

// lackingErrors makes an error of each required property that is absent.
func (d *decoder) lackingErrors() error {
	var list fault.List
	for _, l := range d.lacking {
		e := fault.At(field(locate(d.s, []int{l.pos})[0], l.name), "required property is absent")
		e.Pos, e.Doc = position(d.s, l.pos), d.doc
		list = append(list, e)
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}
