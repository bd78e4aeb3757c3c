package devfilter

import (
	"cmp"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Program is a BPF program that keeps to Rules.
type Program struct {
	insns     []insn
	allowsAll bool
}

// Compile makes a program of the rules of a config and the default ones.
func Compile(rules []specs.LinuxDeviceCgroup) (Program, error) {
	r, err := New(rules)
	if err != nil {
		return Program{}, err
	}
	return r.Compile(), nil
}

// AllowsAll says whether the program keeps nobody from anything. Who may not load
// one can do without it then.
func (p *Program) AllowsAll() bool { return p.allowsAll }

// insn is struct bpf_insn. The destination register stands in the lower half of regs,
// where the machine has the lower byte first, as all that Berth runs on have.
type insn struct {
	op   uint8
	regs uint8
	off  int16
	imm  int32
}

// The operations that a program is made of. Comparisons are of 32 bits (Linux 5.1).
const (
	opLoad     = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	opSet      = unix.BPF_ALU | unix.BPF_MOV | unix.BPF_K
	opCopy     = unix.BPF_ALU | unix.BPF_MOV | unix.BPF_X
	opShift    = unix.BPF_ALU | unix.BPF_LSH | unix.BPF_K
	opOr       = unix.BPF_ALU | unix.BPF_OR | unix.BPF_X
	opUnlike   = unix.BPF_JMP32 | unix.BPF_JNE | unix.BPF_K
	opIfAnyBit = unix.BPF_JMP32 | unix.BPF_JSET | unix.BPF_K
	opJump     = unix.BPF_JMP | unix.BPF_JA
	opExit     = unix.BPF_JMP | unix.BPF_EXIT
)

// What the registers hold.
const (
	regVerdict = unix.BPF_REG_0 // 1 allows, 0 denies
	regContext = unix.BPF_REG_1 // struct bpf_cgroup_dev_ctx: access_type, major, minor
	regAsked   = unix.BPF_REG_2 // access_type: the accesses asked for above the type
	regMajor   = unix.BPF_REG_3
	regMinor   = unix.BPF_REG_4
	regDevice  = unix.BPF_REG_5 // both, as dev_t has them inside the kernel
)

// A device number is one of 32 bits in the kernel (include/linux/kdev_t.h).
const (
	minorBits = 20
	maxMajor  = 1<<(32-minorBits) - 1
	maxMinor  = 1<<minorBits - 1
)

// longestGroup is how many exceptions one jump may pass over: its offset has 16 bits.
const longestGroup = 16000

// Compile makes a program of rules. It goes through the exceptions, those of one type
// and access together so that one comparison passes over all of them, and ends at
// the first that matches. No branch is left for later, since the verifier keeps
// account of 8192 of them at most: an exception either ends the program or is passed.
func (r *Rules) Compile() Program {
	end := []insn{{op: opSet, regs: regVerdict, imm: verdict(r.Allow)}, {op: opExit}}
	list := r.needed()
	if len(list) == 0 {
		return Program{insns: end, allowsAll: r.AllowsAll()}
	}
	p := Program{insns: make([]insn, 0, 16+3*len(list))}
	p.add(
		insn{op: opLoad, regs: regAsked | regContext<<4, off: 0},
		insn{op: opLoad, regs: regMajor | regContext<<4, off: 4},
		insn{op: opLoad, regs: regMinor | regContext<<4, off: 8},
		insn{op: opCopy, regs: regDevice | regMajor<<4},
		insn{op: opShift, regs: regDevice, imm: minorBits},
		insn{op: opOr, regs: regDevice | regMinor<<4},
		insn{op: opSet, regs: regVerdict, imm: verdict(!r.Allow)},
	)
	for len(list) > 0 {
		n := 1
		for n < len(list) && n < longestGroup && list[n].Type == list[0].Type && list[n].Access == list[0].Access {
			n++
		}
		p.group(list[:n], r.Allow)
		list = list[n:]
	}
	p.add(end...)
	return p
}

func (p *Program) add(list ...insn) { p.insns = append(p.insns, list...) }

// group appends the test for exceptions of one type and access.
func (p *Program) group(list []Exception, allow bool) {
	// BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR are bits too.
	kind := uint32(1)
	if list[0].Type == 'c' {
		kind = 2
	}
	access := uint32(list[0].Access) << 16
	skips := []int{len(p.insns)}
	if allow {
		// The group is for any of its accesses.
		p.add(
			insn{op: opIfAnyBit, regs: regAsked, imm: int32(^kind & 0xffff)},
			insn{op: opIfAnyBit, regs: regAsked, imm: int32(access), off: 1},
			insn{op: opJump},
		)
		skips = append(skips, len(p.insns)-1)
	} else {
		// The group is for its accesses and no more.
		p.add(insn{op: opIfAnyBit, regs: regAsked, imm: int32(^(kind | access))})
	}
	for i := range list {
		switch e := &list[i]; {
		case e.Major == Any && e.Minor == Any:
		case e.Major == Any:
			p.add(insn{op: opUnlike, regs: regMinor, imm: int32(e.Minor), off: 1})
		case e.Minor == Any:
			p.add(insn{op: opUnlike, regs: regMajor, imm: int32(e.Major), off: 1})
		default:
			p.add(insn{op: opUnlike, regs: regDevice, imm: int32(uint32(e.Major)<<minorBits | uint32(e.Minor)), off: 1})
		}
		p.add(insn{op: opExit})
	}
	for _, at := range skips {
		p.insns[at].off = int16(len(p.insns) - at - 1)
	}
}

// needed are the exceptions that make a difference, in an order that does not depend
// on that of the config, so that rules which mean the same give the same program.
func (r *Rules) needed() []Exception {
	var wide []Exception // can have all of another one
	for _, e := range r.Exceptions {
		if e.Major == Any || e.Minor == Any {
			wide = append(wide, e)
		}
	}
	list := make([]Exception, 0, len(r.Exceptions))
	for i := range r.Exceptions {
		e := &r.Exceptions[i]
		covered := slices.ContainsFunc(wide, func(w Exception) bool { return w.covers(e) })
		if e.Major <= maxMajor && e.Minor <= maxMinor && !covered {
			list = append(list, *e)
		}
	}
	slices.SortFunc(list, func(a, b Exception) int {
		return cmp.Or(-cmp.Compare(a.Type, b.Type), -cmp.Compare(a.Access, b.Access),
			cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
	})
	return list
}

// covers says whether e has all devices and accesses of another exception. No two
// are for the very same devices.
func (e *Exception) covers(o *Exception) bool {
	return e.Type == o.Type && o.Access&^e.Access == 0 &&
		(e.Major == Any || e.Major == o.Major) && (e.Minor == Any || e.Minor == o.Minor) &&
		(e.Major != o.Major || e.Minor != o.Minor)
}

func verdict(allow bool) int32 {
	if allow {
		return 1
	}
	return 0
}
