package program

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// Handler is Berth's side of a running program.
type Handler interface {
	// Barrier is called when the child has reached a barrier; the child goes on
	// when it returns nil, and ends when it returns an error. value is what the
	// barrier tells (Builder.BarrierValue), 0 for most; it is the child's word.
	Barrier(m *Machine, b Barrier, value uint64) error
}

// Traced is one step that was run, as a debug run reports it.
type Traced struct {
	Step   int // index
	Result int64
	Nanos  int64 // CLOCK_MONOTONIC, ns
}

// Machine is a child that runs a program.
type Machine struct {
	// Pid is the child's pid in the runtime's pid namespace. Where the program
	// has a intermediate it changes once, at BarrierBorn.
	Pid int
	// PidFD refers to the child; it is the Machine's.
	PidFD int
	// Trace, when set, gets every step that was run, if the image was made to
	// report them.
	Trace func(Traced)
	// FD gets descriptors that the program sends (a pty's master, a seccomp
	// listener); without it they are closed.
	FD func(fd int)

	prog         *Program
	sock         int
	first        int  // pid of the intermediate until it has handed over; 0 when there is none
	intermediate int  // pid of the intermediate after that
	reaped       bool // the intermediate is
	fixed        map[*Fixup]bool
	// disturbances counts the steps that were tried again, see disturbed.
	disturbances int

	at     int // step of the barrier that the child waits at
	passed Barrier
}

// emulator, when set, is the command that runs images on this machine: the
// tests of the interpreters for other machines set it to qemu-user.
var emulator []string

// imageFD is the lowest number for the image's descriptor in the child-to-be:
// above all that the child inherits, whose dup2 would close it, and below 64,
// where growing the table of descriptors waits for an RCU grace period.
const imageFD = 40

// Start starts a child on a sealed image of p. fds[i] is the host's descriptor for
// p.Descriptors[i]; the socket's is made here, and of the caller's own files -1 leaves
// one closed.
//
// cgroup is the directory of a v2 cgroup to be born into (CLONE_INTO_CGROUP), or
// -1: a pid written to cgroup.procs waits for an RCU grace period, this does not.
func (p *Program) Start(image int, fds []int, cgroup int) (*Machine, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, &fault.Error{Msg: "cannot make a socket to the container's init", Call: "socketpair", Err: err}
	}
	m := &Machine{prog: p, sock: pair[0], PidFD: -1, at: -1}
	defer unix.Close(pair[1])
	// The kernel then says which process sent a message, in our pid namespace.
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		m.Close()
		return nil, &fault.Error{Msg: "cannot make a socket to the container's init", Call: "setsockopt(SO_PASSCRED)", Err: err}
	}
	if err := m.spawn(image, fds, pair[1], cgroup); err != nil {
		m.Close()
		return nil, err
	}
	if p.Intermediate {
		m.first = m.Pid
	}
	return m, nil
}

func (m *Machine) spawn(image int, host []int, sock, cgroup int) error {
	fds, err := m.prog.files(host, sock)
	if err != nil {
		return err
	}
	// ForkExec moves descriptors out of each other's way, to numbers from behind the
	// highest of them on: the image has to lie beyond those.
	least := len(fds)
	for _, fd := range fds {
		if fd != ^uintptr(0) {
			least = max(least, int(fd))
		}
	}
	high, err := unix.FcntlInt(uintptr(image), unix.F_DUPFD_CLOEXEC, max(imageFD, least+len(fds)+3))
	if err == unix.EINVAL {
		// RLIMIT_NOFILE is that low.
		high, err = unix.FcntlInt(uintptr(image), unix.F_DUPFD_CLOEXEC, len(fds)+1)
	}
	if err != nil {
		return &fault.Error{Msg: "cannot start the container's init", Call: "fcntl(F_DUPFD_CLOEXEC)", Err: err}
	}
	defer unix.Close(high)
	name, argv, pidfd := "/proc/self/fd/"+strconv.Itoa(high), []string{"berth-init"}, &m.PidFD
	if emulator != nil {
		// The emulator opens the image after its own execve, and knows no CLONE_PIDFD.
		for len(fds) < high {
			fds = append(fds, ^uintptr(0))
		}
		fds = append(fds, uintptr(high))
		name, argv, pidfd = emulator[0], append(emulator[:len(emulator):len(emulator)], name), nil
	}
	// PDEATHSIG, which the first step of a program sets, is about the thread that
	// forks. It need not be held for that: Go ends no thread before the process,
	// and a goroutine that is bound to one pays for every system call with a
	// hand-over between threads.
	m.Pid, err = syscall.ForkExec(name, argv, &syscall.ProcAttr{
		Files: fds,
		Sys: &syscall.SysProcAttr{
			Cloneflags:  m.prog.CloneFlags,
			PidFD:       pidfd,
			UseCgroupFD: cgroup >= 0,
			CgroupFD:    cgroup,
		},
	})
	if err != nil {
		m.Pid = 0
		return &fault.Error{Msg: "cannot start the container's init", Call: "clone, execve", Err: err, Hint: spawnHint(err, cgroup >= 0)}
	}
	if pidfd == nil {
		// The child is not reaped yet, so its pid is its own.
		m.PidFD, err = unix.PidfdOpen(m.Pid, 0)
	}
	return err
}

