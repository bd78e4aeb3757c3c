package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/vm/wire"
)

// userName is the ordinary user that the image has. He lingers: his systemd runs
// from boot on, without a login.
const userName = "berth"

// endOfFile is what ^D sends.
const endOfFile = 4

// command is one that runs.
type command struct {
	cmd *exec.Cmd
	// stdin is nil where it is /dev/null; a terminal is both stdin and tty.
	stdin io.WriteCloser
	tty   *os.File
	// copied is closed when all that a terminal had to show is sent.
	copied chan struct{}
}

// start has systemd make a delegated scope for the command, where tests may make
// cgroups of their own. A scope's processes stay children of this one, so that
// exit code and standard files are theirs.
func start(req wire.Request, unit string, w *wire.Writer) (*command, error) {
	args := []string{"--scope", "--quiet", "--collect", "--unit=" + unit, "--property=Delegate=yes"}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	attr := &syscall.SysProcAttr{Setsid: true}
	home := "/root"
	if req.User {
		u, err := user.Lookup(userName)
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		runtimeDir := "/run/user/" + u.Uid
		if err := waitFor(runtimeDir + "/bus"); err != nil {
			return nil, fmt.Errorf("the user's systemd: %w", err)
		}
		args = append([]string{"--user"}, args...)
		env = append(env, "USER="+userName, "LOGNAME="+userName, "XDG_RUNTIME_DIR="+runtimeDir, "DBUS_SESSION_BUS_ADDRESS=unix:path="+runtimeDir+"/bus")
		home = u.HomeDir
	} else {
		env = append(env, "USER=root", "LOGNAME=root")
	}
	cmd := exec.Command("systemd-run", append(append(args, "--"), req.Args...)...)
	cmd.Env = append(append(env, "HOME="+home, "SHELL=/bin/sh"), req.Env...)
	cmd.SysProcAttr = attr
	cmd.Dir = req.Dir
	if cmd.Dir == "" {
		cmd.Dir = home
	}
	// What a command leaves running may keep its pipes open for ever.
	cmd.WaitDelay = time.Second
	c := &command{cmd: cmd, copied: make(chan struct{})}
	if req.TTY {
		return c, c.startTTY(req.Size, w)
	}
	close(c.copied)
	cmd.Stdout, cmd.Stderr = w.Stream(wire.Stdout), w.Stream(wire.Stderr)
	if req.Stdin {
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		c.stdin = in
	}
	return c, cmd.Start()
}

func (c *command) startTTY(size wire.Size, w *wire.Writer) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return err
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer slave.Close()
	c.tty, c.stdin = master, master
	c.resize(size)
	if cred := c.cmd.SysProcAttr.Credential; cred != nil {
		if err := slave.Chown(int(cred.Uid), int(cred.Gid)); err != nil {
			return err
		}
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr.Setctty = true
	if err := c.cmd.Start(); err != nil {
		master.Close()
		return err
	}
	go func() {
		// Ends with EIO when the last process has closed the terminal.
		_, _ = io.Copy(w.Stream(wire.Stdout), master)
		close(c.copied)
	}()
	return nil
}

func (c *command) resize(size wire.Size) {
	if c.tty != nil {
		_ = unix.IoctlSetWinsize(int(c.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	}
}

// take gives the command what came for it from the host.
func (c *command) take(kind wire.Kind, data []byte) {
	switch kind {
	case wire.Stdin:
		if c.stdin == nil {
			return
		}
		switch {
		case len(data) > 0:
			_, _ = c.stdin.Write(data)
		case c.tty != nil:
			// Closed, it would hang up.
			_, _ = c.stdin.Write([]byte{endOfFile})
		default:
			c.stdin.Close()
		}
	case wire.Resize:
		var size wire.Size
		if json.Unmarshal(data, &size) == nil {
			c.resize(size)
		}
	case wire.Signal:
		if len(data) == 1 {
			_ = c.cmd.Process.Signal(syscall.Signal(data[0]))
		}
	}
}

// kill ends the command with all that stayed in its session's first group.
func (c *command) kill() {
	_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL)
}

func (c *command) wait() wire.Result {
	err := c.cmd.Wait()
	select {
	case <-c.copied:
	case <-time.After(c.cmd.WaitDelay):
	}
	if c.tty != nil {
		c.tty.Close()
	}
	state := c.cmd.ProcessState
	if state == nil {
		return wire.Result{Code: 127, Error: err.Error()}
	}
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return wire.Result{Code: 128 + int(status.Signal())}
	}
	return wire.Result{Code: state.ExitCode()}
}

// waitFor waits for a file that the booting guest is about to make.
func waitFor(path string) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := os.Stat(path)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}
