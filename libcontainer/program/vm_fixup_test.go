package program

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The directory that is missing is made, by steps that carry their own data, and
// the call is made again.
func TestFixupRetry(t *testing.T) {
	dir := t.TempDir()
	b := &Builder{}
	fd := b.Do(CallOpenat, "open it", AtCwd, Path(dir+"/a/b"), Int(unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC), Int(0)).
		Fixup(Fixup{On: []unix.Errno{unix.EACCES, unix.ENOENT}, Why: "make it", Then: Retry, Steps: []Step{
			{Call: CallMkdirat, Args: []Arg{AtCwd, Path(dir + "/a"), Int(0o755)}},
			{Call: CallMkdirat, Args: []Arg{AtCwd, Path(dir + "/a/b"), Int(0o711)}},
		}}).FD("fd")
	b.Do(CallMkdirat, "see that it is open", From(fd), Path("c"), Int(0o700))
	got := runs(t, b)
	if got[1] != 0 {
		t.Errorf("mkdirat answered %d", got[1])
	}
	if st, err := os.Stat(dir + "/a/b/c"); err != nil || !st.IsDir() {
		t.Errorf("nothing was made: %v", err)
	}
}

// A fixup's steps set slots that the steps behind it use, and use slots that
// steps before it set. Next takes the matter as done; its result is 0.
func TestFixupSlots(t *testing.T) {
	r, w := pipe(t)
	dir := t.TempDir()
	b := &Builder{}
	f, n := b.Slot("file"), b.Slot("length")
	b.Set(n, Int(5), "set")
	b.Do(CallOpenat, "open it", AtCwd, Path(dir+"/none"), Int(unix.O_RDONLY), Int(0)).Into(b.Slot("unused")).
		Fixup(Fixup{On: []unix.Errno{unix.ENOENT}, Then: Next, Steps: []Step{
			{Call: CallOpenat, Args: []Arg{AtCwd, Path(dir + "/other"), Int(unix.O_RDWR | unix.O_CREAT), Int(0o600)}, Result: f},
			{Call: CallWrite, Args: []Arg{From(f), Ptr(String("hello, world")), From(n)}},
		}})
	b.Do(CallWrite, "write to what the fixup opened", From(f), Ptr(String("!")), Int(1))
	b.Do(CallWrite, "say the end", Int(4), Ptr(String("end")), Int(3))
	runs(t, b, fdOf(w))
	if out := drain(t, r, w); out != "end" {
		t.Errorf("the child wrote %q", out)
	}
	if b, err := os.ReadFile(dir + "/other"); err != nil || string(b) != "hello!" {
		t.Errorf("the file holds %q: %v", b, err)
	}
}

// Structs that point to others go along with a fixup.
func TestFixupRefs(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	vec := Struct(words(0, 6, 0, 5), "two pieces")
	vec.Refs = []Ref{{0, String("hello ")}, {16, Struct([]byte("fixed"), "bytes")}}
	msg := Struct(words(0, 0, 0, 2, 0, 0, 0), "msghdr")
	msg.Refs = []Ref{{16, vec}}
	b := &Builder{}
	b.Do(CallClose, "fail", Int(-1)).Fixup(Fixup{On: []unix.Errno{unix.EBADF}, Then: Next, Steps: []Step{
		{Call: CallSendmsg, Args: []Arg{Int(4), Ptr(msg), Int(0)}},
	}})
	runs(t, b, pair[1])
	buf := make([]byte, 64)
	if n, _, err := unix.Recvfrom(pair[0], buf, unix.MSG_DONTWAIT); err != nil || string(buf[:n]) != "hello fixed" {
		t.Errorf("got %q: %v", buf[:n], err)
	}
}

func TestFixupFails(t *testing.T) {
	b := &Builder{}
	b.Do(CallClose, "close it", Int(-1)).Fixup(Fixup{On: []unix.Errno{unix.EBADF}, Then: Next, Steps: []Step{
		{Call: CallUmask, Why: "pass", Args: []Arg{Int(0o22)}},
		{Call: CallMkdirat, Why: "make a directory", Args: []Arg{AtCwd, Path("/dev/null/x"), Int(0)}},
		{Call: CallExitGroup, Why: "never", Args: []Arg{Int(1)}},
	}})
	e := fails(t, start(t, b, false), handler{}, 0, unix.EBADF)
	if want := `cannot close it; and cannot make a directory: mkdirat(AT_FDCWD, "/dev/null/x", 00): not a directory`; e.Msg != want {
		t.Errorf("got  %q\nwant %q", e.Msg, want)
	}
}

