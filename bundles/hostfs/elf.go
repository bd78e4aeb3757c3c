package hostfs

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// The standard library's debug/elf is not used on purpose. It finds the dynamic
// section by way of the section headers, which neither the kernel nor ld.so
// looks at: for a program whose section headers were stripped it answers
// "needs nothing", and the copy would not start. It also refuses files for
// faults in headers that play no part in running them. The reader below goes
// the way of ld.so: program headers, then PT_DYNAMIC. The tests hold it against
// debug/elf.

const (
	ptLoad    = 1
	ptDynamic = 2
	ptInterp  = 3

	dtNull    = 0
	dtNeeded  = 1
	dtStrtab  = 5
	dtStrsz   = 10
	dtSoname  = 14
	dtRpath   = 15
	dtRunpath = 29

	etExec = 2
	etDyn  = 3

	em386     = 3
	emARM     = 40
	emX8664   = 62
	emAArch64 = 183
	emRISCV   = 243

	// maxPhdrs is the kernel's own bound on the bytes of program headers
	// (fs/binfmt_elf.c, load_elf_phdrs).
	maxPhdrs = 64 << 10
	// maxDynamic bounds the dynamic table. Real ones are below 2 KiB.
	maxDynamic = 1 << 20
	// maxStrings bounds the string table. The largest in the wild (browser
	// engines) are a few MiB.
	maxStrings = 64 << 20
	// pathMax is PATH_MAX, which also bounds what PT_INTERP may hold.
	pathMax = 4096
)

// object is what the dynamic linker reads from an ELF file.
type object struct {
	class   byte // 1: 32 bit, 2: 64 bit
	machine uint16
	interp  string
	needed  []string
	soname  string
	rpath   string
	runpath string
	// unwinds is true when the file calls a function that makes glibc load
	// libgcc_s.so.1 with dlopen, which no DT_NEEDED tells.
	unwinds bool
	// nssInside is true for a C library that has the "files" service built in
	// (glibc 2.34 and later), so that libnss_files is not needed.
	nssInside bool
}

// sameABI says whether a process made from o can load lib.
func (o *object) sameABI(lib *object) bool {
	return o.class == lib.class && o.machine == lib.machine
}

// badELF is the reason why a file can't be read as ELF.
type badELF string

func (e badELF) Error() string { return "malformed ELF file: " + string(e) }

// isELF says whether a file that begins with head claims to be ELF.
func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

type segment struct{ kind, off, vaddr, size uint64 }

// readObject reads an ELF file of size bytes. Every number in the file is taken
// for hostile: an odd file gives an error, never a panic or a huge allocation.
func readObject(r io.ReaderAt, size int64) (*object, error) {
	var head [64]byte
	if n, _ := r.ReadAt(head[:], 0); n < 52 || !isELF(head[:]) {
		return nil, badELF("no ELF header")
	}
	if head[5] != 1 {
		// amd64, arm64 and riscv64 are little-endian: no such program runs here.
		return nil, badELF("not little-endian")
	}
	o := &object{class: head[4], machine: binary.LittleEndian.Uint16(head[18:])}
	if o.class != 1 && o.class != 2 {
		return nil, badELF("neither 32 nor 64 bit")
	}
	if t := binary.LittleEndian.Uint16(head[16:]); t != etExec && t != etDyn {
		return nil, badELF("neither a program nor a shared object")
	}
	f := file{r: r, size: uint64(size), wide: o.class == 2}
	segs, err := f.segments(head[:])
	if err != nil {
		return nil, err
	}
	var dynamic *segment
	for i, s := range segs {
		switch s.kind {
		case ptInterp:
			if o.interp, err = f.interp(s); err != nil {
				return nil, err
			}
		case ptDynamic:
			dynamic = &segs[i]
		}
	}
	if dynamic == nil {
		return o, nil
	}
	return o, f.dynamic(o, *dynamic, segs)
}

// file reads numbers of one class from an ELF file.
type file struct {
	r    io.ReaderAt
	size uint64
	wide bool
}

// bytes reads n bytes at off, both as the file claims them.
func (f *file) bytes(off, n, limit uint64, what string) ([]byte, error) {
	if n > limit {
		return nil, badELF(what + " is too large")
	}
	if off > f.size || n > f.size-off {
		return nil, badELF(what + " lies outside the file")
	}
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, int64(off)); err != nil {
		// The file shrank after its size was taken.
		return nil, badELF(what + " can't be read")
	}
	return b, nil
}

