package record

import (
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/seccomp"
)

// Result is the profile that allows what was recorded, merged with the one that was given.
func (r *Recorder) Result() (*specs.LinuxSeccomp, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	eperm := uint(unix.EPERM)
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm}
	if r.base != nil {
		copied := *r.base
		s = &copied
		s.Architectures, s.Syscalls = slices.Clone(s.Architectures), slices.Clone(s.Syscalls)
	}
	for _, a := range seccomp.Arches() {
		if name := specs.Arch(a.String()); r.archs[a] && a != r.native && !slices.Contains(s.Architectures, name) {
			s.Architectures = append(s.Architectures, name)
		}
	}
	if name := specs.Arch(r.native.String()); !slices.Contains(s.Architectures, name) {
		s.Architectures = append([]specs.Arch{name}, s.Architectures...)
	}
	r.allow(s)
	return s, r.verify(s)
}

// allow adds the entries that are needed.
func (r *Recorder) allow(s *specs.LinuxSeccomp) {
	var names []string
	for u := range r.used {
		if u.name != "clone" || r.flags[u.arch] != 0 {
			names = append(names, u.name)
		}
	}
	for a := range r.archs {
		for _, name := range unseen {
			if _, ok := a.Number(name); ok && !r.allowed(a, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	refuseNone(s, names)
	permissive := s.DefaultAction == specs.ActAllow || s.DefaultAction == specs.ActLog
	if len(names) > 0 && !permissive {
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: names, Action: specs.ActAllow})
	}
	if r.cloned() && !slices.Contains(names, "clone") {
		// No namespace was made: so none need be allowed.
		refuseNone(s, []string{"clone"})
		if !permissive {
			s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{
				Names: []string{"clone"}, Action: specs.ActAllow,
				Args: []specs.LinuxSeccompArg{{Index: uint(cloneFlags(r.native)), Value: namespaceFlags, Op: specs.OpMaskedEqual}},
			})
		}
	}
	if r.refused && !r.answersENOSYS() {
		refuseNone(s, []string{"clone3"})
		enosys := uint(unix.ENOSYS)
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys})
	}
}

func (r *Recorder) cloned() bool {
	for u := range r.used {
		if u.name == "clone" {
			return true
		}
	}
	return false
}

// answersENOSYS says whether the profile to merge with already has clone3 fail as it did.
func (r *Recorder) answersENOSYS() bool {
	if r.filter == nil {
		return false
	}
	nr, ok := r.native.Number("clone3")
	ret, _ := r.filter.Run(&seccomp.Call{Nr: nr, Arch: r.native.Audit()})
	return ok && ret == seccomp.RetErrno|uint32(unix.ENOSYS)
}

// refuseNone takes calls out of the entries that refuse them, which would go before those
// that allow them or contradict them.
func refuseNone(s *specs.LinuxSeccomp, names []string) {
	for i := range s.Syscalls {
		e := &s.Syscalls[i]
		if e.Action == specs.ActAllow || e.Action == specs.ActLog {
			continue
		}
		e.Names = slices.DeleteFunc(slices.Clone(e.Names), func(name string) bool { return slices.Contains(names, name) })
	}
	s.Syscalls = slices.DeleteFunc(s.Syscalls, func(e specs.LinuxSyscall) bool { return len(e.Names) == 0 })
}

// verify sees that the profile lets through what was recorded.
func (r *Recorder) verify(s *specs.LinuxSeccomp) error {
	f, err := seccomp.Compile(s, r.native)
	if err != nil {
		return fault.Wrap("the recorded profile can not be compiled", err)
	}
	for u, c := range r.used {
		if ret, _ := f.Run(c); !through(ret) {
			return fault.New("the recorded profile does not allow " + u.name + " with 0x" + strconv.FormatUint(c.Args[0], 16) + " on " + u.arch.String())
		}
	}
	return nil
}