// Inside a fixup an errno may be harmless and pass over steps, like everywhere.
func TestFixupHarmless(t *testing.T) {
	r, w := pipe(t)
	say := func(s string) Step {
		return Step{Call: CallWrite, Args: []Arg{Int(4), Ptr(String(s)), Int(len(s))}}
	}
	b := &Builder{}
	b.Do(CallClose, "fail", Int(-1)).Fixup(Fixup{On: []unix.Errno{unix.EBADF}, Then: Next, Steps: []Step{
		say("a"),
		{Call: CallClose, Args: []Arg{Int(-1)}, Harmless: []Harmless{{unix.EIO, 9}, {unix.EBADF, 1}}},
		say("b"),
		say("c"),
		{Call: CallClose, Args: []Arg{Int(-1)}, Harmless: []Harmless{{unix.EBADF, 0}}},
		say("d"),
		{Call: CallUmask, Args: []Arg{Int(0)}, Fail: unix.ENOSYS, Harmless: []Harmless{{unix.ENOSYS, 1}}},
		say("e"),
	}})
	runs(t, b, fdOf(w))
	if out := drain(t, r, w); out != "acd" {
		t.Errorf("ran %q, want \"acd\"", out)
	}
}

// What a fixup did not cure the first time it will not cure the second; another
// fixup for the same errno may.
func TestFixupOnce(t *testing.T) {
	r, w := pipe(t)
	say := func(s string, then Then) Fixup {
		return Fixup{On: []unix.Errno{unix.EBADF}, Then: then, Steps: []Step{
			{Call: CallWrite, Args: []Arg{Int(4), Ptr(String(s)), Int(1)}},
		}}
	}
	b := &Builder{}
	b.Do(CallClose, "fail", Int(-1)).Fixup(say("1", Retry)).Fixup(say("2", Retry))
	m := start(t, b, false, fdOf(w))
	fails(t, m, handler{}, 0, unix.EBADF)
	m.Close()
	exit(t, m)
	if out := drain(t, r, w); out != "12" {
		t.Errorf("ran %q, want \"12\"", out)
	}
}

func TestFixupOtherErrno(t *testing.T) {
	b := &Builder{}
	b.Do(CallClose, "fail", Int(-1)).Fixup(Fixup{On: []unix.Errno{unix.EIO, unix.ENOENT}, Then: Next})
	fails(t, start(t, b, false), handler{}, 0, unix.EBADF)
}

// A child that ends while it is being helped is no success.
func TestFixupDies(t *testing.T) {
	b := &Builder{}
	b.Do(CallClose, "fail", Int(-1)).Fixup(Fixup{On: []unix.Errno{unix.EBADF}, Then: Next, Steps: []Step{
		{Call: CallExitGroup, Args: []Arg{Int(1)}},
	}})
	err := start(t, b, false).Run(handler{}, 0)
	if err == nil || !strings.Contains(err.Error(), "died while it was being helped") {
		t.Errorf("got %v", err)
	}
}

func TestFixupMessageRefused(t *testing.T) {
	stray := &Slot{Name: "stray", Inherited: -1}
	for name, st := range map[string]Step{
		"stray argument": {Call: CallUmask, Args: []Arg{From(stray)}},
		"stray result":   {Call: CallUmask, Args: []Arg{Int(0)}, Result: stray},
		"too large":      {Call: CallWrite, Args: []Arg{Int(4), Ptr(Buffer(scratchOff, "large")), Int(1)}},
		"long path":      {Call: CallChdir, Args: []Arg{Path(strings.Repeat("x", scratchOff))}},
	} {
		if b, err := fixupMessage(&st); err == nil {
			t.Errorf("%s: made a message of %d bytes", name, len(b))
		}
	}
	_, err := fixupMessage(&Step{Call: CallChdir, Args: []Arg{Path(strings.Repeat("x", scratchOff))}})
	if !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("got %v", err)
	}
}
