// Package program is the heart of Berth: the set-up of a container as data.
//
// A Program is a flat list of steps. A step is one system call with its
// arguments, the errnos that do not matter, and the reason why it is there. An
// interpreter of a few hundred bytes of machine code (vm_amd64.s and its
// siblings) runs the list inside the container and ends with execve of the
// user's process; no Go ever runs there. A step that fails with an errno it does
// not list traps: the interpreter reports step and errno on a socket and waits
// until Berth, ordinary Go outside, fixes the matter or gives up (Machine).
//
// The package knows nothing of OCI. Package compile makes programs from configs;
// this one verifies them (Verify), spells their steps (Text), turns them into an
// executable image (Image) and runs them (Start, Machine.Run).
package program

import "golang.org/x/sys/unix"

// Phase groups steps for people. Phases follow each other in the order below.
type Phase uint8

// The phases of a program, in order.
const (
	// PhaseHost opens what belongs to the host, while the child still sees the
	// host and nothing of the container: /dev/null, bind sources, cgroup files.
	PhaseHost Phase = iota
	// PhaseJoin enters and makes namespaces.
	PhaseJoin
	// PhaseRoot makes the root file system the root of a mount tree.
	PhaseRoot
	// PhaseMounts attaches what config.json mounts.
	PhaseMounts
	// PhaseDevices makes device nodes and the links of /dev.
	PhaseDevices
	// PhasePivot leaves the host's file systems for good.
	PhasePivot
	// PhaseLimits hides and write-protects paths, sets host name and sysctls.
	PhaseLimits
	// PhaseProcess gives the process its session, limits, identity and rights.
	PhaseProcess
	// PhaseStart waits for `start`, loads the system call filter and executes.
	PhaseStart
)

var phaseNames = [...]string{
	"host", "join", "root", "mounts", "devices", "pivot", "limits", "process", "start",
}

// String is the phase's name.
func (p Phase) String() string { return phaseNames[p] }

// Barrier is a deliberate trap: the child waits there until Berth has done its
// part. Barriers ascend in a program, and which there are is known before the
// child is born.
type Barrier uint8

// The barriers, in the only order in which a program may pass them.
const (
	_ Barrier = iota
	// BarrierCgroups: the child does nothing yet; Berth has somebody else, systemd, make
	// its cgroups around it.
	BarrierCgroups
	// BarrierIDMap: the user namespace exists; Berth writes its id maps.
	BarrierIDMap
	// BarrierTimens: the time namespace exists; Berth writes its offsets.
	BarrierTimens
	// BarrierBorn: the process that stays says hello; the kernel says its pid.
	BarrierBorn
	// BarrierRuntimeHooks: all is mounted, nothing is pivoted: prestart and
	// createRuntime hooks run in the runtime's namespaces.
	BarrierRuntimeHooks
	// BarrierContainerHooks: createContainer hooks run in the container's namespaces
	// before pivot_root.
	BarrierContainerHooks
	// BarrierListener: the next step sets a filter that asks a listener; Berth takes that
	// listener's descriptor out of the child then.
	BarrierListener
	// BarrierReady: the container is created.
	BarrierReady
)

var barrierNames = [...]string{
	BarrierCgroups:        "cgroups",
	BarrierIDMap:          "id-map",
	BarrierTimens:         "time-offsets",
	BarrierBorn:           "born",
	BarrierRuntimeHooks:   "runtime-hooks",
	BarrierContainerHooks: "container-hooks",
	BarrierListener:       "listener",
	BarrierReady:          "ready",
}

// String is the barrier's name.
func (b Barrier) String() string {
	if int(b) < len(barrierNames) && barrierNames[b] != "" {
		return barrierNames[b]
	}
	return "unknown"
}

// Slot is a cell of eight bytes in the child's memory that holds the result of
// a step for later ones: a descriptor, a pid. A cell may lie inside a Data (Home
// at offset Off), so that a result lands in a struct that a later call reads:
// the descriptor in a control message, the one in a mount_attr.
type Slot struct {
	Name string
	Home *Data
	Off  int

	// Inherited is the number of a descriptor that the child is born with, for slots
	// that no step sets (Descriptor.Slot); -1 for all others.
	Inherited int

	addr uint64
	id   int // its number while the program is verified
}

