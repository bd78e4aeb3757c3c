package devfilter

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/tests/devicerules"
)

// only is a program that allows one device beside the default ones.
func only(t testing.TB, major, minor int64) *Program {
	t.Helper()
	p, err := Compile(nil)
	if err == nil && major >= 0 {
		r := &Rules{Exceptions: append([]Exception{{Type: 'c', Major: major, Minor: minor, Access: All}}, Defaults[:]...)}
		p = r.Compile()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func put(t testing.TB, p *Program, cgroup int) {
	t.Helper()
	if err := p.Attach(cgroup); err != nil {
		t.Fatal(err)
	}
}

// ids are the programs attached to a cgroup, in order of age.
func ids(t testing.TB, cgroup int) []uint32 {
	t.Helper()
	list, _, err := attached(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// loadAs loads a program under another name.
func loadAs(t testing.TB, p *Program, name string) int {
	t.Helper()
	text := []byte(license)
	a := loadAttr{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE, insnCount: uint32(len(p.insns)),
		insns: unsafe.Pointer(&p.insns[0]), license: unsafe.Pointer(&text[0]),
	}
	copy(a.name[:], name)
	fd, err := bpf(unix.BPF_PROG_LOAD, &a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func number32(t testing.TB, fd int) uint32 {
	t.Helper()
	info, err := inform(fd)
	if err != nil {
		t.Fatal(err)
	}
	return info.id
}

func TestAttach(t *testing.T) {
	_, fd := newCgroup(t, 2)
	put(t, only(t, -1, -1), fd)
	first := ids(t, fd)
	if len(first) != 1 {
		t.Fatalf("attached: %v", first)
	}
	opened := must(open(first[0]))
	info, err := inform(opened)
	unix.Close(opened)
	if err != nil || !info.ours() {
		t.Errorf("%+v %v", info, err)
	}

	put(t, only(t, -1, -1), fd)
	if again := ids(t, fd); !slices.Equal(again, first) {
		t.Errorf("the same program was attached again: %v, %v", first, again)
	}

	put(t, only(t, 4001, 1), fd)
	if next := ids(t, fd); len(next) != 1 || next[0] == first[0] {
		t.Errorf("not replaced: %v, %v", first, next)
	}

	all, err := Compile(devicerules.Cases[2].Rules)
	if err != nil || !all.AllowsAll() {
		t.Fatal(err)
	}
	for range 2 {
		put(t, &all, fd)
		if list := ids(t, fd); len(list) != 0 {
			t.Errorf("%v is attached, and allows everything", list)
		}
	}
}

// Programs of ours that had been left, more than the first query has room for, give way
// to one; those of others stay.
func TestAttachAmongOthers(t *testing.T) {
	for _, same := range []bool{false, true} {
		_, fd := newCgroup(t, 2)
		foreign := loadAs(t, only(t, 4001, 1), "sd_devices")
		var want []uint32
		for i := range 12 {
			old := loadAs(t, only(t, 4001, int64(i)), name)
			if err := attach(fd, old, -1); err != nil {
				t.Fatal(err)
			}
			if i == 5 {
				if err := attach(fd, foreign, -1); err != nil {
					t.Fatal(err)
				}
				want = append(want, number32(t, foreign))
				if same {
					want = append(want, number32(t, old))
				}
			}
		}
		next := int64(100)
		if same {
			next = 5
		}
		put(t, only(t, 4001, next), fd)
		got := ids(t, fd)
		if !same {
			// The new one stands in the place of the oldest.
			want = append([]uint32{got[0]}, want...)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("same %v: %v, want %v", same, got, want)
		}
	}
}

// A program that was attached so that it admits no other is not touched.
func TestAttachRefused(t *testing.T) {
	dir, fd := newCgroup(t, 2)
	foreign := loadAs(t, only(t, 4001, 1), "")
	a := attachAttr{target: uint32(fd), program: uint32(foreign), attachType: unix.BPF_CGROUP_DEVICE}
	if _, err := bpf(unix.BPF_PROG_ATTACH, &a); err != nil {
		t.Fatal(err)
	}
	err := only(t, -1, -1).Attach(fd)
	if err == nil || !strings.Contains(err.Error(), "has a device program of somebody else that admits no other") {
		t.Errorf("%v", err)
	}
	below := dir + "/below"
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(below)
	child := must(unix.Open(below, unix.O_RDONLY|unix.O_CLOEXEC, 0))
	defer unix.Close(child)
	err = only(t, -1, -1).Attach(child)
	var e *fault.Error
	if !errors.As(err, &e) || e.Errno != unix.EPERM || !strings.Contains(e.Hint, "one above admits no other") || errors.Is(err, ErrNotPermitted) {
		t.Errorf("%v", err)
	}
	if list := ids(t, fd); !slices.Equal(list, []uint32{number32(t, foreign)}) {
		t.Errorf("attached: %v", list)
	}
	tmp := must(unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_CLOEXEC, 0))
	defer unix.Close(tmp)
	if err := only(t, -1, -1).Attach(tmp); err == nil ||
		err.Error() != "cannot put the device rules in force: linux.resources.devices: bpf(BPF_PROG_QUERY, BPF_CGROUP_DEVICE): bad file descriptor" {
		t.Errorf("no cgroup: %v", err)
	}
}

// What the verifier says is in the error.
func TestVerifierRefuses(t *testing.T) {
	_, fd := newCgroup(t, 2)
	for _, c := range []struct {
		insns []insn
		want  string
	}{
		{[]insn{{op: opCopy, regs: regVerdict | regDevice<<4}, {op: opExit}}, "w0 = w5; R5 !read_ok: linux.resources.devices: bpf("},
		{[]insn{{op: opSet, regs: regVerdict, imm: 2}, {op: opExit}}, "should have been in "},
	} {
		p := Program{insns: c.insns}
		err := p.Attach(fd)
		if err == nil || !strings.Contains(err.Error(), "the verifier says: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "processed") {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if list := ids(t, fd); len(list) != 0 {
		t.Errorf("attached: %v", list)
	}
}

func TestManyRulesLoad(t *testing.T) {
	_, fd := newCgroup(t, 2)
	for _, allow := range []bool{false, true} {
		p := many(t, allow, 40000)
		put(t, &p, fd)
	}
}

// Updates leave neither descriptors nor programs.
func TestThousandUpdates(t *testing.T) {
	var seen []uint32
	t.Run("updates", func(t *testing.T) {
		_, fd := newCgroup(t, 2)
		put(t, only(t, -1, -1), fd)
		before := descriptors(t)
		for i := range int64(1000) {
			put(t, only(t, 4001, i), fd)
			list := ids(t, fd)
			if len(list) != 1 {
				t.Fatalf("update %d: %v are attached", i, list)
			}
			seen = append(seen, list[0])
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors, and %d before", after, before)
		}
		// The kernel frees programs when nobody runs them any more.
		until(t, "the programs but the last are gone", func() bool { return len(loaded(t, seen)) == 1 })
	})
	until(t, "all programs are gone with the cgroup", func() bool { return len(loaded(t, seen)) == 0 })
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// loaded are those of the programs that the kernel still has. Ids are not used again
// before they run over.
func loaded(t testing.TB, of []uint32) (list []uint32) {
	t.Helper()
	a := idAttr{}
	for {
		switch _, err := bpf(unix.BPF_PROG_GET_NEXT_ID, &a); err {
		case nil:
		case unix.ENOENT:
			return list
		default:
			t.Fatal(err)
		}
		if slices.Contains(of, a.next) {
			list = append(list, a.next)
		}
		a.id = a.next
	}
}

// At no moment is denied what the old rules and the new allow, and nothing is allowed
// that both deny.
func TestReplacingLeavesNoGap(t *testing.T) {
	_, fd := newCgroup(t, 2)
	e := enforcer{fd: fd}
	null, other := node{'c', 1, 3}, node{'c', 4001, 9}
	put(t, only(t, 4001, 0), fd)
	p := e.inside(t, []node{null, other})
	var tries []attempt
	for range 200 {
		tries = append(tries, attempt{null, Read | Write, true}, attempt{other, Read, false})
	}
	var wg sync.WaitGroup
	done := make(chan bool)
	wg.Go(func() {
		defer close(done)
		for i := range int64(300) {
			if err := only(t, 4001, i%2).Attach(fd); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	for rounds := 0; ; rounds++ {
		for i, errno := range p.ask(t, request{Tries: tries}) {
			if want := []error{unix.Errno(0), unix.EPERM}[i%2]; errno != want {
				t.Fatalf("%v: %v", tries[i], errno)
			}
		}
		select {
		case <-done:
			t.Logf("%d times all was as it should be", (rounds+1)*len(tries))
			return
		default:
		}
	}
}

func BenchmarkAttach(b *testing.B) {
	_, fd := newCgroup(b, 2)
	programs := []*Program{only(b, 4001, 0), only(b, 4001, 1)}
	b.Run("replace", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			put(b, programs[i%2], fd)
		}
	})
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			put(b, programs[0], fd)
		}
	})
}
