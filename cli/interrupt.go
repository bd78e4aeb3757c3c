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
	go obey(ch, off, cancel, os.Exit)
	return ctx, sync.OnceFunc(func() { close(off) })
}

// obey does what the signals say until off is closed. One that came before that and is
// seen only after it is whoever else's listens, who has got it, too: to exit for it here
// would leave the container behind.
func obey(ch <-chan os.Signal, off <-chan struct{}, cancel context.CancelCauseFunc, exit func(int)) {
	for told := false; ; told = true {
		var s os.Signal
		select {
		case s = <-ch:
		case <-off:
			return
		}
		select {
		case <-off:
			return
		default:
		}
		n, _ := s.(unix.Signal)
		if told {
			exit(128 + int(n))
			return
		}
		cancel(fault.New("interrupted by " + unix.SignalName(n)))
	}
}