// Data is a piece of the child's memory: a string, a struct, a buffer.
type Data struct {
	// Bytes is what the memory holds when the program starts.
	Bytes []byte
	// Size is the length in bytes where that is more than len(Bytes); the rest
	// is zero.
	Size int
	// Refs are the places in Bytes that hold the address of another Data.
	Refs []Ref
	// Text says what it is, for people; strings say it themselves. Words, when
	// set, spells Bytes instead: only when somebody asks.
	Text  string
	Words func(b []byte) string

	str    bool
	pinned bool // it has its place in the image; a fixup does not carry it
	addr   uint64
	// While the program is verified: the number of the slot that a step puts here,
	// and that of the memory that checks look at.
	id, memory int
}

// Ref says that the eight bytes at Off hold the address of To.
type Ref struct {
	Off int
	To  *Data
}

// String returns the Data of a C string.
func String(s string) *Data {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return &Data{Bytes: b, str: true}
}

// Struct returns the Data of a C struct, with words for people.
func Struct(b []byte, text string) *Data { return &Data{Bytes: b, Text: text} }

// Buffer returns n zero bytes that a call may write to.
func Buffer(n int, text string) *Data { return &Data{Size: n, Text: text} }

// Strings returns a NULL-terminated array of C strings: argv, envp.
func Strings(list []string, text string) *Data {
	d := &Data{Bytes: make([]byte, 8*(len(list)+1)), Text: text, Refs: make([]Ref, len(list))}
	for i, s := range list {
		d.Refs[i] = Ref{Off: 8 * i, To: String(s)}
	}
	return d
}

// Value returns the string of a C string.
func (d *Data) Value() string {
	if !d.str {
		return ""
	}
	return string(d.Bytes[:len(d.Bytes)-1])
}

func (d *Data) len() int { return max(len(d.Bytes), d.Size) }

// Arg is one argument of a step: a number, the address of a Data, or the
// content of a Slot.
type Arg struct {
	n    uint64
	data *Data
	slot *Slot
}

// Int is an argument that is a number.
func Int(n int) Arg { return Arg{n: uint64(n)} }

// Uint is an argument that is an unsigned number or a set of flags.
func Uint(n uint64) Arg { return Arg{n: n} }

// Ptr is an argument that is the address of d.
func Ptr(d *Data) Arg { return Arg{data: d} }

// Path is an argument that is the address of a C string.
func Path(s string) Arg { return Arg{data: String(s)} }

// From is an argument that is what the slot holds when the step runs.
func From(s *Slot) Arg { return Arg{slot: s} }

// Addr is an argument that is the address of a slot's own cell, for calls that
// write their result to memory (ioctl) or read it there.
func Addr(s *Slot) Arg { return Arg{slot: s, n: 1} }

// IsAddr says whether the argument is the address of a slot rather than its content.
func (a Arg) IsAddr() bool { return a.slot != nil && a.n == 1 }

// Number is the argument's number; 0 for the other kinds.
func (a Arg) Number() uint64 {
	if a.slot != nil || a.data != nil {
		return 0
	}
	return a.n
}

// Data is what the argument points to, or nil.
func (a Arg) Data() *Data { return a.data }

// Slot is the slot that the argument reads or points to, or nil.
func (a Arg) Slot() *Slot { return a.slot }

// AtCwd is the AT_FDCWD argument: a path of the host, before pivot_root.
var AtCwd = Arg{n: ^uint64(99)} // -100

// Harmless is an errno that a step expects: the result is dropped and the
// interpreter goes on, Skip steps further than the next one.
type Harmless struct {
	Errno unix.Errno
	Skip  int
}

// maxHarmless is the number of harmless errnos that a step has room for.
const maxHarmless = 4

// Step is one step of a program.
type Step struct {
	Call   Call
	Args   []Arg
	Result *Slot // where the result goes; nil when nobody needs it

	Harmless []Harmless
	Fixups   []Fixup

	Phase Phase
	// Why says in a few words what the step is for.
	Why string
	// JSONPath is the JSON path of the property that asked for it; empty where
	// Berth itself does.
	JSONPath string
	// Says has the words for errnos that deserve better ones than "cannot " and Why.
	Says []Saying
	// Fail, when set, makes the interpreter answer with this errno instead of
	// making the call: how faults are injected.
	Fail unix.Errno
	// Quiet steps are not reported in a debug run: the one after which there is
	// nobody to report to.
	Quiet bool
}

