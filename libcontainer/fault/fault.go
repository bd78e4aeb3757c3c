// Package fault has the one error type of Berth. An error is data first and a
// sentence second: it says which step failed, which property of config.json
// asked for that step, which call was made with which errno, and what a person
// can do about it. Engines get the sentence (Error); the JSON log gets every
// field.
package fault

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"syscall"
)

// Error describes one failure. Every field but Msg may be empty.
type Error struct {
	// Msg says what could not be done, in words that begin with what the user
	// asked for. It stays on one line: engines show only the last line.
	Msg string
	// Step is the number of the step of the container's program that failed,
	// counted from 1 as `explain` counts; 0 where no step is involved.
	Step int
	// JSONPath is the JSON path in config.json that asked for it: mounts[3].options[1].
	JSONPath string
	// Pos is line:column in config.json, for errors of decoding, or in another document
	// that Doc names.
	Pos, Doc string
	// Call is the system call with its arguments, as a person would write it.
	Call string
	// Errno is what the kernel answered; 0 where the kernel was not asked.
	Errno syscall.Errno
	// Hint says what to try; empty where there is nothing to say.
	Hint string
	// Err is the cause, for errors.Is and errors.As.
	Err error
}

// New returns an error with a message alone.
func New(msg string) *Error { return &Error{Msg: msg} }

// At returns an error about the property of config.json at a JSON path.
func At(path, msg string) *Error { return &Error{JSONPath: path, Msg: msg} }

// Wrap returns an error that says what was tried and keeps err as its cause.
// Where err carries an errno, the errno becomes a field.
func Wrap(msg string, err error) *Error {
	e := &Error{Msg: msg, Err: err}
	var no syscall.Errno
	if errors.As(err, &no) {
		e.Errno = no
	}
	return e
}

// Error returns the sentence, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Msg)
	if e.JSONPath != "" && !strings.Contains(e.Msg, e.JSONPath) {
		sep(&b)
		b.WriteString(e.JSONPath)
	}
	if e.Pos != "" {
		b.WriteString(" (" + cmp.Or(e.Doc, "config.json") + ":" + e.Pos + ")")
	}
	if e.Step != 0 {
		sep(&b)
		b.WriteString("step " + strconv.Itoa(e.Step))
	}
	if e.Call != "" {
		sep(&b)
		b.WriteString(e.Call)
	}
	switch {
	case e.Err != nil:
		sep(&b)
		b.WriteString(e.Err.Error())
	case e.Errno != 0:
		sep(&b)
		b.WriteString(e.Errno.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return oneLine(b.String())
}

// A sentence with a value of a config in it may be of any length; nobody reads
// more than this, in bytes, and engines keep it all.
const (
	longest     = 8 << 10
	longestList = longest * 3 / 4
)

// oneLine keeps a sentence on its line, and what a config puts into it from a
// terminal: a line end becomes a blank, any other control character is spelt.
func oneLine(s string) string {
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n':
			b.WriteByte(' ')
		case c < ' ' || c == 0x7f:
			const hex = "0123456789abcdef"
			b.WriteString(`\x` + string(hex[c>>4]) + string(hex[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func sep(b *strings.Builder) {
	if b.Len() > 0 {
		b.WriteString(": ")
	}
}

// Unwrap gives errors.Is and errors.As the cause, else the errno.
func (e *Error) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	if e.Errno != 0 {
		return e.Errno
	}
	return nil
}

// List is several errors found at once, such as all that validation has to say
// about one config.json.
type List []*Error

// Error joins the sentences with semicolons, on one line.
func (l List) Error() string {
	var b strings.Builder
	for i, e := range l {
		if i > 0 {
			b.WriteString("; ")
		}
		if b.Len() > longestList {
			b.WriteString("and " + strconv.Itoa(len(l)-i) + " more")
			break
		}
		b.WriteString(e.Error())
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As every member.
func (l List) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// OrNil returns l as an error, or nil when it is empty.
func (l List) OrNil() error {
	if len(l) == 0 {
		return nil
	}
	return l
}
