package seccomp

import "runtime"

// Arch is an architecture as seccomp tells them apart: an ABI of system calls with
// its numbers. The zero Arch is none.
type Arch uint8

// The architectures, by libseccomp's names without SCMP_ARCH_.
const (
	_ Arch = iota
	X86
	AMD64
	X32
	ARM
	ARM64
	RISCV64
	Loong64
	MIPS
	MIPSEL
	MIPS64
	MIPSEL64
	MIPSN32
	MIPSELN32
	PPC
	PPC64
	PPC64LE
	S390
	S390X
	PARISC
	PARISC64
	M68K
	SH
	SHEB
	archCount
)

// Bits of the kernel's AUDIT_ARCH_ constants (include/uapi/linux/audit.h); the rest is
// the machine's number in ELF.
const (
	audit64  = 0x80000000
	auditLE  = 0x40000000
	auditN32 = 0x20000000
)

// x32Bit marks the calls of x32, which has x86-64's AUDIT_ARCH_.
const x32Bit = 0x40000000

type archInfo struct {
	name  string
	audit uint32
	table uint8
	// base is added to the numbers of the table.
	base uint32
	// narrow says that only the lower halves of arguments are compared: where
	// registers have 32 bits, and in x32 and n32, as libseccomp does.
	narrow bool
}

var arches = [archCount]archInfo{
	X86:       {name: "SCMP_ARCH_X86", audit: 3 | auditLE, table: tableX86, narrow: true},
	AMD64:     {name: "SCMP_ARCH_X86_64", audit: 62 | auditLE | audit64, table: tableAMD64},
	X32:       {name: "SCMP_ARCH_X32", audit: 62 | auditLE | audit64, table: tableX32, base: x32Bit, narrow: true},
	ARM:       {name: "SCMP_ARCH_ARM", audit: 40 | auditLE, table: tableARM, narrow: true},
	ARM64:     {name: "SCMP_ARCH_AARCH64", audit: 183 | auditLE | audit64, table: tableARM64},
	RISCV64:   {name: "SCMP_ARCH_RISCV64", audit: 243 | auditLE | audit64, table: tableRISCV64},
	Loong64:   {name: "SCMP_ARCH_LOONGARCH64", audit: 258 | auditLE | audit64, table: tableLoong64},
	MIPS:      {name: "SCMP_ARCH_MIPS", audit: 8, table: tableMIPS, base: 4000, narrow: true},
	MIPSEL:    {name: "SCMP_ARCH_MIPSEL", audit: 8 | auditLE, table: tableMIPS, base: 4000, narrow: true},
	MIPS64:    {name: "SCMP_ARCH_MIPS64", audit: 8 | audit64, table: tableMIPS64, base: 5000},
	MIPSEL64:  {name: "SCMP_ARCH_MIPSEL64", audit: 8 | audit64 | auditLE, table: tableMIPS64, base: 5000},
	MIPSN32:   {name: "SCMP_ARCH_MIPS64N32", audit: 8 | audit64 | auditN32, table: tableMIPSN32, base: 6000, narrow: true},
	MIPSELN32: {name: "SCMP_ARCH_MIPSEL64N32", audit: 8 | audit64 | auditN32 | auditLE, table: tableMIPSN32, base: 6000, narrow: true},
	PPC:       {name: "SCMP_ARCH_PPC", audit: 20, table: tablePPC, narrow: true},
	PPC64:     {name: "SCMP_ARCH_PPC64", audit: 21 | audit64, table: tablePPC64},
	PPC64LE:   {name: "SCMP_ARCH_PPC64LE", audit: 21 | audit64 | auditLE, table: tablePPC64},
	S390:      {name: "SCMP_ARCH_S390", audit: 22, table: tableS390, narrow: true},
	S390X:     {name: "SCMP_ARCH_S390X", audit: 22 | audit64, table: tableS390X},
	PARISC:    {name: "SCMP_ARCH_PARISC", audit: 15, table: tablePARISC, narrow: true},
	PARISC64:  {name: "SCMP_ARCH_PARISC64", audit: 15 | audit64, table: tablePARISC64},
	M68K:      {name: "SCMP_ARCH_M68K", audit: 4, table: tableM68K, narrow: true},
	SH:        {name: "SCMP_ARCH_SH", audit: 42 | auditLE, table: tableSH, narrow: true},
	SHEB:      {name: "SCMP_ARCH_SHEB", audit: 42, table: tableSH, narrow: true},
}

// Native is the architecture that this program was built for, 0 where no table has it.
func Native() Arch {
	switch runtime.GOARCH {
	case "386":
		return X86
	case "amd64":
		return AMD64
	case "arm":
		return ARM
	case "arm64":
		return ARM64
	case "riscv64":
		return RISCV64
	case "loong64":
		return Loong64
	case "mips":
		return MIPS
	case "mipsle":
		return MIPSEL
	case "mips64":
		return MIPS64
	case "mips64le":
		return MIPSEL64
	case "ppc64":
		return PPC64
	case "ppc64le":
		return PPC64LE
	case "s390x":
		return S390X
	}
	return 0
}

// ParseArch finds an architecture by its name in profiles: SCMP_ARCH_X86_64.
func ParseArch(name string) (Arch, bool) {
	for a := Arch(1); a < archCount; a++ {
		if arches[a].name == name {
			return a, true
		}
	}
	return 0, false
}

// Arches are all architectures.
func Arches() []Arch {
	all := make([]Arch, 0, archCount)
	for a := Arch(1); a < archCount; a++ {
		all = append(all, a)
	}
	return all
}

// String is the name in profiles.
func (a Arch) String() string { return arches[a].name }

// Audit is the AUDIT_ARCH_ value by which the kernel shows the architecture to a filter.
func (a Arch) Audit() uint32 { return arches[a].audit }

// BigEndian says how the filter's view of a call is laid out.
func (a Arch) BigEndian() bool { return arches[a].audit&auditLE == 0 }

// low and high are where the halves of an argument stand in struct seccomp_data.
func (a Arch) low(arg uint8) uint8 {
	if a.BigEndian() {
		return 16 + 8*arg + 4
	}
	return 16 + 8*arg
}

func (a Arch) high(arg uint8) uint8 { return 2*(16+8*arg) + 4 - a.low(arg) }

// Compat are the other architectures whose programs a machine may run.
func (a Arch) Compat() []Arch {
	switch a {
	case AMD64:
		return []Arch{X86, X32}
	case ARM64:
		return []Arch{ARM}
	case MIPS64:
		return []Arch{MIPS, MIPSN32}
	case MIPSEL64:
		return []Arch{MIPSEL, MIPSELN32}
	case PPC64:
		return []Arch{PPC}
	case S390X:
		return []Arch{S390}
	case PARISC64:
		return []Arch{PARISC}
	}
	return nil
}

// OfCall is the architecture of a call by what a filter sees of it: by its AUDIT_ARCH_
// value and, for x32, by its number.
func OfCall(audit, nr uint32) (Arch, bool) {
	if audit == AMD64.Audit() && nr&x32Bit != 0 {
		return X32, true
	}
	for a := Arch(1); a < archCount; a++ {
		if a.Audit() == audit {
			return a, true
		}
	}
	return 0, false
}
