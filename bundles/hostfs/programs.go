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
	wrapper := ""
	for _, dir := range strings.Split(b.opt.Path+":"+standardPath, ":") {
		// The working directory, which an empty or relative element means, is no
		// place to take programs from unasked.
		if !path.IsAbs(dir) {
			continue
		}
		p := path.Join(dir, name)
		real, _, err := b.host.resolve(p)
		if err != nil || !b.host.at(real).runs() {
			continue
		}
		if !b.isWrapper(real) {
			if wrapper != "" {
				b.warn(name + ": " + wrapper + " is a script that needs a tree of its own, " + p + " was taken instead")
			}
			return p, nil
		}
		if wrapper == "" {
			wrapper = p
		}
	}
	if wrapper != "" {
		b.warn(name + ": " + wrapper + " is a script that may need a tree of its own, and nothing of that was taken along")
		return wrapper, nil
	}
	return "", &missing{name}
}

// isWrapper says whether a program is a shell script outside the directories of the
// system, as version managers put them into PATH: what it calls lies in a tree of
// its own (~/.pyenv, ~/.asdf), which nobody can tell from the script.
func (b *builder) isWrapper(real string) bool {
	if strings.Contains(":"+standardPath+":", ":"+path.Dir(real)+":") {
		return false
	}
	head, err := b.head(real)
	if err != nil {
		return false
	}
	interp, arg, ok := shebang(head)
	if !ok {
		return false
	}
	interp = path.Base(interp)
	if interp == "env" {
		interp = envProgram(arg)
	}
	return strings.HasSuffix(interp, "sh") // sh, bash, dash, zsh, ksh
}

// missing is the error about a bare name that is nowhere in PATH, in the words
// that callers of runc know.
type missing struct{ name string }

func (m *missing) Error() string {
	return `exec: "` + m.name + `": executable file not found in $PATH`
}

func (m *missing) Unwrap() error { return os.ErrNotExist }
