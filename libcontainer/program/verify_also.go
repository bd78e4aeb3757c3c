package program

import (
	"bytes"
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"
)

// What no single argument of a call shows. Each returns why the step is not
// permitted, or nothing.

func errnoOf(_ *flow, st *Step, _ *known) string {
	if n := st.Args[3].n; n < 1 || n > 4095 {
		return "a check must fail with an errno"
	}
	return ""
}

// mayChroot: chroot alone is for where mounts can not be moved; elsewhere the new
// root was moved over the old one first.
func mayChroot(f *flow, _ *Step, k *known) string {
	if f.v.p.Namespaces&unix.CLONE_NEWNS != 0 && k.facts&factMoved == 0 {
		return "the process must have a root of its own, and the old one must be gone"
	}
	return ""
}

func intermediate(f *flow, _ *Step, _ *known) string {
	if !f.v.p.Intermediate {
		return "only an intermediate may clone"
	}
	return ""
}

func closesRest(f *flow, st *Step, _ *known) string {
	if f.v.keeps.closesRest(st) || st.Args[0].n == uint64(f.v.keeps.born+1) {
		return ""
	}
	return whyClose
}

// closesRest says whether a close_range closes all that is not kept until execve.
func (k *keeps) closesRest(st *Step) bool {
	return st.Args[0].n == uint64(k.last+1) && st.Args[1].n == 1<<32-1 && st.Args[2].n == 0
}

func marksKept(f *flow, st *Step, _ *known) string {
	k := &f.v.keeps
	if st.Args[0].n != uint64(k.first) || st.Args[1].n != uint64(k.last) && st.Args[1].n != uint64(k.born) {
		return whyClose
	}
	return ""
}

// mayExecute is what must be certain before the user's process begins.
// nodesFit: the kernel reads as many bits as are told, but for the last one.
func nodesFit(_ *flow, st *Step, _ *known) string {
	if d := st.Args[1].data; d == nil || st.Args[2].n > uint64(8*len(d.Bytes)+1) {
		return "the length must be that of the set of nodes"
	}
	return ""
}

// isFilter sees that the filter is the one that the process is to have.
func isFilter(f *flow, st *Step, _ *known) string {
	if want := f.v.p.Filter; want == nil || !bytes.Equal(st.Args[2].data.Refs[0].To.Bytes, want) {
		return "the filter must be that of the config"
	}
	if st.Args[1].n != uint64(f.v.p.FilterFlags) {
		return "the filter's flags must be those of the config"
	}
	return ""
}

func mayExecute(f *flow, _ *Step, k *known) string {
	p := f.v.p
	switch {
	case k.facts&factClosed == 0:
		return "descriptors must be closed before execve"
	case k.facts&factMarked == 0:
		return "the interpreter's descriptors must be close-on-exec"
	case k.own != uint32(p.Namespaces) || k.pending != 0:
		return "the process must be in each namespace of the container, and in no other of its own"
	case k.facts&(factMapped|factBorn|factOne) != factMapped|factBorn|factOne:
		return "one process goes on, and the runtime knows it and has mapped its ids"
	case p.Kind != KindHook && k.facts&factHidden == 0:
		return "the process may not be visible to others before execve"
	case k.entered < len(p.Host.Cgroups):
		return "the process must be in its cgroups"
	case p.Kind != KindHook && k.facts&factReady == 0:
		return "no way may lead past the ready barrier"
	case p.Kind != KindHook && (k.facts&factFiltered != 0) != (p.Filter != nil):
		return "the process must be executed under the system call filter of the config"
	case p.Kind != KindHook && k.rights(&p.Rights) != "":
		return k.rights(&p.Rights)
	case p.Descriptor(FDStartFIFO) >= 0 && k.facts&factWaited == 0:
		return "the process must wait for start"
	case p.Kind == KindHook && p.Rights.LastCap != 0:
		return "a hook has no rights that are checked: who has any is a process of the container"
	case p.Kind == KindHook && p.Namespaces&unix.CLONE_NEWNS == 0:
		return ""
	case k.facts&factRoot == 0:
		return "the process must have a root of its own, and the old one must be gone"
	case k.facts&factInside == 0:
		return "the process must have seen that its working directory is inside"
	}
	return ""
}

func fits01(_ *flow, st *Step, _ *known) string { return fits(st, 0, 1) }
func fits12(_ *flow, st *Step, _ *known) string { return fits(st, 1, 2) }
func fits23(_ *flow, st *Step, _ *known) string { return fits(st, 2, 3) }
func fits21(_ *flow, st *Step, _ *known) string { return fits(st, 2, 1) }

