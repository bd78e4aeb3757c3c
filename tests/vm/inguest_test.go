package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"berth/tests/vm/guest"
)

// inGuest are tests of other packages that `make test` runs in the guest, too. A run
// in which nothing passes is a failure.
var inGuest = []inGuestRow{
	{pkg: "./libcontainer/cgroups", cgroups: guest.V2},
	{pkg: "./libcontainer/host", cgroups: guest.V2},
	{pkg: "./libcontainer/host", cgroups: guest.V2, user: true},
	{pkg: "./tests/integration", run: "^(TestAppArmor|TestScheduling)", cgroups: guest.V2},
	// What cgroups have a part in: made by Berth, by systemd, and by an ordinary user's.
	{pkg: "./tests/integration", run: ofCgroups, cgroups: guest.V2},
	{pkg: "./tests/integration", run: "^(" + ofCgroups + "|TestScope)", cgroups: guest.V2, env: []string{"CGROUP_MANAGER=systemd"}},
	{pkg: "./tests/integration", run: "^TestOrdinaryUsers", cgroups: guest.V2, user: true},
	{pkg: "./tests/integration", run: "^(TestScope|TestLimits$|TestPauseA)", skip: "EveryPoint", cgroups: guest.V1, env: []string{"CGROUP_MANAGER=systemd"}},
}

// ofCgroups are the tests of containers to which it matters what cgroups there are.
const ofCgroups = "TestLimits|TestCgroup|TestUpdate|TestPause|TestResume|TestKillOf|TestStartOfAP|TestDeviceR|TestDevicePr|" +
	"TestEvents|TestExecCgroup|TestNamespacesAreU|TestHostsSys|TestCreateUnder|TestSecond|TestPs|TestUnified|TestNotInV2|" +
	"TestNoInternal|TestNotMade|TestThreaded|TestQuota|TestNested"

// TestInGuest compiles the tests of a package here and runs them there, each row in
// the guest that the other tests of this package use. What each of them says is what
// its subtest here says.
func TestInGuest(t *testing.T) {
	for _, row := range inGuest {
		who := "root"
		if row.user {
			who = "user"
		}
		t.Run(strings.TrimPrefix(row.pkg, "./")+" "+string(row.cgroups)+" "+who, func(t *testing.T) {
			results, err := row.attempt(t)
			if err != nil {
				// An emulated kernel crashes or hangs now and then, whatever it is asked to do.
				// What makes it do so each time is a failure.
				t.Logf("once more in another guest: %v", err)
				_ = guests[row.cgroups].Stop()
				guests[row.cgroups] = nil
				results, err = row.attempt(t)
			}
			if err != nil {
				t.Fatal(err)
			}
			results.report(t)
			if results.passed == 0 {
				t.Errorf("no test has passed")
			}
		})
	}
}

// inGuestRow is one run of a package's tests.
type inGuestRow struct {
	pkg string
	// run and skip are patterns for the tests' names; run "" is all of them.
	run, skip string
	cgroups   guest.Cgroups
	user      bool
	env       []string
}

// attempt makes the run. The error is about the guest.
func (row *inGuestRow) attempt(t *testing.T) (*result, error) {
	t.Helper()
	g := boot(t, row.cgroups)
	c, err := g.TestCommand(t.Context(), moduleTop(t), row.pkg, "-test.v=test2json", "-test.run="+row.run, "-test.skip="+row.skip, "-test.timeout=20m")
	if err != nil {
		return nil, err
	}
	c.User, c.Env = row.user, append(c.Env, row.env...)
	return resultsIn(t, g, c)
}

func moduleTop(t *testing.T) string {
	t.Helper()
	dir, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// result is a test that ran in the guest, with its subtests.
type result struct {
	name, action string
	output       strings.Builder
	sub          []*result
	passed       int
}

// resultsIn runs a test binary in the guest and reads its results.
func resultsIn(t *testing.T, g *guest.Guest, c guest.Command) (*result, error) {
	t.Helper()
	convert := exec.CommandContext(t.Context(), "go", "tool", "test2json")
	in, err := convert.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	events, err := convert.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := convert.Start(); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	both := io.MultiWriter(in, &raw)
	c.Stdout, c.Stderr = both, both
	// Several times what it takes on a loaded machine.
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	ran := make(chan error, 1)
	var code int
	go func() {
		var err error
		code, err = g.Run(ctx, c)
		in.Close()
		ran <- err
	}()
	top := readResults(t, events)
	if err := <-ran; err != nil {
		_ = convert.Wait()
		return nil, fmt.Errorf("%w\n%s", err, raw.String())
	}
	if err := convert.Wait(); err != nil {
		t.Fatal(err)
	}
	// A binary that fails although none of its tests has: what it says is all there is.
	if code != 0 && top.action != "fail" || code != 0 && len(top.sub) == 0 {
		t.Fatalf("exit code %d\n%s", code, raw.String())
	}
	return top, nil
}

func readResults(t *testing.T, events io.Reader) *result {
	t.Helper()
	top := &result{}
	all := map[string]*result{"": top}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("test2json: %v: %s", err, lines.Text())
		}
		r := all[e.Test]
		if r == nil {
			r = &result{name: e.Test}
			all[e.Test] = r
			parent, at := top, strings.LastIndexByte(e.Test, '/')
			if at >= 0 {
				if p := all[e.Test[:at]]; p != nil {
					parent, r.name = p, e.Test[at+1:]
				}
			}
			parent.sub = append(parent.sub, r)
		}
		switch e.Action {
		case "output":
			r.output.WriteString(e.Output)
		case "pass", "fail", "skip":
			r.action = e.Action
			if e.Action == "pass" && r != top {
				top.passed++
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return top
}

// report makes a subtest of each test, which ends as that did. One that has no end
// was cut short.
func (r *result) report(t *testing.T) {
	for _, sub := range r.sub {
		t.Run(sub.name, func(t *testing.T) {
			sub.report(t)
			switch sub.action {
			case "pass":
			case "skip":
				t.Skip(reason(sub.output.String()))
			default:
				t.Errorf("in the guest:\n%s", sub.output.String())
			}
		})
	}
	if r.name == "" && r.action == "fail" && !t.Failed() {
		t.Errorf("in the guest:\n%s", r.output.String())
	}
}

// reason takes from the output of a skipped test what the test itself said.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, "\n")
}
