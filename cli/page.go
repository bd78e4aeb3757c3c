package cli

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// page lays out what people read: columns that fit the terminal, and a little
// weight where there is a terminal that can show it.
type page struct {
	b      strings.Builder
	width  int
	colour bool
	fixups bool
}

// The width is the terminal's, within what can still be read; where there is no
// terminal, so that a file looks the same whoever made it, it is defaultWidth.
const (
	defaultWidth = 120
	leastWidth   = 80
	mostWidth    = 160
)

func newPage(fd int, getenv func(string) string) *page {
	p := &page{width: defaultWidth}
	if !isTerminal(fd) {
		return p
	}
	if ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && ws.Col > 0 {
		p.width = min(max(int(ws.Col), leastWidth), mostWidth)
	}
	// https://no-color.org: any value but the empty one.
	p.colour = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	return p
}

// The two weights beside the plain one.
const (
	bold = "\x1b[1m"
	dim  = "\x1b[2m"
)

func (p *page) styled(style, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return style + s + "\x1b[0m"
}

// line writes one line.
func (p *page) line(parts ...string) {
	for _, s := range parts {
		p.b.WriteString(s)
	}
	p.b.WriteByte('\n')
}

// pad fills s with blanks up to n columns.
func pad(s string, n int) string {
	if w := utf8.RuneCountInString(s); w < n {
		return s + strings.Repeat(" ", n-w)
	}
	return s
}

// columns writes two texts side by side: left from where head ends, right from
// column `at` on. Both go on in the next lines where they do not fit.
func (p *page) columns(head, left string, at int, right string) {
	indent := utf8.RuneCountInString(head)
	l := wrap(left, at-indent-2)
	r := wrap(right, p.width-at)
	for i := range max(len(l), len(r)) {
		line := head
		if i > 0 {
			line = strings.Repeat(" ", indent)
		}
		if i < len(l) {
			line += l[i]
		}
		if i < len(r) && r[i] != "" {
			line = pad(line, at) + p.styled(dim, r[i])
		}
		p.line(line)
	}
}

// paragraph writes text from where head ends, as many lines as it takes.
func (p *page) paragraph(head, text string) {
	indent := utf8.RuneCountInString(head)
	for i, l := range wrap(text, p.width-indent) {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		p.line(head, l)
	}
}

// wrap breaks text into lines of at most n columns, all but the first set in by
// two: at blanks, or where those are far off behind the bars of flags. What can't be
// broken stays whole.
func wrap(text string, n int) []string {
	text = strings.TrimRight(text, " ")
	var lines []string
	in := ""
	for utf8.RuneCountInString(text) > n-len(in) {
		cut := breakAt(text, n-len(in))
		if cut <= 0 {
			break
		}
		lines = append(lines, in+strings.TrimRight(text[:cut], " "))
		text = text[cut:]
		in = "  "
	}
	return append(lines, in+text)
}

// breakAt is where a text that is too long ends its line; 0 where it can't.
func breakAt(text string, n int) int {
	blank, bar, columns := 0, 0, 0
	for i, r := range text {
		if columns > n && blank+bar > 0 {
			break
		}
		if r == ' ' && i > 0 {
			blank = i + 1 // the blank itself need not fit
		}
		columns++
		if r == '|' && i+1 < len(text) && (columns <= n || blank+bar == 0) {
			bar = i + 1
		}
	}
	if blank < n/2 && bar > blank {
		return bar
	}
	return blank
}
