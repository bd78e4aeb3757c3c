package sys

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitAny tells apart that there is something, that the time is over and that the
// context has ended.
func TestAwaitAny(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	fds := []unix.PollFd{{Fd: -1, Events: unix.POLLIN}, {Fd: int32(p[0]), Events: unix.POLLIN}}
	began := time.Now()
	told, err := AwaitAny(context.Background(), fds, 20*time.Millisecond)
	if told || err != nil || time.Since(began) < 20*time.Millisecond {
		t.Errorf("nothing to tell: %v, %v after %s", told, err, time.Since(began))
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(5*time.Millisecond, func() { cancel(cause) })
	if told, err = AwaitAny(ctx, fds, time.Minute); told || err != cause {
		t.Errorf("a context that ends: %v, %v", told, err)
	}
	ctx, cancel = context.WithCancelCause(context.Background())
	defer cancel(nil)
	time.AfterFunc(5*time.Millisecond, func() { _, _ = unix.Write(p[1], []byte("x")) })
	if told, err = AwaitAny(ctx, fds, -1); !told || err != nil || fds[1].Revents != unix.POLLIN || fds[0].Revents != 0 {
		t.Errorf("something to tell: %v, %v, %+v", told, err, fds)
	}
	if told, err = AwaitAny(ctx, fds, 0); !told || err != nil {
		t.Errorf("at once: %v, %v", told, err)
	}
	cancel(cause)
	if told, err = AwaitAny(ctx, fds, time.Minute); !told || err != nil {
		t.Errorf("both: %v, %v", told, err)
	}
}
