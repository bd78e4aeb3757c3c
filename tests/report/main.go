// Report reads what `go test -json` writes and prints what `go test` would, with
// the reason of every test that was skipped. With -strict a skip that is not on the
// list is a failure: a run in which half of the tests found nothing to stand on must
// not look like one that passed.
//
//	go test -json ./... | go run ./tests/report [-strict] [-skips FILE]
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strings"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

// skip is one line of the list: tests of a package whose name and reason fit.
type skip struct {
	pkg          string
	test, reason *regexp.Regexp
	line         string
	used         bool
}

func main() {
	strict := flag.Bool("strict", false, "a skip that is not on the list is a failure")
	list := flag.String("skips", "tests/report/skips.txt", "the list of expected skips")
	flag.Parse()
	text, err := os.ReadFile(*list)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	skips, err := parse(string(text))
	if err != nil {
		fmt.Fprintln(os.Stderr, *list+":", err)
		os.Exit(2)
	}
	if !report(os.Stdin, os.Stdout, skips, *strict) {
		os.Exit(1)
	}
}

// parse reads the list: a package, a regular expression for the test's name, one
// for the reason; a # begins a comment.
func parse(text string) ([]*skip, error) {
	var all []*skip
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if f[0] == "" {
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("line %d: want a package, a test and a reason", n+1)
		}
		test, err := regexp.Compile("^(?:" + f[1] + ")$")
		if err != nil {
			return nil, fmt.Errorf("line %d: %v", n+1, err)
		}
		reason, err := regexp.Compile(strings.TrimSpace(f[2]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %v", n+1, err)
		}
		all = append(all, &skip{pkg: f[0], test: test, reason: reason, line: strings.TrimSpace(line)})
	}
	return all, nil
}

// key names a test.
type key struct{ pkg, test string }

// report prints, and says whether all is well.
func report(in io.Reader, out io.Writer, skips []*skip, strict bool) bool {
	said := map[key]*strings.Builder{}
	var skipped []key
	good, any := true, false
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // not of a test: go's own words
			continue
		}
		k := key{e.Package, e.Test}
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "":
			fmt.Fprint(out, e.Output)
		case e.Action == "output":
			if said[k] == nil {
				said[k] = &strings.Builder{}
			}
			said[k].WriteString(e.Output)
		case e.Action == "build-fail":
			good = false
		case e.Action == "fail":
			good = false
			if e.Test != "" {
				fmt.Fprint(out, said[k])
			}
			delete(said, k)
		case e.Action == "pass":
			any = any || e.Test != ""
			delete(said, k)
		case e.Action == "skip" && e.Test != "":
			skipped = append(skipped, k)
		}
	}
	if lines.Err() != nil {
		fmt.Fprintln(out, lines.Err())
		return false
	}
	if !any {
		fmt.Fprintln(out, "no test has passed")
		good = false
	}
	return skippedFit(out, skipped, said, skips, strict) && good
}

// reason is what a test said when it was skipped: the last line but one, without
// the place in the source.
func reason(said *strings.Builder) string {
	if said == nil {
		return ""
	}
	var words []string
	for _, line := range strings.Split(said.String(), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

func skippedFit(out io.Writer, skipped []key, said map[key]*strings.Builder, skips []*skip, strict bool) bool {
	sort.Slice(skipped, func(i, j int) bool {
		return skipped[i].pkg+" "+skipped[i].test < skipped[j].pkg+" "+skipped[j].test
	})
	unexpected := 0
	for _, k := range skipped {
		why, mark := reason(said[k]), "not expected: "
		for _, s := range skips {
			if s.pkg == k.pkg && s.test.MatchString(k.test) && s.reason.MatchString(why) {
				s.used, mark = true, ""
				break
			}
		}
		if mark != "" {
			unexpected++
		}
		fmt.Fprintf(out, "skipped, %s%s %s: %s\n", mark, k.pkg, k.test, why)
	}
	if !strict {
		return true
	}
	for _, s := range skips {
		if !s.used {
			fmt.Fprintln(out, "expected to be skipped, and was not:", s.line)
		}
	}
	if unexpected > 0 {
		fmt.Fprintf(out, "FAIL\t%d tests were skipped that are not on the list of what this machine can not run\n", unexpected)
	}
	return unexpected == 0
}
