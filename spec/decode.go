// Package spec reads config.json: it decodes the file strictly and says
// everything that is wrong with what stands in it, before a container is begun.
//
// Decoding is stricter than encoding/json where the runtime-spec is (bundle.md
// and config.md, "Extensibility" and "Valid values"): the text is UTF-8, no
// object has a name twice, names are case-sensitive. It uses no reflection:
// the tables that encoding/json builds at its first use cost more than creating
// a container does. Validation is pure: it looks at the decoded config alone,
// never at the host.
package spec

//go:generate go run ./gen

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
)

// MaxSize is how many bytes a configuration may have: 16 MiB, a thousand times
// the size of what engines write.
const MaxSize = 16 << 20

// byteOrderMark is what some editors put in front of UTF-8. RFC 8259 section 8.1
// forbids it in JSON.
const byteOrderMark = "\ufeff"

// Decode decodes a config.json. It also returns the JSON paths of the properties
// it does not know, the objects of other platforms (windows, vm, ...) among
// them: these are ignored, as the runtime-spec wants it, and of use in a debug
// log only. Errors are *fault.Error, or a fault.List of them, with path and
// position. data is not kept.
func Decode(data []byte) (*specs.Spec, []string, error) {
	return decode(data, "", (*decoder).decSpec)
}

// DecodeProcess decodes a process object, such as `exec --process` takes.
func DecodeProcess(data []byte) (*specs.Process, []string, error) {
	return decode(data, "process", (*decoder).decProcess)
}

// DecodeResources decodes a linux.resources object, such as `update
// --resources` takes.
func DecodeResources(data []byte) (*specs.LinuxResources, []string, error) {
	return decode(data, "resources", (*decoder).decLinuxResources)
}

// DecodeSeccomp decodes a linux.seccomp object, such as a file with a profile has.
func DecodeSeccomp(data []byte) (*specs.LinuxSeccomp, []string, error) {
	return decode(data, "profile", (*decoder).decLinuxSeccomp)
}

// DecodeState decodes the state of a container, as hooks read it.
func DecodeState(data []byte) (*specs.State, []string, error) {
	return decode(data, "state", (*decoder).decState)
}

func decode[T any](data []byte, doc string, object func(*decoder, *T)) (*T, []string, error) {
	d := &decoder{s: string(data), doc: doc}
	switch {
	case len(data) > MaxSize:
		return nil, nil, tooLarge("the text")
	case strings.HasPrefix(d.s, byteOrderMark):
		d.fail(0, "the text begins with a byte order mark, which JSON forbids")
	case d.peek() != '{':
		d.mismatch("an object")
	}
	v := new(T)
	object(d, v)
	unknown, err := d.finish()
	if err != nil {
		return nil, nil, err
	}
	return v, unknown, nil
}

func tooLarge(what string) error {
	return fault.New(what + " is larger than " + strconv.Itoa(MaxSize>>20) + " MiB")
}

// Load reads and decodes the config.json at path. It returns the bytes of the
// file too, for the copy that the runtime keeps. The error for a file that is
// not there wraps ENOENT.
func Load(path string) (*specs.Spec, []byte, []string, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, nil, nil, err
	}
	s, unknown, err := Decode(data)
	if err != nil {
		return nil, nil, nil, err
	}
	return s, data, unknown, nil
}

// ReadFile reads a file, or whatever can be read to its end, of at most MaxSize
// bytes. It makes the system calls itself: os.Open would set up the poller of
// the Go runtime, four more calls, only to learn that a file cannot be polled.
func ReadFile(path string) ([]byte, error) {
	fd, err := sys.Retry(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, openError(path, err)
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	size := 0
	if syscall.Fstat(fd, &st) == nil && st.Size > 0 {
		size = int(min(st.Size, MaxSize))
	}
	// One byte more than the size, so that the end is seen without growing.
	buf := make([]byte, 0, size+512)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := sys.Retry(func() (int, error) { return syscall.Read(fd, buf[len(buf):cap(buf)]) })
		switch {
		case err != nil:
			e := fault.Wrap("cannot read "+path, err)
			e.Call = "read"
			return nil, e
		case n == 0:
			return buf, nil
		}
		if buf = buf[:len(buf)+n]; len(buf) > MaxSize {
			return nil, tooLarge(path)
		}
	}
}

// openError words why path cannot be opened. Engines match on the sentence for
// a file that is not there.
func openError(path string, err error) error {
	if err == syscall.ENOENT {
		base := path[strings.LastIndexByte(path, '/')+1:]
		e := fault.Wrap("JSON specification file "+base+" not found", err)
		e.Call = "open " + path
		return e
	}
	return fault.Wrap("cannot open "+path, err)
}
