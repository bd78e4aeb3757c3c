package cli

import (
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/jsonw"
)

var (
	optFormat = option{name: "format", short: "f", value: "table", usage: "print a `table` or json"}
	optQuiet  = option{name: "quiet", short: "q", kind: toggle, usage: "print ids alone"}
)

var listCommand = command{
	name:    "list",
	usage:   "list the containers below --root",
	options: []*option{&optFormat, &optQuiet},
	run: func(c *call) (int, error) {
		rt, err := c.runtime()
		if err != nil {
			return 1, err
		}
		if _, named := c.given(&optRoot); named {
			// The default one comes with the first container; one that somebody named
			// and that is not there is a mistake.
			if _, err := os.Stat(rt.Root); err != nil {
				return 1, fault.Wrap("cannot list containers", err)
			}
		}
		all, err := rt.List()
		if err != nil {
			return 1, err
		}
		var out []byte
		switch format := c.text(&optFormat); {
		case c.on(&optQuiet):
			for i := range all {
				out = append(append(out, all[i].ID...), '\n')
			}
		case format == "table":
			out = listTable(all)
		case format == "json":
			out = listJSON(all)
		default:
			return 1, fault.New("invalid format option")
		}
		_, err = os.Stdout.Write(out)
		return 0, err
	},
}

// listJSON is one line; without containers it says null, as runc's.
func listJSON(all []libcontainer.State) []byte {
	if len(all) == 0 {
		return []byte("null\n")
	}
	j := jsonw.New("")
	j.Begin('[')
	for i := range all {
		all[i].AppendTo(j.Item())
	}
	j.Close(']')
	return append(j.Buf, '\n')
}

func listTable(all []libcontainer.State) []byte {
	rows := make([][]string, 1, len(all)+1)
	rows[0] = []string{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}
	for i := range all {
		s := &all[i]
		rows = append(rows, []string{s.ID, strconv.Itoa(s.Pid), s.Status, printable(s.Bundle), s.Created.Format(time.RFC3339Nano), s.Owner})
	}
	return table(rows)
}

// printable keeps the name of a directory, which may hold anything, in its row.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
}

// table aligns columns as runc's tables are: at least twelve wide, three spaces
// between them, nothing behind the last.
func table(rows [][]string) []byte {
	const least, gap = 12, 3
	var widths []int
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			if i == len(widths) {
				widths = append(widths, least)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell)+gap)
		}
	}
	var out []byte
	for _, row := range rows {
		last := len(row) - 1
		for i, cell := range row[:last] {
			out = append(out, cell...)
			for range widths[i] - utf8.RuneCountInString(cell) {
				out = append(out, ' ')
			}
		}
		out = append(append(out, row[last]...), '\n')
	}
	return out
}
