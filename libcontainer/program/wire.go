package program

import (
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// msgKind says what a message from the child is.
type msgKind uint64

const (
	msgTrace   msgKind = 1 // a step was run
	msgTrap    msgKind = 2 // a step failed, the child waits
	msgBarrier msgKind = 3 // the child reached a barrier and waits; the result is what it tells
	msgFixed   msgKind = 4 // a fixup's step was run, the child waits again
	msgFD      msgKind = 5 // one byte, carrying descriptors (FDMessage)
)

const (
	cmdResume = 1
	cmdFixup  = 2
	cmdLen    = 24
)

// message is what the interpreter reports (vm.h: M_KIND and after). It comes
// from a process that a container's own may have influenced, so parse checks
// everything that it says.
type message struct {
	kind   msgKind
	step   int // index in the program
	result int64
	value  uint64
	nanos  int64 // CLOCK_MONOTONIC, traces only
	pid    int   // as the kernel says (SCM_CREDENTIALS)
}

// errno is the errno of a failed step, 0 when it did not fail.
func (m *message) errno() unix.Errno {
	if m.result < 0 && m.result >= -4095 {
		return unix.Errno(-m.result)
	}
	return 0
}

// parse reads a message about a program of n steps.
func parse(b []byte, n int) (message, error) {
	if len(b) != msgLen {
		return message{}, badMessage("its length is wrong")
	}
	off := le.Uint64(b[8:]) - (dataBase + stepsOff)
	if off%stepSize != 0 || off/stepSize >= uint64(n) {
		return message{}, badMessage("it names no step")
	}
	m := message{
		kind:   msgKind(le.Uint64(b[0:])),
		step:   int(off / stepSize),
		result: int64(le.Uint64(b[16:])),
		value:  le.Uint64(b[24:]),
		nanos:  int64(le.Uint64(b[32:]))*1e9 + int64(le.Uint64(b[40:])),
	}
	if m.kind < msgTrace || m.kind > msgFixed {
		return message{}, badMessage("its kind is unknown")
	}
	return m, nil
}

func badMessage(why string) error {
	return fault.New("the container's init sent a message that makes no sense: " + why)
}

// receive waits for the child's next message. ok is false at the end of the
// stream: the child executed the user's process, or died. Descriptors that come
// along are returned; they are the caller's to close.
func (m *Machine) receive() (msg message, fds []int, ok bool, err error) {
	var buf [msgLen + 1]byte
	n, fds, pid, err := m.recv(buf[:])
	if err != nil || n == 0 {
		return message{}, fds, false, err
	}
	if n == 1 {
		return message{kind: msgFD, pid: pid}, fds, true, nil
	}
	msg, err = parse(buf[:n], len(m.prog.Steps))
	msg.pid = pid
	return msg, fds, err == nil, err
}

// recv reads one packet with its descriptors and its sender's pid.
func (m *Machine) recv(buf []byte) (n int, fds []int, pid int, err error) {
	var oob [128]byte
	var oobn int
	n, err = sys.Retry(func() (n int, err error) {
		n, oobn, _, _, err = unix.Recvmsg(m.sock, buf, oob[:], unix.MSG_CMSG_CLOEXEC)
		return n, err
	})
	if err == unix.ECONNRESET {
		// The child died with something of ours unread.
		return 0, nil, 0, nil
	}
	if err != nil {
		return 0, nil, 0, &fault.Error{Msg: "cannot hear the container's init", Call: "recvmsg", Err: err}
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, nil, 0, badMessage("its control part is broken")
	}
	for i := range msgs {
		switch msgs[i].Header.Type {
		case unix.SCM_RIGHTS:
			got, err := unix.ParseUnixRights(&msgs[i])
			if err == nil {
				fds = append(fds, got...)
			}
		case unix.SCM_CREDENTIALS:
			if c, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
				pid = int(c.Pid)
			}
		}
	}
	return n, fds, pid, nil
}

// resume lets the child go on at a step; result becomes the trapped step's.
func (m *Machine) resume(step int, result int64) error {
	var b [cmdLen]byte
	le.PutUint64(b[0:], cmdResume)
	le.PutUint64(b[8:], dataBase+stepsOff+uint64(step)*stepSize)
	le.PutUint64(b[16:], uint64(result))
	return m.send(b[:])
}

