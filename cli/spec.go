package cli

import (
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/bundles"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

var (
	optSpecBundle   = option{name: "bundle", short: "b", usage: "write to `DIR` (default: the working directory)"}
	optSpecRootless = option{name: "rootless", kind: toggle, usage: "write a config for a user who is not root"}
)

var specCommand = command{
	name:  "spec",
	usage: "write a config.json to begin with",
	about: `Writes a config.json that runs a shell on a terminal, for a root file system in
the directory rootfs beside it. There must be no config.json yet. With --rootless
the container gets a user namespace in which the caller is root.`,
	options: []*option{&optSpecBundle, &optSpecRootless},
	run: func(c *call) (int, error) {
		text, err := bundles.Encode(starterSpec(c.on(&optSpecRootless), os.Geteuid(), os.Getegid()))
		if err != nil {
			return 1, err
		}
		name := filepath.Join(c.text(&optSpecBundle), "config.json")
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if os.IsExist(err) {
			return 1, fault.New("File config.json exists. Remove it first")
		}
		if err != nil {
			return 1, fault.Wrap("cannot write config.json", err)
		}
		_, err = f.Write(text)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(name)
			return 1, fault.Wrap("cannot write config.json", err)
		}
		return 0, nil
	},
}

// starterSpec is what those expect who know `runc spec`: a shell on a terminal,
// a read-only root, three capabilities, no HOME (it is looked up in the image).
// It has no seccomp filter, as theirs has none: a list of system calls is for
// engines to choose. The generator of runtime-tools is of no use here: its
// present version does not build beside runtime-spec 1.3.
func starterSpec(rootless bool, uid, gid int) *specs.Spec {
	facts := &host.Facts{CgroupNS: true}
	if rootless {
		facts.EUID, facts.EGID = 1, 1 // anybody but root
	}
	s := bundles.Default(bundles.Options{Terminal: true, Facts: facts})
	s.Root.Readonly = true
	p := s.Process
	p.Env = []string{p.Env[0], "TERM=xterm"}
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	if rootless {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(uid), Size: 1}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(gid), Size: 1}}
	}
	return s
}
