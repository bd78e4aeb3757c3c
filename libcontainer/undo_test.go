package libcontainer

import (
	"errors"
	"os"
	"testing"

	"berth/libcontainer/fault"
	"berth/libcontainer/state"
)

// TestUndoThatFails: what a failed create could not undo is not forgotten.
func TestUndoThatFails(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	stubborn := t.TempDir() + "/file"
	if err := os.Mkdir(stubborn, 0o700); err != nil { // unlink(2) takes no directory
		t.Fatal(err)
	}
	d, err := r.store().Create("one")
	if err != nil {
		t.Fatal(err)
	}
	j, err := d.Journal()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Note(state.FileEntry(stubborn)); err != nil {
		t.Fatal(err)
	}
	c := &creation{rt: r, dir: d, journal: j, startFIFO: -1, master: -1}
	cause := fault.New("the cause")
	if err := c.undo(cause); err != cause {
		t.Errorf("%v, not the cause", err)
	}
	c.close()
	if err := r.Delete("one", false); err == nil {
		t.Error("delete says that all is undone")
	}
	if err := os.Remove(stubborn); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete("one", false); err != nil {
		t.Errorf("delete with the obstacle gone: %v", err)
	}
	if err := r.Delete("one", false); !errors.Is(err, state.ErrNotExist) {
		t.Errorf("%v, not gone", err)
	}
}
