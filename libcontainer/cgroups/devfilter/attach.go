package devfilter

import (
	"slices"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// ErrNotPermitted is the cause of an error where the caller may not use device
// programs at all: the kernel asks for CAP_BPF or CAP_SYS_ADMIN, and CAP_NET_ADMIN, in
// the first user namespace, so that root in another one can not. It is an EPERM.
var ErrNotPermitted error = &fault.Error{
	Msg: "device programs take CAP_SYS_ADMIN in the first user namespace", Errno: unix.EPERM,
}

func denied(call string) error {
	return failed(call, ErrNotPermitted)
}

// Attach puts the program in force for a cgroup of version 2 and all below it. What was
// attached there before by Attach is replaced; what others have attached, as systemd
// does for a unit with DeviceAllow, stays and holds as well: the kernel asks all
// programs of a cgroup and of those above it, and each may deny.
//
// At every moment the old rules are in force, or the new ones, or for a little while
// both where several programs of ours had been left: access that old and new rules
// allow is never denied, and what both deny is never allowed. Nothing is attached when
// the same program is there already, or when the rules allow everything.
func (p *Program) Attach(cgroup int) error {
	old, err := ours(cgroup)
	if err != nil {
		return err
	}
	defer closeAll(old)
	rest := old
	if !p.allowsAll {
		if rest, err = p.attach(cgroup, old); err != nil {
			return err
		}
	}
	for i := range rest {
		if err := detach(cgroup, rest[i].fd); err != nil {
			return err
		}
	}
	return nil
}

// attach sees to it that the program is attached, and says which of the old ones are
// still there beside it. Whether one is the same program, the kernel says, by the
// tags it has made of both: how it makes them has changed between versions.
func (p *Program) attach(cgroup int, old []opened) (rest []opened, err error) {
	fd, err := p.load()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	info, err := inform(fd)
	if err != nil {
		return nil, err
	}
	for i := range old {
		if old[i].info.tag == info.tag && old[i].info.insnsLen == info.insnsLen {
			return slices.Concat(old[:i], old[i+1:]), nil
		}
	}
	if len(old) == 0 {
		return nil, attach(cgroup, fd, -1)
	}
	return old[1:], attach(cgroup, fd, old[0].fd)
}

// opened is a program that is attached.
type opened struct {
	fd   int
	info progInfo
}

// ours are the programs of the cgroup that Attach has attached.
func ours(cgroup int) (list []opened, err error) {
	ids, flags, err := attached(cgroup)
	if err != nil {
		return nil, err
	}
	if len(ids) > 0 && flags&unix.BPF_F_ALLOW_MULTI == 0 {
		e := fault.At(devices, "cannot put the device rules in force: the cgroup has a device program of somebody else that admits no other")
		e.Hint = "it was attached without BPF_F_ALLOW_MULTI"
		return nil, e
	}
	defer func() {
		if err != nil {
			closeAll(list)
		}
	}()
	for _, id := range ids {
		fd, err := open(id)
		switch err {
		case nil:
		case unix.ENOENT: // it is gone since
			continue
		case unix.EPERM:
			return list, denied("bpf(BPF_PROG_GET_FD_BY_ID)")
		default:
			return list, failed("bpf(BPF_PROG_GET_FD_BY_ID)", err)
		}
		info, err := inform(fd)
		if err == nil && info.ours() {
			list = append(list, opened{fd, info})
			continue
		}
		unix.Close(fd)
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

func closeAll(list []opened) {
	for i := range list {
		unix.Close(list[i].fd)
	}
}
