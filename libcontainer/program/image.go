package program

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// The memory of the child. The addresses are fixed, so that pointers are final
// when the image is written and nothing is relocated. They are far above
// vm.mmap_min_addr and far below where kernels put stacks and the vDSO.
const (
	codeBase = 0x400000
	dataBase = 0x10000000 // vm.h: DATA

	inboxOff  = 256 // vm.h: INBOX
	inboxLen  = 7936
	stepsOff  = inboxOff + inboxLen
	stepSize  = 80
	cellSize  = 8
	msgOff    = 32 // vm.h: M_KIND
	msgLen    = 48
	elfHeader = 64 + 3*56
)

const (
	flagTrace = 1  // header: report every step
	flagQuiet = 64 // vm.h: QUIET; a step's flag
	failShift = 16 // a step's flags: the errno of an injected fault
)

// le is the byte order of all machines that have an interpreter.
var le = binary.LittleEndian

// layout gives every Data that the steps reach an address.
type layout struct {
	next   uint64
	order  []*Data
	placed map[*Data]bool
	cells  uint64
	fixup  bool // laying out a fixup: what has its place in the image stays there
}

func (l *layout) place(d *Data) {
	if d == nil || l.placed[d] || l.fixup && d.pinned {
		return
	}
	l.placed[d] = true
	d.pinned = !l.fixup
	// 8 is what the kernel's structs want; strings need none, and packing them
	// keeps the child's memory at a few pages.
	if !d.str {
		l.next = (l.next + 7) &^ 7
	}
	d.addr = l.next
	l.next += uint64(d.len())
	l.order = append(l.order, d)
	for _, r := range d.Refs {
		l.place(r.To)
	}
}

func (l *layout) slot(s *Slot) {
	if s == nil || s.addr != 0 {
		return
	}
	if s.Home != nil {
		l.place(s.Home)
		s.addr = s.Home.addr + uint64(s.Off)
		return
	}
	s.addr = l.cells
	l.cells += cellSize
}

func (l *layout) step(st *Step) {
	l.slot(st.Result)
	for _, a := range st.Args {
		l.slot(a.slot)
		l.place(a.data)
	}
}

// slotsOf visits all slots of steps and of their fixups.
func slotsOf(steps []Step, f func(*Slot)) {
	for i := range steps {
		st := &steps[i]
		if st.Result != nil {
			f(st.Result)
		}
		for _, a := range st.Args {
			if a.slot != nil {
				f(a.slot)
			}
		}
		for j := range st.Fixups {
			slotsOf(st.Fixups[j].Steps, f)
			if l := st.Fixups[j].Links; l != nil {
				f(l.Root)
				f(l.Dir)
			}
		}
	}
}

// Image writes the program as a static executable: the interpreter, and the
// data it works on. With trace every step is reported with its result and time.
// pageSize is the kernel's, in bytes: segments are aligned to it.
//
// The slots and Data of the program are given their addresses, so a Program has
// one image at a time.
func (p *Program) Image(trace bool, pageSize int) ([]byte, error) {
	code := vmCode()
	cells := 0
	slotsOf(p.Steps, func(s *Slot) { s.addr = 0; cells++ })
	l := &layout{placed: make(map[*Data]bool, 4*len(p.Steps))}
	l.cells = dataBase + stepsOff + uint64(len(p.Steps))*stepSize
	l.next = l.cells + uint64(cells)*cellSize
	for i := range p.Steps {
		l.step(&p.Steps[i])
		for j := range p.Steps[i].Fixups {
			// What a fixup's steps point to travels with the fixup; only its
			// slots live in the image.
			m := &p.Steps[i].Fixups[j]
			slotsOf(m.Steps, l.slot)
			if m.Links != nil {
				l.slot(m.Links.Root)
				l.slot(m.Links.Dir)
			}
		}
	}
	size := int(l.next - dataBase)
	if elfHeader+len(code) > pageSize || size > 1<<24 {
		return nil, fault.New("the program is too large for an image")
	}
	img := make([]byte, pageSize+size)
	writeELF(img, len(code), size, pageSize)
	copy(img[elfHeader:], code)
	data := img[pageSize:]
	le.PutUint64(data[0:], uint64(p.Descriptor(FDSocket)))
	le.PutUint64(data[8:], dataBase+stepsOff)
	le.PutUint64(data[16:], dataBase+stepsOff+uint64(len(p.Steps))*stepSize)
	if trace {
		le.PutUint64(data[24:], flagTrace)
	}
	slotsOf(p.Steps, func(s *Slot) {
		if s.Inherited >= 0 {
			le.PutUint64(data[s.addr-dataBase:], uint64(s.Inherited))
		}
	})
	for _, d := range l.order {
		writeData(data[d.addr-dataBase:], d)
	}
	for i := range p.Steps {
		writeStep(data[stepsOff+i*stepSize:], &p.Steps[i])
	}
	return img, nil
}

