package main

import (
	"strings"
	"testing"
)

const head = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: said by A\n"}
`

const (
	passed  = head + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n"
	failed  = head + `{"Action":"fail","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
	skipped = passed + `{"Action":"output","Package":"p","Test":"TestB/x y","Output":"    b_test.go:9: needs root\n"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestB/x y","Output":"--- SKIP: TestB/x_y (0.00s)\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestB/x y"}` + "\n"
)

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		in, skips string
		strict    bool
		good      bool
		says, not string
	}{
		"passes":               {passed, "", true, true, "ok  \tp", "said by A"},
		"fails":                {failed, "", false, false, "said by A", "not expected"},
		"build fails":          {`{"Action":"build-output","Output":"syntax\n"}` + "\n" + `{"Action":"build-fail"}` + "\n" + passed, "", false, false, "syntax", "x!"},
		"nothing ran":          {`{"Action":"start","Package":"p"}`, "", false, false, "no test has passed", "x!"},
		"package fails":        {passed + `{"Action":"fail","Package":"p"}`, "", false, false, "ok", "x!"},
		"skip, unlisted":       {skipped, "", true, false, "FAIL\t1 tests were skipped", "x!"},
		"skip, unlisted, lax":  {skipped, "", false, true, "skipped, not expected: p TestB/x y: b_test.go:9: needs root", "FAIL"},
		"skip, listed":         {skipped, "p TestB/.* needs root # why", true, true, "skipped, p TestB/x y", "not expected"},
		"skip, other reason":   {skipped, "p TestB/.* needs a tty", true, false, "not expected", "x!"},
		"skip, other package":  {skipped, "q TestB/.* needs root", true, false, "not expected", "x!"},
		"skip, part of a name": {skipped, "p TestB needs root", true, false, "not expected", "x!"},
		"list is stale":        {passed, "p TestC why", true, true, "expected to be skipped, and was not: p TestC why", "x!"},
		"not JSON":             {"# berth/x\n" + passed, "", true, true, "# berth/x", "x!"},
	} {
		t.Run(name, func(t *testing.T) {
			skips, err := parse(c.skips)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if good := report(strings.NewReader(c.in), &out, skips, c.strict); good != c.good {
				t.Errorf("good %v, want %v", good, c.good)
			}
			if !strings.Contains(out.String(), c.says) || strings.Contains(out.String(), c.not) {
				t.Errorf("says\n%s", out.String())
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"p", "p t", "p ( why", "p t ("} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if l, err := parse("# all a comment\n\n  \n"); len(l) != 0 || err != nil {
		t.Errorf("%v, %v", l, err)
	}
}
