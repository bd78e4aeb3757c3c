package program

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// waiting is a program that waits and then ends.
func waiting() *Program {
	b := &Builder{}
	b.Barrier(BarrierReady, "wait")
	b.Do(CallExitGroup, "end", Int(0))
	return &Program{Steps: b.Steps(), Descriptors: born(0)}
}

func image(t *testing.T, p *Program, page int) []byte {
	t.Helper()
	img, err := p.Image(false, page)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestELF(t *testing.T) {
	for _, page := range []int{4096, 16384, 65536} {
		img := image(t, waiting(), page)
		f, err := elf.NewFile(bytes.NewReader(img))
		if err != nil {
			t.Fatal(err)
		}
		if f.Type != elf.ET_EXEC || uint16(f.Machine) != elfMachine || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
			t.Errorf("the header is %+v", f.FileHeader)
		}
		var code, data, stack *elf.Prog
		for _, p := range f.Progs {
			switch {
			case p.Type == elf.PT_LOAD && p.Flags == elf.PF_R|elf.PF_X:
				code = p
			case p.Type == elf.PT_LOAD && p.Flags == elf.PF_R|elf.PF_W:
				data = p
			case p.Type == elf.PT_GNU_STACK && p.Flags == elf.PF_R|elf.PF_W:
				stack = p
			default:
				t.Errorf("unexpected: %+v", p.ProgHeader)
			}
		}
		if code == nil || data == nil || stack == nil || len(f.Progs) != 3 {
			t.Fatalf("page %d: a segment is missing", page)
		}
		for _, p := range []*elf.Prog{code, data} {
			if p.Align != uint64(page) || p.Vaddr%p.Align != p.Off%p.Align || p.Off+p.Filesz > uint64(len(img)) || p.Filesz != p.Memsz {
				t.Errorf("page %d: %+v", page, p.ProgHeader)
			}
		}
		text := make([]byte, code.Filesz)
		if _, err := code.ReadAt(text, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text[f.Entry-code.Vaddr:], vmCode()) {
			t.Errorf("page %d: the entry is not the interpreter", page)
		}
		if want := page + stepsOff + 4*stepSize; len(img) > want {
			t.Errorf("page %d: two steps make %d bytes, want at most %d", page, len(img), want)
		}
	}
	t.Logf("the interpreter has %d bytes", len(vmCode()))
}

func TestImageTooLarge(t *testing.T) {
	p := &Program{Steps: []Step{{Call: CallUmask, Args: []Arg{Ptr(Buffer(1<<24, "large"))}}}, Descriptors: born(0)}
	if _, err := p.Image(false, 4096); err == nil {
		t.Error("an image of more than 16 MiB was made")
	}
}

// Every piece of data has its own place, structs at multiples of eight, and
// pointers lead there; the same program has the same image again.
func TestLayout(t *testing.T) {
	inner := Struct([]byte("inner"), "inner")
	outer := Struct(words(0, 0), "outer")
	outer.Refs = []Ref{{0, inner}, {8, String("x")}}
	home := Struct(words(1), "home")
	b := &Builder{}
	b.Do(CallChdir, "0", Path("odd"))
	b.Do(CallRead, "1", Int(0), Ptr(outer), Int(16)).Into(&Slot{Name: "in", Home: home, Off: 0, Inherited: -1})
	b.Do(CallRead, "2", Int(0), Ptr(inner), From(&Slot{Name: "seven", Inherited: 7}))
	p := &Program{Steps: b.Steps(), Descriptors: born(0)}
	img := image(t, p, 4096)
	at := func(addr uint64, n int) string { return string(img[4096+addr-dataBase:][:n]) }
	if outer.addr%8 != 0 || inner.addr%8 != 0 || home.addr%8 != 0 {
		t.Error("a struct is not aligned")
	}
	if at(inner.addr, 5) != "inner" || at(outer.addr, 8) != string(words(inner.addr)) {
		t.Error("a pointer leads nowhere")
	}
	step := img[4096+stepsOff:]
	if a := le.Uint64(step[8:]); at(a, 4) != "odd\x00" {
		t.Error("the path is not where the step says")
	}
	if le.Uint64(step[stepSize+56:]) != home.addr {
		t.Error("the result does not go home")
	}
	if a := le.Uint64(step[2*stepSize+24:]); at(a, 8) != string(words(7)) || le.Uint32(step[2*stepSize+4:]) != 4 {
		t.Error("the inherited descriptor is not in its cell")
	}
	if !bytes.Equal(img, image(t, p, 4096)) {
		t.Error("the second image differs")
	}
}

