package compile

import (
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// openLabels prepares for security labels: the procfs through which they are
// written must be made while the runtime's /proc is still visible. The attribute
// files themselves are opened where they are written, since the kernel checks
// the opener's rights.
func (c *compiler) openLabels() {
	p := c.process
	if p == nil {
		return
	}
	if p.ApparmorProfile != "" {
		c.atProcess("apparmorProfile")
		if !c.host.AppArmor {
			c.fail(c.JSONPath, "cannot apply the AppArmor profile "+p.ApparmorProfile+": apparmor is not enabled on the host", "")
			return
		}
		c.procfs("to set the AppArmor profile")
	}
	if p.SelinuxLabel != "" {
		c.atProcess("selinuxLabel")
		if !c.host.SELinux {
			c.fail(c.JSONPath, "selinux label is specified in config, but selinux is disabled or not supported", "")
			return
		}
		c.procfs("to set the SELinux label")
	}
}

// labels sets what takes hold at the next execve.
func (c *compiler) labels() {
	p := c.process
	if name := p.ApparmorProfile; name != "" && c.proc != nil {
		c.atProcess("apparmorProfile")
		// Where several security modules are stacked the file lies deeper; Linux
		// 5.8 and later have it there always.
		fd := c.openProc("self/attr/apparmor/exec", "open the AppArmor attribute")
		c.writeFD(fd, "exec "+name, "set the AppArmor profile "+name).
			Say(unix.ENOENT, "", "the profile is not loaded: see apparmor_parser(8)")
		c.Do(program.CallClose, "close it", program.From(fd))
	}
	if label := p.SelinuxLabel; label != "" && c.proc != nil {
		c.atProcess("selinuxLabel")
		fd := c.openProc("self/attr/exec", "open the SELinux attribute")
		c.writeFD(fd, label, "set the SELinux label "+label)
		c.Do(program.CallClose, "close it", program.From(fd))
	}
}
