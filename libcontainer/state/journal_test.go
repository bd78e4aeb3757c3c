package state

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
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

func TestJournalUndo(t *testing.T) {
	_, d := newDir(t)
	j := open(t, d)
	entries := []Entry{
		CgroupEntry("/c/parent", false), CgroupEntry("/c/parent/leaf", true), FileEntry("/tmp/a\n\"b\"\t\\"),
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
	var order []string
	fail := map[string]bool{"file": true, "cgroup": true}
	undo := func(e Entry) error {
		order = append(order, e.Kind)
		if fail[e.Kind] {
			return errors.New("no " + e.Kind)
		}
		return nil
	}
	err := j.Undo(undo)
	if want := []string{"unit", "process", "file", "cgroup", "cgroup"}; !reflect.DeepEqual(order, want) {
		t.Errorf("order %v", order)
	}
	if err == nil || strings.Count(err.Error(), "no ") != 3 || !strings.Contains(err.Error(), "no file") {
		t.Errorf("errors: %v", err)
	}
	if got, err := open(t, d).Entries(); err != nil || !reflect.DeepEqual(got, entries[:3]) {
		t.Errorf("left: %v %v", got, err)
	}
	order, fail = nil, nil
	if err := j.Undo(undo); err != nil || len(order) != 3 {
		t.Errorf("again: %v %v", order, err)
	}
	order = nil
	if err := j.Undo(undo); err != nil || order != nil {
		t.Errorf("a third time: %v %v", order, err)
	}
	// The journal goes on to work.
	if err := j.Note(entries[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Entries(); err != nil || len(got) != 1 {
		t.Errorf("after all: %v %v", got, err)
	}
}

// Wherever a write is cut off, the entries before it are read, and the next one
// is whole.
func TestTornJournal(t *testing.T) {
	_, d := newDir(t)
	whole := encodeEntries([]Entry{FileEntry("/a"), FileEntry("/b")})
	first := len(encodeEntries([]Entry{FileEntry("/a")}))
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
		if err := j.Note(FileEntry("/c")); err != nil {
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
	var undone []string
	err := open(t, d).Undo(func(e Entry) error { undone = append(undone, e.Kind); return nil })
	if !reflect.DeepEqual(undone, []string{"n", "file"}) || err == nil ||
		!strings.Contains(err.Error(), "journal line 2") || !strings.Contains(err.Error(), "journal line 3") {
		t.Errorf("undone %v, error %v", undone, err)
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

func TestUndoBasic(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := UndoBasic(FileEntry(dir + "/a")); err != nil {
			t.Error(err)
		}
	}
	if err := UndoBasic(FileEntry(dir)); err == nil {
		t.Error("a directory is no file")
	}

	cmd, _ := begin(t, "sleep", Open(dir), "x")
	start := must(StartTime(cmd.Process.Pid))
	if err := UndoBasic(ProcessEntry(cmd.Process.Pid, start+1)); err != nil {
		t.Error(err)
	}
	if p, err := OpenProcess(cmd.Process.Pid, start); err != nil {
		t.Error("another process was killed: ", err)
	} else {
		p.Close()
	}
	for range 2 {
		if err := UndoBasic(ProcessEntry(cmd.Process.Pid, start)); err != nil {
			t.Error(err)
		}
	}
	if _, err := OpenProcess(cmd.Process.Pid, start); err != ErrGone {
		t.Errorf("it lives: %v", err)
	}
	for _, e := range []Entry{{Kind: "unit"}, {Kind: KindFile}, {KindProcess, []string{"x", "1"}}, {KindProcess, []string{"1", "x"}}} {
		if err := UndoBasic(e); err == nil {
			t.Errorf("%v is taken", e)
		}
	}
}