func writeData(to []byte, d *Data) {
	copy(to, d.Bytes)
	for _, r := range d.Refs {
		le.PutUint64(to[r.Off:], r.To.addr)
	}
}

// writeStep lays a step out as vm_*.s reads it: number and flags, six
// arguments, the address of the result's cell, four pairs of errno and skip.
func writeStep(to []byte, st *Step) {
	flags := uint32(st.Fail) << failShift
	if st.Quiet {
		flags |= flagQuiet
	}
	for i, a := range st.Args {
		v := a.n
		switch {
		case a.slot != nil:
			v = a.slot.addr
			if !a.IsAddr() {
				flags |= 1 << i
			}
		case a.data != nil:
			v = a.data.addr
		}
		le.PutUint64(to[8+8*i:], v)
	}
	le.PutUint32(to[0:], st.Call.info().nr)
	le.PutUint32(to[4:], flags)
	if st.Result != nil {
		le.PutUint64(to[56:], st.Result.addr)
	}
	for i, h := range st.Harmless {
		le.PutUint16(to[64+4*i:], uint16(h.Errno))
		le.PutUint16(to[66+4*i:], uint16(h.Skip))
	}
}

// writeELF writes the file header and three program headers: code r-x, data
// rw-, and a stack that is not executable.
func writeELF(b []byte, code, data, page int) {
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2) // ET_EXEC
	le.PutUint16(b[18:], elfMachine)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], codeBase+elfHeader) // e_entry
	le.PutUint64(b[32:], 64)                 // e_phoff
	le.PutUint32(b[48:], elfFlags)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 3)
	ph := func(i int, typ, flags uint32, off, addr, size, align int) {
		h := b[64+56*i:]
		le.PutUint32(h[0:], typ)
		le.PutUint32(h[4:], flags)
		for j, v := range []int{off, addr, addr, size, size, align} {
			le.PutUint64(h[8+8*j:], uint64(v))
		}
	}
	const ptLoad, ptGNUStack = 1, 0x6474e551
	ph(0, ptLoad, 5, 0, codeBase, elfHeader+code, page)
	ph(1, ptLoad, 6, page, dataBase, data, page)
	ph(2, ptGNUStack, 6, 0, 0, 0, 16)
}

// Seal writes an image to a memfd that nobody can change any more, and returns
// its descriptor. The child's /proc/PID/exe is this file and never Berth's own,
// so a container has nothing of Berth's to overwrite (CVE-2019-5736).
func Seal(img []byte) (int, error) {
	fd, err := unix.MemfdCreate("berth", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|mfdExec)
	if err == unix.EINVAL {
		// MFD_EXEC is Linux 6.3; before, every memfd could be executed.
		fd, err = unix.MemfdCreate("berth", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, &fault.Error{Msg: "cannot make the container's image", Call: "memfd_create", Err: err}
	}
	if err := sys.WriteAll(fd, img); err != nil {
		unix.Close(fd)
		return -1, &fault.Error{Msg: "cannot write the container's image", Call: "write", Err: err}
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, &fault.Error{Msg: "cannot seal the container's image", Call: "fcntl(F_ADD_SEALS)", Err: err}
	}
	return fd, nil
}

const mfdExec = 0x10 // MFD_EXEC, Linux 6.3

// SealFile is Seal for hosts where policy forbids to execute a memfd
// (vm.memfd_noexec=2, integrity checks): a file in dir that never has a name, so
// that nothing is left of it, and that nobody has open for writing. A dir that is
// mounted noexec gives EACCES, as execve would.
func SealFile(img []byte, dir string) (int, error) {
	no := func(call string, err error) (int, error) {
		return -1, &fault.Error{Msg: "cannot make the container's image", Call: call + " " + dir, Err: err}
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o700)
	if err != nil {
		return no("open", err)
	}
	defer unix.Close(fd)
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return no("fstatfs", err)
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		return no("execute in", unix.EACCES)
	}
	if err := sys.WriteAll(fd, img); err != nil {
		return no("write", err)
	}
	// A descriptor for writing would make execve answer ETXTBSY.
	ro, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return no("open again in", err)
	}
	return ro, nil
}

// Break makes a step fail: the interpreter answers with errno without making
// the call. It is how faults are injected.
func (p *Program) Break(step, errno int) { p.Steps[step].Fail = unix.Errno(errno) }
