package libcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/console"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/libcontainer/state"
)

// What a container's first process and one that joins have in common on the
// runtime's side.

// seal puts the image where it can be executed: into a sealed memfd, or, where
// policy forbids to execute those, into a file without a name. /run, where the state
// directory lies, may be mounted noexec (Debian's initramfs does so): then the next
// place is tried.
func seal(img []byte, f *host.Facts, dirs []string) (int, error) {
	if f.MemfdExec {
		return program.Seal(img)
	}
	var tried []string
	for _, dir := range dirs {
		fd, err := program.SealFile(img, dir)
		if err == nil {
			return fd, nil
		}
		var e *fault.Error
		if errors.As(err, &e) {
			tried = append(tried, e.Call+": "+errors.Unwrap(e).Error())
		}
	}
	return -1, &fault.Error{
		Msg:  "there is no place that the container's image can be executed from: memfds may not be (vm.memfd_noexec is 2), nor files: " + strings.Join(tried, "; "),
		Hint: "mount one of these without noexec, or set vm.memfd_noexec to 1",
	}
}

// image is what a child is started from.
type image struct {
	program *program.Program
	facts   *host.Facts
	dir     *state.Dir
	report  bool // each step is told, for a debug run
}

// spawnFrom starts the child, with fds in the order of the program's descriptors, and in
// the cgroup v2 directory v2 if that is not -1.
func (p *Process) spawnFrom(i *image, fds []int, v2 int) error {
	img, err := i.program.Image(i.report, i.facts.PageSize)
	if err != nil {
		return err
	}
	sealed, err := seal(img, i.facts, i.dir.ImageDirs())
	if err != nil {
		return err
	}
	defer unix.Close(sealed)
	if p.machine, err = i.program.Start(sealed, fds, v2); err != nil {
		return err
	}
	p.machine.FD = func(fd int) {
		if p.master >= 0 {
			unix.Close(fd)
			return
		}
		p.master = fd
	}
	return nil
}

// stdio is the descriptor that is number n of the process: a file that was given, or
// the caller's own.
func stdio(n int, files ...*os.File) int {
	if f := files[n]; f != nil {
		return int(f.Fd())
	}
	return n
}

// openEntry opens the cgroup v2 directory that a child is born into; -1 for none.
func openEntry(dir string) (int, error) {
	if dir == "" {
		return -1, nil
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fault.Error{Msg: "cannot open the container's cgroup", Call: "open " + dir, Err: err}
	}
	return fd, nil
}

// setHome looks HOME up in the container's own passwd file, when the config's
// environment lacks it. The file is the image's: it is read with care.
func (r *Runtime) setHome(m *program.Machine, home *program.Data, uid uint32) error {
	value, err := homeOf(m.Pid, uid, home.Size-len("HOME=")-1)
	if err != nil {
		r.Log.Warn("HOME is set to /: " + err.Error())
	}
	if value == "" || value == "/" {
		return nil
	}
	return m.Write(home, append([]byte("HOME="+value), 0))
}

// handles are what a caller wants to have of a process: its terminal and its pidfd,
// each by a socket, and its pid in a file.
type handles struct {
	console, pidfd, pidFile string
	// payload goes with the pidfd: runc's word for the kind of process.
	payload string
}

// give sends and writes them. point is called before and after the pid file is there.
func (h *handles) give(m *program.Machine, master int, point func(written bool)) error {
	if h.console != "" {
		if master < 0 {
			return fault.New("the process sent no terminal")
		}
		if err := console.Send(h.console, master); err != nil {
			return err
		}
	}
	if h.pidfd != "" {
		if err := console.SendPidFD(h.pidfd, m.PidFD, h.payload); err != nil {
			return err
		}
	}
	if h.pidFile == "" {
		return nil
	}
	return writePidFile(h.pidFile, m.Pid, point)
}

// writePidFile writes the pid as engines expect: digits alone, and whole or not
// at all, since they watch for the file.
func writePidFile(path string, pid int, point func(written bool)) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(tmp, strconv.AppendInt(nil, int64(pid), 10), 0o666); err != nil {
		return fault.Wrap("cannot write the pid file", err)
	}
	point(false)
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return fault.Wrap("cannot write the pid file", err)
	}
	point(true)
	return nil
}
