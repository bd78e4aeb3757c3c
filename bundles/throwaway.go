package bundles

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/bundles/hostfs"
)

// Throwaway is a container to try something in: nothing of it is left when it ends.
type Throwaway struct {
	// Spec is its configuration, with an absolute path of the root filesystem.
	Spec *specs.Spec
	// Report is of the root filesystem, whose path it holds.
	Report *hostfs.Report

	entry *hostfs.Entry
}

// Close lets go of the root filesystem; call it after the container has ended.
func (t *Throwaway) Close() error { return t.entry.Close() }

// Ephemeral returns the configuration of a throw-away container that runs
// opt.Args, or a shell, among the default set of programs. The root filesystem is
// shared with other such containers by way of the cache below cacheDir (see
// CacheDir), so it is read-only and what may be written to is memory: no
// overlay is needed, which without root not every kernel allows.
func Ephemeral(cacheDir string, opt Options) (*Throwaway, error) {
	command := "sh"
	if len(opt.Args) > 0 {
		command = opt.Args[0]
	}
	entry, err := hostfs.Cached(cacheDir, nil, opt.hostOptions(command))
	if err != nil {
		return nil, err
	}
	s := Default(opt)
	s.Root.Path, s.Root.Readonly = entry.Rootfs, true
	fit(s, entry.Report)
	scratch(s, entry.Report)
	return &Throwaway{Spec: s, Report: entry.Report, entry: entry}, nil
}

// scratch mounts a tmpfs on each directory that programs expect to write to.
// Programs of the host that lie there, such as one under /root, are bound on top,
// each from its place on the host: what the root filesystem has is covered by then.
func scratch(s *specs.Spec, rep *hostfs.Report) {
	for _, m := range [...]struct {
		dir     string
		options []string
	}{
		{"/tmp", []string{"nosuid", "nodev", "mode=1777", "size=262144k"}},
		{"/root", []string{"nosuid", "nodev", "mode=0700", "size=65536k"}},
		{"/run", []string{"nosuid", "nodev", "mode=0755", "size=65536k"}},
		{"/var", []string{"nosuid", "nodev", "mode=0755", "size=65536k"}},
	} {
		inside, linked := below(rep, m.dir)
		if linked {
			// A link can't be bound, and under a tmpfs it would be gone.
			rep.Warnings = append(rep.Warnings, m.dir+" can't be written to: the way to a program leads over a link in it")
			continue
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: m.dir, Type: "tmpfs", Source: "tmpfs", Options: m.options})
		for _, p := range inside {
			s.Mounts = append(s.Mounts, specs.Mount{
				Destination: p, Type: "bind", Source: p, Options: []string{"bind", "ro", "nosuid", "nodev"},
			})
		}
	}
}

// below returns the files in dir that the root filesystem has, and whether dir or
// one of them is a link.
func below(rep *hostfs.Report, dir string) (inside []string, linked bool) {
	for i := range rep.Files {
		f := &rep.Files[i]
		rest, ok := strings.CutPrefix(f.Path, dir)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if rest == "" {
			return nil, true
		}
		if f.Target != "" {
			return nil, true
		}
		inside = append(inside, f.Path)
	}
	return inside, false
}

// CacheDir is where root filesystems are kept: /var/cache/berth for root, whose
// environment under sudo is still another user's; else $XDG_CACHE_HOME/berth or
// ~/.cache/berth (XDG Base Directory Specification). getenv is os.Getenv. It is
// empty where the environment names no place.
func CacheDir(euid int, getenv func(string) string) string {
	if euid == 0 {
		return "/var/cache/berth"
	}
	// A relative path there is to be ignored, says the specification.
	if d := getenv("XDG_CACHE_HOME"); strings.HasPrefix(d, "/") {
		return d + "/berth"
	}
	if d := getenv("HOME"); strings.HasPrefix(d, "/") {
		return d + "/.cache/berth"
	}
	return ""
}
