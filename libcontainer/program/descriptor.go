package program

import (
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// FD is what a descriptor refers to, as far as the rules of Verify care.
type FD uint8

// What a child may be born with.
const (
	// FDSocket is the child's end of the socket to Berth.
	FDSocket FD = iota
	// FDStartFIFO is the start FIFO, open for reading and writing.
	FDStartFIFO
	// FDStdio is a standard file: the caller's, whatever it is.
	FDStdio
	// FDPreserved is one that the caller meant for the user's process.
	FDPreserved
	// FDNamespace is a file of nsfs, to be joined by setns.
	FDNamespace
	// FDPidFD refers to a process, whose namespaces are joined by setns.
	FDPidFD
	// FDDirectory is the root directory of a container, O_PATH.
	FDDirectory
	// FDMount is a mount that is not attached (open_tree, fsmount).
	FDMount
	// FDHost is another file of the host, O_PATH: it can be looked at and cloned.
	FDHost

	// What steps put into slots: descriptors first.

	fdTree        // the root file system's tree, cloned and not attached yet
	fdPeerTree    // the same, while it may be a peer of the host's mounts
	fdRoot        // the container's root directory
	fdOldRoot     // the host's root, to unmount it
	fdHostMount   // a place of the host that is covered where nobody pivots
	fdAlone       // one whose mount is private: what is mounted there is seen nowhere else
	fdTop         // the container's /, O_PATH: what is mounted there becomes the root
	fdPlace       // a file or directory of the container, O_PATH
	fdFile        // a file of the container, opened before it was seen what it is
	fdNode        // a clone of a device of the host, of which that is not seen either
	fdOwnNode     // one that is no peer of the host's mount
	fdClone       // a clone of a mount of the host's, whose peer it may be
	fdCloneTree   // the same of a tree of mounts
	fdNull        // a file that was seen to be /dev/null
	fdMaster      // a pty's multiplexer
	fdTTY         // its other end
	fdContext     // a file system's context (fsopen)
	fdProcContext // a procfs's
	fdPtsContext  // a devpts's
	fdProc        // a procfs of the child's own, a mount
	fdHostProc    // the host's
	fdDevpts      // a devpts of the child's own, a mount
	fdPts         // a place that was seen to be a devpts
	fdCgroup      // a file that enters a cgroup
	fdSetting     // another file that the child may write to
	fdInet        // a socket to configure the network
	fdEnd

	// Then what is none.

	vNumber  = fdEnd // a number
	vPath    = fdEnd + 1
	vPid     = fdEnd + 2 // what clone answered
	vKey     = fdEnd + 3 // a keyring
	holdsEnd = fdEnd + 4
)

var fdNames = [...]string{
	"socket", "start FIFO", "standard file", "preserved", "namespace", "pidfd", "directory", "mount", "host object",
}

// String is the kind's name.
func (k FD) String() string {
	if int(k) < len(fdNames) {
		return fdNames[k]
	}
	return "unknown"
}

// Keep says how long the child has a descriptor that it was born with.
type Keep uint8

const (
	// KeepUntilReady: closed before the container is ready, or where the program
	// has no such barrier before execve.
	KeepUntilReady Keep = iota
	// KeepUntilExec: close-on-exec, for the interpreter's own needs.
	KeepUntilExec
	// KeepForProcess: the user's process has it.
	KeepForProcess
)

// Descriptor is one that the child is born with.
type Descriptor struct {
	Name   string
	Number int // in the child
	Kind   FD
	Keep   Keep
}

// Slot returns a slot that holds the descriptor: no step sets it.
func (d *Descriptor) Slot() *Slot { return &Slot{Name: d.Name, Inherited: d.Number} }

// Stdio are the entries for the standard files and for n descriptors from 3 on
// that the user's process keeps.
func Stdio(n int) []Descriptor {
	list := []Descriptor{
		{"stdin", 0, FDStdio, KeepForProcess},
		{"stdout", 1, FDStdio, KeepForProcess},
		{"stderr", 2, FDStdio, KeepForProcess},
	}
	for fd := 3; fd < 3+n; fd++ {
		list = append(list, Descriptor{"preserved-" + strconv.Itoa(fd-3), fd, FDPreserved, KeepForProcess})
	}
	return list
}

// Descriptor is the number of the first descriptor of that kind that the child is
// born with, or -1.
func (p *Program) Descriptor(kind FD) int {
	for i := range p.Descriptors {
		if p.Descriptors[i].Kind == kind {
			return p.Descriptors[i].Number
		}
	}
	return -1
}

// index is the place of that number in the table, or -1.
func (p *Program) index(number int) int {
	for i := range p.Descriptors {
		if p.Descriptors[i].Number == number {
			return i
		}
	}
	return -1
}

// inherited is the table's entry of that number, or nil.
func (p *Program) inherited(number int) *Descriptor {
	if i := p.index(number); i >= 0 {
		return &p.Descriptors[i]
	}
	return nil
}

// maxDescriptor bounds the numbers: above it the child's table would grow, which
// waits for an RCU grace period, and nobody asks for so many.
const maxDescriptor = 1 << 16

// files are the host's descriptors by their numbers in the child, as fork and
// exec want them: -1 closes. host[i] is what becomes of p.Descriptors[i].
func (p *Program) files(host []int, socket int) ([]uintptr, error) {
	if len(host) != len(p.Descriptors) {
		return nil, fault.New("the program wants " + strconv.Itoa(len(p.Descriptors)) + " descriptors, and gets " + strconv.Itoa(len(host)))
	}
	last := 2
	for i := range p.Descriptors {
		if n := p.Descriptors[i].Number; n < 0 || n > maxDescriptor {
			return nil, fault.New("a descriptor of the program has no number")
		}
		last = max(last, p.Descriptors[i].Number)
	}
	fds := make([]uintptr, last+1)
	for i := range fds {
		fds[i] = ^uintptr(0)
	}
	for i := range p.Descriptors {
		d, fd := &p.Descriptors[i], host[i]
		if d.Kind == FDSocket {
			fd = socket
		} else if fd < 0 && d.Kind != FDStdio && d.Kind != FDPreserved {
			return nil, &fault.Error{Msg: "the program lacks its descriptor " + d.Name, Errno: unix.EBADF}
		}
		fds[d.Number] = uintptr(fd)
	}
	return fds, nil
}
