// Package logs is how the library speaks to whoever called it: levels, fields
// and a function to hand them to. It prints nothing itself; the command line
// owns the format (see cli).
package logs

// Level orders messages by weight.
type Level uint8

// The levels, in the words of runc's log format.
const (
	Debug Level = iota
	Info
	Warning
	Error
)

// String is the level as it stands in a log line.
func (l Level) String() string {
	return [...]string{"debug", "info", "warning", "error"}[l]
}

// Field is a named value beside a message. Value is a string, an int, an int64,
// a uint64 or a bool.
type Field struct {
	Name  string
	Value any
}

// Logger takes one message. A nil Logger takes none; use the methods, which
// check.
type Logger func(l Level, msg string, fields ...Field)

// Debugf is absent on purpose: formatting is paid for even when nobody listens.

// Debug hands over a message of use to whoever hunts a fault.
func (f Logger) Debug(msg string, fields ...Field) {
	if f != nil {
		f(Debug, msg, fields...)
	}
}

// Warn hands over a message that the user should see although all went on.
func (f Logger) Warn(msg string, fields ...Field) {
	if f != nil {
		f(Warning, msg, fields...)
	}
}
