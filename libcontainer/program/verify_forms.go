package program

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Forms of strings. A NUL would end one before its end.

func text(_ *flow, _ *Step, d *Data) bool {
	return d.str && strings.IndexByte(d.Value(), 0) < 0
}

func path(f *flow, st *Step, d *Data) bool { return text(f, st, d) && len(d.Bytes) > 1 }

func empty(_ *flow, _ *Step, d *Data) bool    { return d.str && d.Value() == "" }
func dot(_ *flow, _ *Step, d *Data) bool      { return d.str && d.Value() == "." }
func slash(_ *flow, _ *Step, d *Data) bool    { return d.str && d.Value() == "/" }
func ptmx(_ *flow, _ *Step, d *Data) bool     { return d.str && d.Value() == "ptmx" }
func procPath(_ *flow, _ *Step, d *Data) bool { return d.str && d.Value() == "/proc" }
func zeroText(_ *flow, _ *Step, d *Data) bool { return d.str && d.Value() == "0" }

// component is one name in a directory, that leads nowhere else.
func component(f *flow, st *Step, d *Data) bool {
	s := d.Value()
	return path(f, st, d) && strings.IndexByte(s, '/') < 0 && s != "." && s != ".."
}

func typeProc(_ *flow, _ *Step, d *Data) bool { return d.str && d.Value() == "proc" }

func keyMode(_ *flow, _ *Step, d *Data) bool { return d.str && d.Value() == "mode" }

// written is a text that steps write, see pieceOf.
func written(f *flow, st *Step, d *Data) bool { return room(f, st, d) && d.memory != 0 }

func typeDevpts(_ *flow, _ *Step, d *Data) bool { return d.str && d.Value() == "devpts" }

func typeOther(f *flow, st *Step, d *Data) bool {
	return path(f, st, d) && d.Value() != "proc" && d.Value() != "devpts"
}

// Forms of paths of the host: those that the program names.

func hostRoot(f *flow, _ *Step, d *Data) bool {
	return d.str && f.v.p.Host.Root != "" && d.Value() == f.v.p.Host.Root
}

// aboveRoot is a directory on the way to the root file system.
func aboveRoot(f *flow, _ *Step, d *Data) bool {
	s, root := d.Value(), f.v.p.Host.Root
	return d.str && root != "" && (s == "/" || s == root || strings.HasPrefix(root, s) && root[len(s)] == '/')
}

func hostSource(f *flow, _ *Step, d *Data) bool {
	return d.str && slices.Contains(f.v.p.Host.Sources, d.Value())
}

func hostDevice(f *flow, _ *Step, d *Data) bool {
	return d.str && slices.Contains(f.v.p.Host.Devices, d.Value())
}

func hostNamespace(f *flow, _ *Step, d *Data) bool {
	return d.str && slices.Contains(f.v.p.Host.Namespaces, d.Value())
}

func hostCovered(f *flow, _ *Step, d *Data) bool {
	return d.str && slices.Contains(f.v.p.Host.Covered, d.Value())
}

func hostCgroup(f *flow, _ *Step, d *Data) bool {
	return d.str && slices.Contains(f.v.p.Host.Cgroups, d.Value())
}

// hostOwn are the files of the host's /proc that are about the child alone.
func hostOwn(_ *flow, _ *Step, d *Data) bool {
	return d.str && d.Value() == "/proc/self/oom_score_adj"
}

// settingPath are files of a procfs that the child may write: its kernel
// parameters and its own attributes.
func settingPath(f *flow, st *Step, d *Data) bool {
	s := d.Value()
	if !path(f, st, d) || strings.Contains(s, "..") {
		return false
	}
	return strings.HasPrefix(s, "sys/") || s == "self/attr/exec" || s == "self/attr/apparmor/exec"
}

// Forms of structs and room.

// memory is what a call reads.
func memory(_ *flow, _ *Step, d *Data) bool { return !d.str && len(d.Refs) == 0 }

// filterProgram is a struct sock_fprog: how many instructions there are, and where. The
// kernel takes 4096 at most (BPF_MAXINSNS).
func filterProgram(_ *flow, _ *Step, d *Data) bool {
	if d.str || len(d.Bytes) != 16 || d.Size > 16 || len(d.Refs) != 1 || d.Refs[0].Off != 8 {
		return false
	}
	for _, b := range d.Bytes[2:] { // padding, and where the address goes
		if b != 0 {
			return false
		}
	}
	insns, n := d.Refs[0].To, int(le.Uint16(d.Bytes))
	return n > 0 && n <= 4096 && memory(nil, nil, insns) && insns.id == 0 && len(insns.Bytes) == 8*n && insns.Size <= 8*n
}

// schedAttr is a struct sched_attr of the first size, which says so itself.
func schedAttr(_ *flow, _ *Step, d *Data) bool { return sized(d, 48) && le.Uint32(d.Bytes) == 48 }

func sized(d *Data, n int) bool {
	return !d.str && len(d.Refs) == 0 && d.Size <= n && len(d.Bytes) == n
}

func size8(_ *flow, _ *Step, d *Data) bool  { return sized(d, 8) }
func size16(_ *flow, _ *Step, d *Data) bool { return sized(d, 16) }

// zeros is room that nobody wrote to: the number 0.
func zeros(_ *flow, _ *Step, d *Data) bool {
	return !d.str && d.id == 0 && len(d.Bytes) == 0 && d.Size >= 4
}

