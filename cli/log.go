package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/jsonw"
	"berth/libcontainer/logs"
	"berth/libcontainer/sys"
)

// logger writes records: one line each, in one write, since engines read the
// file while several commands append to it.
type logger struct {
	fd    int
	json  bool
	debug bool
	// file is true when records go to a file; errors are then told on standard
	// error as well, because engines look there when the file makes no sense to them.
	file bool
	// terminal is true when a person reads the records.
	terminal bool
	now      func() time.Time
}

func stderrLogger() *logger {
	return &logger{fd: 2, terminal: isTerminal(2), now: time.Now}
}

// openLog does what the global options say about the log. The file is opened
// now, so that a wrong name is told before anything is done.
func (c *call) openLog() error {
	format := c.text(&optLogFormat)
	if format != "text" && format != "json" {
		return fault.New("invalid log-format: " + format)
	}
	l := &logger{fd: 2, json: format == "json", debug: c.on(&optDebug), now: time.Now}
	name, _ := c.given(&optLog)
	if name == "" {
		l.terminal = !l.json && isTerminal(2)
		c.log = l
		return nil
	}
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOCTTY, 0o644)
	if err != nil {
		return &fault.Error{Msg: "cannot open the log file", Call: "open " + name, Err: err}
	}
	l.fd, l.file = fd, true
	c.log = l
	return nil
}

// record is the library's logs.Logger.
func (l *logger) record(level logs.Level, msg string, fields ...logs.Field) {
	if level < logs.Warning && !l.debug {
		return
	}
	l.write(l.format(level, msg, fields))
}

// warn is for what the command line itself has to warn about.
func (l *logger) warn(msg string) { l.record(logs.Warning, msg) }

// failed reports the error that ends the command.
func (l *logger) failed(err error) {
	msg := err.Error()
	var line []byte
	switch {
	case l.json:
		line = l.jsonError(msg, err)
	default:
		line = l.format(logs.Error, msg, nil)
	}
	l.write(line)
	if l.file {
		writeAll(2, append([]byte(msg), '\n'))
	}
}

func (l *logger) write(line []byte) { writeAll(l.fd, line) }

// writeAll writes as much as can be written: a log that is full must not end a
// container's creation.
func writeAll(fd int, b []byte) { _ = sys.WriteAll(fd, b) }

func (l *logger) format(level logs.Level, msg string, fields []logs.Field) []byte {
	switch {
	case l.json:
		j := l.open(level, msg)
		for _, f := range fields {
			field(j, f)
		}
		return j.End()
	case l.terminal:
		return forPeople(level, msg, fields)
	}
	b := append(make([]byte, 0, 256), `time="`...)
	b = l.now().AppendFormat(b, time.RFC3339)
	b = append(b, `" level=`...)
	b = append(b, level.String()...)
	b = append(b, " msg="...)
	b = appendWord(b, msg)
	for _, f := range fields {
		b = append(append(append(b, ' '), f.Name...), '=')
		b = appendWord(b, fieldText(f))
	}
	return append(b, '\n')
}

// forPeople is a record on a terminal: who speaks, and what the matter is.
func forPeople(level logs.Level, msg string, fields []logs.Field) []byte {
	if line, ok := stepLine(msg, fields); ok {
		return line
	}
	b := make([]byte, 0, 256)
	if !strings.HasPrefix(msg, "berth") {
		b = append(b, "berth: "...)
	}
	switch level {
	case logs.Warning:
		b = append(b, "warning: "...)
	case logs.Debug:
		b = append(b, "debug: "...)
	}
	b = append(b, msg...)
	for _, f := range fields {
		b = append(append(append(b, ", "...), f.Name...), ' ')
		b = append(b, fieldText(f)...)
	}
	return append(b, '\n')
}

