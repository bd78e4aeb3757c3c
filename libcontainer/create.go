package libcontainer

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/cgroups"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/notify"
	"berth/libcontainer/program"
	"berth/libcontainer/state"
)

// creation is a create in progress.
type creation struct {
	*Process
	rt    *Runtime
	setup *Setup
	opt   *CreateOptions

	dir       *state.Dir
	journal   *state.Journal
	record    *state.Record
	joins     []int          // namespaces to join, open
	proxy     *notify.Proxy  // hears the process, nil where nobody wants to hear it
	startFIFO int            // the start FIFO, -1 for none
	cgroups   cgroups.Handle // nil where the container has none of its own
	pidFile   string
	ctx       context.Context // of the command
	watch     *interruption
	listening *listening
	stopDue   bool // the journal says that poststop hooks are due
}

// Create makes a container that waits for Start. When ctx ends before it does, or an
// attached one is not yet started, what was done is undone.
func (r *Runtime) Create(ctx context.Context, id string, o *CreateOptions) (*Container, error) {
	c, err := r.begin(id, o)
	if err != nil {
		return nil, err
	}
	err = c.build(ctx)
	if err == nil && !o.Attached {
		err = c.handOver()
	}
	if err == nil && !o.Attached {
		err = c.letGo()
	}
	if err != nil {
		err = c.undo(err)
		c.close()
		return nil, err
	}
	return &Container{rt: r, id: id, dir: c.dir, made: c, waits: o.Attached}, nil
}

// letGo gives back what is of no use once the process is on its own: the lock, and the
// FIFO, whose last reader the process is to be (see waitForHangup).
func (c *creation) letGo() error {
	if c.startFIFO >= 0 {
		unix.Close(c.startFIFO)
		c.startFIFO = -1
	}
	c.journal.Close()
	if c.cgroups != nil {
		c.cgroups.Close()
		c.cgroups = nil
	}
	return c.dir.Unlock()
}

// begin does all that touches nothing: load, validate, compile, verify.
func (r *Runtime) begin(id string, o *CreateOptions) (*creation, error) {
	if err := state.CheckID(id); err != nil {
		return nil, err
	}
	b, err := r.LoadBundle(o)
	if err != nil {
		return nil, err
	}
	f, err := host.Gather()
	if err != nil {
		return nil, err
	}
	setup, err := r.setup(id, b, f, o)
	if err != nil {
		return nil, err
	}
	if err := checkStdio(b, o); err != nil {
		return nil, err
	}
	for _, w := range setup.Program.Warnings {
		r.Log.Warn(w.Error())
	}
	logSkipped(r.Log, setup.Program.Filter)
	for _, w := range setup.Warnings {
		r.Log.Warn(w)
	}
	for _, n := range setup.Notes {
		r.Log.Debug(n)
	}
	if err := r.inject(setup.Program.Program); err != nil {
		return nil, err
	}
	joins, err := openJoins(setup.Program.Joins)
	if err != nil {
		return nil, err
	}
	return &creation{rt: r, setup: setup, opt: o, joins: joins, startFIFO: -1, Process: &Process{master: -1}}, nil
}

// checkStdio refuses terminals without a place for them, and descriptors that
// are to be preserved and are not there.
func checkStdio(b *Bundle, o *CreateOptions) error {
	if o.Attached && b.Spec.Process == nil {
		return ErrNoProcess
	}
	if err := checkTerminal(b.Spec.Process, o.ConsoleSocket, !o.Foreground); err != nil {
		return err
	}
	return checkPreserved(o.ListenFDs + o.PreserveFDs)
}

func checkTerminal(p *specs.Process, socket string, detached bool) error {
	tty := p != nil && p.Terminal
	switch {
	case tty && detached && socket == "":
		return fault.At("process.terminal", "cannot allocate tty if berth will detach without setting console socket")
	case socket != "" && !(tty && detached):
		return fault.New("cannot use console socket if berth will not detach or allocate tty")
	}
	return nil
}

func checkPreserved(n int) error {
	for fd := 3; fd < 3+n; fd++ {
		// What came from the caller by execve is not close-on-exec; what is, is our
		// own (the Go runtime's poller), and nobody meant that.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return &fault.Error{Msg: "unable to stat preserved-fd " + strconv.Itoa(fd-3), Hint: "descriptor " + strconv.Itoa(fd) + " is not open", Errno: unix.EBADF}
		}
	}
	return nil
}

// build brings the container up to the point where its init waits at the ready
// barrier. Every effect outside the child is noted in the journal first.
func (c *creation) build(ctx context.Context) error {
	c.ctx = ctx
	c.watch = watch(ctx)
	err := c.buildParts()
	if werr := c.watch.err(); werr != nil {
		// The child did not die of itself.
		return werr
	}
	return err
}

