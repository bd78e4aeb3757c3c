package libcontainer

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/notify"
	"berth/libcontainer/program"
	"berth/libcontainer/state"
	"berth/spec"
)

// Start lets a created container execute its process. It returns when that has
// happened; that it failed is the error, with the kernel's errno.
func (r *Runtime) Start(id string) error {
	d, rec, err := r.record(id, state.Exclusive)
	if err != nil {
		return err
	}
	defer d.Close()
	status, proc, err := d.Probe(rec)
	if err != nil {
		return err
	}
	if proc != nil {
		defer proc.Close()
	}
	switch status {
	case state.Created:
		if paused(rec) {
			// It would take the word only when it is resumed, and until then the lock
			// would be held.
			return fault.New("cannot start a container in the " + statusPaused + " state")
		}
	case state.Stopped:
		return fault.New("cannot start a container that has stopped")
	case state.Creating:
		return fault.New("cannot start a container that is still being created")
	default:
		return fault.New("cannot start an already running container")
	}
	if !rec.HasProcess {
		return errNoProcess
	}
	proxy, err := r.listen(rec)
	if err != nil {
		return err
	}
	if proxy == nil {
		return r.openStartFIFO(d, rec)
	}
	defer proxy.Close()
	if err := r.openStartFIFO(d, rec); err != nil {
		return err
	}
	if err := d.Unlock(); err != nil {
		return err
	}
	r.ready(proxy, proc.FD(), rec.PID)
	return nil
}

// openStartFIFO writes the word to the start FIFO and waits until the child has let go
// of its end: by execve, which closes it, or by an end. What the child had to
// say, a failure or in a debug run each step, is then in the FIFO.
func (r *Runtime) openStartFIFO(d *state.Dir, rec *state.Record) error {
	fifo := d.FIFOPath()
	fd, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == unix.ENXIO {
		return fault.New("cannot start a container that has stopped")
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
		return fault.New("cannot start a container that has stopped")
	} else if err != nil {
		return &fault.Error{Msg: "cannot write to the start FIFO", Call: "write", Err: err}
	}
	if err := waitForHangup(fd); err != nil {
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
func waitForHangup(fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &fault.Error{Msg: "cannot wait for the container's process", Call: "poll", Err: err}
		}
		if fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			return nil
		}
	}
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
	raw, err := d.Config()
	if err != nil {
		return nil, err
	}
	s, _, err := spec.Decode(raw)
	if err != nil {
		return nil, err
	}
	plan, err := r.replan(rec, s, raw)
	if err != nil {
		return nil, err
	}
	if plan.Program.Digest() != rec.Program {
		// Another caller, or a host that has changed: the words would be those of
		// other steps.
		return nil, fault.New("the container's program can not be made again")
	}
	return plan.Program.Program, nil
}

// replan makes the plan of a container that exists.
func (r *Runtime) replan(rec *state.Record, s *specs.Spec, raw []byte) (*Plan, error) {
	f, err := host.Gather()
	if err != nil {
		return nil, err
	}
	b := &Bundle{Path: rec.Bundle, Rootfs: rec.Rootfs, Spec: s, Raw: raw}
	o := &CreateOptions{NoPivot: rec.NoPivot, NoNewKeyring: rec.NoNewKeyring, ListenFDs: rec.ListenFDs, PreserveFDs: rec.PreserveFDs}
	// What the program made up for was create's caller, not this one.
	f.IgnoredSignals, f.BlockedSignals = rec.Ignored, rec.Blocked
	again := *r
	if again.NotifySocket = ""; rec.Notify {
		again.NotifySocket = notify.Name
	}
	return again.Plan(rec.ID, b, f, o, true)
}