func fits(st *Step, data, length int) string {
	if d := st.Args[data].data; d != nil && st.Args[length].n <= uint64(d.len()) {
		return ""
	}
	return whyFits
}

func textFits(_ *flow, st *Step, _ *known) string {
	if st.Args[2].n != uint64(len(st.Args[1].data.Value())) {
		return whyFits
	}
	return ""
}

func groupsFit(_ *flow, st *Step, _ *known) string {
	if n := st.Args[1].data.len(); n%4 != 0 || st.Args[0].n != uint64(n/4) {
		return whyFits
	}
	return ""
}

func ownsNet(_ *flow, _ *Step, k *known) string {
	if k.own&unix.CLONE_NEWNET == 0 {
		return "a network that is not the container's own may not be configured"
	}
	return ""
}

func ownsUTS(_ *flow, st *Step, k *known) string {
	if k.own&unix.CLONE_NEWUTS == 0 {
		return "the name of a host that is not the container's own may not be changed"
	}
	if st.Args[1].n != uint64(len(st.Args[0].data.Value())) {
		return whyFits
	}
	return ""
}

// ownsSetting: a kernel parameter must be of a namespace of the container's own.
// The attributes of the process itself are its own always.
func ownsSetting(_ *flow, st *Step, k *known) string {
	need := uint32(0)
	switch s, ok := strings.CutPrefix(st.Args[1].data.Value(), "sys/"); {
	case !ok:
		return ""
	case strings.HasPrefix(s, "net/"):
		need = unix.CLONE_NEWNET
	case strings.HasPrefix(s, "user/"):
		need = unix.CLONE_NEWUSER
	case s == "kernel/domainname":
		need = unix.CLONE_NEWUTS
	case strings.HasPrefix(s, "fs/mqueue/") || strings.HasPrefix(s, "kernel/shm") || strings.HasPrefix(s, "kernel/msg") ||
		strings.HasPrefix(s, "kernel/sem") || s == "kernel/auto_msgmni":
		need = unix.CLONE_NEWIPC
	}
	if need == 0 || k.own&need == 0 {
		return "a kernel parameter must be of a namespace of the container's own"
	}
	return ""
}

func allEqual(_ *flow, st *Step, _ *known) string {
	if st.Args[0].n != st.Args[1].n || st.Args[1].n != st.Args[2].n {
		return "all three ids must change"
	}
	if uint32(st.Args[0].n) == 1<<32-1 { // -1, setresuid(2)
		return "an id of -1 changes nothing"
	}
	return ""
}

// nodeMode: mknod makes no directory, and an empty file is all that it makes else.
func nodeMode(_ *flow, st *Step, _ *known) string {
	switch st.Args[2].n & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		return ""
	case unix.S_IFREG, unix.S_IFIFO:
		if st.Args[3].n == 0 {
			return ""
		}
	}
	return "only devices, FIFOs and empty files are made"
}

// spreadsOnce: propagation is one of four, of the tree or its top.
func spreadsOnce(_ *flow, st *Step, _ *known) string {
	if bits.OnesCount64(st.Args[3].n&spreads) != 1 {
		return "propagation is one of four"
	}
	return ""
}

func joinsOne(f *flow, st *Step, k *known) string {
	switch {
	case bits.OnesCount64(st.Args[1].n) != 1:
		return "a namespace is joined by its kind"
	case st.Args[1].n&(unix.CLONE_NEWPID|unix.CLONE_NEWUSER) != 0 && k.facts&factHidden == 0:
		return "a process must be hidden before others share its namespace"
	}
	return newNamespaces(f, st, k)
}

// joinsHidden: the container's processes could look into one that joins them, which
// still has memory and descriptors of the runtime's (CVE-2016-9962).
func joinsHidden(f *flow, st *Step, k *known) string {
	if k.facts&factHidden == 0 {
		return "a process must be hidden before it joins a container"
	}
	return newNamespaces(f, st, k)
}

// newNamespaces: each is made or joined once, and is one of the container's.
func newNamespaces(f *flow, st *Step, k *known) string {
	flags := st.Args[len(st.Args)-1].n
	switch {
	case flags == 0 || uint64(k.own|k.pending)&flags != 0:
		return "a namespace is made or joined once"
	case flags&^uint64(f.v.p.Namespaces) != 0:
		return "it is no namespace of the container"
	}
	return ""
}