// fixupStep sends a single step with all that it points to, and waits for what
// it answered.
func (m *Machine) fixupStep(st *Step) (int64, error) {
	b, err := fixupMessage(st)
	if err != nil {
		return 0, err
	}
	if err := m.send(b); err != nil {
		return 0, err
	}
	msg, fds, ok, err := m.receive()
	closeAll(fds)
	if err != nil {
		return 0, err
	}
	if !ok || msg.kind != msgFixed || msg.pid != m.Pid {
		return 0, fault.New("the container's init died while it was being helped")
	}
	return msg.result, nil
}

// scratchOff is where in the inbox a fixup may have a buffer that outlives one
// message; messages are kept shorter.
const scratchOff = 4096

// Scratch is memory of the waiting child for fixups: what one step of a fixup
// leaves there the next one finds.
var scratch = &Data{Size: inboxLen - scratchOff, Text: "buffer", addr: dataBase + inboxOff + scratchOff, pinned: true}

// fixupMessage lays out a command, the step, and behind it the step's data, with
// the addresses they will have in the child's inbox.
func fixupMessage(st *Step) ([]byte, error) {
	const head = cmdLen + stepSize
	l := &layout{placed: make(map[*Data]bool), next: dataBase + inboxOff + head, fixup: true}
	if st.Result != nil && st.Result.addr == 0 {
		return nil, fault.New("a fixup uses a slot that its program has not")
	}
	for _, a := range st.Args {
		if a.slot != nil && a.slot.addr == 0 {
			return nil, fault.New("a fixup uses a slot that its program has not")
		}
		l.place(a.data)
	}
	n := int(l.next - (dataBase + inboxOff))
	if n > scratchOff {
		return nil, &fault.Error{Msg: "a fixup is too large", Errno: unix.ENAMETOOLONG}
	}
	b := make([]byte, n)
	le.PutUint64(b, cmdFixup)
	for _, d := range l.order {
		writeData(b[d.addr-(dataBase+inboxOff):], d)
	}
	writeStep(b[cmdLen:], st)
	return b, nil
}

func (m *Machine) send(b []byte) error {
	_, err := sys.Retry(func() (int, error) { return 0, unix.Sendto(m.sock, b, unix.MSG_NOSIGNAL, nil) })
	switch err {
	case nil:
		return nil
	case unix.EPIPE, unix.ECONNRESET:
		return m.died()
	}
	return &fault.Error{Msg: "cannot reach the container's init", Call: "send", Err: err}
}

// Write puts bytes into memory of the child, which waits at a barrier. d must be
// reached by a step of the program, so that it has a place.
func (m *Machine) Write(d *Data, b []byte) error {
	if !d.pinned || len(b) == 0 || len(b) > d.len() {
		return fault.New("the container's init has no place for that")
	}
	st := Step{Call: CallRecvfrom, Why: "receive data", Args: []Arg{Int(m.prog.Descriptor(FDSocket)), Ptr(d), Int(len(b)), Int(0), Int(0), Int(0)}}
	cmd, err := fixupMessage(&st)
	if err != nil {
		return err
	}
	if err := m.send(cmd); err != nil {
		return err
	}
	if err := m.send(b); err != nil {
		return err
	}
	msg, fds, ok, err := m.receive()
	closeAll(fds)
	if err == nil && !ok {
		return m.died()
	}
	if err == nil && (msg.kind != msgFixed || msg.result != int64(len(b))) {
		err = fault.New("the container's init did not take what it was sent")
	}
	return err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// ReportLen is the length of a report on the start FIFO, in bytes.
const ReportLen = msgLen

// Report is what a child said on the start FIFO, where nobody answers.
type Report struct {
	Traced
	Trap  bool // the step failed, with Errno
	Errno unix.Errno
}

// ReadReport reads one. A report that makes no sense is about a step that no
// program has.
func ReadReport(b []byte) Report {
	m, err := parse(b, 1<<20)
	if err != nil {
		return Report{Traced: Traced{Step: 1 << 20}, Trap: true}
	}
	return Report{Traced: Traced{m.step, m.result, m.nanos}, Trap: m.kind == msgTrap, Errno: m.errno()}
}