func (c *creation) buildParts() error {
	var err error
	if c.dir, err = c.rt.store().Create(c.setup.ID); err != nil {
		return err
	}
	c.rt.point()
	if c.journal, err = c.dir.Journal(); err != nil {
		return err
	}
	c.rt.point()
	if err := c.firstRecord(); err != nil {
		return err
	}
	if err := c.makeNotifyDir(); err != nil {
		return err
	}
	if err := c.makeCgroups(false); err != nil {
		return err
	}
	if err := c.watch.err(); err != nil {
		return err
	}
	if c.setup.Program.Descriptor(program.FDStartFIFO) >= 0 {
		if err := c.makeStartFIFO(); err != nil {
			return err
		}
	}
	if err := c.spawn(); err != nil {
		return err
	}
	err = c.machine.Run(c, program.BarrierReady)
	if err = c.listening.wait(err); err != nil {
		return err
	}
	return c.ready()
}

// firstRecord writes the first record, so that state shows `creating`, and keeps the
// config: later changes to config.json must not matter (BND-11).
func (c *creation) firstRecord() error {
	s := c.setup.Bundle.Spec
	c.record = &state.Record{
		ID:           c.setup.ID,
		Bundle:       c.setup.Bundle.Path,
		Rootfs:       c.setup.Bundle.Rootfs,
		Created:      time.Now().UTC(),
		UID:          os.Getuid(),
		Annotations:  s.Annotations,
		CgroupDriver: c.rt.cgroupDriver(),
		PrivatePID:   hasNamespace(s, "pid"),
		Creating:     true,
		HasProcess:   s.Process != nil,
		NoPivot:      c.opt.NoPivot,
		NoNewKeyring: c.opt.NoNewKeyring,
		ListenFDs:    c.opt.ListenFDs,
		PreserveFDs:  c.opt.PreserveFDs,
		Notify:       c.rt.notifies(s),
		Ignored:      c.setup.Facts.IgnoredSignals,
		Blocked:      c.setup.Facts.BlockedSignals,
		StartHooks:   hasStartHooks(s),
		ForEach:      s.Linux != nil && (s.Linux.Seccomp != nil || s.Linux.MemoryPolicy != nil || s.Linux.Personality != nil),
		Program:      c.setup.Program.Digest(),
	}
	c.record.Mark = c.dir.Path() + "@" + strconv.FormatInt(c.record.Created.UnixNano(), 10)
	if err := c.writeRecord(); err != nil {
		return err
	}
	err := c.dir.WriteConfig(c.setup.Bundle.Raw)
	c.rt.point()
	return err
}

func (c *creation) writeRecord() error {
	err := c.dir.WriteRecord(c.record)
	c.rt.point()
	return err
}

// makeCgroups makes the container's cgroups, before its first process is born or, late,
// while it waits.
func (c *creation) makeCgroups(late bool) error {
	p := c.setup.Cgroups
	if p == nil || p.Late != late {
		return nil
	}
	var err error
	c.cgroups, err = p.Prepare(&cgroups.Making{
		Mark: c.record.Mark,
		Note: func(kind string, all [][]string) error {
			entries := make([]state.Entry, len(all))
			for i, args := range all {
				entries[i] = state.Entry{Kind: kind, Args: args}
			}
			return c.note(entries...)
		},
		PID:     c.record.PID,
		Context: c.ctx,
		Say:     func(what string) { c.rt.Log.Warn("still waiting for " + what) },
		Before: func(i int) error {
			if err := c.watch.err(); err != nil {
				return err
			}
			return c.rt.beforeAction(i, &p.Actions[i])
		},
		After: func(int) error {
			c.rt.point()
			return nil
		},
	})
	if err == nil {
		c.record.Cgroups = c.cgroups.Records()
	}
	return err
}

// note writes entries to the journal.
func (c *creation) note(entries ...state.Entry) error {
	err := c.journal.Note(entries...)
	c.rt.point()
	return err
}

func (c *creation) makeStartFIFO() error {
	if err := c.dir.MakeFIFO(); err != nil {
		return err
	}
	// Read and write: the child must be able to wait before anybody writes, and
	// its own end keeps the FIFO alive.
	fd, err := unix.Open(c.dir.FIFOPath(), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &fault.Error{Msg: "cannot open the start FIFO", Call: "open " + c.dir.FIFOPath(), Err: err}
	}
	c.startFIFO = fd
	c.rt.point()
	return nil
}

// spawn starts the child on its sealed image.
func (c *creation) spawn() error {
	p := c.setup.Program.Program
	fds, joins := make([]int, len(p.Descriptors)), c.joins
	for i, d := range p.Descriptors {
		switch fds[i] = -1; d.Kind {
		case program.FDStdio:
			fds[i] = stdio(d.Number, c.opt.Stdin, c.opt.Stdout, c.opt.Stderr)
		case program.FDPreserved:
			fds[i] = d.Number // the caller's own
		case program.FDStartFIFO:
			fds[i] = c.startFIFO
		case program.FDNamespace:
			fds[i], joins = joins[0], joins[1:]
		}
	}
	entry := ""
	if c.cgroups != nil {
		entry = c.cgroups.EntryDir()
	}
	v2, err := openEntry(entry)
	if err != nil {
		return err
	}
	if v2 >= 0 {
		defer unix.Close(v2)
		c.watch.enters(c.record)
	}
	report := c.rt.Debug || c.rt.stopAt() >= 0
	if err := c.spawnFrom(&image{p, c.setup.Facts, c.dir, report}, fds, v2); err != nil {
		return err
	}
	c.rt.point()
	c.machine.Trace = c.rt.traceOrKill(p)
	return c.noteChild()
}

