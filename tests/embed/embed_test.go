// Package embed uses the library as a Go program does that runs containers of its own:
// many at once, in one process, whose signals, children and descriptors stay its own.
package embed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func runtime(t *testing.T) *libcontainer.Runtime {
	t.Helper()
	harness.NeedRoot(t)
	return &libcontainer.Runtime{Root: t.TempDir() + "/state"}
}

// life is a container from create to delete; it returns what it printed.
func life(t *testing.T, rt *libcontainer.Runtime, id, bundle string, attached bool, input string) (string, int, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	in, feed, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	out, print, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer out.Close()
	c, err := rt.Create(ctx, id, &libcontainer.CreateOptions{Bundle: bundle, Stdin: in, Stdout: print, Stderr: print, Attached: attached})
	in.Close()
	print.Close()
	if err != nil {
		feed.Close()
		return "", 0, err
	}
	defer c.Close()
	if err := c.Start(ctx); err != nil {
		return "", 0, err
	}
	if err := c.Start(ctx); err == nil {
		return "", 0, errors.New("started twice")
	}
	_, _ = io.WriteString(feed, input)
	feed.Close()
	text, err := io.ReadAll(out)
	if err != nil {
		return "", 0, err
	}
	status, err := c.Wait(ctx)
	if err == nil {
		err = c.Delete(ctx, false)
	}
	return string(bytes.TrimSpace(text)), status, err
}

// Containers that are made, fed, waited for and deleted at the same time from one
// process do not get at each other, nor at the process.
func TestManyInOneProcess(t *testing.T) {
	rt := runtime(t)
	bundle := harness.Bundle(t, harness.Shell("read word; echo $word $(id -u); exit ${word#w}"))
	// A child of the program's own is not reaped by the library.
	own := exec.Command("sh", "-c", "exit 7")
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Helper(own.Process.Pid)
	before, signals := openFiles(t), caught(t)
	var wg sync.WaitGroup
	for i := range 8 {
		id := harness.ID(t)
		word := "w" + string(rune('0'+i))
		wg.Go(func() {
			for round := range 4 {
				text, status, err := life(t, rt, id, bundle, round%2 == 0, word+"\n")
				if err != nil || text != word+" 0" || status != i {
					t.Errorf("%s: %q, status %d, %v", id, text, status, err)
				}
			}
		})
	}
	wg.Wait()
	if err := own.Wait(); own.ProcessState.ExitCode() != 7 {
		t.Errorf("the program's own child: %v", err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
	if left, _ := os.ReadDir(rt.Root); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if now := caught(t); now != signals {
		t.Errorf("signals %s are caught, %s before", now, signals)
	}
}

// caught are the signals that this process catches.
func caught(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(harness.ReadFile(t, "/proc/self/status"), "SigCgt:")
	return strings.Fields(rest)[0]
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// The errors are compared by errors.Is.
func TestErrors(t *testing.T) {
	rt := runtime(t)
	ctx := t.Context()
	bundle := harness.Bundle(t, harness.Args("/bin/sleep", "1000"))
	id := harness.ID(t)
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := rt.Open(id)
	is("open", err, libcontainer.ErrNotExist)
	_, err = rt.Open("a/b")
	is("a bad id", err, libcontainer.ErrInvalidID)
	c, err := rt.Create(ctx, id, &libcontainer.CreateOptions{Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = rt.Create(ctx, id, &libcontainer.CreateOptions{Bundle: bundle})
	is("create again", err, libcontainer.ErrExists)
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	// Another handle, as another process would have it.
	other, err := rt.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	is("start again", other.Start(ctx), libcontainer.ErrRunning)
	is("delete a running one", other.Delete(ctx, false), libcontainer.ErrRunning)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = c.Wait(short)
	is("wait for one that runs", err, context.DeadlineExceeded)
	if s, err := other.State(); err != nil || s.Status != string(specs.StateRunning) || s.Pid != c.Process().Pid() {
		t.Errorf("%+v %v", s, err)
	}
	waited := make(chan error, 1)
	go func() { _, err := other.Wait(ctx); waited <- err }()
	if err := c.Kill(unix.SIGTERM, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil && !errors.Is(err, libcontainer.ErrNotRunning) {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if status, err := c.Wait(ctx); status != 137 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	is("kill the dead", other.Kill(unix.SIGTERM, false), libcontainer.ErrNotRunning)
	is("start the dead", other.Start(ctx), libcontainer.ErrStopped)
	if err := c.Delete(ctx, false); err != nil {
		t.Fatal(err)
	}
	_, err = other.State()
	is("state of what was deleted", err, libcontainer.ErrNotExist)
	// Not of a new one with its id either.
	if c, err = rt.Create(ctx, id, &libcontainer.CreateOptions{Bundle: bundle, Attached: true}); err != nil {
		t.Fatal(err)
	}
	is("kill by an old handle", other.Kill(unix.SIGKILL, true), libcontainer.ErrNotExist)
	// Closed before it is started an attached container is undone.
	c.Close()
	_, err = rt.Open(id)
	is("after close", err, libcontainer.ErrNotExist)
}

// A context that ends undoes a create.
func TestInterruptedCreate(t *testing.T) {
	rt := runtime(t)
	bundle := harness.Bundle(t)
	id := harness.ID(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("told to stop")
	cancel(cause)
	if _, err := rt.Create(ctx, id, &libcontainer.CreateOptions{Bundle: bundle}); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := rt.Open(id); !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}
