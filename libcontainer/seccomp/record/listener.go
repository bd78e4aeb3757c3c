package record

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/libcontainer/seccomp"
)

// Of include/uapi/linux/seccomp.h.
const (
	ioctlReceive  = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend     = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	ioctlSetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
	syncWakeUp    = 1          // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6
	goOn          = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// notification is struct seccomp_notif, answer struct seccomp_notif_resp.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	answer struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

// ready waits until there is something to be had from a descriptor; false when it has
// none to give any more, or the recording ends.
func (r *Recorder) ready(fd int) bool {
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(r.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		return fds[1].Revents == 0 && fds[0].Revents&unix.POLLIN != 0
	}
}

// accept takes in who brings a listener: the runtime at create and at each exec.
func (r *Recorder) accept() {
	defer r.wg.Done()
	for r.ready(r.socket) {
		conn, _, err := unix.Accept4(r.socket, unix.SOCK_CLOEXEC)
		if err != nil {
			continue
		}
		r.wg.Add(1)
		go r.serve(conn)
	}
}

func (r *Recorder) serve(conn int) {
	defer r.wg.Done()
	listener := -1
	if r.ready(conn) {
		listener = receive(conn)
	}
	unix.Close(conn)
	if listener < 0 {
		return
	}
	defer unix.Close(listener)
	// Where the kernel can, it goes on with the process on this processor, which is quicker.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), ioctlSetFlags, syncWakeUp)
	r.answer(listener)
}

// receive takes a listener out of a message; -1 where there is none.
func receive(conn int) int {
	buf, oob := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(conn, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return -1
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1
	}
	return fds[0]
}

// answer lets calls go on for as long as anybody makes any. What comes before the
// process is executed is the runtime's own, and not recorded.
func (r *Recorder) answer(listener int) {
	executed := false
	for r.ready(listener) {
		var n notification
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), ioctlReceive, uintptr(unsafe.Pointer(&n)))
		switch errno {
		case 0:
		case unix.ENOENT, unix.EINTR:
			continue // it has been killed, or made the call again
		default:
			return
		}
		c := seccomp.Call{Nr: uint32(n.nr), Arch: n.arch, IP: n.ip, Args: n.args}
		executed = executed || isExec(&c)
		a := answer{id: n.id, flags: goOn}
		if executed && !r.note(&c) {
			a = answer{id: n.id, err: -int32(unix.ENOSYS)}
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), ioctlSend, uintptr(unsafe.Pointer(&a)))
	}
}

func isExec(c *seccomp.Call) bool {
	a, ok := seccomp.OfCall(c.Arch, c.Nr)
	if !ok {
		return false
	}
	nr, _ := a.Number("execve")
	return c.Nr == nr
}
