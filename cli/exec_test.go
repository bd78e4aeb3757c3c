package cli

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/spec"
)

// TestReadProcessEndless: exec --process may be given a pipe that does not end.
func TestReadProcessEndless(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close() // ends a reader that waits for more
	go w.Write(make([]byte, spec.MaxSize+1<<16))
	done := make(chan error, 1)
	go func() {
		_, err := readProcess("/proc/self/fd/" + strconv.Itoa(int(r.Fd())))
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "16 MiB") {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is read without a limit")
	}
}
