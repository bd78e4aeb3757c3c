package spec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// scribe writes texts that are nearly a configuration: the names and types of
// specs.Spec, with a mistake now and then. Random bytes hardly ever get past the
// first bracket; these reach every property.
type scribe struct {
	*rand.Rand
	bytes.Buffer
	// care is how many times rarer mistakes are than they might be.
	care int
}

// slip says yes where a mistake is due, about once in n times care.
func (s *scribe) slip(n int) bool { return s.odd(n * s.care) }

// odd says yes about once in n times.
func (s *scribe) odd(n int) bool { return s.IntN(n) == 0 }

var (
	oddNumbers = []string{
		"0", "-0", "-1", "7", "65535", "65536", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "18446744073709551615", "18446744073709551616", "1.0", "1e3", "-2147483648", "2147483648",
	}
	oddStrings = []string{
		``, `a`, `p`, `c`, `é`, `\u00e9`, `\ud800`, `\ud83d\ude00`, `\n`, `\\`, `\"`, `a.b`, `A`, `😀`,
	}
	badStrings = []string{"\xff", "\x01", `\x`, `\u12`, "\xed\xa0\x80"}
	oddValues  = []string{
		"null", "true", "false", "{}", "[]", `"a"`, "1", "[null]", `{"a":{"a":1}}`, "[1,[2]]", "nul", "", `{"a":1,"a":1}`, "-",
	}
	oddNames = []string{"x", "x-y", "", `\u0061`, "PATH", "windows", "é", "a b", "\xff"}
)

func pick(s *scribe, list []string) string { return list[s.IntN(len(list))] }

func (s *scribe) space() {
	if s.odd(20) {
		s.WriteString(pick(s, []string{" ", "\n", "\t", "\r\n"}))
	}
}

func (s *scribe) text() {
	s.WriteByte('"')
	for s.odd(2) {
		if s.slip(20) {
			s.WriteString(pick(s, badStrings))
		} else {
			s.WriteString(pick(s, oddStrings))
		}
	}
	s.WriteByte('"')
}

// value writes a value for t.
func (s *scribe) value(t reflect.Type) {
	s.space()
	defer s.space()
	if s.slip(150) {
		s.WriteString(pick(s, oddValues))
		return
	}
	if s.odd(30) {
		s.WriteString("null")
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		s.value(t.Elem())
	case reflect.Struct:
		s.object(t)
	case reflect.Map:
		s.members(s.IntN(4), func(i int) { s.member(fmt.Sprintf("k%d", i), t.Elem()) })
	case reflect.Slice:
		s.WriteByte('[')
		for i, n := 0, s.IntN(4); i < n; i++ {
			if i > 0 {
				s.WriteByte(',')
			}
			s.value(t.Elem())
		}
		s.WriteByte(']')
	case reflect.String:
		s.text()
	case reflect.Bool:
		s.WriteString([]string{"true", "false"}[s.IntN(2)])
	default:
		if s.slip(40) {
			s.WriteString(pick(s, oddNumbers))
		} else {
			fmt.Fprint(s, s.IntN(1000))
		}
	}
}

func (s *scribe) members(n int, one func(int)) {
	s.WriteByte('{')
	for i := range n {
		if i > 0 {
			s.WriteByte(',')
		}
		s.space()
		one(i)
	}
	if s.slip(1000) {
		s.WriteByte(',')
	}
	s.WriteByte('}')
}

func (s *scribe) member(name string, t reflect.Type) {
	switch {
	case s.slip(300):
		name = pick(s, oddNames)
	case s.slip(300):
		name = strings.ToUpper(name)
	}
	s.WriteString(`"` + name + `":`)
	s.value(t)
}

// object writes a struct with a random part of its fields, or most of them where
// it is small.
func (s *scribe) object(t reflect.Type) {
	var fields []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || s.odd(2) && t.NumField() > 4 || s.slip(100) {
			continue
		}
		fields = append(fields, f)
	}
	s.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	if len(fields) > 0 && s.slip(200) {
		fields = append(fields, fields[0])
	}
	s.members(len(fields), func(i int) {
		name, _, _ := strings.Cut(fields[i].Tag.Get("json"), ",")
		ft := fields[i].Type
		if ft.Kind() == reflect.Interface {
			ft = reflect.TypeFor[string]()
		}
		s.member(name, ft)
	})
}

// TestRandomDocuments compares the decoder with encoding/json on texts of every
// shape, and has validation look at all that was decoded.
func TestRandomDocuments(t *testing.T) {
	n := 3000
	if testing.Short() {
		n = 300
	}
	accepted := 0
	for seed := range n {
		s := &scribe{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), care: []int{1, 10, 100}[seed%3]}
		s.value(reflect.TypeFor[specs.Spec]())
		data := bytes.Clone(s.Bytes())
		if msg := agree(data, Decode); msg != "" {
			t.Fatalf("seed %d: %s\n%s", seed, msg, data)
		}
		s.Reset()
		s.value(reflect.TypeFor[specs.Process]())
		if msg := agree(s.Bytes(), DecodeProcess); msg != "" {
			t.Fatalf("seed %d: %s\n%s", seed, msg, s.Bytes())
		}
		if got, _, err := Decode(data); err == nil {
			accepted++
			Validate(got)
			Warnings(got)
		}
	}
	t.Logf("%d of %d accepted", accepted, n)
	if accepted < n/10 || accepted > n*9/10 {
		t.Error("the texts are too good or too bad to be of use")
	}
}
