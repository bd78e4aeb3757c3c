package program

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What the table says is what the child has: by number, and by the slot that a
// step reads; what it does not say is closed.
func TestDescriptors(t *testing.T) {
	r, w := pipe(t)
	in, win := pipe(t)
	if _, err := win.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	table := append(Stdio(0), Descriptor{"socket", 5, FDSocket, KeepUntilExec},
		Descriptor{"out", 9, FDHost, KeepUntilReady}, Descriptor{"in", 12, FDHost, KeepUntilReady})
	b := &Builder{}
	out, from := table[4].Slot(), table[5].Slot()
	for _, fd := range []int{3, 4, 6, 8, 10, 11} {
		b.Do(CallDup3, "see that it is closed", Int(fd), Int(20), Int(unix.O_CLOEXEC)).Ignore(unix.EBADF)
		b.Expect(Int(0), 0, 0, unix.EEXIST, "go on")
	}
	b.Do(CallWrite, "write by the slot", From(out), Ptr(String("by slot, ")), Int(9))
	b.Do(CallWrite, "write by the number", Int(9), Ptr(String("by number")), Int(9))
	b.Do(CallRead, "read by the slot", From(from), Ptr(Buffer(8, "byte")), Int(8))
	b.Do(CallExitGroup, "end", Int(0))
	p := &Program{Steps: b.Steps(), Descriptors: table}
	img, err := p.Image(true, unix.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m, err := p.Start(fd, []int{0, 1, 2, -1, fdOf(w), fdOf(in)}, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Kill(); m.Close() })
	got := make(map[int]int64)
	m.Trace = func(tr Traced) { got[tr.Step] = tr.Result }
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	for i := range p.Steps {
		if p.Steps[i].Call == CallDup3 && got[i] != -int64(unix.EBADF) {
			t.Errorf("%s is open", p.Steps[i].Text())
		}
	}
	if n := got[len(p.Steps)-2]; n != 1 {
		t.Errorf("the child read %d bytes, want 1", n)
	}
	if s := drain(t, r, w); s != "by slot, by number" {
		t.Errorf("the child wrote %q", s)
	}
}

// TestVerifyDescriptorTable is about tables that no program may have.
func TestVerifyDescriptorTable(t *testing.T) {
	set := func(change func([]Descriptor) []Descriptor) func(*testing.T, *Program) {
		return func(_ *testing.T, p *Program) { p.Descriptors = change(p.Descriptors) }
	}
	entry := func(i int, f func(*Descriptor)) func(*testing.T, *Program) {
		return set(func(list []Descriptor) []Descriptor { f(&list[i]); return list })
	}
	more := func(d Descriptor) func(*testing.T, *Program) {
		return set(func(list []Descriptor) []Descriptor { return append(list, d) })
	}
	const order, own, kept, socket = "must ascend", "keeps its standard files", "kept until execve", "has one socket"
	check(t, []mutant{
		{"numbers descend", order, entry(4, func(d *Descriptor) { d.Number = 3 })},
		{"a number twice", order, more(Descriptor{"x", 4, FDHost, KeepUntilReady})},
		{"a number beyond reason", order, more(Descriptor{"x", maxDescriptor + 1, FDHost, KeepUntilReady})},
		{"no number", order, entry(0, func(d *Descriptor) { d.Number = -1 })},
		{"the process's own above the socket", order, more(Descriptor{"x", 5, FDPreserved, KeepForProcess})},
		{"the process keeps a namespace", own, entry(2, func(d *Descriptor) { d.Kind = FDNamespace })},
		{"the process keeps the socket", own, entry(3, func(d *Descriptor) { d.Keep = KeepForProcess })},
		{"a standard file at 5", own, more(Descriptor{"x", 5, FDStdio, KeepForProcess})},
		{"a host object until execve", kept, entry(4, func(d *Descriptor) { d.Kind = FDHost })},
		{"no socket", socket, entry(3, func(d *Descriptor) { d.Kind = FDStartFIFO })},
		{"no table", socket, set(func([]Descriptor) []Descriptor { return nil })},
		{"a start FIFO that nobody writes to", socket, func(_ *testing.T, p *Program) { p.Kind = KindEnter }},
		{"a slot that is not in the table", "not born with", func(t *testing.T, p *Program) {
			arg(sEnter, 0, From(&Slot{Name: "x", Inherited: 9}))(t, p)
		}},
	})
	p := goodProgram()
	p.Descriptors = append(p.Descriptors, Descriptor{"utsns", 5, FDNamespace, KeepUntilReady})
	if err := p.Verify(); err != nil {
		t.Errorf("a namespace that is closed with the rest: %v", err)
	}
}
