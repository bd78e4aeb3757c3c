package state

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/sys"
)

func TestProcess(t *testing.T) {
	cmd, _ := begin(t, "sleep", Open(t.TempDir()), "x")
	pid := cmd.Process.Pid
	start, err := StartTime(pid)
	if err != nil || start == 0 {
		t.Fatal(start, err)
	}
	// A pid that was given to another process since has another start time.
	for _, wrong := range [][2]uint64{{uint64(pid), start + 1}, {uint64(pid), 0}, {0, start}, {1 << 22, start}} {
		if p, err := OpenProcess(int(wrong[0]), wrong[1]); err != ErrGone {
			t.Errorf("%v: %v %v", wrong, p, err)
		}
	}
	p, err := OpenProcess(pid, start)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.PID() != pid {
		t.Errorf("pid %d", p.PID())
	}
	begun := time.Now()
	err = p.Wait(sys.NewPatience(t.Context(), 20*time.Millisecond, nil))
	if err == nil || !strings.Contains(err.Error(), "waited in vain for the end of process "+strconv.Itoa(pid)) || time.Since(begun) < 20*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(errors.New("told to stop")) })
	err = p.Wait(sys.NewPatience(ctx, time.Minute, nil))
	if err == nil || !strings.Contains(err.Error(), "interrupted while waiting for the end of process") || !strings.Contains(err.Error(), "told to stop") {
		t.Errorf("interrupted: %v", err)
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(patience(t)); err != nil {
		t.Error(err)
	}
	// Not reaped yet: a zombie has ended.
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err != nil || !strings.Contains(string(text), ") Z ") {
		t.Fatalf("no zombie: %s %v", text, err)
	}
	if p, err := OpenProcess(pid, start); err != ErrGone {
		t.Errorf("a zombie: %v %v", p, err)
	}
	cmd.Wait()
	if err := p.Signal(unix.SIGTERM); err != ErrGone {
		t.Errorf("a signal to the dead: %v", err)
	}
	if _, err := StartTime(pid); err != ErrGone {
		t.Errorf("the start time of the dead: %v", err)
	}
	p.Close()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestParseStat(t *testing.T) {
	rest := " 1 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200"
	for text, want := range map[string]struct {
		start    uint64
		dead, ok bool
	}{
		"7 (sh) S" + rest:             {98765, false, true},
		"7 (a) R 1 (b) Z" + rest:      {98765, true, true},
		"7 (\n) X" + rest:             {98765, true, true},
		"7 (sh) S 1 1":                {},
		"":                            {},
		"7 (sh)":                      {},
		"7 (sh) S" + rest[:len(" 1")]: {},
		"7 (s) S" + strings.Replace(rest, "98765", "x", 1): {},
	} {
		start, dead, ok := parseStat([]byte(text))
		if ok != want.ok || ok && (start != want.start || dead != want.dead) {
			t.Errorf("%q: %d %v %v", text, start, dead, ok)
		}
	}
}

// sleep starts a program that sleeps.
func sleep(t *testing.T, path string) *Record {
	t.Helper()
	cmd := &exec.Cmd{Path: path, Args: []string{"sleep", "60"}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &Record{PID: cmd.Process.Pid, StartTime: must(StartTime(cmd.Process.Pid))}
}

func TestStatus(t *testing.T) {
	_, d := newDir(t)
	d.creator = false
	sleeper, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep program to copy: ", err)
	}
	data, err := os.ReadFile(sleeper)
	if err != nil {
		t.Fatal(err)
	}
	image := nameless(t, d.Path(), data)
	want := func(r *Record, st Status) {
		t.Helper()
		if got, err := d.Status(r); got != st || err != nil {
			t.Errorf("%v %v, not %v", got, err, st)
		}
	}
	interpreter, program := sleep(t, image), sleep(t, sleeper)
	want(interpreter, Running) // a program that happens to be called so
	if err := d.MakeFIFO(); err != nil {
		t.Fatal(err)
	}
	want(interpreter, Created)
	want(program, Running)                                  // start was killed before it removed the FIFO
	want(sleep(t, nameless(t, t.TempDir(), data)), Running) // another one's
	unix.Kill(interpreter.PID, unix.SIGKILL)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if st, _ := d.Status(interpreter); st == Stopped {
			break
		}
	}
	want(interpreter, Stopped)
	want(&Record{}, Stopped)
	want(&Record{PID: program.PID, StartTime: program.StartTime + 1}, Stopped)
}

