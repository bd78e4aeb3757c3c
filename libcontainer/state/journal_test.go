package state

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"berth/libcontainer/sys"
)

func open(t *testing.T, d *Dir) *Journal {
	t.Helper()
	j, err := d.Journal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// patience is what tests have.
func patience(t *testing.T) *sys.Patience { return sys.NewPatience(t.Context(), 5*time.Second, nil) }

// book records what is undone, and in which order.
type book struct {
	order []string
	fail  map[string]bool
}

// kinds are made-up kinds that write into the book; "hook" is due last.
func (b *book) kinds(names ...string) []Kind {
	var all []Kind
	for _, name := range names {
		all = append(all, Kind{Name: name, Last: name == "hook", Undo: func(_ *sys.Patience, args []string) error {
			b.order = append(b.order, name+" "+strings.Join(args, " "))
			if b.fail[name] {
				return errors.New("no " + name)
			}
			return nil
		}})
	}
	return all
}

func TestJournalUndo(t *testing.T) {
	_, d := newDir(t)
	j := open(t, d)
	entries := []Entry{
		{"cgroup", []string{"/c/parent"}},
		{"hook", []string{"poststop"}},
		{"cgroup", []string{"/c/leaf", "/tmp/a\n\"b\"\t\\"}},
		ProcessEntry(12, 1<<63),
		{Kind: "unit", Args: []string{}},
	}
	if err := j.Note(entries[0], entries[1]); err != nil {
		t.Fatal(err)
	}
	if err := j.Note(); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries[2:] {
		if err := j.Note(e); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := open(t, d).Entries(); err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("%v %v", got, err)
	}

	// What fails is tried again, in the same order; what worked is not.
	b := &book{fail: map[string]bool{"hook": true, "cgroup": true}}
	kinds := b.kinds("cgroup", "hook", "process", "unit")
	err := j.Undo(patience(t), kinds)
	want := []string{"unit ", "process 12 9223372036854775808", "cgroup " + strings.Join(entries[2].Args, " "), "cgroup /c/parent", "hook poststop"}
	if !reflect.DeepEqual(b.order, want) {
		t.Errorf("order %q", b.order)
	}
	if err == nil || strings.Count(err.Error(), "no ") != 3 || !strings.Contains(err.Error(), "no hook") {
		t.Errorf("errors: %v", err)
	}
	if got, err := open(t, d).Entries(); err != nil || !reflect.DeepEqual(got, entries[:3]) {
		t.Errorf("left: %v %v", got, err)
	}
	b.order, b.fail = nil, nil
	if err := j.Undo(patience(t), kinds); err != nil || len(b.order) != 3 || b.order[2] != "hook poststop" {
		t.Errorf("again: %v %q", err, b.order)
	}
	b.order = nil
	if err := j.Undo(patience(t), kinds); err != nil || b.order != nil {
		t.Errorf("a third time: %v %q", err, b.order)
	}
	// The journal goes on to work.
	if err := j.Note(entries[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Entries(); err != nil || len(got) != 1 {
		t.Errorf("after all: %v %v", got, err)
	}
	// What nobody knows to undo is kept, and said.
	if err := j.Undo(patience(t), nil); err == nil || !strings.Contains(err.Error(), `unknown kind "cgroup"`) {
		t.Errorf("an unknown kind: %v", err)
	}
	if got, err := j.Entries(); err != nil || len(got) != 1 {
		t.Errorf("of an unknown kind: %v %v", got, err)
	}
}

// Wherever a write is cut off, the entries before it are read, and the next one
// is whole.
func TestTornJournal(t *testing.T) {
	_, d := newDir(t)
	whole := encodeEntries([]Entry{fileEntry("/a"), fileEntry("/b")})
	first := len(encodeEntries([]Entry{fileEntry("/a")}))
	for cut := 0; cut <= len(whole); cut++ {
		if err := os.WriteFile(d.Path()+"/journal", whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		if cut >= first {
			want++
		}
		if cut == len(whole) {
			want++
		}
		j := open(t, d)
		if got, err := j.Entries(); err != nil || len(got) != want {
			t.Fatalf("cut at %d: %v %v", cut, got, err)
		}
		if err := j.Note(fileEntry("/c")); err != nil {
			t.Fatal(err)
		}
		got, err := j.Entries()
		if err != nil || len(got) != want+1 || got[want].Args[0] != "/c" {
			t.Fatalf("cut at %d, then noted: %v %v", cut, got, err)
		}
	}
}

func TestDamagedJournal(t *testing.T) {
	_, d := newDir(t)
	if err := os.WriteFile(d.Path()+"/journal", []byte("[\"file\",\"/a\"]\nrubbish\n[]\n[\"n\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b book
	err := open(t, d).Undo(patience(t), b.kinds("n", "file"))
	if undone := b.order; !reflect.DeepEqual(undone, []string{"n ", "file /a"}) || err == nil ||
		!strings.Contains(err.Error(), "journal line 2") || !strings.Contains(err.Error(), "journal line 3") {
		t.Errorf("undone %q, error %v", b.order, err)
	}
}

// Whatever a killed process had noted is in the journal.
func TestKilledWriter(t *testing.T) {
	s, d := newDir(t)
	if err := d.Unlock(); err != nil {
		t.Fatal(err)
	}
	cmd, out := begin(t, "note", s, "one")
	time.Sleep(20 * time.Millisecond)
	cmd.Process.Kill()
	noted := 0
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			break
		}
		fmt.Sscan(line, &noted)
	}
	cmd.Wait()
	got, err := open(t, d).Entries()
	if err != nil || len(got) <= noted {
		t.Errorf("%d entries, %d noted, %v", len(got), noted+1, err)
	}
	for i, e := range got {
		if e.Args[0] != fmt.Sprint(i) || len(e.Args[1]) != 3000 {
			t.Fatalf("entry %d is %v", i, e)
		}
	}
}

func TestUndoProcess(t *testing.T) {
	cmd, _ := begin(t, "sleep", Open(t.TempDir()), "x")
	start := must(StartTime(cmd.Process.Pid))
	undo := func(e Entry) error { return ProcessKind.Undo(patience(t), e.Args) }
	if err := undo(ProcessEntry(cmd.Process.Pid, start+1)); err != nil {
		t.Error(err)
	}
	if p, err := OpenProcess(cmd.Process.Pid, start); err != nil {
		t.Error("another process was killed: ", err)
	} else {
		p.Close()
	}
	for range 2 {
		if err := undo(ProcessEntry(cmd.Process.Pid, start)); err != nil {
			t.Error(err)
		}
	}
	if _, err := OpenProcess(cmd.Process.Pid, start); err != ErrGone {
		t.Errorf("it lives: %v", err)
	}
	for _, args := range [][]string{{}, {"x", "1"}, {"1", "x"}} {
		if err := ProcessKind.Undo(patience(t), args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