func spawnHint(err error, cgroup bool) string {
	switch {
	case !cgroup:
	case err == unix.EBUSY:
		return "the cgroup gives controllers to cgroups below it, and so takes no process itself (cgroups(7))"
	case err == unix.EOPNOTSUPP:
		return "the cgroup is threaded, or below a threaded one, and takes no process (cgroups(7): cgroup.type)"
	case err == unix.EACCES:
		return "to enter a cgroup takes the right to write to cgroup.procs of the nearest one above both it and the caller's: is it delegated to this user? " +
			"Or else the execution of memfds is forbidden by a policy"
	}
	switch err {
	case unix.EPERM:
		return "new namespaces need CAP_SYS_ADMIN or a user namespace"
	case unix.ENOSPC:
		return "a limit in /proc/sys/user/max_*_namespaces is reached"
	case unix.EACCES:
		return "is the execution of memfds forbidden by a policy?"
	}
	return ""
}

// Run serves the child until it waits at the barrier `until`, where it stays
// waiting and Run returns nil, or until the stream ends, which is right only when
// until is 0: the child has executed the user's process.
func (m *Machine) Run(h Handler, until Barrier) error {
	for {
		msg, fds, ok, err := m.receive()
		m.hand(fds)
		if err != nil {
			return err
		}
		if !ok {
			// The intermediate had the socket too, so it has ended.
			m.reapIntermediate()
			if until == 0 {
				m.traceLast()
				return nil
			}
			return m.died()
		}
		if err := m.credible(&msg); err != nil {
			return err
		}
		switch msg.kind {
		case msgTrace:
			if m.Trace != nil {
				m.Trace(Traced{msg.step, msg.result, msg.nanos})
			}
		case msgTrap:
			if err := m.trap(&msg); err != nil {
				return err
			}
		case msgBarrier:
			b := Barrier(msg.value)
			m.at, m.passed = msg.step, b
			if m.Trace != nil {
				m.Trace(Traced{Step: msg.step})
			}
			if b == BarrierBorn {
				if err := m.adopt(msg.pid); err != nil {
					return err
				}
			}
			if b == until {
				return nil
			}
			if err := h.Barrier(m, b, uint64(msg.result)); err != nil {
				return err
			}
			if err := m.Release(); err != nil {
				return err
			}
		case msgFD:
		default:
			return badMessage("nothing was being fixed")
		}
	}
}

// credible checks what a message claims against the program. Only between the
// intermediate's clone and BarrierBorn, where adopt checks it, may another process than
// the one that is known speak; after that the intermediate may have last words under way.
func (m *Machine) credible(msg *message) error {
	b := Barrier(msg.value)
	barrier := msg.kind == msgBarrier
	late := m.intermediate != 0 && msg.pid == m.intermediate && !barrier
	if msg.pid != m.Pid && !late && (m.first == 0 || barrier && b != BarrierBorn) {
		return badMessage("another process sent it")
	}
	if msg.kind == msgTrap && msg.errno() == 0 {
		return badMessage("it traps without an errno")
	}
	if !barrier {
		return nil
	}
	if st := &m.prog.Steps[msg.step]; st.Call != CallBarrier || st.Args[0].n != msg.value {
		return badMessage("no such barrier is at that step")
	} else if len(st.Args) < 2 && msg.result != 0 || len(st.Args) == 2 && st.Args[1].slot == nil && uint64(msg.result) != st.Args[1].n {
		return badMessage("it tells another value than the barrier has")
	}
	if b <= m.passed {
		return badMessage("it has passed that barrier before")
	}
	return nil
}

// intermediatePatience bounds the wait for the intermediate's end, in ms. It ends at once, but
// where a fault is injected into its last step it waits for us instead.
const intermediatePatience = 200

