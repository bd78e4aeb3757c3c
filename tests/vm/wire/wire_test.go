package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// pipe is a port: what one end writes the other one reads.
type pipe struct {
	io.Reader
	io.Writer
}

func nonce(b byte) []byte { return bytes.Repeat([]byte{b}, 16) }

// open writes a command as a client does, and returns it as the port carries it.
func open(t *testing.T, req Request) string {
	t.Helper()
	var sent bytes.Buffer
	if _, err := Open(pipe{bytes.NewReader(req.Nonce), &sent}, req); err != nil {
		t.Fatal(err)
	}
	return sent.String()
}

// TestAcceptAfterOthers has commands begin after what others left: half a frame,
// half a mark, another command's frames.
func TestAcceptAfterOthers(t *testing.T) {
	want := Request{Nonce: nonce(7), Args: []string{"echo", "a b"}, Env: []string{"X=1"}, User: true}
	for _, before := range []string{"", "\x01\x00\x00\x10\x00half", "\xff\xfeber", "\xff\xff\xfe", strings.Repeat("x", 1000)} {
		var answer bytes.Buffer
		got, err := Accept(bufio.NewReader(strings.NewReader(before+open(t, want))), &answer)
		if err != nil || !slices.Equal(got.Args, want.Args) || !slices.Equal(got.Env, want.Env) || !got.User {
			t.Errorf("after %q: %+v, %v", before, got, err)
		}
		if !bytes.Equal(answer.Bytes(), want.Nonce) {
			t.Errorf("after %q the answer is %q", before, answer.String())
		}
	}
}

// TestOpenAfterOthers has a client see nothing of what the guest still sends of the
// command before.
func TestOpenAfterOthers(t *testing.T) {
	var port bytes.Buffer
	w := NewWriter(&port)
	_ = w.Frame(Stdout, []byte("of the command before"))
	port.WriteString("\x04\x00\x00\x10\x00half")
	port.Write(nonce(9))
	_ = w.Frame(Stdout, []byte("mine"))
	r, err := Open(pipe{&port, io.Discard}, Request{Nonce: nonce(9)})
	if err != nil {
		t.Fatal(err)
	}
	if kind, data, err := Read(r); kind != Stdout || string(data) != "mine" || err != nil {
		t.Errorf("%v %q %v", kind, data, err)
	}
}

func TestFrames(t *testing.T) {
	var port bytes.Buffer
	w := NewWriter(&port)
	long := strings.Repeat("0123456789", 20000)
	if n, err := w.Stream(Stdout).Write([]byte(long)); n != len(long) || err != nil {
		t.Fatal(n, err)
	}
	if err := w.Frame(Stdin, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.JSON(Exit, Result{Code: 3}); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(&port)
	var got strings.Builder
	for {
		kind, data, err := Read(r)
		if err != nil {
			t.Fatal(err)
		}
		if kind == Stdin && len(data) == 0 {
			break
		}
		got.Write(data)
	}
	if got.String() != long {
		t.Errorf("%d bytes of %d came", got.Len(), len(long))
	}
	if kind, data, err := Read(r); kind != Exit || string(data) != `{"Code":3,"Error":""}` || err != nil {
		t.Errorf("%v %q %v", kind, data, err)
	}
	if _, _, err := Read(r); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// TestClosed has nothing follow what is being written when a Writer is closed.
func TestClosed(t *testing.T) {
	r, port := io.Pipe()
	w := NewWriter(port)
	written := make(chan error)
	go func() { written <- w.Frame(Stdout, bytes.Repeat([]byte("x"), 2*largest)) }()
	var one [1]byte
	if _, err := r.Read(one[:]); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := w.JSON(Exit, Result{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after Close: %v", err)
	}
	if n, err := io.CopyN(io.Discard, r, largest-1); err != nil {
		t.Fatal(n, err)
	}
	if err := <-written; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the second half was written: %v", err)
	}
}

// TestNextCommandIsLeft has the mark of the next command end this one's frames, and
// stay for Accept.
func TestNextCommandIsLeft(t *testing.T) {
	r := bufio.NewReader(strings.NewReader(open(t, Request{Nonce: nonce(5), Args: []string{"next"}})))
	if kind, data, err := Read(r); err == nil {
		t.Fatalf("a frame: %v %q", kind, data)
	}
	if req, err := Accept(r, io.Discard); err != nil || req.Args[0] != "next" {
		t.Errorf("%+v, %v", req, err)
	}
}

// FuzzRead has any bytes be refused or read, but never ask for more than a frame may
// hold.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00\x02ab"))
	f.Add(magic)
	f.Fuzz(func(t *testing.T, port []byte) {
		r := bufio.NewReader(bytes.NewReader(port))
		for {
			kind, data, err := Read(r)
			if err != nil {
				return
			}
			if kind == 0 || kind >= kinds || len(data) > largest {
				t.Fatalf("%v, %d bytes", kind, len(data))
			}
		}
	})
}
