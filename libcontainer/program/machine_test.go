package program

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

// TestMain takes the emulator of another machine's images from the
// environment: see TestOtherMachines.
func TestMain(m *testing.M) {
	if cmd := os.Getenv(emulatorEnv); cmd != "" {
		emulator = strings.Fields(cmd)
	}
	os.Exit(m.Run())
}

const emulatorEnv = "BERTH_TEST_EMULATOR"

// native skips a test of what the kernel does and an emulator cannot.
func native(t *testing.T, why string) {
	t.Helper()
	if emulator != nil {
		t.Skip("not under emulation: " + why)
	}
}

// patience is how long a test waits for a child that ought to speak or end, in
// seconds.
const patience = 20

// start runs the steps in a child, with descriptor 3 as the socket and files
// from 4 on.
func start(t testing.TB, b *Builder, trace bool, files ...int) *Machine {
	t.Helper()
	p := &Program{Steps: b.Steps(), Descriptors: born(0)}
	return startProgram(t, p, trace, files...)
}

// born is a table of descriptors: the standard files, the socket at 3, and n files
// from 4 on.
func born(n int) []Descriptor {
	list := append(Stdio(0), Descriptor{"socket", 3, FDSocket, KeepUntilExec})
	for i := range n {
		list = append(list, Descriptor{"file-" + strconv.Itoa(4+i), 4 + i, FDHost, KeepUntilReady})
	}
	return list
}

func startProgram(t testing.TB, p *Program, trace bool, files ...int) *Machine {
	t.Helper()
	p.Descriptors = born(len(files))
	img, err := p.Image(trace, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	return startImage(t, p, img, files...)
}

func startImage(t testing.TB, p *Program, img []byte, files ...int) *Machine {
	t.Helper()
	fd, err := Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m, err := p.Start(fd, append([]int{0, 1, 2, -1}, files...), -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Kill(); m.Close() })
	// A child that hangs must fail the test, not stop it.
	if err := unix.SetsockoptTimeval(m.sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}); err != nil {
		t.Fatal(err)
	}
	return m
}

// handler answers barriers with a function.
type handler struct {
	barrier func(m *Machine, b Barrier) error
}

func (h handler) Barrier(m *Machine, b Barrier, _ uint64) error {
	if h.barrier == nil {
		return nil
	}
	return h.barrier(m, b)
}

