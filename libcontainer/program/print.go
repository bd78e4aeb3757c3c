package program

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/sys"
)

// Text is the call as a person would write it:
// openat2(root, "proc", {O_PATH|O_CLOEXEC, IN_ROOT}, 24).
func (st *Step) Text() string {
	info := st.Call.info()
	var b strings.Builder
	if st.Result != nil {
		b.WriteString(st.Result.Name + " = ")
	}
	if st.Call == CallExpect && len(st.Args) == len(info.args) {
		st.expectText(&b)
		return b.String()
	}
	b.WriteString(info.name)
	b.WriteByte('(')
	for i, a := range st.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		k := kInt
		if i < len(info.args) {
			k = info.args[i]
		}
		b.WriteString(a.text(k))
	}
	b.WriteByte(')')
	return b.String()
}

func (st *Step) expectText(b *strings.Builder) {
	op := " == "
	if st.Args[4].n != 0 {
		op = " != "
	}
	b.WriteString("expect(" + st.Args[0].text(kInt))
	if mask := st.Args[1].n; mask != ^uint64(0) {
		b.WriteString(" & " + st.Args[1].text(kHex))
	}
	b.WriteString(op + st.Args[2].text(kHex) + ")")
}

func (a Arg) text(k kind) string {
	switch {
	case a.slot != nil && a.IsAddr():
		return "&" + a.slot.Name
	case a.slot != nil:
		return a.slot.Name
	case a.data != nil:
		return a.data.text()
	}
	return number(a.n, k)
}

func (d *Data) text() string {
	switch {
	case d.str:
		return strconv.Quote(d.Value())
	case d.Words != nil:
		return d.Words(d.Bytes)
	case d.Text != "":
		return d.Text
	}
	return "data"
}

func number(n uint64, k kind) string {
	switch k {
	case kFD, kDir:
		if n == AtCwd.n {
			return "AT_FDCWD"
		}
	case kMode:
		return "0" + strconv.FormatUint(n, 8)
	case kHex:
		if n > 9 {
			return "0x" + strconv.FormatUint(n, 16)
		}
	case kBarrier:
		return Barrier(n).String()
	case kErrno:
		return unix.ErrnoName(unix.Errno(n))
	case kPath, kText, kPtr:
		if n == 0 {
			return "NULL"
		}
	default:
		if t, ok := k.flags(n); ok {
			return t
		}
	}
	if int64(n) < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(n, 10)
}

type flag struct {
	bit  uint64
	name string
}

// flags spells a number of kind k in the kernel's names.
func (k kind) flags(n uint64) (string, bool) {
	switch k {
	case kConfig, kPrctl, kLimit, kIoctl, kCap:
		return k.constant(n)
	}
	set := k.flagSet()
	if set == nil {
		return "", false
	}
	if n == 0 {
		return "0", true
	}
	var parts []string
	for _, f := range set {
		if n&f.bit == f.bit && f.bit != 0 {
			parts = append(parts, f.name)
			n &^= f.bit
		}
	}
	if n != 0 {
		parts = append(parts, "0x"+strconv.FormatUint(n, 16))
	}
	return strings.Join(parts, "|"), true
}

