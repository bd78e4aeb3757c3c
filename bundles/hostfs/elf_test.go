package hostfs

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// sample is a program of this machine to take apart.
func sample(t testing.TB) []byte {
	for _, p := range []string{"/bin/true", "/bin/sh", "/usr/bin/env"} {
		if b, err := os.ReadFile(p); err == nil && isELF(b) {
			return b
		}
	}
	t.Skip("no ELF program found")
	return nil
}

// TestAgainstDebugELF reads all programs of the default set, and their
// libraries, both ways.
func TestAgainstDebugELF(t *testing.T) {
	rep := build(t, Options{})
	n := 0
	for _, f := range rep.Files {
		b, err := os.ReadFile(rep.Rootfs + f.Path)
		if err != nil || !isELF(b) || f.Target != "" {
			continue
		}
		n++
		got, err := readObject(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Errorf("%s: %v", f.Path, err)
			continue
		}
		ref, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Errorf("%s: debug/elf: %v", f.Path, err)
			continue
		}
		needed, _ := ref.ImportedLibraries()
		str := func(tag elf.DynTag) string {
			if s, _ := ref.DynString(tag); len(s) > 0 {
				return s[0]
			}
			return ""
		}
		interp := ""
		for _, p := range ref.Progs {
			if p.Type == elf.PT_INTERP {
				d := make([]byte, p.Filesz)
				p.ReadAt(d, 0)
				interp = string(bytes.TrimRight(d, "\x00"))
			}
		}
		want := object{
			class: byte(ref.Class), machine: uint16(ref.Machine), interp: interp, needed: needed,
			soname: str(elf.DT_SONAME), rpath: str(elf.DT_RPATH), runpath: str(elf.DT_RUNPATH),
			unwinds: got.unwinds, nssInside: got.nssInside,
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, debug/elf: %+v", f.Path, *got, want)
		}
	}
	if n < 3 {
		t.Skipf("only %d ELF files on this host", n)
	}
}

// TestWithoutSectionHeaders is why debug/elf is not enough: the kernel runs it.
func TestWithoutSectionHeaders(t *testing.T) {
	b := bytes.Clone(sample(t))
	want, err := readObject(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if want.class != 2 || len(want.needed) == 0 {
		t.Skip("/bin/true is static or not of 64 bit")
	}
	clear(b[40:48])
	clear(b[58:64])
	got, err := readObject(bytes.NewReader(b), int64(len(b)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestMalformed(t *testing.T) {
	good := sample(t)
	for name, b := range map[string][]byte{
		"empty":         {},
		"magic":         []byte("\x7fELF"),
		"text":          []byte("#!/bin/sh\necho this is long enough to be a header of an ELF file\n"),
		"header":        good[:64],
		"half":          good[:len(good)/2],
		"big endian":    with(good, 5, 2),
		"class":         with(good, 4, 9),
		"relocatable":   with(good, 16, 1),
		"entsize":       with(good, 54, 1),
		"phoff":         with(good, 32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"no headers":    with(good, 56, 0, 0),
		"65535 headers": with(good, 56, 0xff, 0xff),
	} {
		if o, err := readObject(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: read as %+v", name, o)
		}
		// As a program it is a warning, as the command an error; never a panic.
		root := t.TempDir()
		put(t, root, "bin/odd", string(b), 0o755)
		put(t, root, "bin/fine", "data", 0o755)
		rep := build(t, Options{Root: root}, "fine", "odd")
		if !warned(rep, "odd") {
			t.Errorf("%s: no warning", name)
		}
		if _, err := Build(filepath.Join(t.TempDir(), "r"), nil, Options{Root: root, Command: "odd"}); err == nil && isELF(b) {
			t.Errorf("%s: no error for the command", name)
		}
	}
}

func with(b []byte, off int, v ...byte) []byte {
	c := bytes.Clone(b)
	copy(c[off:], v)
	return c
}

func FuzzReadObject(f *testing.F) {
	b := sample(f)
	if len(b) > 4096 {
		b = b[:4096]
	}
	f.Add(b)
	f.Add(tiny(f, "libone.so", "libtwo.so"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readObject(bytes.NewReader(b), int64(len(b)))
		if (o == nil) != (err != nil) && err == nil {
			t.Fatal("neither an object nor an error")
		}
		if err == nil {
			for _, n := range o.needed {
				if n == "" || len(n) >= pathMax {
					t.Fatalf("needs %q", n)
				}
			}
		}
	})
}

// TestFlippedBytes changes each byte of the headers of a small file in turn.
func TestFlippedBytes(t *testing.T) {
	b := tiny(t, "libone.so")
	for i := range b {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			c := with(b, i, v)
			readObject(bytes.NewReader(c), int64(len(c)))
		}
	}
}