func zeros32(_ *flow, _ *Step, d *Data) bool {
	if !sized(d, 32) {
		return false
	}
	for _, b := range d.Bytes {
		if b != 0 {
			return false
		}
	}
	return true
}

// room is memory that a call may write to: nothing else is in it.
func room(_ *flow, _ *Step, d *Data) bool {
	return !d.str && len(d.Bytes) == 0 && len(d.Refs) == 0 && d.Size > 0
}

func room120(f *flow, st *Step, d *Data) bool { return room(f, st, d) && d.Size >= 120 }
func room256(f *flow, st *Step, d *Data) bool { return room(f, st, d) && d.Size >= 256 }

// strs is an array of strings that ends with NULL.
func strs(_ *flow, _ *Step, d *Data) bool {
	if d.str || len(d.Bytes) != 8*(len(d.Refs)+1) {
		return false
	}
	for i, r := range d.Refs {
		if r.Off != 8*i || r.To == nil || !r.To.str {
			return false
		}
	}
	return le.Uint64(d.Bytes[8*len(d.Refs):]) == 0
}

// openHow reads a struct open_how.
func openHow(d *Data) (flags, mode, resolve uint64, ok bool) {
	if !sized(d, 24) {
		return 0, 0, 0, false
	}
	return le.Uint64(d.Bytes), le.Uint64(d.Bytes[8:]), le.Uint64(d.Bytes[16:]), true
}

// confined says whether a path is resolved below its directory, and leads to
// nothing that the kernel makes up (magic links).
func confined(resolve uint64) bool {
	const may = unix.RESOLVE_IN_ROOT | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS
	const must = unix.RESOLVE_IN_ROOT | unix.RESOLVE_BENEATH
	return resolve&^may == 0 && (resolve&must == unix.RESOLVE_IN_ROOT || resolve&must == unix.RESOLVE_BENEATH)
}

// howPath opens a place, and nothing that can be read or written.
func howPath(_ *flow, _ *Step, d *Data) bool {
	const must = unix.O_PATH | cloexec
	flags, mode, resolve, ok := openHow(d)
	return ok && mode == 0 && confined(resolve) && flags&must == must && flags&^(must|unix.O_DIRECTORY|unix.O_NOFOLLOW) == 0
}

// howOpen opens a file of the container of which it is still to be seen what it
// is: so that it becomes nobody's terminal.
func howOpen(_ *flow, _ *Step, d *Data) bool {
	const must = unix.O_RDWR | unix.O_NOCTTY | cloexec
	flags, mode, resolve, ok := openHow(d)
	return ok && mode == 0 && confined(resolve) && flags&must == must && flags&^(must|unix.O_NOFOLLOW|unix.O_NONBLOCK) == 0
}

// howWrite opens a file of a procfs: by no link.
func howWrite(_ *flow, _ *Step, d *Data) bool {
	flags, mode, resolve, ok := openHow(d)
	return ok && mode == 0 && flags == unix.O_WRONLY|cloexec && confined(resolve) && resolve&unix.RESOLVE_BENEATH != 0
}

// mountAttr is a struct mount_attr without an id map.
func mountAttr(_ *flow, _ *Step, d *Data) bool {
	if !sized(d, 32) {
		return false
	}
	switch le.Uint64(d.Bytes[16:]) {
	case 0, unix.MS_SHARED, unix.MS_PRIVATE, unix.MS_SLAVE, unix.MS_UNBINDABLE:
	default:
		return false
	}
	return (le.Uint64(d.Bytes)|le.Uint64(d.Bytes[8:]))&^attrs == 0 && le.Uint64(d.Bytes[24:]) == 0
}

// privateAttr makes a mount private, and changes nothing else.
func privateAttr(_ *flow, _ *Step, d *Data) bool {
	return sized(d, 32) && le.Uint64(d.Bytes)|le.Uint64(d.Bytes[8:])|le.Uint64(d.Bytes[24:]) == 0 && le.Uint64(d.Bytes[16:]) == unix.MS_PRIVATE
}

func capHeader(_ *flow, _ *Step, d *Data) bool {
	return sized(d, 8) && le.Uint64(d.Bytes) == unix.LINUX_CAPABILITY_VERSION_3
}

// ifreq is a struct ifreq that brings the loopback interface up.
func ifreq(_ *flow, _ *Step, d *Data) bool {
	return sized(d, 40) && string(d.Bytes[:3]) == "lo\x00" && le.Uint16(d.Bytes[16:]) == unix.IFF_UP
}

// masterMessage is what FDMessage makes, with a pty's master in it.
func masterMessage(f *flow, _ *Step, d *Data) bool {
	if d.str || len(d.Bytes) != 56 || len(d.Refs) != 2 || d.Refs[0].Off != 16 || d.Refs[1].Off != 32 {
		return false
	}
	vec, control := d.Refs[0].To, d.Refs[1].To
	for i := range 7 {
		// Lengths of one vector and of the control message; the rest are addresses, or 0.
		if want := [...]uint64{3: 1, 5: 24, 6: 0}[i]; le.Uint64(d.Bytes[8*i:]) != want {
			return false
		}
	}
	one := len(vec.Bytes) == 16 && len(vec.Refs) == 1 && le.Uint64(vec.Bytes[8:]) == 1 && vec.Refs[0].To.len() == 1
	one = one && len(control.Bytes) == 24 && le.Uint64(control.Bytes) == 20 && le.Uint64(control.Bytes[8:]) == unix.SOL_SOCKET|unix.SCM_RIGHTS<<32
	return one && control.id != 0 && f.now.slots[control.id] == only(fdMaster)
}