func (k kind) flagSet() []flag {
	switch k {
	case kClone:
		return []flag{
			{unix.CLONE_NEWUSER, "CLONE_NEWUSER"},
			{unix.CLONE_NEWNS, "CLONE_NEWNS"},
			{unix.CLONE_NEWPID, "CLONE_NEWPID"},
			{unix.CLONE_NEWNET, "CLONE_NEWNET"},
			{unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
			{unix.CLONE_NEWUTS, "CLONE_NEWUTS"},
			{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
			{unix.CLONE_NEWTIME, "CLONE_NEWTIME"},
			{unix.CLONE_PARENT, "CLONE_PARENT"},
			{uint64(unix.SIGCHLD), "SIGCHLD"},
		}
	case kOpen:
		return openFlags()
	case kAt, kTree:
		set := []flag{
			{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"},
			{unix.AT_RECURSIVE, "AT_RECURSIVE"},
			{unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
		}
		if k == kTree {
			return append(set, flag{unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"}, flag{unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"})
		}
		return append(set, flag{unix.AT_EACCESS, "AT_EACCESS"})
	case kMove:
		return []flag{
			{unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"},
			{unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_T_EMPTY_PATH"},
		}
	case kAttr:
		return attrFlags()
	case kMount:
		return []flag{
			{unix.MS_RDONLY, "MS_RDONLY"},
			{unix.MS_REMOUNT, "MS_REMOUNT"},
			{unix.MS_BIND, "MS_BIND"},
			{unix.MS_MOVE, "MS_MOVE"},
			{unix.MS_REC, "MS_REC"},
			{unix.MS_PRIVATE, "MS_PRIVATE"},
			{unix.MS_SLAVE, "MS_SLAVE"},
			{unix.MS_SHARED, "MS_SHARED"},
			{unix.MS_UNBINDABLE, "MS_UNBINDABLE"},
		}
	case kUmount:
		return []flag{{unix.MNT_DETACH, "MNT_DETACH"}}
	case kAccess:
		return []flag{{unix.X_OK, "X_OK"}, {unix.W_OK, "W_OK"}, {unix.R_OK, "R_OK"}}
	}
	return nil
}

func openFlags() []flag {
	return []flag{
		{unix.O_PATH, "O_PATH"},
		{unix.O_DIRECTORY, "O_DIRECTORY"},
		{unix.O_NOFOLLOW, "O_NOFOLLOW"},
		{unix.O_CREAT, "O_CREAT"},
		{unix.O_EXCL, "O_EXCL"},
		{unix.O_RDWR, "O_RDWR"},
		{unix.O_WRONLY, "O_WRONLY"},
		{unix.O_NOCTTY, "O_NOCTTY"},
		{unix.O_NONBLOCK, "O_NONBLOCK"},
		{unix.O_CLOEXEC, "O_CLOEXEC"},
	}
}

func attrFlags() []flag {
	return []flag{
		{unix.MOUNT_ATTR_RDONLY, "RDONLY"},
		{unix.MOUNT_ATTR_NOSUID, "NOSUID"},
		{unix.MOUNT_ATTR_NODEV, "NODEV"},
		{unix.MOUNT_ATTR_NOEXEC, "NOEXEC"},
		{unix.MOUNT_ATTR_NOATIME, "NOATIME"},
		{unix.MOUNT_ATTR_STRICTATIME, "STRICTATIME"},
		{unix.MOUNT_ATTR_NODIRATIME, "NODIRATIME"},
		{unix.MOUNT_ATTR_NOSYMFOLLOW, "NOSYMFOLLOW"},
		{unix.MOUNT_ATTR_IDMAP, "IDMAP"},
	}
}

// constant spells a number that is one of an enumeration.
func (k kind) constant(n uint64) (string, bool) {
	var set []flag
	switch k {
	case kConfig:
		set = []flag{
			{unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"},
			{unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"},
			{unix.FSCONFIG_SET_FD, "FSCONFIG_SET_FD"},
			{unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"},
		}
	case kPrctl:
		set = []flag{
			{unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"},
			{unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"},
			{unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"},
			{unix.PR_SET_NAME, "PR_SET_NAME"},
			{unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"},
			{unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"},
			{unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"},
		}
	case kIoctl:
		set = []flag{
			{unix.TIOCSPTLCK, "TIOCSPTLCK"},
			{unix.TIOCGPTPEER, "TIOCGPTPEER"},
			{unix.TIOCSCTTY, "TIOCSCTTY"},
			{unix.TIOCSWINSZ, "TIOCSWINSZ"},
			{unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"},
		}
	case kLimit:
		name := sys.RlimitName(n)
		return name, name != ""
	}
	for _, f := range set {
		if f.bit == n {
			return f.name, true
		}
	}
	return "", false
}

// OpenHow returns the Data of a struct open_how (openat2(2)).
func OpenHow(flags, resolve uint64) *Data {
	b := make([]byte, 24)
	le.PutUint64(b, flags)
	le.PutUint64(b[16:], resolve)
	return &Data{Bytes: b, Words: howWords}
}

func howWords(b []byte) string {
	t, _ := kOpen.flags(le.Uint64(b))
	resolve := le.Uint64(b[16:])
	for _, f := range []flag{
		{unix.RESOLVE_IN_ROOT, "IN_ROOT"},
		{unix.RESOLVE_BENEATH, "BENEATH"},
		{unix.RESOLVE_NO_SYMLINKS, "NO_SYMLINKS"},
		{unix.RESOLVE_NO_XDEV, "NO_XDEV"},
	} {
		if resolve&f.bit != 0 {
			t += ", " + f.name
		}
	}
	return "{" + t + "}"
}

// MountAttr returns the Data of a struct mount_attr (mount_setattr(2)) without
// an id map.
func MountAttr(set, clr, propagation uint64) *Data {
	b := make([]byte, 32)
	le.PutUint64(b, set)
	le.PutUint64(b[8:], clr)
	le.PutUint64(b[16:], propagation)
	return &Data{Bytes: b, Words: attrWords}
}

func attrWords(b []byte) string {
	var parts []string
	if n := le.Uint64(b); n != 0 {
		t, _ := kAttr.flags(n)
		parts = append(parts, "set "+t)
	}
	if n := le.Uint64(b[8:]); n != 0 {
		t, _ := kAttr.flags(n)
		parts = append(parts, "clear "+t)
	}
	if n := le.Uint64(b[16:]); n != 0 {
		t, _ := kMount.flags(n)
		parts = append(parts, t)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Outcome is what the step answered, in words: a number, or an errno's name.
func (t Traced) Outcome() string {
	if t.Result < 0 && t.Result >= -4095 {
		return unix.ErrnoName(unix.Errno(-t.Result))
	}
	return strconv.FormatInt(t.Result, 10)
}