// word reads the class's natural number: 4 bytes or 8.
func (f *file) word(b []byte) uint64 {
	if f.wide {
		return binary.LittleEndian.Uint64(b)
	}
	return uint64(binary.LittleEndian.Uint32(b))
}

func (f *file) segments(head []byte) ([]segment, error) {
	le := binary.LittleEndian
	off, entsize, num, want := uint64(le.Uint32(head[28:])), le.Uint16(head[42:]), le.Uint16(head[44:]), uint16(32)
	if f.wide {
		off, entsize, num, want = le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:]), 56
	}
	if num == 0 || entsize != want {
		return nil, badELF("no program headers")
	}
	table, err := f.bytes(off, uint64(num)*uint64(entsize), maxPhdrs, "the table of program headers")
	if err != nil {
		return nil, err
	}
	segs := make([]segment, 0, num)
	for ; len(table) > 0; table = table[entsize:] {
		s := segment{kind: uint64(le.Uint32(table))}
		if f.wide {
			s.off, s.vaddr, s.size = le.Uint64(table[8:]), le.Uint64(table[16:]), le.Uint64(table[32:])
		} else {
			s.off, s.vaddr, s.size = uint64(le.Uint32(table[4:])), uint64(le.Uint32(table[8:])), uint64(le.Uint32(table[16:]))
		}
		segs = append(segs, s)
	}
	return segs, nil
}

func (f *file) interp(s segment) (string, error) {
	b, err := f.bytes(s.off, s.size, pathMax, "the name of the interpreter")
	if err != nil {
		return "", err
	}
	// The kernel asks for the same: a NUL at the end, and something before it.
	name, _, _ := strings.Cut(string(b), "\x00")
	if len(b) == 0 || b[len(b)-1] != 0 || name == "" {
		return "", badELF("the name of the interpreter has no end")
	}
	return name, nil
}

func (f *file) dynamic(o *object, d segment, segs []segment) error {
	table, err := f.bytes(d.off, d.size, maxDynamic, "the dynamic table")
	if err != nil {
		return err
	}
	half := 4
	if f.wide {
		half = 8
	}
	var needed []uint64
	var straddr, strsize, soname, rpath, runpath uint64
	for ; len(table) >= 2*half; table = table[2*half:] {
		tag, val := f.word(table), f.word(table[half:])
		if tag == dtNull {
			break
		}
		switch tag {
		case dtNeeded:
			needed = append(needed, val)
		case dtStrtab:
			straddr = val
		case dtStrsz:
			strsize = val
		case dtSoname:
			soname = val
		case dtRpath:
			rpath = val
		case dtRunpath:
			runpath = val
		}
	}
	if strsize == 0 {
		if len(needed) > 0 {
			return badELF("needs libraries but has no table of strings")
		}
		return nil
	}
	strs, err := f.strings(straddr, strsize, segs)
	if err != nil {
		return err
	}
	return o.name(strs, needed, soname, rpath, runpath)
}

// strings reads the string table, which the file gives as an address in memory.
func (f *file) strings(addr, size uint64, segs []segment) ([]byte, error) {
	for _, s := range segs {
		if s.kind == ptLoad && addr >= s.vaddr && addr-s.vaddr < s.size {
			off := s.off + (addr - s.vaddr)
			if off < s.off {
				break
			}
			return f.bytes(off, size, maxStrings, "the table of strings")
		}
	}
	return nil, badELF("the table of strings is not in any segment")
}

// name turns offsets into the string table into o's strings. An offset of 0 is
// the empty string, as absent.
func (o *object) name(strs []byte, needed []uint64, soname, rpath, runpath uint64) error {
	var bad bool
	at := func(off uint64) string {
		if off >= uint64(len(strs)) {
			bad = true
			return ""
		}
		end := bytes.IndexByte(strs[off:], 0)
		if end < 0 || end >= pathMax {
			bad = true
			return ""
		}
		return string(strs[off : off+uint64(end)])
	}
	for _, off := range needed {
		n := at(off)
		if n == "" {
			bad = true
		}
		o.needed = append(o.needed, n)
	}
	o.soname, o.rpath, o.runpath = at(soname), at(rpath), at(runpath)
	if bad {
		return badELF("a name lies outside the table of strings")
	}
	o.nssInside = strings.HasPrefix(o.soname, "libc.so.") && bytes.Contains(strs, []byte("\x00GLIBC_2.34\x00"))
	o.unwinds = bytes.Contains(strs, []byte("\x00pthread_cancel\x00")) || bytes.Contains(strs, []byte("\x00pthread_exit\x00"))
	return nil
}