// intermediateEnds waits until the intermediate has ended, so that what it had to report comes
// before anything else that the child says.
func (m *Machine) intermediateEnds() {
	fds := []unix.PollFd{{Fd: int32(m.PidFD), Events: unix.POLLIN}}
	n, err := sys.Retry(func() (int, error) { return unix.Poll(fds, intermediatePatience) })
	if err == nil && n == 1 {
		m.reapIntermediate()
		m.traceExit()
	}
}

// traceExit reports the intermediate's end, which it could not report itself.
func (m *Machine) traceExit() {
	if m.Trace == nil {
		return
	}
	for i := range m.at {
		if m.prog.Steps[i].Call == CallExitGroup {
			m.Trace(Traced{Step: i})
		}
	}
}

// traceLast reports the step that ended the stream, which could not report
// itself: the start FIFO took the socket's place, or execve did not come back.
func (m *Machine) traceLast() {
	if m.Trace == nil {
		return
	}
	for i := range m.prog.Steps {
		st := &m.prog.Steps[i]
		switch {
		case st.Quiet && st.Call == CallDup3:
			m.Trace(Traced{Step: i, Result: int64(m.prog.Descriptor(FDSocket))})
			return
		case st.Quiet:
			m.Trace(Traced{Step: i}) // the filter, without which there would be no execve
		}
	}
	m.Trace(Traced{Step: len(m.prog.Steps) - 1})
}

// Release lets the child go on from the barrier that it waits at.
func (m *Machine) Release() error {
	if m.at < 0 {
		return fault.New("the container's init does not wait at a barrier")
	}
	at := m.at
	m.at = -1
	return m.resume(at+1, 0)
}

func (m *Machine) hand(fds []int) {
	if m.FD == nil {
		closeAll(fds)
		return
	}
	for _, fd := range fds {
		m.FD(fd)
	}
}

// adopt takes the process that the intermediate cloned as the child. That it is ours to
// wait for proves that the intermediate cloned it, whoever says so: only children can
// be waited for.
func (m *Machine) adopt(pid int) error {
	if m.first == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return &fault.Error{Msg: "the container's init is gone", Call: "pidfd_open", Err: err}
	}
	if err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		unix.Close(fd)
		return &fault.Error{Msg: "the container's init is not a child of the runtime", Call: "waitid", Err: err}
	}
	if pid != m.first {
		m.intermediate = m.first
		m.intermediateEnds()
	}
	m.first = 0
	unix.Close(m.PidFD)
	m.Pid, m.PidFD = pid, fd
	return nil
}

func (m *Machine) trap(msg *message) error {
	st := &m.prog.Steps[msg.step]
	no := msg.errno()
	if m.disturbed(st, no) {
		return m.resume(msg.step, 0)
	}
	for i := range st.Fixups {
		fixup := &st.Fixups[i]
		if !fixup.matches(no) || m.fixed[fixup] {
			continue
		}
		// Once only: what a fixup did not cure it will not cure the next time.
		if m.fixed == nil {
			m.fixed = make(map[*Fixup]bool)
		}
		m.fixed[fixup] = true
		if err := m.fixup(msg.step, no, fixup); err != nil {
			return err
		}
		if fixup.Then == Retry {
			return m.resume(msg.step, 0)
		}
		return m.resume(msg.step+1, 0)
	}
	return m.prog.failed(msg.step, no, m.diagnose(st))
}

// maxDisturbed bounds how often one child's steps are tried again because the
// host was busy: an error that stays is reported in the end.
const maxDisturbed = 1000

// disturbed says whether a step is to be tried again as it is: openat2 below a
// root answers EAGAIN when anything on the host was renamed or mounted just while
// it walked a "..", since it can not tell then whether it was led out (openat2(2)).
func (m *Machine) disturbed(st *Step, no unix.Errno) bool {
	if st.Call != CallOpenat2 || no != unix.EAGAIN || m.disturbances == maxDisturbed {
		return false
	}
	m.disturbances++
	return true
}

func (m *Machine) fixup(step int, no unix.Errno, fixup *Fixup) error {
	failed, err := m.runFixup(step, no, fixup.Steps)
	if fixup.Links != nil && (err == nil || failed == unix.ENOENT) {
		return m.follow(step, no, fixup)
	}
	return err
}

