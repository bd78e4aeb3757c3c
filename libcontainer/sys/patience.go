package sys

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// Patience is what one command has for all that it waits for while it ends
// processes and takes things away: it is used up once, however many wait, and it
// ends at once when the context does. It says what it waits for.
type Patience struct {
	ctx   context.Context
	limit time.Duration
	end   time.Time
	say   func(what string)
	next  time.Time // when to say the next word
}

// silence is how long a wait may be before somebody is told of it.
const silence = time.Second

// NewPatience returns a patience that lasts limit from now on. say is told, once a
// wait has become long, what is waited for; nil for nobody.
func NewPatience(ctx context.Context, limit time.Duration, say func(what string)) *Patience {
	now := time.Now()
	return &Patience{ctx: ctx, limit: limit, end: now.Add(limit), say: say, next: now.Add(silence)}
}

// Context ends when the command is told to stop. For what has a bound of its own.
func (p *Patience) Context() context.Context { return p.ctx }

// Say tells what is waited for.
func (p *Patience) Say(what string) {
	if p.say != nil {
		p.say(what)
	}
}

// Sleep waits for a moment, of d at most, and is an error that names what was waited
// for when the patience is over.
func (p *Patience) Sleep(d time.Duration, what string) error {
	if err := p.Over(what); err != nil {
		return err
	}
	t := time.NewTimer(min(d, max(time.Until(p.end), 0)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.ctx.Done():
		return p.Over(what)
	}
}

// Over is an error when the patience is over.
func (p *Patience) Over(what string) error {
	now := time.Now()
	if p.ctx.Err() != nil {
		return &fault.Error{Msg: "interrupted while waiting for " + what, Err: context.Cause(p.ctx)}
	}
	if now.After(p.end) {
		return fault.New("waited in vain for " + what + ", and " + p.limit.String() + " in all")
	}
	if now.After(p.next) && p.say != nil {
		p.say(what)
		p.next = now.Add(5 * silence)
	}
	return nil
}

// tick is how often a wait for a descriptor looks whether it was interrupted.
const tick = 20 * time.Millisecond

// Readable waits until a descriptor can be read: a pidfd, when the process has ended.
func (p *Patience) Readable(fd int, what string) error {
	for {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := Retry(func() (int, error) { return unix.Poll(fds[:], int(tick/time.Millisecond)) })
		if err != nil {
			return fault.Wrap("cannot wait for "+what, err)
		}
		if n > 0 {
			return nil
		}
		if err := p.Over(what); err != nil {
			return err
		}
	}
}

// Await waits until one of the events, of poll(2), is there, or an error or a hang-up,
// or the context ends.
func Await(ctx context.Context, fd int, events int16) error {
	_, err := AwaitAny(ctx, []unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
	return err
}

// AwaitAny waits so for several, and says whether one of them has something to tell:
// it has not when the time is over, if that is not negative.
func AwaitAny(ctx context.Context, fds []unix.PollFd, limit time.Duration) (told bool, err error) {
	wake := -1
	if ctx.Done() != nil {
		var err error
		if wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return false, fault.Wrap("cannot wait", err)
		}
		woken := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(woken)
			_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		})
		defer func() {
			if !stop() {
				<-woken
			}
			unix.Close(wake)
		}()
	}
	// A negative descriptor is passed over.
	all := append(fds[:len(fds):len(fds)], unix.PollFd{Fd: int32(wake), Events: unix.POLLIN})
	for end := time.Now().Add(limit); ; {
		left := -1
		if limit >= 0 {
			left = int(max(time.Until(end)+time.Millisecond-1, 0) / time.Millisecond)
		}
		n, err := unix.Poll(all, left)
		copy(fds, all)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false, fault.Wrap("cannot wait", err)
		case n > 0 && all[len(fds)].Revents == 0 || n > 1:
			return true, nil
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case n == 0:
			return false, nil
		}
	}
}
