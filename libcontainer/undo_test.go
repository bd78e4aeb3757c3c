package libcontainer

import (
	"errors"
	"testing"

	"berth/libcontainer/fault"
	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// TestUndoThatFails: what a failed create could not undo is not forgotten.
func TestUndoThatFails(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	d, err := r.store().Create("one")
	if err != nil {
		t.Fatal(err)
	}
	j, err := d.Journal()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Note(state.Entry{Kind: "stubborn"}); err != nil {
		t.Fatal(err)
	}
	c := &creation{rt: r, dir: d, journal: j, startFIFO: -1, Process: &Process{master: -1}}
	cause := fault.New("the cause")
	if err := c.undo(cause); err != cause {
		t.Errorf("%v, not the cause", err)
	}
	c.close()
	if err := remove(t, r, "one"); err == nil {
		t.Error("delete says that all is undone")
	}
	known := kinds
	t.Cleanup(func() { kinds = known })
	kinds = append(known[:len(known):len(known)], state.Kind{Name: "stubborn", Undo: func(*sys.Patience, []string) error { return nil }})
	if err := remove(t, r, "one"); err != nil {
		t.Errorf("delete with the obstacle gone: %v", err)
	}
	if err := remove(t, r, "one"); !errors.Is(err, state.ErrNotExist) {
		t.Errorf("%v, not gone", err)
	}
}

// remove deletes a container as the command does.
func remove(t *testing.T, r *Runtime, id string) error {
	t.Helper()
	c, err := r.Open(id)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Delete(t.Context(), false)
}
