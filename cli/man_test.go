package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The man pages are made from the table of commands: `make man` runs this test
// with -update, and without it the test sees that they are current.

const manDir = "../man"

// roff escapes text for a man page.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// paragraphs sets running text: indented lines are examples, a blank line ends a
// paragraph.
func paragraphs(b *strings.Builder, s string) {
	example := false
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		indented := strings.HasPrefix(line, "    ")
		switch {
		case indented && !example:
			b.WriteString(".PP\n.nf\n.RS\n")
		case !indented && example && line != "":
			b.WriteString(".RE\n.fi\n")
		}
		if line != "" {
			example = indented
		}
		switch {
		case line == "" && !example:
			b.WriteString(".PP\n")
		case line != "":
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
	}
	if example {
		b.WriteString(".RE\n.fi\n")
	}
}

// placeholder takes the word in backquotes out of a usage line, as urfave/cli does.
func placeholder(usage string) (clean, word string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return usage, ""
	}
	word, after, _ := strings.Cut(rest, "`")
	return before + word + after, word
}

func manOptions(b *strings.Builder, title string, list []*option) {
	first := true
	for _, o := range list {
		if first {
			b.WriteString(".SH " + title + "\n")
			first = false
		}
		usage, word := placeholder(o.usage)
		name := `\fB` + roff("--"+o.name) + `\fR`
		if o.short != "" {
			name += `, \fB` + roff("-"+o.short) + `\fR`
		}
		if o.kind != toggle {
			if word == "" {
				word = "VALUE"
			}
			name += ` \fI` + roff(word) + `\fR`
		}
		b.WriteString(".TP\n" + name + "\n" + roff(usage) + ".\n")
	}
}

func manHead(b *strings.Builder, name, usage string) {
	b.WriteString(".\\\" Made from the table of commands in cli/: do not edit.\n")
	b.WriteString(".TH " + strings.ToUpper(strings.ReplaceAll(name, " ", "-")) + " 8 \"\" berth \"System Administration\"\n")
	b.WriteString(".SH NAME\n" + roff(strings.ReplaceAll(name, " ", "-")) + ` \- ` + roff(usage) + "\n")
}

// manCommand is the page of one command.
func manCommand(name string, c *command) string {
	var b strings.Builder
	manHead(&b, name, c.usage)
	b.WriteString(".SH SYNOPSIS\n" + `\fB` + roff(name) + `\fR [\fIoptions\fR] ` + roff(c.args) + "\n")
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, c.about)
	manOptions(&b, "OPTIONS", c.options)
	b.WriteString(".SH SEE ALSO\n.BR berth (8)\n")
	return b.String()
}

// manMain is berth(8).
func manMain() string {
	var b strings.Builder
	manHead(&b, "berth", "run containers")
	b.WriteString(".SH SYNOPSIS\n" + `\fBberth\fR [\fIglobal options\fR] \fIcommand\fR [\fIoptions\fR] [\fIarguments\fR]` + "\n")
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, about)
	b.WriteString(".SH COMMANDS\n")
	each(func(name string, c *command) {
		b.WriteString(".TP\n.BR " + roff(strings.ReplaceAll(name, " ", "-")) + " (8)\n" + roff(c.usage) + ".\n")
	})
	manOptions(&b, "GLOBAL OPTIONS", globals)
	b.WriteString(`.SH EXIT STATUS
0 when all went well, 1 when Berth failed; with
.B run
and
.B try
in the foreground that of the container's process, or 128 and the number of the
signal that ended it.
.SH ERRORS
An error is one line on standard error, and with
.B \-\-log
a record in that file. In the JSON format the record has, beside level, msg and
time, what is known of: step (the number of the step of the container's program,
as
.B explain
counts), path (the property in config.json), pos (line:column there), call,
errno, hint, and errors (where there are several).
.SH FILES
.TP
.I /run/berth
the state of root's containers; of an ordinary user's:
.IR $XDG_RUNTIME_DIR/berth .
A directory a container: the record state.json, a copy of config.json, the
journal of what delete undoes, and until start the FIFO exec.fifo.
.TP
.I /var/cache/berth
root file systems that
.B try
made of the host's programs; of an ordinary user's:
.IR $XDG_CACHE_HOME/berth .
.SH SEE ALSO
.BR namespaces (7),
.BR cgroups (7),
.BR capabilities (7)
`)
	return b.String()
}

// each visits all commands that do something.
func each(f func(name string, c *command)) {
	for _, c := range commands {
		if c.run != nil {
			f("berth "+c.name, c)
		}
		for _, child := range c.children {
			f("berth "+c.name+" "+child.name, child)
		}
	}
}

func TestManPages(t *testing.T) {
	pages := map[string]string{"berth.8": manMain()}
	each(func(name string, c *command) { pages[strings.ReplaceAll(name, " ", "-")+".8"] = manCommand(name, c) })
	have, err := filepath.Glob(manDir + "/*.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range have {
		if pages[filepath.Base(p)] == "" {
			t.Errorf("%s is no command's page", p)
		}
	}
	for name, want := range pages {
		file := filepath.Join(manDir, name)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s is not current: run make man (%v)", file, err)
		}
	}
}
