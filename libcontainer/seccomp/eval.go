package seccomp

// Call is a system call as a filter sees it, struct seccomp_data.
type Call struct {
	Nr uint32
	// Arch is the AUDIT_ARCH_ value.
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// word is the word at an offset.
func (c *Call) word(off uint32, bigEndian bool) (uint32, bool) {
	if off%4 != 0 || off >= 64 {
		return 0, false
	}
	switch off {
	case nrOff:
		return c.Nr, true
	case archOff:
		return c.Arch, true
	}
	v := c.IP
	if off >= 16 {
		v = c.Args[(off-16)/8]
	}
	if (off%8 == 0) == bigEndian {
		v >>= 32
	}
	return uint32(v), true
}

// Run executes a filter on a call: what it returns, and how many instructions that
// took. It is not ok where the kernel would have refused the filter: an instruction that
// is not among those that filters of this package or libseccomp have, or a jump past the end.
func Run(insns []Insn, c *Call, bigEndian bool) (ret uint32, executed int, ok bool) {
	var acc uint32
	for pc := 0; pc < len(insns); pc++ {
		i := &insns[pc]
		executed++
		taken := false
		switch i.Code {
		case codeLoad:
			if acc, ok = c.word(i.K, bigEndian); !ok {
				return 0, executed, false
			}
			continue
		case codeAnd:
			acc &= i.K
			continue
		case codeReturn:
			return i.K, executed, true
		case codeJump:
			if uint64(pc)+uint64(i.K) >= uint64(len(insns)) {
				return 0, executed, false
			}
			pc += int(i.K)
			continue
		case codeEqual:
			taken = acc == i.K
		case codeGreater:
			taken = acc > i.K
		case codeGreaterEq:
			taken = acc >= i.K
		case codeSet:
			taken = acc&i.K != 0
		default:
			return 0, executed, false
		}
		if taken {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
	return 0, executed, false
}
