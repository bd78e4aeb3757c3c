package libcontainer

import (
	"context"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// hookRun is one run of a hook, wherever it runs.
type hookRun struct {
	kind  string
	index int
	hook  *specs.Hook
	note  func(...state.Entry) error
	watch int // a pidfd: the hook ends with that process; none for 0 and -1
}

// launch starts a hook's process as the leader of a group of its own, with standard
// files; free gives back what belongs to it when it has been reaped.
type launch func(files [3]*os.File) (pid, pidfd int, free func(), err error)

// noteProcess notes the hook's process in the journal.
func (h *hookRun) noteProcess(pid int) error {
	start, err := state.StartTime(pid)
	if err == state.ErrGone {
		return nil // it has ended, and waits to be reaped
	}
	if err != nil {
		return err
	}
	e := state.ProcessEntry(pid, start)
	e.Kind = hookKind.Name
	return h.note(e)
}

// printed bounds what is kept of what a hook prints.
const printed = 4096

// lastWords is how long a hook that has ended may leave its output open to a process
// that it started: that one is not waited for.
const lastWords = 100 * time.Millisecond

// run runs the hook with the state on its standard input.
func (h *hookRun) run(ctx context.Context, stdin []byte, start launch) error {
	say := func(err error) error {
		return fault.Wrap("error running "+h.kind+" hook #"+strconv.Itoa(h.index), err)
	}
	io, err := openHookIO()
	if err != nil {
		return say(err)
	}
	defer io.close()
	pid, pidfd, free, err := start(io.theirs)
	if err != nil {
		return say(err)
	}
	defer free()
	io.serve(stdin)
	cut := h.await(ctx, pidfd)
	if cut != nil {
		_ = unix.Kill(-pid, unix.SIGKILL)
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	}
	var ws unix.WaitStatus
	if _, err := sys.Retry(func() (int, error) { return unix.Wait4(pid, &ws, 0, nil) }); err != nil {
		return say(fault.Wrap("cannot learn its exit status", err))
	}
	stdout, stderr := io.finish()
	if cut == nil && ws.Exited() && ws.ExitStatus() == 0 {
		return nil
	}
	words := "exit status " + strconv.Itoa(ws.ExitStatus())
	switch {
	case cut != nil:
		words = cut.Error()
	case ws.Signaled():
		words = "signal: " + ws.Signal().String()
	}
	return say(fault.New(words + ", stdout: " + stdout + ", stderr: " + stderr))
}

// await waits for the hook's end; the error says why it has to be killed.
func (h *hookRun) await(ctx context.Context, pidfd int) error {
	limit := time.Duration(-1)
	if t := h.hook.Timeout; t != nil {
		limit = time.Duration(min(*t, int(time.Duration(1<<62)/time.Second))) * time.Second
	}
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}}
	if h.watch > 0 {
		fds[1].Fd = int32(h.watch)
	}
	told, err := sys.AwaitAny(ctx, fds, limit)
	if err != nil {
		return err
	}
	switch {
	case !told:
		return fault.New("hook ran past specified timeout of " + strconv.Itoa(*h.hook.Timeout) + "s")
	case fds[0].Revents == 0:
		return fault.New("the container's process has ended")
	}
	return nil
}

// hookIO is the standard files of a hook. The runtime's own ends are nonblocking and
// close-on-exec; that nobody reads is EPIPE there, and no signal, since Go takes SIGPIPE
// for the standard files of the process alone.
type hookIO struct {
	theirs, ours [3]*os.File
	out          [2]chan string
}

func openHookIO() (*hookIO, error) {
	p := &hookIO{}
	for i := range p.ours {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, fault.Wrap("cannot make a pipe", err)
		}
		if i == 0 {
			p.theirs[i], p.ours[i] = r, w
		} else {
			p.theirs[i], p.ours[i] = w, r
		}
	}
	return p, nil
}

// serve gives the hook its input and takes what it prints, as much as it likes.
func (p *hookIO) serve(stdin []byte) {
	for _, f := range p.theirs {
		f.Close()
	}
	go func() {
		_, _ = p.ours[0].Write(stdin) // a hook need not read it
		p.ours[0].Close()
	}()
	for i := range p.out {
		ch, f := make(chan string, 1), p.ours[i+1]
		p.out[i] = ch
		go func() {
			head, _ := io.ReadAll(io.LimitReader(f, printed))
			_, _ = io.Copy(io.Discard, f)
			ch <- string(head)
		}()
	}
}

// finish returns what the hook printed.
func (p *hookIO) finish() (stdout, stderr string) {
	for _, f := range p.ours[1:] {
		_ = f.SetReadDeadline(time.Now().Add(lastWords))
	}
	return <-p.out[0], <-p.out[1]
}

func (p *hookIO) close() {
	for i := range p.ours {
		for _, f := range []*os.File{p.theirs[i], p.ours[i]} {
			if f != nil {
				f.Close()
			}
		}
	}
}
