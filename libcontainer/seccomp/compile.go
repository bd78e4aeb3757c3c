package seccomp

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Filter is a compiled profile.
type Filter struct {
	Insns []Insn
	// Flags are those of seccomp(2).
	Flags uint32
	// Notify says that the filter notifies, so that there is a listener.
	Notify bool
	// Skipped are the names in the profile that no architecture has as a system call.
	Skipped []string
	// Arch is the architecture that the filter is for.
	Arch Arch
}

// Compile makes the filter of a profile, for a machine of an architecture. Errors are of
// type *Error.
func Compile(s *specs.LinuxSeccomp, native Arch) (*Filter, error) {
	p, err := parse(s, native)
	if err != nil {
		return nil, err
	}
	f := &Filter{Flags: p.flags, Notify: p.notify, Skipped: p.skipped, Arch: native}
	if f.Insns, err = p.insns(true); err == nil && len(f.Insns) > MaxInsns {
		// What is balanced can be longer, where rules share what comes after.
		f.Insns, err = p.insns(false)
	}
	if err != nil {
		return nil, err
	}
	if len(f.Insns) > MaxInsns {
		return nil, bad("syscalls", "needs a filter of "+strconv.Itoa(len(f.Insns))+" instructions, and Linux takes "+strconv.Itoa(MaxInsns)+" at most")
	}
	return f, nil
}

func (p *profile) insns(balanced bool) ([]Insn, error) {
	g := newGraph()
	b := &builder{graph: g, profile: p, balanced: balanced}
	b.byDefault, b.badArch, b.enosys = g.ret(p.action), g.ret(RetKillThread), g.ret(RetErrno|enosys)
	root, err := b.root()
	if err != nil {
		return nil, err
	}
	return emit(g, root), nil
}

// Run executes the filter on a call.
func (f *Filter) Run(c *Call) (ret uint32, executed int) {
	ret, executed, _ = Run(f.Insns, c, f.Arch.BigEndian())
	return ret, executed
}

// Bytes are the instructions as the kernel takes them: an array of struct sock_filter.
func (f *Filter) Bytes() []byte {
	b := make([]byte, 0, 8*len(f.Insns))
	for _, i := range f.Insns {
		b = f.put(b, uint64(i.Code), 2)
		b = append(b, i.Jt, i.Jf)
		b = f.put(b, uint64(i.K), 4)
	}
	return b
}

// Fprog is a struct sock_fprog of a machine of 64 bits, for instructions at an address.
func (f *Filter) Fprog(address uint64) []byte {
	b := f.put(make([]byte, 0, 16), uint64(len(f.Insns)), 2)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return f.put(b, address, 8)
}

// put appends the n lowest bytes of v in the machine's order.
func (f *Filter) put(b []byte, v uint64, n int) []byte {
	for i := range n {
		shift := 8 * i
		if f.Arch.BigEndian() {
			shift = 8 * (n - 1 - i)
		}
		b = append(b, byte(v>>shift))
	}
	return b
}
