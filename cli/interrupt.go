package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// interruptible returns a context that ends when we are told to stop: a create then
// undoes what it did, a delete waits no longer. A second signal ends the command
// itself, wherever it is; what is left then, delete finds in the journal. settled
// gives the signals over to whoever else listens. Those that the caller had been told
// to ignore, as by nohup, stay ignored.
func interruptible() (ctx context.Context, settled func()) {
	ch := make(chan os.Signal, 2)
	for _, s := range [...]os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	off := make(chan struct{})
	next := func() unix.Signal {
		select {
		case s := <-ch:
			n, _ := s.(unix.Signal)
			return n
		case <-off:
			return 0
		}
	}
	go func() {
		if s := next(); s != 0 {
			cancel(fault.New("interrupted by " + unix.SignalName(s)))
		}
		if s := next(); s != 0 {
			os.Exit(128 + int(s))
		}
	}()
	return ctx, sync.OnceFunc(func() { close(off) })
}
