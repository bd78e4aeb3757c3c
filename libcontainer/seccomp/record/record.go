// Package record finds out which system calls a container makes, and writes the smallest
// profile that allows them. The container runs under a filter that notifies of every call;
// the recorder is who listens, notes the call and lets it go on. So no log of the kernel's
// is needed, and what is executed in the container later is recorded as well.
package record

import (
	"os"
	"slices"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/seccomp"
	"berth/libcontainer/unixsocket"
)

// unseen are calls that no recording shows, and that every process may come to make: the
// kernel makes them for it, or they are of no use to be asked about; and those that
// the vDSO does without the kernel on most machines, but not on all.
var unseen = []string{
	"clock_getres", "clock_gettime", "clock_gettime64", "exit", "exit_group", "getcpu", "gettimeofday", "restart_syscall", "rt_sigreturn", "sigreturn", "time",
}

// namespaceFlags are the flags of clone(2) that make namespaces.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// use is a call that was made on an architecture.
type use struct {
	arch seccomp.Arch
	name string
}

// Recorder records. Its methods may be called by several at once.
type Recorder struct {
	native seccomp.Arch
	base   *specs.LinuxSeccomp // the profile to merge with, nil for none
	filter *seccomp.Filter     // of base
	// refuse says that clone3 fails with ENOSYS, as under the default profiles of engines: its
	// flags are in memory, so that a profile could only allow all of them. Programs
	// then use clone.
	refuse bool

	dir    string
	socket int
	stop   int // an event that ends all who wait
	wg     sync.WaitGroup

	mu      sync.Mutex
	used    map[use]*seccomp.Call // the first that base does not let through
	flags   map[seccomp.Arch]uint64
	archs   map[seccomp.Arch]bool
	refused bool
}

// New makes a recorder that listens. base is a profile to merge with, or nil: only what
// it does not let through is recorded.
func New(native seccomp.Arch, base *specs.LinuxSeccomp) (*Recorder, error) {
	r := &Recorder{
		native: native, base: base, socket: -1, stop: -1, refuse: true,
		used: map[use]*seccomp.Call{}, flags: map[seccomp.Arch]uint64{}, archs: map[seccomp.Arch]bool{native: true},
	}
	if base != nil {
		var err error
		if r.filter, err = seccomp.Compile(base, native); err != nil {
			return nil, err
		}
		r.refuse = !r.allowed(native, "clone3")
	}
	if err := r.listen(); err != nil {
		r.Close()
		return nil, err
	}
	r.wg.Add(1)
	go r.accept()
	return r, nil
}

// allowed says whether base lets a call through, whatever its arguments.
func (r *Recorder) allowed(a seccomp.Arch, name string) bool {
	if r.base == nil {
		return false
	}
	n, err := seccomp.Analyze(r.base, r.native)
	if err != nil {
		return false
	}
	outcomes := n.Outcomes(a, name)
	return len(outcomes) > 0 && !slices.ContainsFunc(outcomes, func(o seccomp.Outcome) bool { return !through(o.Ret) })
}

func through(ret uint32) bool {
	action := ret & seccomp.RetAction
	return action == seccomp.RetAllow || action == seccomp.RetLog
}

func (r *Recorder) listen() error {
	var err error
	if r.dir, err = os.MkdirTemp("", "berth-record-"); err != nil {
		return fault.Wrap("cannot make a directory for the recorder's socket", err)
	}
	if r.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return fault.Wrap("cannot make an event for the recorder", err)
	}
	if r.socket, err = unixsocket.Bind(r.path(), unix.SOCK_STREAM|unix.SOCK_NONBLOCK); err == nil {
		err = unix.Listen(r.socket, 64)
	}
	if err != nil {
		return fault.Wrap("cannot make the recorder's socket", err)
	}
	return nil
}

func (r *Recorder) path() string { return r.dir + "/listener" }

// Close ends the recording: who makes a call now that would be asked about gets ENOSYS.
func (r *Recorder) Close() {
	if r.stop >= 0 {
		_, _ = unix.Write(r.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	r.wg.Wait()
	for _, fd := range []*int{&r.socket, &r.stop} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	if r.dir != "" {
		os.RemoveAll(r.dir)
	}
}

// Profile is the one to run the container under. It notifies of every call that can be
// named, on all architectures of the machine. waitKillable says that the kernel has
// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (Linux 5.19): without it a process that gets many
// signals, as Go programs do, has to make a call again and again.
func (r *Recorder) Profile(waitKillable bool) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Flags:         []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow},
		ListenerPath:  r.path(),
	}
	if waitKillable {
		s.Flags = append(s.Flags, specs.LinuxSeccompFlagWaitKillableRecv)
	}
	var names []string
	for _, a := range append(r.native.Compat(), r.native) {
		s.Architectures = append(s.Architectures, specs.Arch(a.String()))
		names = append(names, a.Calls()...)
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return slices.Contains(unseen, name) })
	s.Syscalls = []specs.LinuxSyscall{{Names: names, Action: specs.ActNotify}}
	return s
}

// note takes down a call, and says whether it is to be made.
func (r *Recorder) note(c *seccomp.Call) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := seccomp.OfCall(c.Arch, c.Nr)
	if !ok {
		return true // the filter asks for no other
	}
	name := a.CallName(c.Nr)
	if name == "clone3" && r.refuse {
		r.refused, r.archs[a] = true, true
		return false
	}
	u := use{a, name}
	if r.used[u] == nil || name == "clone" {
		r.add(u, c)
	}
	return true
}

func (r *Recorder) add(u use, c *seccomp.Call) {
	if r.filter != nil {
		if ret, _ := r.filter.Run(c); through(ret) {
			return
		}
	}
	if u.name == "clone" {
		r.flags[u.arch] |= c.Args[cloneFlags(u.arch)] & namespaceFlags
	}
	kept := *c
	r.used[u], r.archs[u.arch] = &kept, true
}

// cloneFlags is which argument of clone(2) the flags are (CONFIG_CLONE_BACKWARDS2).
func cloneFlags(a seccomp.Arch) int {
	if a == seccomp.S390X || a == seccomp.S390 {
		return 1
	}
	return 0
}
