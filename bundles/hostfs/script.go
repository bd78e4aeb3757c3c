package hostfs

import (
	"path"
	"strings"

	"berth/libcontainer/fault"
)

// maxNested is how many interpreters that are themselves scripts the kernel
// follows before it answers ELOOP (fs/exec.c, exec_binprm).
const maxNested = 5

// shebang takes the first line of a script apart as the kernel does
// (fs/binfmt_script.c): an interpreter, and all that follows as one argument.
func shebang(head []byte) (interp, arg string, ok bool) {
	line, ok := strings.CutPrefix(string(head), "#!")
	if !ok {
		return "", "", false
	}
	line, _, _ = strings.Cut(line, "\n")
	line = strings.Trim(line, " \t\r")
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		line, arg = line[:i], strings.Trim(line[i:], " \t")
	}
	line, _, _ = strings.Cut(line, "\x00")
	return line, arg, line != ""
}

// script takes along the interpreter of a script, and behind env(1) the program
// that it will search for.
func (b *builder) script(prog *Executable, interp, arg string, depth int) error {
	if depth >= maxNested {
		return fault.New(prog.Name + ": more than 5 scripts that interpret each other")
	}
	if !path.IsAbs(interp) {
		return fault.New(prog.Name + ": the interpreter " + interp + " has no absolute path")
	}
	if depth == 0 {
		prog.Interpreter = interp
	}
	prog.need(interp)
	if err := b.pull(prog, interp, depth+1); err != nil {
		return err
	}
	name := path.Base(interp)
	if name == "env" {
		if name = envProgram(arg); name == "" {
			return nil
		}
		p, err := b.lookup(name)
		if err != nil {
			return &fault.Error{Msg: prog.Name + ": its interpreter can't be found", Err: err}
		}
		prog.need(p)
		if err := b.pull(prog, p, depth+1); err != nil {
			return err
		}
	}
	if lib := moduleLibrary(path.Base(name)); lib != "" {
		b.warn(prog.Name + ": only the " + lib + " interpreter was taken along, not its modules")
	}
	return nil
}

// envProgram finds the program in the argument of env. The kernel hands over
// one argument; env -S splits it.
func envProgram(arg string) string {
	split, ok := strings.CutPrefix(arg, "-S")
	if !ok {
		split, ok = strings.CutPrefix(arg, "--split-string")
		split = strings.TrimPrefix(split, "=")
	}
	if !ok {
		return arg
	}
	skip := false
	for _, w := range strings.Fields(split) {
		switch {
		case skip:
			skip = false
		case w == "-u" || w == "-C":
			skip = true // the next word is the option's value
		case strings.HasPrefix(w, "-") || strings.Contains(w, "="):
		default:
			return w
		}
	}
	return ""
}

// moduleLibrary names the language of an interpreter that does little without
// files which it finds by itself.
func moduleLibrary(interp string) string {
	for _, lang := range [...]string{"python", "perl", "ruby", "node", "php", "tclsh", "guile"} {
		if strings.HasPrefix(interp, lang) {
			return lang
		}
	}
	return ""
}
