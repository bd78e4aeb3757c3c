// Package notify stands between a container that says how it is by sd_notify(3) and
// whoever the runtime itself says it to: systemd, when a unit runs the runtime. The
// container gets a socket of its own, since the host's may not be mounted into
// it: systemd takes words of the unit's own processes only, and pids and descriptors
// of the container's mean nothing outside.
package notify

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/sys"
	"berth/libcontainer/unixsocket"
)

// Name is the socket's name in its directory; Mount is where the directory is
// mounted in the container, as runc does it.
const (
	Name  = "notify.sock"
	Mount = "/run/notify"
)

// Proxy is the container's socket, and the host's to which its words go.
type Proxy struct {
	fd   int
	host string
}

// Listen makes the container's socket in dir. Any user of the container may write
// to it. host is the host's socket, a path or a name that begins with @.
func Listen(dir, host string) (*Proxy, error) {
	path := dir + "/" + Name
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return nil, &fault.Error{Msg: "cannot replace the container's notify socket", Call: "unlink " + path, Err: err}
	}
	fd, err := unixsocket.Bind(path, unix.SOCK_DGRAM)
	if err != nil {
		return nil, &fault.Error{Msg: "cannot make the container's notify socket", Call: "bind " + path, Err: err}
	}
	if err := unix.Chmod(path, 0o777); err != nil {
		unix.Close(fd)
		return nil, &fault.Error{Msg: "cannot open the container's notify socket to all", Call: "chmod " + path, Err: err}
	}
	return &Proxy{fd: fd, host: host}, nil
}

// Close ends the proxy. What the container says later is lost.
func (p *Proxy) Close() { unix.Close(p.fd) }

// Ready passes on what the container says until it has said that it is ready or
// its process, which pidfd refers to, has ended. With READY=1 systemd learns that
// main is the pid to watch from now on, and is waited for until it has taken that in.
func (p *Proxy) Ready(pidfd, main int) error {
	return p.pass(pidfd, main)
}

// Rest passes on what the container says until its process ends.
func (p *Proxy) Rest(pidfd int) error { return p.pass(pidfd, 0) }

// pass passes on; with main it ends after READY=1.
func (p *Proxy) pass(pidfd, main int) error {
	buf := make([]byte, 4096) // what systemd reads of a message
	for {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
		if _, err := sys.Retry(func() (int, error) { return unix.Poll(fds, -1) }); err != nil {
			return fault.Wrap("cannot wait for the container's word", err)
		}
		if fds[0].Revents == 0 {
			return nil // the process has ended, and left no word unread
		}
		n, err := sys.Retry(func() (int, error) { return unix.Read(p.fd, buf) })
		if err != nil {
			return fault.Wrap("cannot read the container's word", err)
		}
		words, ready := fit(string(buf[:n]))
		if ready && main > 0 {
			return p.ready(words, main)
		}
		if words == "" {
			continue
		}
		if err := p.send(words); err != nil {
			return err
		}
	}
}

// fit leaves of a message what means the same outside, and says whether the
// container is ready.
func fit(message string) (words string, ready bool) {
	var b strings.Builder
	for line := range strings.SplitSeq(message, "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch key {
		case "MAINPID", "MAINPIDFDID", "MAINPIDFD":
			continue // a pid of the container's
		case "BARRIER", "FDSTORE", "FDSTOREREMOVE", "FDNAME", "FDPOLL":
			continue // about descriptors, which are not passed on
		case "READY":
			ready = ready || value == "1"
		}
		if ok {
			b.WriteString(line + "\n")
		}
	}
	return b.String(), ready
}

func (p *Proxy) ready(words string, main int) error {
	if err := p.send(words); err != nil {
		return err
	}
	if err := p.send("MAINPID=" + strconv.Itoa(main) + "\n"); err != nil {
		return err
	}
	return p.barrier()
}

// send sends one message to the host.
func (p *Proxy) send(words string, fds ...int) error {
	conn, err := unixsocket.Connect(p.host, unix.SOCK_DGRAM)
	if err == nil {
		var rights []byte
		if len(fds) > 0 {
			rights = unix.UnixRights(fds...)
		}
		err = unix.Sendmsg(conn, []byte(words), rights, nil, unix.MSG_NOSIGNAL)
		unix.Close(conn)
	}
	if err != nil {
		return &fault.Error{Msg: "cannot pass on the container's word", Call: "sendmsg " + p.host, Err: err}
	}
	return nil
}

// patience bounds the wait for systemd. One that does not know barriers lets the
// descriptor lie.
const patience = 30 * time.Second

// barrier waits until the host has taken in all that was sent: it closes the pipe
// that comes with the last word (sd_notify_barrier(3)). Only then may the runtime
// end: of a process that is gone systemd can not tell whose it was.
func (p *Proxy) barrier() error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fault.Wrap("cannot make a pipe", err)
	}
	defer unix.Close(pipe[0])
	err := p.send("BARRIER=1", pipe[1])
	unix.Close(pipe[1])
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; {
		left := time.Until(end)
		if left <= 0 {
			return &fault.Error{Msg: "whoever is told that the container is ready did not answer within " + strconv.Itoa(int(patience/time.Second)) + " s", Errno: unix.ETIMEDOUT}
		}
		fds := []unix.PollFd{{Fd: int32(pipe[0])}}
		n, err := unix.Poll(fds, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return fault.Wrap("cannot wait for an answer", err)
		}
		if n == 1 {
			return nil
		}
	}
}