func TestSealed(t *testing.T) {
	img := image(t, waiting(), os.Getpagesize())
	fd, err := Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	got := make([]byte, len(img)+1)
	if n, err := unix.Pread(fd, got, 0); err != nil || !bytes.Equal(got[:n], img) {
		t.Errorf("it holds something else: %v", err)
	}
	if _, err := unix.Pwrite(fd, []byte("x"), 0); err != unix.EPERM {
		t.Errorf("write: %v", err)
	}
	if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != unix.EPERM {
		t.Errorf("mmap for writing: %v", err)
	}
	for _, size := range []int64{0, int64(len(img)) + 1} {
		if err := unix.Ftruncate(fd, size); err != unix.EPERM {
			t.Errorf("ftruncate to %d: %v", size, err)
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_EXEC); err != unix.EPERM {
		t.Errorf("another seal: %v", err)
	}
	if fl, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); fl&unix.FD_CLOEXEC == 0 {
		t.Error("it is not close-on-exec")
	}
}

// A waiting child is small, and its executable is the memfd.
func TestWaitingChild(t *testing.T) {
	native(t, "there the child is the emulator")
	m := startProgram(t, waiting(), false)
	if err := m.Run(handler{}, BarrierReady); err != nil {
		t.Fatal(err)
	}
	proc := "/proc/" + strconv.Itoa(m.Pid)
	if exe, err := os.Readlink(proc + "/exe"); err != nil || !strings.HasPrefix(exe, "/memfd:berth") {
		t.Errorf("its executable is %q: %v", exe, err)
	}
	if f, err := os.OpenFile(proc+"/exe", os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Error("its executable can be opened for writing while it runs")
	}
	maps, err := os.ReadFile(proc + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "wx") {
			t.Errorf("memory to write and to execute: %s", line)
		}
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	kb := -1
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ = strconv.Atoi(strings.Fields(v)[0])
		}
	}
	t.Logf("VmRSS is %d kB", kb)
	if limit := max(300, 10*os.Getpagesize()/1024); kb < 0 || kb > limit {
		t.Errorf("VmRSS is %d kB, want at most %d", kb, limit)
	}
}

func TestSealFile(t *testing.T) {
	p := waiting()
	img := image(t, p, os.Getpagesize())
	dir := t.TempDir()
	fd, err := SealFile(img, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if names, err := os.ReadDir(dir); len(names) > 0 || err != nil {
		t.Errorf("the file has a name: %v, %v", names, err)
	}
	if _, err := unix.Write(fd, []byte("x")); err != unix.EBADF {
		t.Errorf("write: %v", err)
	}
	m, err := p.Start(fd, []int{0, 1, 2, -1}, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { m.Kill(); m.Close() }()
	if err := m.Run(handler{}, BarrierReady); err != nil {
		t.Fatal(err)
	}
	if emulator == nil {
		if _, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_CLOEXEC, 0); err != unix.ETXTBSY {
			t.Errorf("opened for writing while it runs: %v", err)
		}
	}
	if err := m.Release(); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	if st := exit(t, m); st != 0 {
		t.Errorf("exit status %d", st)
	}
}

func TestSealFileRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]error{file: unix.ENOTDIR, dir + "/no/dir": unix.ENOENT}
	noexec := filepath.Join(dir, "noexec")
	if err := os.Mkdir(noexec, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", noexec, "tmpfs", unix.MS_NOEXEC, ""); err == nil {
		defer func() { _ = unix.Unmount(noexec, unix.MNT_DETACH) }()
		want[noexec] = unix.EACCES
	}
	for p, want := range want {
		if fd, err := SealFile([]byte("image"), p); fd != -1 || !errors.Is(err, want) {
			t.Errorf("%s: %d, %v", p, fd, err)
		}
	}
}
