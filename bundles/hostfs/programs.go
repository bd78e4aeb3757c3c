package hostfs

import (
	"os"
	"path"
	"strings"

	"berth/libcontainer/fault"
)

// Default returns the names of the default set: a shell, and what one needs to
// look at a container from inside. Those that a host lacks are left out.
func Default() []string {
	return strings.Fields(`
		sh bash busybox
		ls cat head tail wc grep sed less vi find stat touch mkdir rm cp mv ln readlink chmod chown
		echo true false env sleep date id hostname uname nproc tty stty clear
		ps top kill free df du
		mount umount unshare nsenter ip capsh getpcaps`)
}

// standardPath is where bare names are searched after the caller's PATH: people
// who are not root often lack the sbin directories there.
const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

type wanted struct {
	name     string
	optional bool
}

// list is the programs to take, each once: those named, or else the default
// set; the command comes first, so that its errors do.
func list(programs []string, command string) []wanted {
	optional := len(programs) == 0
	if optional {
		programs = Default()
	}
	all := make([]wanted, 0, len(programs)+1)
	if command != "" && !contains(programs, command) {
		all = append(all, wanted{name: command})
	}
	seen := make(map[string]bool, len(programs))
	for _, p := range programs {
		if !seen[p] {
			seen[p] = true
			all = append(all, wanted{name: p, optional: optional})
		}
	}
	return all
}

// lookup finds a program as a shell would: a bare name in PATH, a name with a
// slash as it stands.
func (b *builder) lookup(name string) (string, error) {
	if name == "" || strings.Contains(name, "\x00") {
		return "", fault.New("the name of a program is empty or holds a NUL")
	}
	if strings.Contains(name, "/") {
		p, err := clean(name)
		if err != nil {
			return "", fault.Wrap(name, err)
		}
		if real, _, err := b.host.resolve(p); err != nil {
			return "", &fault.Error{Msg: name, Err: err}
		} else if !b.host.at(real).runs() {
			return "", &fault.Error{Msg: name, Err: os.ErrPermission, Hint: "not an executable file"}
		}
		return p, nil
	}
	for _, dir := range strings.Split(b.opt.Path+":"+standardPath, ":") {
		// The working directory, which an empty or relative element means, is no
		// place to take programs from unasked.
		if !path.IsAbs(dir) {
			continue
		}
		p := path.Clean(dir) + "/" + name
		if dir == "/" {
			p = "/" + name
		}
		if real, _, err := b.host.resolve(p); err == nil && b.host.at(real).runs() {
			return p, nil
		}
	}
	return "", &missing{name}
}

// missing is the error about a bare name that is nowhere in PATH, in the words
// that callers of runc know.
type missing struct{ name string }

func (m *missing) Error() string {
	return `exec: "` + m.name + `": executable file not found in $PATH`
}

func (m *missing) Unwrap() error { return os.ErrNotExist }
