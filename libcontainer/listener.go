package libcontainer

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/jsonw"
	"berth/libcontainer/logs"
	"berth/libcontainer/program"
	"berth/libcontainer/seccomp"
	"berth/libcontainer/unixsocket"
)

// listening hands the listener of a filter that asks one (SCMP_ACT_NOTIFY) to whoever
// listens at linux.seccomp.listenerPath. The child can not send it: the very call might
// be asked about. So its descriptor is taken out of the child, as soon as it is there.
type listening struct {
	conn int // to whoever wants the listener
	done chan error
}

// listen reaches the one who wants the listener, before the child makes it, and then
// hands it over while the child goes on.
func listen(m *program.Machine, s *specs.LinuxSeccomp, st *State) (*listening, error) {
	conn, err := unixsocket.Connect(s.ListenerPath, unix.SOCK_STREAM)
	if err != nil {
		return nil, &fault.Error{
			Msg: "failed to connect with seccomp agent", JSONPath: "linux.seccomp.listenerPath", Call: "connect " + s.ListenerPath, Err: err,
			Hint: "the profile has SCMP_ACT_NOTIFY: an agent has to listen there",
		}
	}
	l := &listening{conn: conn, done: make(chan error, 1)}
	pid, pidfd := m.Pid, m.PidFD
	// One that the caller has preserved for the process is not the filter's.
	others := listeners(pid)
	go func() {
		defer unix.Close(conn)
		err := l.handOver(pid, pidfd, others, processState(s, st, pid))
		if err != nil {
			// It may be waiting for an answer that nobody will give.
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		}
		l.done <- err
	}()
	return l, nil
}

// wait waits until the listener is handed over. What else went wrong may have
// come of that failing.
func (l *listening) wait(other error) error {
	if l == nil {
		return other
	}
	select {
	case err := <-l.done:
		if other != nil && (err == nil || errors.Is(err, errNoListener)) {
			return other
		}
		return err
	case <-time.After(listenTime):
		return cmp.Or(other, error(errNoListener))
	}
}

// listenTime bounds how long the child may take to make its listener.
const listenTime = 10 * time.Second

// errNoListener: the child has ended, or did not come that far.
var errNoListener = fault.At("linux.seccomp", "the filter's listener did not come about")

func (l *listening) handOver(pid, pidfd int, others []int, state []byte) error {
	fd, err := takeListener(pid, pidfd, others)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendmsg(l.conn, state, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL); err != nil {
		return &fault.Error{Msg: "cannot hand the filter's listener over", JSONPath: "linux.seccomp.listenerPath", Call: "sendmsg", Err: err}
	}
	return nil
}

// listeners are the numbers of a process's descriptors that are listeners.
func listeners(pid int) (list []int) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		if what, _ := os.Readlink(dir + e.Name()); what != "anon_inode:seccomp notify" {
			continue
		}
		if n, err := strconv.Atoi(e.Name()); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// takeListener waits for the listener among the child's descriptors that is not one of
// others.
func takeListener(pid, pidfd int, others []int) (int, error) {
	for end := time.Now().Add(listenTime); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		if unix.PidfdSendSignal(pidfd, 0, nil, 0) != nil {
			return -1, errNoListener
		}
		for _, n := range listeners(pid) {
			if slices.Contains(others, n) {
				continue
			}
			fd, err := unix.PidfdGetfd(pidfd, n, 0)
			if err != nil {
				return -1, &fault.Error{Msg: "cannot take the filter's listener", JSONPath: "linux.seccomp", Call: "pidfd_getfd", Err: err}
			}
			return fd, nil
		}
	}
	return -1, errNoListener
}

// processState is the document that goes with the listener (config-linux.md, The
// Container Process State).
func processState(s *specs.LinuxSeccomp, st *State, pid int) []byte {
	j := jsonw.New("")
	j.Begin('{')
	j.Key("ociVersion").Str(st.OCIVersion)
	j.Key("fds").Begin('[')
	j.Item().Str(specs.SeccompFdName)
	j.Close(']')
	j.Key("pid").Int(pid)
	if s.ListenerMetadata != "" {
		j.Key("metadata").Str(s.ListenerMetadata)
	}
	j.Key("state")
	st.AppendTo(j)
	j.Close('}')
	return j.Buf
}

// logSkipped tells of names in the profile that no architecture has as a system call:
// profiles are written for newer kernels and other machines too.
func logSkipped(log logs.Logger, f *seccomp.Filter) {
	if f != nil && len(f.Skipped) > 0 {
		log.Debug("linux.seccomp: names of system calls that are not known are skipped: " + strings.Join(f.Skipped, ", "))
	}
}