// runFixup runs the steps of a fixup. With an error comes the errno that one of
// them had.
func (m *Machine) runFixup(step int, no unix.Errno, steps []Step) (unix.Errno, error) {
	for i := 0; i < len(steps); i++ {
		st := &steps[i]
		res, err := m.fixupStep(st)
		if err != nil {
			return 0, err
		}
		got := message{result: res}
		if got.errno() == 0 {
			continue
		}
		if m.disturbed(st, got.errno()) {
			i--
			continue
		}
		skip, ok := st.harmless(got.errno())
		if !ok {
			e := m.prog.failed(step, no, "")
			e.Msg += "; and cannot " + st.Why + ": " + st.Text() + ": " + got.errno().Error()
			return got.errno(), e
		}
		i += skip
	}
	return 0, nil
}

func (st *Step) harmless(no unix.Errno) (skip int, ok bool) {
	for _, h := range st.Harmless {
		if h.Errno == no {
			return h.Skip, true
		}
	}
	return 0, false
}

// diagnose asks the kernel what it did not like: a file system context keeps
// messages (fsopen(2)) that say more than EINVAL.
func (m *Machine) diagnose(st *Step) string {
	if st.Call != CallFsconfig && st.Call != CallFsmount || len(st.Args) == 0 || st.Args[0].slot == nil {
		return ""
	}
	read := Step{Call: CallRead, Args: []Arg{st.Args[0], Ptr(scratch), Int(256)}}
	n, err := m.fixupStep(&read)
	if err != nil || n <= 2 || n > 256 {
		return ""
	}
	text, err := m.fetch(int(n))
	if err != nil || len(text) < 2 {
		return ""
	}
	// The messages begin with a class: "e mqueue: Unknown parameter 'x'".
	text = text[2:]
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == 0) {
		text = text[:len(text)-1]
	}
	return string(text)
}

// Failed is the error of a step that answered with an errno.
func (p *Program) Failed(step int, no unix.Errno) *fault.Error { return p.failed(step, no, "") }

func (p *Program) failed(step int, no unix.Errno, kernel string) *fault.Error {
	st := &p.Steps[step]
	e := &fault.Error{
		Msg: "cannot " + st.Why, Step: step + 1, JSONPath: st.JSONPath,
		Errno: no, Hint: kernel,
	}
	if !never(st) || st.Fail != 0 {
		// A check that can not hold is no call: it is where a search ends.
		e.Call = st.Text()
	}
	for _, s := range st.Says {
		if s.Errno == no || s.Errno == 0 {
			if s.Msg != "" {
				e.Msg = s.Msg
			}
			if s.Hint != "" && e.Hint == "" {
				e.Hint = s.Hint
			}
			break
		}
	}
	return e
}

// died explains the end of a stream that should not have ended.
func (m *Machine) died() error {
	var ws unix.WaitStatus
	pid, err := sys.Retry(func() (int, error) { return unix.Wait4(m.Pid, &ws, 0, nil) })
	e := fault.New("the container's init died before it was ready")
	if m.prog.Kind != KindCreate {
		e.Msg = "the process died before it was executed"
	}
	if err == nil && pid == m.Pid {
		m.Pid = 0
		switch {
		case ws.Signaled() && ws.Signal() == unix.SIGKILL:
			e.Hint = "killed: is the memory limit too small, or did somebody kill it?"
		case ws.Signaled():
			e.Hint = "signal: " + unix.SignalName(ws.Signal())
		default:
			e.Hint = "exit status " + strconv.Itoa(ws.ExitStatus())
		}
	}
	return e
}

// Kill ends the child and reaps it. It is right at any time.
func (m *Machine) Kill() {
	if m.reaped {
		m.intermediate = 0 // its pid may be another's by now
	}
	for _, pid := range []int{m.first, m.intermediate, m.Pid} {
		if pid > 0 {
			_ = unix.Kill(pid, unix.SIGKILL)
			m.reap(pid)
		}
	}
	m.first, m.intermediate, m.Pid = 0, 0, 0
}

func (m *Machine) reapIntermediate() {
	if m.intermediate > 0 && !m.reaped {
		m.reap(m.intermediate)
		m.reaped = true
	}
}

func (m *Machine) reap(pid int) {
	_, _ = sys.Retry(func() (int, error) { return unix.Wait4(pid, nil, 0, nil) })
}

// Close gives the descriptors back. A child that still waits for a command ends.
func (m *Machine) Close() {
	if m.sock >= 0 {
		unix.Close(m.sock)
		m.sock = -1
	}
	if m.PidFD >= 0 {
		unix.Close(m.PidFD)
		m.PidFD = -1
	}
}