// stepLine is the record of a step that was run, in columns: number, phase,
// microseconds, why, call = result.
func stepLine(msg string, fields []logs.Field) ([]byte, bool) {
	var step, phase, call, result, ns string
	for _, f := range fields {
		switch f.Name {
		case "step":
			step = fieldText(f)
		case "phase":
			phase = fieldText(f)
		case "call":
			call = fieldText(f)
		case "result":
			result = fieldText(f)
		case "ns":
			ns = fieldText(f)
		}
	}
	why, ok := strings.CutPrefix(msg, "step "+step+" ")
	if !ok || phase == "" {
		return nil, false
	}
	n, _ := strconv.ParseInt(ns, 10, 64)
	us := strconv.FormatInt((n+500)/1000, 10)
	right := func(s string, n int) string { return strings.Repeat(" ", max(n-len(s), 0)) + s }
	return []byte(right(step, 5) + "  " + pad(phase, 8) + right(us, 6) + " µs  " + why + ": " + call + " = " + result + "\n"), true
}

func fieldText(f logs.Field) string {
	switch v := f.Value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return "?"
}

// appendWord quotes what would not be read back as one word.
func appendWord(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '/', c == '@', c == '^', c == '+':
		default:
			return strconv.AppendQuote(b, s)
		}
	}
	return append(b, s...)
}

// open begins a JSON record with what runc's records have.
func (l *logger) open(level logs.Level, msg string) *jsonw.Writer {
	j := jsonw.New("")
	j.Begin('{')
	j.Key("level").Str(level.String())
	j.Key("msg").Str(msg)
	j.Key("time").Str(l.now().Format(time.RFC3339))
	return j
}

func field(j *jsonw.Writer, f logs.Field) {
	j.Key(f.Name)
	switch v := f.Value.(type) {
	case bool:
		j.Raw(strconv.FormatBool(v))
	case int, int64, uint64:
		j.Raw(fieldText(f))
	default:
		j.Str(fieldText(f))
	}
}

// jsonError is the record of an error with all that it knows: step, path, pos,
// call, errno and hint; where there are several, each in the array errors.
func (l *logger) jsonError(msg string, err error) []byte {
	j := l.open(logs.Error, msg)
	var list fault.List
	if errors.As(err, &list) {
		j.Key("errors").Begin('[')
		for _, e := range list {
			j.Item().Begin('{')
			j.Key("msg").Str(e.Error())
			details(j, e)
			j.Close('}')
		}
		j.Close(']')
	} else {
		details(j, err)
	}
	return j.End()
}

// details writes each property of the error, or of the cause that has it.
func details(j *jsonw.Writer, err error) {
	d := flatten(err)
	if d.Step != 0 {
		j.Key("step").Int(d.Step)
	}
	for _, p := range [...]struct{ name, text string }{
		{"path", d.JSONPath},
		{"pos", d.Pos},
		{"call", d.Call},
	} {
		if p.text != "" {
			j.Key(p.name).Str(p.text)
		}
	}
	if d.Errno != 0 {
		name := unix.ErrnoName(d.Errno)
		if name == "" {
			name = strconv.Itoa(int(d.Errno))
		}
		j.Key("errno").Str(name)
	}
	if d.Hint != "" {
		j.Key("hint").Str(d.Hint)
	}
}

// flatten gathers the properties of an error and its causes; the outermost that
// has one counts.
func flatten(err error) fault.Error {
	var d fault.Error
	for ; err != nil; err = errors.Unwrap(err) {
		var no unix.Errno
		if n, ok := err.(unix.Errno); ok && d.Errno == 0 {
			no = n
		}
		e, ok := err.(*fault.Error)
		if !ok {
			d.Errno = max(d.Errno, no)
			continue
		}
		if d.Step == 0 {
			d.Step = e.Step
		}
		if d.Errno == 0 {
			d.Errno = e.Errno
		}
		first(&d.JSONPath, e.JSONPath)
		first(&d.Pos, e.Pos)
		first(&d.Call, e.Call)
		first(&d.Hint, e.Hint)
	}
	return d
}

func first(to *string, s string) {
	if *to == "" {
		*to = s
	}
}

func faultStep(err error) int {
	d := flatten(err)
	return d.Step
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}
