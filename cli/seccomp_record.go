package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/bundles"
	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/foreground"
	"berth/libcontainer/host"
	"berth/libcontainer/seccomp"
	"berth/libcontainer/seccomp/record"
	"berth/spec"
)

var (
	optMerge  = option{name: "merge", usage: "add to the profile in `FILE`, a profile or a bundle, what it does not let through"}
	optOutput = option{name: "output", short: "o", usage: "write the profile to `FILE` (default: standard output, after what the container says)"}
)

var seccompRecordCommand = command{
	name:  "record",
	args:  "<container-id>",
	usage: "run a bundle, and write the smallest profile that allows what it did",
	about: `Runs a bundle as "berth run" does, but under a filter that tells Berth of every
system call, in place of the bundle's own; Berth lets each go on. When the container
has ended the profile is written that allows these calls and no others, as an
object like linux.seccomp is; Docker and Podman take it as well. What "berth exec"
runs in the container meanwhile is recorded, too. The exit status is that of the process.

    berth seccomp record --output profile.json demo
    berth seccomp check profile.json

With --merge the profile is an existing one with what it lacks. Added always are
calls that no recording shows: those to end a process or a signal handler, and
those for the time, which only some machines need. Where clone made no namespaces, it is
allowed without the flags for them. clone3, which no filter can look into, fails
with ENOSYS, as under the default profiles of engines, and programs use clone; unless the
profile that is merged with allows it.

runc sets a filter earlier than Berth does, and makes calls of its own under it: for
runc, merge with a default profile.

Each call takes some ten microseconds longer than else. A container that has a filter
with a listener of its own can not be recorded.`,
	options: []*option{&optBundle, &optMerge, &optOutput, &optPidFile, &optNoSubreaper, &optNoPivot, &optNoNewKeyring, &optPreserveFDs},
	least:   1, most: 1,
	run: func(c *call) (int, error) {
		status, err := c.record()
		if err != nil {
			return 1, prefix("seccomp record", err)
		}
		return status, nil
	},
}

func (c *call) record() (int, error) {
	rt, err := c.runtime()
	if err != nil {
		return 1, err
	}
	opt, err := c.createOptions(rt)
	if err != nil {
		return 1, err
	}
	r, err := c.recorder()
	if err != nil {
		return 1, err
	}
	defer r.Close()
	if err := recordedSpec(&opt, r); err != nil {
		return 1, err
	}
	out, err := newOutput(c.text(&optOutput))
	if err != nil {
		return 1, err
	}
	defer out.drop()
	ctx, running := interruptible()
	status, err := foreground.Run(ctx, rt, c.args[0], &foreground.Options{CreateOptions: opt, NoSubreaper: c.on(&optNoSubreaper), Running: running})
	if err != nil {
		return 1, err
	}
	profile, err := r.Result()
	if err != nil {
		return 1, err
	}
	text, err := profileText(profile)
	if err != nil {
		return 1, err
	}
	return status, out.write(text)
}

// recorder is one for the profile to merge with, if there is any.
func (c *call) recorder() (*record.Recorder, error) {
	var base *specs.LinuxSeccomp
	name := c.text(&optMerge)
	if name != "" {
		f, err := readProfile(name)
		if err != nil {
			return nil, err
		}
		if f.none {
			return nil, fault.New("the config in " + f.file + " has no profile to merge with")
		}
		if f.docker {
			c.log.warn(name + " is merged as worked out for this machine and for a container with default capabilities")
		}
		base = f.profile
	}
	r, err := record.New(seccomp.Native(), base)
	if _, ok := err.(*seccomp.Error); ok {
		err = fault.Wrap("cannot take the profile in "+name, err)
	}
	return r, err
}

// recordedSpec puts the recorder's profile in place of the bundle's.
func recordedSpec(opt *libcontainer.CreateOptions, r *record.Recorder) error {
	facts, err := host.Gather()
	if err != nil {
		return err
	}
	s, _, _, err := spec.Load(filepath.Join(opt.Bundle, "config.json"))
	if err != nil {
		return err
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	s.Linux.Seccomp = r.Profile(facts.Kernel.AtLeast(5, 19))
	opt.Spec = s
	opt.Raw, err = bundles.Encode(s)
	return err
}

// profileText is a profile as people would write it: one call a line.
func profileText(s *specs.LinuxSeccomp) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(s); err != nil {
		return nil, fault.Wrap("cannot print the profile", err)
	}
	return b.Bytes(), nil
}

// output is a file that appears when it is complete. It is made beforehand, so that
// nothing is recorded in vain.
type output struct {
	name string // empty for standard output
	file *os.File
}

func newOutput(name string) (*output, error) {
	if name == "" {
		return &output{file: os.Stdout}, nil
	}
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, fault.Wrap("cannot write the profile", err)
		}
		return &output{file: f}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+strings.ReplaceAll(filepath.Base(name), "*", "_")+".")
	if err != nil {
		return nil, fault.Wrap("cannot write the profile", err)
	}
	return &output{name, f}, nil
}

func (o *output) write(text []byte) error {
	_, err := o.file.Write(text)
	if err == nil && o.name != "" {
		if err = o.file.Chmod(0o644); err == nil {
			err = os.Rename(o.file.Name(), o.name)
		}
	}
	if err != nil {
		return fault.Wrap("cannot write the profile", err)
	}
	return nil
}

// drop removes what is not complete.
func (o *output) drop() {
	if o.name != "" {
		os.Remove(o.file.Name())
	}
	if o.file != os.Stdout {
		o.file.Close()
	}
}
