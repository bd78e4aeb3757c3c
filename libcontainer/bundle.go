package libcontainer

import (
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/logs"
	"berth/libcontainer/state"
	"berth/spec"
)

// Bundle is a bundle that is known to be good: decoded, validated, its root
// file system found.
type Bundle struct {
	Path   string // absolute
	Rootfs string // absolute, without symbolic links
	Spec   *specs.Spec
	Raw    []byte // config.json as it was read
}

// LoadBundle reads and validates a bundle. Nothing is touched, and all that is
// wrong with the config is said at once.
func (r *Runtime) LoadBundle(o *CreateOptions) (*Bundle, error) {
	dir := o.Bundle
	if dir == "" {
		dir = "."
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap("cannot find the bundle", err)
	}
	b := &Bundle{Path: dir, Spec: o.Spec, Raw: o.Raw}
	if b.Spec == nil {
		var unknown []string
		b.Spec, b.Raw, unknown, err = spec.Load(filepath.Join(dir, "config.json"))
		if err != nil {
			return nil, err
		}
		for _, path := range unknown {
			r.Log.Debug("config.json: a property that is not known is ignored", logs.Field{Name: "path", Value: path})
		}
	}
	if err := spec.Validate(b.Spec).OrNil(); err != nil {
		return nil, err
	}
	for _, w := range spec.Warnings(b.Spec) {
		r.Log.Warn(w.Error())
	}
	if err := unsupported(b.Spec); err != nil {
		return nil, err
	}
	return b, b.findRootfs()
}

// findRootfs resolves root.path once. The last element must be the directory
// itself: a symbolic link there could be turned between two looks at it.
func (b *Bundle) findRootfs() error {
	p := b.Spec.Root.Path
	if !filepath.IsAbs(p) {
		p = filepath.Join(b.Path, p)
	}
	fi, err := os.Lstat(p)
	if err != nil {
		return &fault.Error{Msg: "invalid rootfs", JSONPath: "root.path", Call: p, Err: errno(err)}
	}
	if fi.Mode()&os.ModeSymlink != 0 {
		return &fault.Error{Msg: "invalid rootfs: not an absolute path, or a symlink", JSONPath: "root.path", Call: p}
	}
	if !fi.IsDir() {
		return &fault.Error{Msg: "invalid rootfs", JSONPath: "root.path", Call: p, Err: unix.ENOTDIR}
	}
	dir, err := filepath.EvalSymlinks(p)
	if err != nil {
		return &fault.Error{Msg: "invalid rootfs", JSONPath: "root.path", Call: p, Err: errno(err)}
	}
	b.Rootfs = dir
	return nil
}

// errno strips the operation and path that package os adds: the sentence has
// them already.
func errno(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

// unsupported names what this version does not do yet. To leave it out silently
// would be a hole or a lie.
func unsupported(s *specs.Spec) error {
	var l fault.List
	no := func(path string) {
		l = append(l, fault.At(path, path+" is not supported by this version"))
	}
	if s.Linux != nil {
		if s.Linux.IntelRdt != nil {
			no("linux.intelRdt")
		}
		if len(s.Linux.NetDevices) > 0 {
			no("linux.netDevices")
		}
		if s.Linux.MountLabel != "" {
			no("linux.mountLabel")
		}
	}
	return l.OrNil()
}

// keptConfig is the copy of config.json that a container was made from, with its bytes:
// the bundle may have changed, or be gone.
func keptConfig(d *state.Dir) (*specs.Spec, []byte, error) {
	raw, err := d.Config()
	if err != nil {
		return nil, nil, err
	}
	s, _, err := spec.Decode(raw)
	return s, raw, err
}
