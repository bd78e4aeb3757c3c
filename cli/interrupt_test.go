package cli

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The first signal ends the context, the second the command; when they were given over,
// neither does, also when they came a moment before and wait to be looked at.
func TestObey(t *testing.T) {
	two := func() chan os.Signal {
		ch := make(chan os.Signal, 2)
		ch <- unix.SIGTERM
		ch <- unix.SIGINT
		return ch
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	status := 0
	obey(two(), make(chan struct{}), cancel, func(n int) { status = n })
	if got := context.Cause(ctx); got == nil || got.Error() != "interrupted by SIGTERM" || status != 128+2 {
		t.Errorf("cause %v, exit status %d", got, status)
	}
	off := make(chan struct{})
	close(off)
	for range 1000 {
		obey(two(), off, func(error) { t.Fatal("the context ends") }, func(int) { t.Fatal("the command exits") })
	}
}
