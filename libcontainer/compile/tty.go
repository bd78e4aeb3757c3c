package compile

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// terminal opens a pty in the container's own devpts, through the descriptor of
// that mount: no path leads there that the image could have prepared
// (CVE-2025-52565). The master goes to the runtime, the other end becomes
// standard input, output and error, and is bound at /dev/console.
func (c *compiler) terminal() {
	p := c.process
	if p == nil || !p.Terminal {
		return
	}
	c.atProcess("terminal")
	msg, master := program.FDMessage("master")
	pts := c.pts
	if pts == nil {
		pts = c.foundPts()
	}
	c.Do(program.CallOpenat, "open the pty multiplexer of the container's devpts", program.From(pts), program.Path("ptmx"),
		program.Int(unix.O_RDWR|unix.O_NOCTTY|unix.O_NOFOLLOW|unix.O_CLOEXEC), program.Int(0)).Into(master)
	c.Do(program.CallIoctl, "unlock the pty", program.From(master), program.Int(unix.TIOCSPTLCK), program.Ptr(program.Buffer(8, "0")))
	tty := c.Do(program.CallIoctl, "open its other end", program.From(master), program.Int(unix.TIOCGPTPEER),
		program.Int(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)).FD("tty")
	if p.ConsoleSize != nil {
		c.atProcess("consoleSize")
		size := make([]byte, 8)
		binary.LittleEndian.PutUint16(size, uint16(p.ConsoleSize.Height))
		binary.LittleEndian.PutUint16(size[2:], uint16(p.ConsoleSize.Width))
		c.Do(program.CallIoctl, "set the terminal's size", program.From(tty), program.Int(unix.TIOCSWINSZ),
			program.Ptr(program.Struct(size, "winsize")))
		c.atProcess("terminal")
	}
	c.Do(program.CallSendmsg, "hand the pty's master to the runtime", program.Int(c.socket), program.Ptr(msg), program.Int(unix.MSG_NOSIGNAL))
	c.Do(program.CallClose, "close the master", program.From(master))
	if c.dev != nil && c.ns.has(unix.CLONE_NEWNS) {
		c.console(tty)
	}
	for fd := range 3 {
		c.Do(program.CallDup3, "make the terminal "+[...]string{"standard input", "standard output", "standard error"}[fd],
			program.From(tty), program.Int(fd), program.Int(0))
	}
	c.Do(program.CallClose, "close the terminal's first descriptor", program.From(tty))
	c.Do(program.CallIoctl, "make it the controlling terminal", program.Int(0), program.Int(unix.TIOCSCTTY), program.Int(0))
}

// foundPts is the devpts that is there where the config mounts none: one that is
// bound, or a joined mount namespace's. The file system is looked at before
// anything is opened in it. A devpts holds what the kernel made and nothing else, so
// what is ptmx there is the multiplexer, whereas to open what an image calls so may
// do things, or hang.
func (c *compiler) foundPts() *program.Slot {
	pts := c.inRoot("/dev/pts", unix.O_PATH|unix.O_DIRECTORY, "look for the container's devpts").
		Say(unix.ENOENT, "cannot allocate a terminal: the container has no /dev/pts", "add a mount of type devpts").FD("pts")
	c.isFS(pts, unix.DEVPTS_SUPER_MAGIC, unix.ENODEV, "/dev/pts", "a devpts").
		Say(0, "cannot allocate a terminal: the container's /dev/pts is no devpts", "add a mount of type devpts")
	return pts
}

// console binds the pty at /dev/console. What is there must not be a symlink.
func (c *compiler) console(tty *program.Slot) {
	c.Do(program.CallMknodat, "make /dev/console to bind the terminal to", program.From(c.dev), program.Path("console"),
		program.Int(unix.S_IFREG|0o620), program.Int(0)).Ignore(unix.EEXIST)
	fd := c.Do(program.CallOpenTree, "clone the terminal's mount", program.From(tty), program.Path(""),
		program.Uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)).FD("console")
	to := c.Do(program.CallOpenat2, "open /dev/console", program.From(c.dev), program.Path("console"),
		program.Ptr(openHow(unix.O_PATH, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)), program.Int(24)).
		Say(unix.ELOOP, "", "/dev/console must not be a symbolic link").FD("target")
	c.Do(program.CallMoveMount, "attach the terminal to /dev/console", program.From(fd), program.Path(""), program.From(to), program.Path(""),
		program.Uint(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	c.Do(program.CallClose, "close /dev/console", program.From(to))
	c.Do(program.CallClose, "close the mount", program.From(fd))
}