// wait reaps the child. One that does not end fails the test.
func wait(t testing.TB, m *Machine) unix.WaitStatus {
	t.Helper()
	var ws unix.WaitStatus
	for end := time.Now().Add(patience * time.Second); ; {
		pid, err := unix.Wait4(m.Pid, &ws, unix.WNOHANG, nil)
		switch {
		case err != nil && err != unix.EINTR:
			t.Fatal(err)
		case pid == m.Pid:
			m.Pid = 0
			return ws
		case time.Now().After(end):
			t.Fatal("the child does not end")
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// exit reaps the child and gives its exit status; -1 when a signal killed it.
func exit(t testing.TB, m *Machine) int {
	t.Helper()
	return wait(t, m).ExitStatus()
}

// runs runs a program that must come to its end without a trap, and returns what
// its steps answered, by index; steps that were passed over are not in it.
func runs(t testing.TB, b *Builder, files ...int) map[int]int64 {
	t.Helper()
	b.Do(CallExitGroup, "end", Int(0))
	m := start(t, b, true, files...)
	got := make(map[int]int64)
	m.Trace = func(tr Traced) {
		if tr.Nanos != 0 { // else Run says it, of the step that could not
			got[tr.Step] = tr.Result
		}
	}
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	if st := exit(t, m); st != 0 {
		t.Fatalf("exit status %d, want 0", st)
	}
	return got
}

// fails runs a program that must fail at a step with an errno.
func fails(t testing.TB, m *Machine, h Handler, step int, no unix.Errno) *fault.Error {
	t.Helper()
	err := m.Run(h, 0)
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("the program did not fail: %v", err)
	}
	if e.Step != step+1 || e.Errno != no {
		t.Fatalf("step %d failed with %d, want step %d with %d: %v", e.Step, e.Errno, step+1, no, err)
	}
	return e
}

// pipe returns a pipe; what the test did not close before is closed at its end.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// drain closes the test's end for writing and reads what the child wrote.
func drain(t testing.TB, r, w *os.File) string {
	t.Helper()
	w.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func fdOf(f *os.File) int { return int(f.Fd()) }

func TestBarriers(t *testing.T) {
	b := &Builder{}
	for _, n := range []Barrier{BarrierIDMap, BarrierRuntimeHooks, BarrierReady} {
		b.Barrier(n, "wait")
	}
	b.Do(CallExitGroup, "end", Int(7))
	m := start(t, b, false)
	var got []Barrier
	h := handler{barrier: func(_ *Machine, b Barrier) error { got = append(got, b); return nil }}
	if err := m.Run(h, BarrierReady); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != BarrierIDMap || got[1] != BarrierRuntimeHooks {
		t.Errorf("the handler got %v", got)
	}
	if pid, _ := unix.Wait4(m.Pid, nil, unix.WNOHANG, nil); pid != 0 {
		t.Error("the child did not wait at the last barrier")
	}
	if err := m.Release(); err != nil {
		t.Fatal(err)
	}
	if err := m.Release(); err == nil {
		t.Error("a child was released twice")
	}
	if err := m.Run(h, 0); err != nil {
		t.Fatal(err)
	}
	if st := exit(t, m); st != 7 {
		t.Errorf("exit status %d, want 7", st)
	}
}

// A barrier tells Berth what a slot holds, whatever that is.
func TestBarrierValue(t *testing.T) {
	b := &Builder{}
	s := b.Slot("value")
	b.Set(s, Uint(1<<63|5), "set it")
	b.BarrierValue(BarrierIDMap, From(s), "tell it")
	b.BarrierValue(BarrierTimens, Uint(^uint64(0)), "tell -1, which is no errno here")
	b.Barrier(BarrierReady, "tell nothing")
	b.Do(CallExitGroup, "end", Int(0))
	m := start(t, b, false)
	got := make(map[Barrier]uint64)
	if err := m.Run(valueHandler(got), 0); err != nil {
		t.Fatal(err)
	}
	want := map[Barrier]uint64{BarrierIDMap: 1<<63 | 5, BarrierTimens: ^uint64(0), BarrierReady: 0}
	if !maps.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if st := exit(t, m); st != 0 {
		t.Errorf("exit status %d", st)
	}
}

// valueHandler notes what barriers tell.
type valueHandler map[Barrier]uint64

func (h valueHandler) Barrier(_ *Machine, b Barrier, value uint64) error {
	h[b] = value
	return nil
}

func TestBarrierRefused(t *testing.T) {
	b := &Builder{}
	b.Barrier(BarrierReady, "wait")
	b.Do(CallExitGroup, "end", Int(0))
	m := start(t, b, false)
	no := errors.New("no")
	if err := m.Run(handler{barrier: func(*Machine, Barrier) error { return no }}, 0); err != no {
		t.Fatalf("got %v", err)
	}
	m.Close()
	if st := exit(t, m); st != 125 {
		t.Errorf("exit status %d, want 125", st)
	}
}

// A message must fit the program that it is about.
func TestIncredible(t *testing.T) {
	b := &Builder{}
	b.Barrier(BarrierIDMap, "wait")
	b.Barrier(BarrierReady, "wait")
	p := &Program{Steps: b.Steps()}
	told := &Program{Steps: []Step{{}, {Call: CallBarrier, Args: []Arg{Int(int(BarrierReady)), Int(7)}}}}
	ok := message{kind: msgBarrier, step: 1, value: uint64(BarrierReady), pid: 5}
	for name, c := range map[string]struct {
		change func(*Machine, *message)
		want   string
	}{
		"right":            {func(*Machine, *message) {}, ""},
		"foreign":          {func(_ *Machine, m *message) { m.pid = 6 }, "another process"},
		"late newborn":     {func(_ *Machine, m *message) { m.pid, m.value = 6, uint64(BarrierBorn) }, "another process"},
		"barrier of clone": {func(m *Machine, msg *message) { m.first, msg.pid = 5, 6 }, "another process"},
		"other number":     {func(_ *Machine, m *message) { m.value = uint64(BarrierIDMap) }, "no such barrier"},
		"not a barrier": {func(m *Machine, _ *message) {
			m.prog = &Program{Steps: make([]Step, 2)}
			m.prog.Steps[1].Call = CallRead
		}, "no such barrier"},
		"a value of its own": {func(_ *Machine, m *message) { m.result = 1 }, "another value"},
		"the wrong value":    {func(m *Machine, _ *message) { m.prog = told }, "another value"},
		"the right value":    {func(m *Machine, msg *message) { m.prog, msg.result = told, 7 }, ""},
		"passed already":     {func(m *Machine, _ *message) { m.passed = BarrierReady }, "passed that barrier"},
		"trap and no errno":  {func(_ *Machine, m *message) { m.kind, m.result = msgTrap, 0 }, "without an errno"},
		"descriptor":         {func(_ *Machine, m *message) { *m = message{kind: msgFD, pid: 5, step: 99} }, ""},
	} {
		m, msg := &Machine{prog: p, Pid: 5}, ok
		c.change(m, &msg)
		err := m.credible(&msg)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The child hands over a descriptor that it opened.
func TestSendFD(t *testing.T) {
	b := &Builder{}
	msg, slot := FDMessage("null")
	b.Do(CallOpenat, "open", AtCwd, Path("/dev/null"), Int(unix.O_RDWR|unix.O_CLOEXEC), Int(0)).Into(slot)
	b.Do(CallSendmsg, "send", Int(3), Ptr(msg), Int(0))
	b.Do(CallExitGroup, "end", Int(0))
	for _, taker := range []bool{true, false} {
		before := descriptors(t)
		m := start(t, b, false)
		var got []int
		if taker {
			m.FD = func(fd int) { got = append(got, fd) }
		}
		if err := m.Run(handler{}, 0); err != nil {
			t.Fatal(err)
		}
		if !taker {
			m.Kill()
			m.Close()
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after: what nobody takes stays open", before, after)
			}
			continue
		}
		if len(got) != 1 {
			t.Fatalf("got %d descriptors", len(got))
		}
		var st unix.Stat_t
		if err := unix.Fstat(got[0], &st); err != nil || st.Rdev != unix.Mkdev(1, 3) {
			t.Errorf("it is not /dev/null: %v %x", err, st.Rdev)
		}
		if fl, _ := unix.FcntlInt(uintptr(got[0]), unix.F_GETFD, 0); fl&unix.FD_CLOEXEC == 0 {
			t.Error("it is not close-on-exec")
		}
		unix.Close(got[0])
	}
}

func TestWrite(t *testing.T) {
	r, w := pipe(t)
	b := &Builder{}
	d := &Data{Bytes: []byte("before"), Size: 10}
	b.Barrier(BarrierReady, "wait")
	b.Do(CallWrite, "show", Int(4), Ptr(d), Int(10))
	b.Do(CallExitGroup, "end", Int(0))
	m := start(t, b, false, fdOf(w))
	h := handler{barrier: func(m *Machine, _ Barrier) error {
		for name, bad := range map[string]error{
			"too long": m.Write(d, make([]byte, 11)),
			"empty":    m.Write(d, nil),
			"no place": m.Write(Buffer(4, "other"), []byte("x")),
		} {
			if bad == nil {
				t.Error(name + ": not refused")
			}
		}
		if err := m.Write(d, []byte("0123456789")); err != nil {
			return err
		}
		return m.Write(d, []byte("after"))
	}}
	if err := m.Run(h, 0); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, r, w); got != "after56789" {
		t.Errorf("the child had %q", got)
	}
}

// The kernel's own words on a file system context come along with the error.
func TestDiagnose(t *testing.T) {
	b := &Builder{}
	if os.Geteuid() != 0 {
		b.Do(CallUnshare, "become root of a user namespace", Uint(unix.CLONE_NEWUSER|unix.CLONE_NEWNS))
	}
	fs := b.Do(CallFsopen, "open tmpfs", Ptr(String("tmpfs")), Int(unix.FSOPEN_CLOEXEC)).FD("fs")
	b.Do(CallFsconfig, "set nosuch", From(fs), Int(unix.FSCONFIG_SET_STRING), Ptr(String("nosuch")), Ptr(String("1")), Int(0))
	m := start(t, b, false)
	var e *fault.Error
	if err := m.Run(handler{}, 0); !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if e.Step <= b.Len()-1 && (e.Errno == unix.EPERM || e.Errno == unix.ENOSYS || e.Errno == unix.EINVAL || e.Errno == unix.ENOSPC) {
		t.Skip("no file system contexts here: " + e.Error())
	}
	if e.Step != b.Len() || e.Errno != unix.EINVAL || e.Hint != "tmpfs: Unknown parameter 'nosuch'" {
		t.Errorf("got step %d, errno %d, hint %q", e.Step, e.Errno, e.Hint)
	}
}

// Whenever Berth goes away, the child ends.
func TestClosed(t *testing.T) {
	t.Run("waiting", func(t *testing.T) {
		b := &Builder{}
		b.Barrier(BarrierReady, "wait")
		m := start(t, b, false)
		if err := m.Run(handler{}, BarrierReady); err != nil {
			t.Fatal(err)
		}
		m.Close()
		if st := exit(t, m); st != 125 {
			t.Errorf("exit status %d, want 125", st)
		}
	})
	t.Run("speaking", func(t *testing.T) {
		r, w := pipe(t)
		b := &Builder{}
		b.Do(CallRead, "wait for a byte", Int(4), Ptr(Buffer(1, "byte")), Int(1))
		b.Barrier(BarrierReady, "speak")
		m := start(t, b, false, fdOf(r))
		m.Close()
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		// Only streams signal: on this kind of socket write says EPIPE.
		if st := exit(t, m); st != 125 {
			t.Errorf("exit status %d, want 125", st)
		}
	})
}

// An end that should not have come is explained.
func TestDied(t *testing.T) {
	b := &Builder{}
	b.Do(CallExitGroup, "end", Int(9))
	m := start(t, b, false)
	if err := m.Run(handler{}, BarrierReady); err == nil || !strings.Contains(err.Error(), "exit status 9") {
		t.Errorf("got %v", err)
	}

	r, _ := pipe(t)
	b = &Builder{}
	b.Do(CallRead, "wait", Int(4), Ptr(Buffer(1, "byte")), Int(1))
	m = start(t, b, false, fdOf(r))
	if err := unix.PidfdSendSignal(m.PidFD, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(handler{}, BarrierReady); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
}

// A FIFO that nobody reads any more signals, and that ends the child too.
func TestReportToNobody(t *testing.T) {
	go1, w1 := pipe(t)
	r, w := pipe(t)
	b := &Builder{}
	b.Do(CallDup3, "take the socket's place", Int(4), Int(3), Int(unix.O_CLOEXEC))
	b.Do(CallRead, "wait for a byte", Int(5), Ptr(Buffer(1, "byte")), Int(1))
	b.Barrier(BarrierReady, "speak")
	m := start(t, b, false, fdOf(w), fdOf(go1))
	r.Close()
	if _, err := w1.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if ws := wait(t, m); !ws.Signaled() || ws.Signal() != unix.SIGPIPE {
		t.Errorf("wait status %x, want SIGPIPE", ws)
	}
}

// fifo returns a descriptor of a new FIFO, open for both.
func fifo(t *testing.T) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Behind the ready barrier a FIFO stands in the socket's place: a report there
// is written once and the child ends, since nobody can answer.
func TestReportOnFIFO(t *testing.T) {
	for _, trap := range []bool{true, false} {
		fd := fifo(t)
		b := &Builder{}
		b.Do(CallDup3, "take the socket's place", Int(4), Int(3), Int(unix.O_CLOEXEC))
		if trap {
			b.Do(CallClose, "fail", Int(-1))
		} else {
			b.Barrier(BarrierReady, "speak")
		}
		b.Do(CallExitGroup, "never", Int(0))
		m := start(t, b, false, fd)
		if err := m.Run(handler{}, 0); err != nil {
			t.Fatal(err)
		}
		if st := exit(t, m); st != 125 {
			t.Errorf("exit status %d, want 125", st)
		}
		buf := make([]byte, 4096)
		n, err := unix.Read(fd, buf)
		if err != nil || n != ReportLen {
			t.Fatalf("the FIFO holds %d bytes, want one report: %v", n, err)
		}
		rep := ReadReport(buf[:n])
		if rep.Step != 1 || rep.Trap != trap || trap && rep.Errno != unix.EBADF {
			t.Errorf("the report is %+v", rep)
		}
	}
}

// A v2 cgroup can be the child's place from birth.
func TestBornIntoCgroup(t *testing.T) {
	native(t, "qemu-user knows no clone3")
	dir, err := os.MkdirTemp(unified(t), "berth-test-")
	if err != nil {
		t.Skip("no cgroup can be made: " + err.Error())
	}
	defer os.Remove(dir)
	cg, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(cg)
	b := &Builder{}
	b.Barrier(BarrierReady, "wait")
	p := &Program{Steps: b.Steps(), Descriptors: born(0)}
	img, err := p.Image(false, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m, err := p.Start(fd, []int{0, 1, 2, -1}, cg)
	if err != nil {
		t.Fatal(err)
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(procs)) != strconv.Itoa(m.Pid) {
		t.Errorf("the cgroup holds %q, want %d: %v", procs, m.Pid, err)
	}
	m.Kill()
	m.Close()
}

// unified is where the v2 hierarchy is mounted.
func unified(t *testing.T) string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(info) {
		if f := bytes.Fields(line); bytes.Contains(line, []byte(" - cgroup2 ")) {
			return string(f[4])
		}
	}
	t.Skip("no cgroup v2 hierarchy is mounted")
	return ""
}

// What cannot be started says so, with a hint where there is one.
func TestStartFails(t *testing.T) {
	native(t, "there it is the emulator that starts")
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	p := &Program{Descriptors: born(0)}
	m, err := p.Start(null, []int{0, 1, 2, -1}, -1)
	if m != nil || err == nil || !errors.Is(err, unix.EACCES) {
		t.Errorf("got %v, %v", m, err)
	}
	if _, err := p.Start(-1, []int{0, 1, 2, -1}, -1); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v", err)
	}
	if _, err := p.Start(null, []int{0, 1, 2}, -1); err == nil || !strings.Contains(err.Error(), "wants 4 descriptors") {
		t.Errorf("got %v", err)
	}
	p.Descriptors = born(1)
	if _, err := p.Start(null, []int{0, 1, 2, -1, -1}, -1); err == nil || !strings.Contains(err.Error(), "lacks its descriptor file-4") {
		t.Errorf("got %v", err)
	}
}