// Saying is what an error says when a step fails with Errno (0: with any).
// Engines match some of these sentences.
type Saying struct {
	Errno     unix.Errno
	Msg, Hint string
}

// Then says where the interpreter goes on after a fixup.
type Then uint8

const (
	// Retry makes the trapped call again.
	Retry Then = iota
	// Next takes the matter as done.
	Next
)

// Fixup is what Berth does when a step traps with one of the errnos in On: a few
// more steps, known beforehand and verified like all others, sent to the waiting
// child one by one. The common path pays nothing for it.
type Fixup struct {
	On    []unix.Errno
	Why   string
	Steps []Step
	// Links, when set, has the fixup go on at the end of symbolic links that lead
	// nowhere yet, after its steps.
	Links *Links
	Then  Then
}

// matches says whether the fixup is for that errno.
func (m *Fixup) matches(no unix.Errno) bool {
	for _, e := range m.On {
		if e == no {
			return true
		}
	}
	return false
}

// Kind says what a program is for, and with that what Verify asks of it.
type Kind uint8

const (
	// KindCreate sets a container up: it has a mount namespace of its own, or joins
	// one by a namespace's descriptor, and leaves the host's root for the container's;
	// without a mount namespace chroot is all there is.
	KindCreate Kind = iota
	// KindEnter brings a process into a container that is there: it joins the mount
	// namespace by descriptor, or without one changes its root to the container's by
	// the descriptor of an inherited directory. It changes no mount: the one that it
	// may make is a procfs that it attaches nowhere.
	KindEnter
	// KindHook executes a program of the host or the container's, in the runtime's
	// namespaces or in some that it joins. It changes no mount and makes no
	// namespace, and where it joins none it need not show that it is inside.
	KindHook
)

var kindNames = [...]string{"create", "enter", "hook"}

// String is the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Host is what of the host's files a program may name, and for what. It comes from
// the config and not from the steps, which Verify holds against it.
type Host struct {
	// Root is the directory that becomes the container's root.
	Root string
	// Sources are what is cloned, to be mounted in the container; Devices are nodes
	// that are cloned, of which it must be seen that they are what was asked for.
	Sources, Devices []string
	// Namespaces are those that are joined by path.
	Namespaces []string
	// Shared are those sources that the config wants to stay peers of the host's mount;
	// with SharedRoot all of the root file system does. What is mounted below any other
	// clone must not appear on the host.
	Shared     []string
	SharedRoot bool
	// Covered are places of the host that are covered in the child's own mount
	// namespace, where the old root stays below the new one.
	Covered []string
	// Cgroups are the files through which the child enters its cgroups: it writes
	// itself to as many of them as there are.
	Cgroups []string
}

// Rights is what the user's process may be, as the config has it: capabilities by
// their number's bit.
type Rights struct {
	UID, GID uint32
	Groups   []uint32
	// LastCap is the highest capability that the kernel knows.
	LastCap                                              int
	Bounding, Effective, Permitted, Inheritable, Ambient uint64
	NoNewPrivileges                                      bool
}

// Program is a verified or not yet verified list of steps and what the child
// must be born with.
type Program struct {
	Kind  Kind
	Steps []Step
	// Host is what of the host's files the steps may name, by path.
	Host Host
	// Rights are those of the user's process; a hook has none that are checked.
	Rights Rights
	// Filter is the system call filter under which the process is executed, as an array
	// of struct sock_filter; nil for none. FilterFlags are those of seccomp(2).
	Filter      []byte
	FilterFlags uint32
	// Namespaces are those of the container (CLONE_NEW*): each is made or joined on
	// every way.
	Namespaces uintptr
	// CloneFlags are the namespaces that the child is born into (CLONE_NEW*).
	CloneFlags uintptr
	// Descriptors are those that the child is born with; all others are closed.
	// There is one socket, and a start FIFO where the program waits for `start`.
	Descriptors []Descriptor
	// Intermediate says that the first process clones the one that stays.
	Intermediate bool
}

// Has says whether the program passes the barrier.
func (p *Program) Has(b Barrier) bool {
	for i := range p.Steps {
		if p.Steps[i].Call == CallBarrier && Barrier(p.Steps[i].Args[0].n) == b {
			return true
		}
	}
	return false
}