// nameless makes a file without a name in dir, and returns a path to execute it by.
func nameless(t *testing.T, dir string, data []byte) string {
	t.Helper()
	fd := must(unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o700))
	if err := sys.WriteAll(fd, data); err != nil {
		t.Fatal(err)
	}
	ro := must(unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0))
	unix.Close(fd)
	t.Cleanup(func() { unix.Close(ro) })
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(ro)
}

// A memfd shows by its name.
func TestStatusOfMemfd(t *testing.T) {
	_, d := newDir(t)
	d.creator = false
	if err := d.MakeFIFO(); err != nil {
		t.Fatal(err)
	}
	sleeper, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep program to copy: ", err)
	}
	fd, err := unix.MemfdCreate("berth", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err != nil {
		t.Skip("no memfd that can be executed: ", err)
	}
	data, err := os.ReadFile(sleeper)
	if err == nil {
		err = sys.WriteAll(fd, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Executable memfds must not be open for writing.
	ro, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	defer unix.Close(ro)
	r := sleep(t, "/proc/self/fd/"+strconv.Itoa(ro))
	if st, err := d.Status(r); st != Created || err != nil {
		t.Errorf("%v %v", st, err)
	}
}

func TestStatusWords(t *testing.T) {
	for st, word := range map[Status]string{Creating: "creating", Created: "created", Running: "running", Stopped: "stopped"} {
		if st.String() != word {
			t.Errorf("%s is not %s", st, word)
		}
	}
}

func TestStatusCreating(t *testing.T) {
	s, d := newDir(t)
	r := &Record{ID: "one", Creating: true}
	for _, open := range []struct {
		mode LockMode
		want Status
	}{{Unlocked, Creating}, {Shared, Stopped}, {Exclusive, Stopped}} {
		if open.mode != Unlocked {
			d.Unlock() // the create is over, without having finished
		}
		o, err := s.Get("one", open.mode)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := o.Status(r); st != open.want || err != nil {
			t.Errorf("%v: %v %v", open.mode, st, err)
		}
		o.Close()
	}
	if err := d.Lock(Exclusive); err != nil {
		t.Fatal(err)
	}
	if st, err := d.Status(r); st != Creating || err != nil {
		t.Errorf("the creator itself: %v %v", st, err)
	}
}

// TestStatusOfCreateJustFinished: between a reader's look at the record and its
// look at the lock a create may finish, or fail and be undone.
func TestStatusOfCreateJustFinished(t *testing.T) {
	sleeper, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	s, d := newDir(t)
	reader, err := s.Get("one", Unlocked)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	old := sleep(t, sleeper) // the intermediate, say
	old.ID, old.Creating = "one", true
	last := sleep(t, sleeper)
	last.ID = "one"
	seen := *old
	if err := d.WriteRecord(last); err != nil {
		t.Fatal(err)
	}
	d.Unlock()
	st, p, err := reader.Probe(&seen)
	if st != Running || err != nil {
		t.Fatalf("%v %v, not running", st, err)
	}
	if p.PID() != last.PID || seen.PID != last.PID {
		t.Errorf("the process is %d, the record's %d, not %d", p.PID(), seen.PID, last.PID)
	}
	p.Close()

	seen = *old
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if st, _, err := reader.Probe(&seen); err != ErrNotExist {
		t.Errorf("undone: %v %v", st, err)
	}
}
