package devfilter

import (
	"bytes"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// name is what programs of ours are known by: 15 bytes at most, letters, digits, _ and .
const name = "berth_devices"

// license is what the kernel asks of a program before it calls helpers that are for
// GPL alone. A device program calls none.
const license = "Apache-2.0\x00"

// The parts of union bpf_attr that are used (include/uapi/linux/bpf.h). The kernel
// takes what is left out behind them as zero. Its addresses have 64 bits, as those of
// all machines that Berth runs on; as pointers they keep what they point to where it is.
type (
	loadAttr struct {
		progType, insnCount uint32
		insns, license      unsafe.Pointer
		logLevel, logSize   uint32
		log                 unsafe.Pointer
		_, _                uint32 // kern_version, prog_flags
		name                [unix.BPF_OBJ_NAME_LEN]byte
	}
	attachAttr struct {
		target, program, attachType, flags, replaced uint32
	}
	queryAttr struct {
		target, attachType, _, attachFlags uint32 // _: query_flags
		ids                                unsafe.Pointer
		count, _                           uint32
	}
	idAttr   struct{ id, next uint32 }
	infoAttr struct {
		fd, length uint32
		info       unsafe.Pointer
	}
	// progInfo is the beginning of struct bpf_prog_info.
	progInfo struct {
		progType, id       uint32
		tag                [unix.BPF_TAG_SIZE]byte
		jitedLen, insnsLen uint32
		jited, insns       uint64
		loadTime           uint64
		uid, mapCount      uint32
		maps               uint64
		name               [unix.BPF_OBJ_NAME_LEN]byte
	}
)

// bpf makes the call. The verifier answers EAGAIN when a signal is pending, and the
// Go runtime sends signals to itself; how often nobody can promise, so it ends.
func bpf[T any](cmd int, attr *T) (int, error) {
	for try := 0; ; try++ {
		n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
		switch {
		case errno == 0:
			return int(n), nil
		case errno != unix.EINTR && (errno != unix.EAGAIN || try == 100):
			return -1, errno
		}
	}
}

// load gives the program to the kernel. What the verifier has to say is asked for
// when it has refused the program, since to write it down takes longer than to verify.
func (p *Program) load() (fd int, err error) {
	if fd, err = p.loadLogged(nil); err == nil {
		return fd, nil
	}
	if err == unix.EPERM {
		return -1, denied("bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE)")
	}
	log := make([]byte, 256<<10)
	if fd, again := p.loadLogged(log); again == nil {
		return fd, nil
	}
	e := failed("bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE)", err)
	switch said := verifierSaid(log); {
	case said != "":
		e.Msg += ": the verifier says: " + said
	case err == unix.EINVAL:
		e.Hint = "has this kernel CONFIG_CGROUP_BPF?"
	case err == unix.ENOSYS:
		e.Hint = "has this kernel CONFIG_BPF_SYSCALL?"
	}
	return -1, e
}

func (p *Program) loadLogged(log []byte) (int, error) {
	text := []byte(license)
	a := loadAttr{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE, insnCount: uint32(len(p.insns)),
		insns: unsafe.Pointer(&p.insns[0]), license: unsafe.Pointer(&text[0]),
	}
	copy(a.name[:], name)
	if len(log) > 0 {
		a.logLevel, a.logSize, a.log = 1, uint32(len(log)), unsafe.Pointer(&log[0])
	}
	return bpf(unix.BPF_PROG_LOAD, &a)
}

// verifierSaid is the end of the verifier's log, where the reason is, on one line and
// without its account of how much it looked at.
func verifierSaid(log []byte) string {
	if i := bytes.IndexByte(log, 0); i >= 0 {
		log = log[:i]
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if n := len(lines); n > 1 && strings.HasPrefix(lines[n-1], "processed ") {
		lines = lines[:n-1]
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

// attached are the ids of the device programs that are attached to the cgroup itself.
func attached(cgroup int) (ids []uint32, flags uint32, err error) {
	ids = make([]uint32, 8)
	for {
		a := queryAttr{
			target: uint32(cgroup), attachType: unix.BPF_CGROUP_DEVICE,
			ids: unsafe.Pointer(&ids[0]), count: uint32(len(ids)),
		}
		_, err := bpf(unix.BPF_PROG_QUERY, &a)
		switch {
		case err == nil:
			return ids[:a.count], a.attachFlags, nil
		case err == unix.ENOSPC && int(a.count) > len(ids):
			ids = make([]uint32, a.count)
		case err == unix.EPERM:
			return nil, 0, denied("bpf(BPF_PROG_QUERY, BPF_CGROUP_DEVICE)")
		default:
			return nil, 0, failed("bpf(BPF_PROG_QUERY, BPF_CGROUP_DEVICE)", err)
		}
	}
}

// open opens the program with an id.
func open(id uint32) (int, error) {
	return bpf(unix.BPF_PROG_GET_FD_BY_ID, &idAttr{id: id})
}

// inform is what the kernel knows of a program.
func inform(fd int) (info progInfo, err error) {
	a := infoAttr{fd: uint32(fd), length: uint32(unsafe.Sizeof(info)), info: unsafe.Pointer(&info)}
	if _, err = bpf(unix.BPF_OBJ_GET_INFO_BY_FD, &a); err != nil {
		return info, failed("bpf(BPF_OBJ_GET_INFO_BY_FD)", err)
	}
	return info, nil
}

func (i *progInfo) ours() bool {
	return i.progType == unix.BPF_PROG_TYPE_CGROUP_DEVICE && string(bytes.TrimRight(i.name[:], "\x00")) == name
}

// attach attaches a program, in the place of another one where that is given, so that
// at no moment none or both are in force.
func attach(cgroup, program, replaced int) error {
	a := attachAttr{
		target: uint32(cgroup), program: uint32(program), attachType: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI,
	}
	call := "bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)"
	if replaced >= 0 {
		a.flags |= unix.BPF_F_REPLACE
		a.replaced = uint32(replaced)
		call = "bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI | BPF_F_REPLACE)"
	}
	_, err := bpf(unix.BPF_PROG_ATTACH, &a)
	switch err {
	case nil:
		return nil
	case unix.EPERM:
		// Whoever may load such a program may attach it.
		e := failed(call, err)
		e.Hint = "a device program of this cgroup or of one above admits no other"
		return e
	case unix.E2BIG:
		e := failed(call, err)
		e.Hint = "the kernel attaches 64 programs to a cgroup at most"
		return e
	}
	return failed(call, err)
}

func detach(cgroup, program int) error {
	a := attachAttr{target: uint32(cgroup), program: uint32(program), attachType: unix.BPF_CGROUP_DEVICE}
	if _, err := bpf(unix.BPF_PROG_DETACH, &a); err != nil && err != unix.ENOENT {
		return failed("bpf(BPF_PROG_DETACH, BPF_CGROUP_DEVICE)", err)
	}
	return nil
}

func failed(call string, err error) *fault.Error {
	e := fault.Wrap("cannot put the device rules in force", err)
	e.JSONPath, e.Call = devices, call
	return e
}
