package foreground

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCaughtSignals: all that can be forwarded are caught, but those by which a
// terminal stops a process in the background.
func TestCaughtSignals(t *testing.T) {
	f := newForwarder()
	t.Cleanup(func() { signal.Stop(f.ch) })
	f.ready()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "SigCgt:")
	caught, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[unix.Signal]bool{
		unix.SIGTERM: true, unix.SIGINT: true, unix.SIGHUP: true, unix.SIGUSR1: true, unix.SIGWINCH: true,
		unix.SIGTSTP: true, unix.SIGCONT: true, 37: true,
		unix.SIGTTIN: false, unix.SIGTTOU: false,
	} {
		if got := caught&(1<<(n-1)) != 0; got != want {
			t.Errorf("%s is caught: %v", n, got)
		}
	}
}
