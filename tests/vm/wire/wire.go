// Package wire is how the host and the agent in the guest talk. A virtio-serial
// port carries bytes and knows of no connections: what one client left unread may
// reach the next. So each command begins with marks that cannot be mistaken, and
// what stands before them is dropped.
package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Kind says what a frame holds.
type Kind byte

// From the host: Stdin (empty at its end), Resize, Signal. From the guest: Stdout,
// Stderr, and at last Exit.
const (
	Stdin Kind = iota + 1
	Resize
	Signal
	Stdout
	Stderr
	Exit
	kinds
)

// Ports is how many commands may run in a guest at the same time.
const Ports = 4

// Request is a command to run.
type Request struct {
	// Nonce is what the agent sends back first: 16 bytes that no other command has.
	Nonce []byte
	Args  []string
	Env   []string
	Dir   string
	// User has the command run in the session of the ordinary user, not as root.
	User bool
	// Stdin says that Stdin frames follow; without it stdin is /dev/null.
	Stdin bool
	// TTY gives the command a terminal of this size.
	TTY  bool
	Size Size
}

// Size is that of a terminal.
type Size struct{ Rows, Cols uint16 }

// Result is how a command ended. Error is set where it could not be run.
type Result struct {
	Code  int
	Error string
}

// Config is what the host tells a guest at boot.
type Config struct {
	// Modules are paths in the initrd, in the order in which they must be loaded.
	Modules []string
	Shares  []Share
}

// Share is a directory of the host that the guest sees at the same path.
type Share struct {
	Tag, Path string
	Writable  bool
}

var magic = []byte("\xff\xfeberth\xfd")

// largest is the most that a frame may hold: the ports take 32 KiB at a time. A
// request has arguments and environment.
const (
	largest        = 32 << 10
	largestRequest = 1 << 20
)

// Open begins a command and waits until the agent has taken it.
func Open(rw io.ReadWriter, req Request) (*bufio.Reader, error) {
	text, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32(bytes.Clone(magic), uint32(len(text)))
	if _, err := rw.Write(append(head, text...)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(rw)
	return r, skipTo(r, req.Nonce)
}

// Accept waits for the next command. What stands before it belongs to one whose
// client is gone.
func Accept(r *bufio.Reader, w io.Writer) (Request, error) {
	var req Request
	if err := skipTo(r, magic); err != nil {
		return req, err
	}
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return req, err
	}
	if binary.BigEndian.Uint32(size[:]) > largestRequest {
		return req, fmt.Errorf("no command: it would take % x bytes", size)
	}
	text := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, text); err != nil {
		return req, err
	}
	if err := json.Unmarshal(text, &req); err != nil {
		return req, err
	}
	_, err := w.Write(req.Nonce)
	return req, err
}

func skipTo(r *bufio.Reader, mark []byte) error {
	var last []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		last = append(last, b)
		if bytes.HasSuffix(last, mark) {
			return nil
		}
		if len(last) > 4*len(mark) {
			last = bytes.Clone(last[len(last)-len(mark):])
		}
	}
}

// Read reads one frame. A byte that begins none is left unread: it may be the mark
// of the next command.
func Read(r *bufio.Reader) (Kind, []byte, error) {
	head, err := r.Peek(5)
	if err != nil {
		return 0, nil, err
	}
	kind, size := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if kind == 0 || kind >= kinds || size > largest {
		return 0, nil, fmt.Errorf("no frame: % x", head)
	}
	_, _ = r.Discard(5)
	data := make([]byte, size)
	_, err = io.ReadFull(r, data)
	return kind, data, err
}

// Writer writes frames; its methods may be called at the same time.
type Writer struct {
	mu     sync.Mutex
	w      io.Writer
	closed atomic.Bool
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Close has every later frame fail. It does not wait for one that is being written:
// while nobody is at the other end of a port, that goes on.
func (w *Writer) Close() { w.closed.Store(true) }

// Frame writes data as one frame, or as many as it takes.
func (w *Writer) Frame(kind Kind, data []byte) error {
	if w.closed.Load() {
		return io.ErrClosedPipe
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.closed.Load() {
			return io.ErrClosedPipe
		}
		part := data[:min(len(data), largest-5)]
		head := binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(len(part)))
		if _, err := w.w.Write(append(head, part...)); err != nil {
			return err
		}
		if data = data[len(part):]; len(data) == 0 {
			return nil
		}
	}
}

// JSON writes a value as one frame.
func (w *Writer) JSON(kind Kind, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Frame(kind, data)
}

// Stream returns a writer whose every Write is a frame of that kind.
func (w *Writer) Stream(kind Kind) io.Writer { return stream{w, kind} }

type stream struct {
	w    *Writer
	kind Kind
}

func (s stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return len(p), s.w.Frame(s.kind, p)
}
