package libcontainer

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/notify"
	"berth/libcontainer/program"
	"berth/libcontainer/state"
	"berth/libcontainer/sys"
)

// Start lets a created container execute its process. It returns when that has
// happened; that it failed is the error, with the kernel's errno. An attached container
// is gone after that. When ctx ends first, the process may still be started later on.
func (c *Container) Start(ctx context.Context) error {
	if c.waits {
		c.waits = false
		return c.made.start(ctx)
	}
	unlock, err := c.lock(cmdStart)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := c.dir.Record()
	if err != nil {
		return err
	}
	proc, err := c.startable(rec)
	if err != nil {
		return err
	}
	defer proc.Close()
	var hooks *specs.Hooks
	if rec.StartHooks {
		if hooks, err = c.startContainer(ctx, rec, proc); err != nil {
			return c.failStart(err)
		}
	}
	proxy, err := c.rt.listen(rec)
	if err != nil {
		return err
	}
	if proxy != nil {
		defer proxy.Close()
	}
	if err := c.rt.openStartFIFO(ctx, c.dir, rec); err != nil {
		return err
	}
	if hooks != nil {
		if err := c.poststart(ctx, rec, hooks); err != nil {
			return c.failStart(err)
		}
	}
	if proxy == nil {
		return nil
	}
	unlock()
	c.rt.ready(proxy, proc.FD(), rec.PID)
	return nil
}

// startable returns the process that waits for start.
func (c *Container) startable(rec *state.Record) (*state.Process, error) {
	status, proc, err := c.dir.Probe(rec)
	if err != nil {
		return nil, err
	}
	switch {
	case status == state.Stopped:
		err = ErrStopped
	case status == state.Creating:
		err = ErrCreating
	case status == state.Running:
		err = ErrRunning
	case paused(rec):
		// It would take the word only when it is resumed, and until then the lock
		// would be held.
		err = ErrPaused
	case !rec.HasProcess:
		err = ErrNoProcess
	}
	if err != nil && proc != nil {
		proc.Close()
	}
	return proc, err
}

// openStartFIFO writes the word to the start FIFO and waits until the child has let go
// of its end: by execve, which closes it, or by an end. What the child had to
// say, a failure or in a debug run each step, is then in the FIFO.
func (r *Runtime) openStartFIFO(ctx context.Context, d *state.Dir, rec *state.Record) error {
	fifo := d.FIFOPath()
	fd, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == unix.ENXIO {
		return ErrStopped
	}
	if err != nil {
		return &fault.Error{Msg: "cannot open the start FIFO", Call: "open " + fifo, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fault.New("the start FIFO is no FIFO: " + fifo)
	}
	if _, err := unix.Write(fd, []byte{1}); err == unix.EPIPE {
		return ErrStopped
	} else if err != nil {
		return &fault.Error{Msg: "cannot write to the start FIFO", Call: "write", Err: err}
	}
	if err := waitForHangup(ctx, fd); err != nil {
		return err
	}
	reports, err := readReports(fifo)
	if err != nil {
		return err
	}
	if err := r.judge(d, rec, reports); err != nil {
		return err
	}
	return d.RemoveFIFO()
}

// waitForHangup waits until no process has the FIFO open for reading.
func waitForHangup(ctx context.Context, fd int) error {
	// Of what is asked for, nothing: the end of the last reader is always told.
	return sys.Await(ctx, fd, 0)
}

// readReports takes what is in the FIFO; the caller's own end keeps it there.
func readReports(fifo string) ([]byte, error) {
	fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fault.Error{Msg: "cannot read the start FIFO", Call: "open " + fifo, Err: err}
	}
	defer unix.Close(fd)
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		// No FIFO holds more than a mebibyte: what comes beyond is being written
		// by somebody who has no business there.
		if n <= 0 || err != nil || len(all) > 1<<20 {
			return all, nil
		}
		all = append(all, buf[:n]...)
	}
}

// judge reads the reports. To name a step it compiles the container's program
// again, from the copy of its config: only a failure costs that.
func (r *Runtime) judge(d *state.Dir, rec *state.Record, reports []byte) error {
	if len(reports) == 0 && !r.Debug {
		return nil
	}
	if n := len(reports); n > 0 && n < program.ReportLen {
		// Words to start that nobody took. When the process runs all the same, an
		// earlier start was killed after its word, and that was taken.
		if status, err := d.Status(rec); err == nil && status == state.Running {
			return nil
		}
		return fault.New("the container's init died before it took the word to start")
	}
	p, perr := r.recompile(d, rec)
	var trace func(program.Traced)
	if p != nil {
		trace = r.traced(p)
	}
	for ; len(reports) >= program.ReportLen; reports = reports[program.ReportLen:] {
		rep := program.ReadReport(reports[:program.ReportLen])
		switch {
		case rep.Trap && perr != nil:
			return &fault.Error{Msg: "cannot execute the container's process", Step: rep.Step + 1, Errno: rep.Errno}
		case rep.Trap && rep.Step < len(p.Steps):
			return p.Failed(rep.Step, rep.Errno)
		case rep.Trap:
			return &fault.Error{Msg: "cannot execute the container's process", Errno: rep.Errno}
		case trace != nil && rep.Step < len(p.Steps):
			trace(rep.Traced)
		}
	}
	if trace != nil {
		// execve did not come back.
		trace(program.Traced{Step: len(p.Steps) - 1})
	}
	return nil
}

// recompile makes the container's program once more, if it still is that.
func (r *Runtime) recompile(d *state.Dir, rec *state.Record) (*program.Program, error) {
	s, raw, err := keptConfig(d)
	if err != nil {
		return nil, err
	}
	setup, err := r.again(rec, s, raw)
	if err != nil {
		return nil, err
	}
	if setup.Program.Digest() != rec.Program {
		// Another caller, or a host that has changed: the words would be those of
		// other steps.
		return nil, fault.New("the container's program can not be made again")
	}
	return setup.Program.Program, nil
}

// again makes the setup of a container that exists once more.
func (r *Runtime) again(rec *state.Record, s *specs.Spec, raw []byte) (*Setup, error) {
	f, err := host.Gather()
	if err != nil {
		return nil, err
	}
	b := &Bundle{Path: rec.Bundle, Rootfs: rec.Rootfs, Spec: s, Raw: raw}
	o := &CreateOptions{NoPivot: rec.NoPivot, NoNewKeyring: rec.NoNewKeyring, ListenFDs: rec.ListenFDs, PreserveFDs: rec.PreserveFDs}
	// What the program made up for was create's caller, not this one.
	f.IgnoredSignals, f.BlockedSignals = rec.Ignored, rec.Blocked
	again := *r
	again.CgroupManager = cgroups.Manager(rec.CgroupDriver)
	if again.NotifySocket = ""; rec.Notify {
		again.NotifySocket = notify.Name
	}
	return again.setup(rec.ID, b, f, o)
}
