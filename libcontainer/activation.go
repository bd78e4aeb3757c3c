package libcontainer

import (
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/notify"
	"berth/libcontainer/state"
)

// What a service manager wants of the programs that it starts reaches the
// container through here: sockets that it has opened (sd_listen_fds(3)), and the
// one that it listens on for a word of theirs (sd_notify(3)).

// activationEnv is what is added to the process's environment.
func activationEnv(o *CreateOptions, notified bool) []string {
	var env []string
	if o.ListenFDs > 0 {
		env = append(env, "LISTEN_FDS="+strconv.Itoa(o.ListenFDs), "LISTEN_PID=1")
	}
	if notified {
		env = append(env, "NOTIFY_SOCKET="+notify.Mount+"/"+notify.Name)
	}
	return env
}

// notifies says whether a container gets a notify socket: the runtime has one, and
// the container a process and mounts.
func (r *Runtime) notifies(s *specs.Spec) bool {
	return r.NotifySocket != "" && s.Process != nil && hasNamespace(s, specs.MountNamespace)
}

// notifyDir is where a container's notify socket lies.
func (r *Runtime) notifyDir(id string) string { return r.Root + "/" + id + "/notify" }

// withNotify is the config with the mount of the notify socket's directory.
func (r *Runtime) withNotify(s *specs.Spec, id string) *specs.Spec {
	c := *s
	c.Mounts = append(s.Mounts[:len(s.Mounts):len(s.Mounts)], specs.Mount{
		Destination: notify.Mount, Type: "bind", Source: r.notifyDir(id),
		Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	return &c
}

// makeNotifyDir makes the directory. The socket in it comes with whoever starts the
// process, and waits for its word.
func (c *creation) makeNotifyDir() error {
	if !c.record.Notify {
		return nil
	}
	dir := c.rt.notifyDir(c.setup.ID)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fault.Wrap("cannot make the directory of the container's notify socket", err)
	}
	// Whatever the umask is: the process may be another user's.
	return os.Chmod(dir, 0o755)
}

// listen makes the notify socket before the process can want it; nil where it has none.
func (r *Runtime) listen(rec *state.Record) (*notify.Proxy, error) {
	if !rec.Notify || r.NotifySocket == "" {
		return nil, nil
	}
	return notify.Listen(r.notifyDir(rec.ID), r.NotifySocket)
}

// ready passes on the process's words until it says that it is ready. Nobody else
// may have to wait for that: the lock is not held.
func (r *Runtime) ready(p *notify.Proxy, pidfd, pid int) {
	if err := p.Ready(pidfd, pid); err != nil {
		r.Log.Warn(err.Error())
	}
}

// listenToProcess is for what the process that has just been started says.
func (c *creation) listenToProcess(detached bool) {
	p := c.proxy
	switch {
	case p == nil:
	case detached:
		c.rt.ready(p, c.machine.PidFD, c.machine.Pid)
	default:
		c.proxy = nil // passOn's from now on
		c.rt.passOn(p, c.machine.PidFD)
	}
}

// passOn passes the words of a process in the foreground on for as long as it lives,
// and then closes the proxy. The runtime itself is the one to watch: it lives as
// long, and gets the signals.
func (r *Runtime) passOn(p *notify.Proxy, pidfd int) {
	fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		p.Close()
		r.Log.Warn(fault.Wrap("cannot pass on the container's word", err).Error())
		return
	}
	go func() {
		defer p.Close()
		defer unix.Close(fd)
		err := p.Ready(fd, os.Getpid())
		if err == nil {
			err = p.Rest(fd)
		}
		if err != nil {
			r.Log.Warn(err.Error())
		}
	}()
}
