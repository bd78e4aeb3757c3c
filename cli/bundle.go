package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/bundles"
	"berth/bundles/hostfs"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

var (
	optTTY      = option{name: "tty", short: "t", kind: toggle, usage: "give the process a terminal (default: where this is called from one)"}
	optHostname = option{name: "hostname", usage: "the container's host name is `NAME` (default: berth)"}
	optUserNS   = option{name: "userns", kind: toggle, usage: "give the container a user namespace"}
)

var bundleCommand = command{
	name:     "bundle",
	usage:    "make bundles",
	children: []*command{&bundleCreateCommand},
}

var bundleCreateCommand = command{
	name:  "create",
	args:  "<directory> [program ...]",
	usage: "make a bundle of programs of this machine",
	about: `Makes a bundle in a new or empty directory: a root file system of the named
programs and the libraries that they need, or of a common set of programs, and a
config.json that runs a shell or, where there is none, the first of them.`,
	options: []*option{&optTTY, &optHostname, &optUserNS, &optJSON},
	least:   1, most: -1,
	run: func(c *call) (int, error) {
		opt, err := bundleOptions()
		if err != nil {
			return 1, err
		}
		opt.Terminal, opt.Hostname, opt.UserNamespace = c.wantsTerminal(), c.text(&optHostname), c.on(&optUserNS)
		rep, err := bundles.Create(c.args[0], c.args[1:], opt)
		if err != nil {
			return 1, err
		}
		out := []byte(bundleText(c.args[0], rep))
		if c.on(&optJSON) {
			if out, err = bundleJSON(c.args[0], rep); err != nil {
				return 1, err
			}
		} else {
			for _, w := range rep.Warnings {
				c.log.warn(w)
			}
		}
		_, err = os.Stdout.Write(out)
		return 0, err
	},
}

// bundleOptions are those that come from the caller's surroundings.
func bundleOptions() (bundles.Options, error) {
	facts, err := host.Gather()
	if err != nil {
		return bundles.Options{}, err
	}
	return bundles.Options{Term: os.Getenv("TERM"), Path: os.Getenv("PATH"), Facts: facts}, nil
}

// bundleText says in a few lines what was made, and what to do with it.
func bundleText(dir string, rep *hostfs.Report) string {
	names := make([]string, len(rep.Programs))
	for i := range rep.Programs {
		names[i] = rep.Programs[i].Name
	}
	p := newPage(1, os.Getenv)
	p.line("Made a bundle in ", dir)
	p.paragraph("  programs  ", strings.Join(names, " "))
	p.line("  files     ", count(len(rep.Files), "file"), ", ", size(rep.Bytes))
	if len(rep.Absent) > 0 {
		p.paragraph("  absent    ", strings.Join(rep.Absent, " "))
	}
	p.line("Run it with: berth run --bundle ", dir, " NAME")
	return p.b.String()
}

// size is a number of bytes as people say it.
func size(n int64) string {
	const kib, mib = 1 << 10, 1 << 20
	switch {
	case n < kib:
		return strconv.FormatInt(n, 10) + " bytes"
	case n < 10*mib:
		return strconv.FormatInt((n+kib/2)/kib, 10) + " KiB"
	}
	return strconv.FormatInt((n+mib/2)/mib, 10) + " MiB"
}

// bundleJSON is the report as it is: rootfs, programs (name, path, kind,
// interpreter, needs), files (path, target, bytes, why), bytes, warnings, absent;
// and bundle, the directory.
func bundleJSON(dir string, rep *hostfs.Report) ([]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap("cannot find the bundle", err)
	}
	return indented(struct {
		Bundle string `json:"bundle"`
		*hostfs.Report
	}{dir, rep})
}
