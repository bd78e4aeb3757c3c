package embed

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer"
	"berth/tests/harness"
)

// What is done to a container that runs, by handles, with errors to compare.
func TestPauseUpdateEvents(t *testing.T) {
	rt := runtime(t)
	ctx := t.Context()
	id := harness.ID(t)
	// The poller of the Go runtime has descriptors of its own, from its first use on.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	before := openFiles(t)
	c, err := rt.Create(ctx, id, &libcontainer.CreateOptions{Bundle: harness.Bundle(t, harness.Args("/bin/sleep", "1000"))})
	if err != nil {
		t.Fatal(err)
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	must("start", c.Start(ctx))
	is("resume of what runs", c.Resume(), libcontainer.ErrNotPaused)
	must("pause", c.Pause())
	is("pause again", c.Pause(), libcontainer.ErrNotRunning)
	if s, err := c.State(); err != nil || s.Status != "paused" {
		t.Errorf("%+v, %v", s, err)
	}
	limit := int64(7)
	must("update", c.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}))
	s, err := c.Stats()
	must("stats", err)
	if s.Pids.Limit != 7 || s.Pids.Current != 1 {
		t.Errorf("pids: %+v", s.Pids)
	}
	must("resume", c.Resume())
	if pids, err := c.Processes(); err != nil || !slices.Equal(pids, []int{c.Process().Pid()}) {
		t.Errorf("%v, %v", pids, err)
	}

	// Events end with their context, with what they are told to, and with the container.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	told := 0
	is("a context that ends", c.Events(short, 10*time.Millisecond, func(e *libcontainer.Event) error { told++; return nil }), context.DeadlineExceeded)
	if told == 0 || told > 5 {
		t.Errorf("told %d times in 50 ms", told)
	}
	enough := errors.New("enough")
	is("enough", c.Events(ctx, time.Millisecond, func(*libcontainer.Event) error { return enough }), enough)
	other, err := rt.Open(id)
	must("open", err)
	ended := make(chan error, 1)
	go func() { ended <- other.Events(ctx, time.Hour, func(*libcontainer.Event) error { return nil }) }()
	for end := time.Now().Add(10 * time.Second); !watching(t); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("events do not begin")
		}
	}
	must("kill", c.Kill(9, false))
	_, err = c.Wait(ctx)
	must("wait", err)
	must("events until the end", <-ended)

	is("pause of the dead", c.Pause(), libcontainer.ErrNotRunning)
	is("update of the dead", c.Update(&specs.LinuxResources{}), libcontainer.ErrNotRunning)
	_, err = c.Stats()
	is("stats of the dead", err, libcontainer.ErrNotRunning)
	must("delete", c.Delete(ctx, false))
	is("pause of what was deleted", other.Pause(), libcontainer.ErrNotExist)
	c.Close()
	other.Close()
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// watching says whether this process has a memory cgroup open, as events do.
func watching(t *testing.T) bool {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(e os.DirEntry) bool {
		name, err := os.Readlink("/proc/self/fd/" + e.Name())
		return err == nil && strings.HasPrefix(name, harness.CgroupMounts()["memory"]+"/")
	})
}
