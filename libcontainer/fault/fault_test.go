package fault

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestError(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{New("container does not exist"), "container does not exist"},
		{At("linux.sysctl", "is wrong"), "is wrong: linux.sysctl"},
		// A message that names its path is not made to name it twice.
		{At("process.cwd", "process.cwd is wrong"), "process.cwd is wrong"},
		{&Error{Msg: "not JSON", JSONPath: "mounts[1]", Pos: "3:7"}, "not JSON: mounts[1] (config.json:3:7)"},
		{&Error{Msg: "cannot mount", Step: 7, Call: "fsmount(fs)", Errno: syscall.EPERM}, "cannot mount: step 7: fsmount(fs): operation not permitted"},
		{&Error{Msg: "cannot mount", Errno: syscall.EPERM, Hint: "be root"}, "cannot mount: operation not permitted (be root)"},
		{Wrap("cannot write", syscall.ENOSPC), "cannot write: no space left on device"},
		// The cause has the errno's words: once is enough.
		{&Error{Msg: "m", Err: syscall.EIO, Errno: syscall.EIO}, "m: input/output error"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestOneLine(t *testing.T) {
	e := &Error{Msg: "a\nb", Call: "c\nd", Hint: "e\nf"}
	if s := e.Error(); strings.Contains(s, "\n") {
		t.Errorf("engines show one line only: %q", s)
	}
}

func TestUnwrap(t *testing.T) {
	cause := New("cause")
	if !errors.Is(Wrap("m", cause), cause) {
		t.Error("the cause is lost")
	}
	if !errors.Is(&Error{Msg: "m", Errno: syscall.ENOENT}, syscall.ENOENT) {
		t.Error("the errno is lost")
	}
	if e := Wrap("m", &Error{Msg: "n", Errno: syscall.EPERM}); e.Errno != syscall.EPERM {
		t.Error("the cause's errno is no field of the error")
	}
}

func TestList(t *testing.T) {
	if (List{}).OrNil() != nil {
		t.Error("an empty list is an error")
	}
	a, b := New("a"), New("b")
	err := List{a, b}.OrNil()
	if err.Error() != "a; b" || !errors.Is(err, a) || !errors.Is(err, b) {
		t.Errorf("%v", err)
	}
}
