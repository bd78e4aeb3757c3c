package hostfs

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// image describes a made-up ELF file, which need not run: with it a test can
// play hosts that this machine is not.
type image struct {
	class                          byte
	machine                        uint16
	interp, soname, rpath, runpath string
	needed                         []string
	symbols                        []string // further names in the table of strings
}

func tiny(_ testing.TB, needed ...string) []byte {
	return image{interp: "/lib64/ld-linux-x86-64.so.2", needed: needed}.bytes()
}

func (m image) bytes() []byte {
	if m.class == 0 {
		m.class = 2
	}
	if m.machine == 0 {
		m.machine = emX8664
	}
	strs := []byte{0}
	str := func(s string) uint64 {
		off := len(strs)
		strs = append(append(strs, s...), 0)
		return uint64(off)
	}
	var dyn [][2]uint64
	for _, n := range m.needed {
		dyn = append(dyn, [2]uint64{dtNeeded, str(n)})
	}
	for _, x := range []struct {
		tag uint64
		s   string
	}{{dtSoname, m.soname}, {dtRpath, m.rpath}, {dtRunpath, m.runpath}} {
		if x.s != "" {
			dyn = append(dyn, [2]uint64{x.tag, str(x.s)})
		}
	}
	for _, s := range m.symbols {
		str(s)
	}
	interp := append([]byte(m.interp), 0)
	const vaddr = 0x10000
	head, ent, word := 64, 56, 8
	if m.class == 1 {
		head, ent, word = 52, 32, 4
	}
	strOff := head + 3*ent
	dyn = append(dyn, [2]uint64{dtStrtab, vaddr + uint64(strOff)}, [2]uint64{dtStrsz, uint64(len(strs))}, [2]uint64{})
	intOff := strOff + len(strs)
	dynOff := intOff + len(interp)
	total := dynOff + len(dyn)*2*word

	le := binary.LittleEndian
	var b bytes.Buffer
	put := func(v uint64) {
		if word == 8 {
			b.Write(le.AppendUint64(nil, v))
		} else {
			b.Write(le.AppendUint32(nil, uint32(v)))
		}
	}
	b.Write([]byte{0x7f, 'E', 'L', 'F', m.class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	b.Write(le.AppendUint16(nil, etDyn))
	b.Write(le.AppendUint16(nil, m.machine))
	b.Write(le.AppendUint32(nil, 1))
	put(0)            // entry
	put(uint64(head)) // program headers
	put(0)            // section headers
	b.Write(le.AppendUint32(nil, 0))
	for _, v := range []int{head, ent, 3, 0, 0, 0} {
		b.Write(le.AppendUint16(nil, uint16(v)))
	}
	segment := func(kind, off, size int) {
		b.Write(le.AppendUint32(nil, uint32(kind)))
		if word == 8 {
			b.Write(le.AppendUint32(nil, 4))
		}
		put(uint64(off))
		put(vaddr + uint64(off))
		put(0)
		put(uint64(size))
		put(uint64(size))
		if word == 4 {
			b.Write(le.AppendUint32(nil, 4))
		}
		put(1)
	}
	segment(ptLoad, 0, total)
	if m.interp == "" {
		segment(0, 0, 0)
	} else {
		segment(ptInterp, intOff, len(interp))
	}
	segment(ptDynamic, dynOff, len(dyn)*2*word)
	b.Write(strs)
	b.Write(interp)
	for _, d := range dyn {
		put(d[0])
		put(d[1])
	}
	return b.Bytes()
}
