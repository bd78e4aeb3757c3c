package program

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Links lets a fixup that makes a path follow the symbolic links on it that lead
// nowhere yet. The kernel walks links but makes nothing at their end, and images
// have such links where a running system would make the target: /etc/resolv.conf
// to /run/systemd/resolve/stub-resolv.conf, /var/lock to /run/lock.
//
// What a link says can be known only in the container. So these are the only
// steps that are not there before the child is; they keep the same rules, and are
// checked before they are sent.
type Links struct {
	// Root is the directory that Path is below, and that no link leads out of.
	Root *Slot
	// Dir is a slot for the directories on the way.
	Dir  *Slot
	Path string
	// Steps are those that make a path. They use the slots of the fixup's own.
	Steps func(path string) []Step
}

// maxLinks is how many links the kernel follows, too (path_resolution(7)).
const maxLinks = 40

// follow makes what the links on l's path lead to. A loop is left to the step that
// is tried again: the kernel has the word for it.
func (m *Machine) follow(step int, no unix.Errno, fixup *Fixup) error {
	l := fixup.Links
	path := l.Path
	for range maxLinks {
		next, err := m.expand(l, path)
		if err != nil || next == "" {
			return err
		}
		path = next
		steps := l.Steps(path)
		if err := m.prog.verifyFixup(step, fixup, steps); err != nil {
			return err
		}
		failed, err := m.runFixup(step, no, steps)
		if err != nil && failed != unix.ENOENT {
			return err
		}
	}
	return nil
}

// expand replaces the first link on a path that leads nowhere by what it says;
// "" when there is none.
func (m *Machine) expand(l *Links, path string) (string, error) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for i, name := range parts {
		parent := "/" + strings.Join(parts[:i], "/")
		switch no, err := m.openBelow(l, "/"+strings.Join(parts[:i+1], "/")); {
		case err != nil:
			return "", err
		case no == 0:
			if err := m.closeSlot(l.Dir); err != nil {
				return "", err
			}
			continue
		case no != unix.ENOENT:
			return "", nil
		}
		if no, err := m.openBelow(l, parent); err != nil || no != 0 {
			return "", err
		}
		target, err := m.readLink(l.Dir, name)
		if err != nil {
			return "", err
		}
		if err := m.closeSlot(l.Dir); err != nil || target == "" {
			return "", err
		}
		if target[0] != '/' {
			target = parent + "/" + target
		}
		return target + "/" + strings.Join(parts[i+1:], "/"), nil
	}
	return "", nil
}

// openBelow opens a path below the root into the slot for directories.
func (m *Machine) openBelow(l *Links, path string) (unix.Errno, error) {
	open := Step{Call: CallOpenat2, Result: l.Dir, Args: []Arg{
		From(l.Root), Path(path), Ptr(OpenHow(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT)), Int(24),
	}}
	for {
		res, err := m.fixupStep(&open)
		got := message{result: res}
		if err != nil || !m.disturbed(&open, got.errno()) {
			return got.errno(), err
		}
	}
}

// closeSlot closes what openBelow has opened: a config may have hundreds of paths
// with such links, and the child's RLIMIT_NOFILE may be 1024.
func (m *Machine) closeSlot(s *Slot) error {
	_, err := m.fixupStep(&Step{Call: CallClose, Args: []Arg{From(s)}})
	return err
}

// readLink reads the link name in the open directory; "" when it is none.
func (m *Machine) readLink(dir *Slot, name string) (string, error) {
	// The link is the image's: it may be as long as a path can be, which is more
	// than there is room for. One that fills the room is taken for none.
	read := Step{Call: CallReadlinkat, Args: []Arg{From(dir), Path(name), Ptr(scratch), Int(scratch.Size)}}
	n, err := m.fixupStep(&read)
	if err != nil || n <= 0 || n >= int64(scratch.Size) {
		return "", err
	}
	b, err := m.fetch(int(n))
	return string(b), err
}

// fetch asks the child for the first n bytes of scratch. It is nil where they do
// not come as one message.
func (m *Machine) fetch(n int) ([]byte, error) {
	write := Step{Call: CallWrite, Args: []Arg{Int(m.prog.Descriptor(FDSocket)), Ptr(scratch), Int(n)}}
	b, err := fixupMessage(&write)
	if err != nil {
		return nil, err
	}
	if err := m.send(b); err != nil {
		return nil, err
	}
	buf := make([]byte, n+1)
	got, fds, _, err := m.recv(buf)
	closeAll(fds)
	if err != nil || got != n {
		return nil, err
	}
	_, fds, _, err = m.receive()
	closeAll(fds)
	return buf[:n], err
}