// noteChild journals the child. Until now it would have ended by itself without
// the runtime; the journal is for delete after a crash between here and ready.
func (c *creation) noteChild() error {
	c.watch.follow(c.machine.PidFD, c.record)
	start, err := state.StartTime(c.machine.Pid)
	if err != nil {
		return fault.Wrap("cannot read the start time of the container's init", err)
	}
	c.record.PID, c.record.StartTime = c.machine.Pid, start
	if err := c.note(state.ProcessEntry(c.machine.Pid, start)); err != nil {
		return err
	}
	return c.writeRecord()
}

// Barrier does the runtime's part while the child waits (program.Handler).
func (c *creation) Barrier(m *program.Machine, b program.Barrier, _ uint64) error {
	s := c.setup.Bundle.Spec
	switch b {
	case program.BarrierCgroups:
		if err := c.makeCgroups(true); err != nil {
			return err
		}
		return c.writeRecord()
	case program.BarrierListener:
		l, err := listen(m, s.Linux.Seccomp, stateFor(c.record, "creating", m.Pid))
		c.listening = l
		return err
	case program.BarrierIDMap:
		return c.rt.writeIDMaps(m.Pid, s.Linux, c.setup.Facts)
	case program.BarrierTimens:
		return writeTimeOffsets(m.Pid, s.Linux)
	case program.BarrierBorn:
		return c.noteChild()
	case program.BarrierRuntimeHooks:
		//lint:ignore SA1019 prestart is deprecated, and what Docker uses.
		if err := c.hooks("prestart", s.Hooks.Prestart); err != nil {
			return err
		}
		return c.hooks("createRuntime", s.Hooks.CreateRuntime)
	case program.BarrierContainerHooks:
		return c.hooks("createContainer", s.Hooks.CreateContainer)
	}
	return fault.New("the container waits at the barrier " + b.String() + ", where there is nothing to do for it")
}

// ready is called with the child waiting at its last barrier.
func (c *creation) ready() error {
	if home := c.setup.Program.Home; home != nil {
		if err := c.rt.setHome(c.machine, home, c.setup.Bundle.Spec.Process.User.UID); err != nil {
			return err
		}
	}
	out := handles{console: c.opt.ConsoleSocket, pidfd: c.opt.PidFDSocket, pidFile: c.opt.PidFile, payload: "standard"}
	err := out.give(c.machine, c.master, func(written bool) {
		if written {
			c.pidFile = c.opt.PidFile
		}
		c.rt.point()
	})
	if err != nil {
		return err
	}
	if err := c.notePoststop(); err != nil {
		return err
	}
	if c.cgroups != nil {
		if err := c.cgroups.Settle(); err != nil {
			return err
		}
	}
	c.record.Creating = false
	return c.writeRecord()
}

// handOver lets the child go to its start FIFO and the runtime out of its life.
func (c *creation) handOver() error {
	if err := c.watch.end(); err != nil {
		return err
	}
	if err := c.machine.Release(); err != nil {
		return err
	}
	return c.machine.Run(c, 0)
}

// undo ends a create that failed: child, journal from its end, directory. What can
// not be undone now stays in the journal for delete.
func (c *creation) undo(cause error) error {
	_ = c.watch.end()
	patience := c.rt.patience(context.Background())
	if c.machine != nil {
		killCgroup(c.cgroups) // or a frozen child would not end
		c.machine.Kill()
		// A process that the intermediate cloned and that has not yet said its pid ends
		// when it reads the end of its socket.
		c.machine.Close()
	}
	if c.pidFile != "" {
		os.Remove(c.pidFile)
	}
	if c.journal != nil {
		if err := c.journal.Undo(patience, c.rt.undoKinds(context.Background(), c.dir, c.journal)); err != nil {
			// Without its directory nobody would know what is left.
			c.rt.Log.Warn("not all of the failed create could be undone, delete can try again: " + err.Error())
			return cause
		}
	}
	if c.dir != nil {
		if err := c.dir.Remove(); err != nil {
			c.rt.Log.Warn("not all of the failed create could be undone: " + err.Error())
		}
	}
	return cause
}

// close gives descriptors back.
func (c *creation) close() {
	if c.machine != nil {
		c.machine.Close()
	}
	closeAll(c.joins)
	if c.proxy != nil {
		c.proxy.Close()
	}
	for _, fd := range []int{c.startFIFO, c.master} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if c.cgroups != nil {
		c.cgroups.Close()
	}
	if c.journal != nil {
		c.journal.Close()
	}
	if c.dir != nil {
		c.dir.Close()
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
