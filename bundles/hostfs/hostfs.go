// Package hostfs makes a root filesystem out of programs of this machine: each
// program, and what the kernel and the dynamic linker will open to run it, at
// the paths that they have on the host. Nothing else goes in, so that the result
// can be read from top to bottom by someone who wants to see what a container
// needs.
package hostfs

import (
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"berth/libcontainer/fault"
	"golang.org/x/sys/unix"
)

// Options are the finer points of a build. The zero value is usable.
type Options struct {
	// Command is the program that the container will run. Other programs that
	// are not there are warned about; this one missing is an error.
	Command string
	// Path is where bare names are searched, in the form of $PATH, before the
	// usual directories. Empty: the usual directories alone.
	Path string
	// Term is the caller's $TERM, whose description is taken along beside those
	// of the common terminals.
	Term string
	// Owner, if not 0, is the user and group id that shall own all files: for a
	// container whose user namespace maps its root to this id. It takes root.
	Owner int
	// Root is the directory that holds the host's files; empty is the real root.
	Root string
}

// Report says what a build took, and why.
type Report struct {
	// Rootfs is where the root filesystem is.
	Rootfs string `json:"rootfs"`
	// Programs are those asked for, in that order.
	Programs []Executable `json:"programs"`
	// Files are all files and links, ordered by path. Directories are not listed.
	Files []File `json:"files"`
	// Bytes is the sum of the sizes of the files.
	Bytes int64 `json:"bytes"`
	// Warnings are sentences about what will not work.
	Warnings []string `json:"warnings,omitempty"`
	// Absent are members of the default set that this host does not have.
	Absent []string `json:"absent,omitempty"`
}

// Executable is one program and what it pulled in.
type Executable struct {
	Name string `json:"name"`
	// Path is where it is, on the host as in the container.
	Path string `json:"path"`
	// Kind is "dynamic", "static", "script" or "data" (neither of them).
	Kind string `json:"kind"`
	// Interpreter is the dynamic linker, or what the first line of a script names.
	Interpreter string `json:"interpreter,omitempty"`
	// Needs are interpreters and libraries, in the order in which they are loaded.
	Needs []string `json:"needs,omitempty"`
}

// File is one file or link.
type File struct {
	Path string `json:"path"`
	// Target is where a link points; empty for a file.
	Target string `json:"target,omitempty"`
	// Bytes is the size of a file.
	Bytes int64 `json:"bytes"`
	// Why says in a few words what it is for.
	Why string `json:"why"`
}

func (p *Executable) need(file string) {
	if !contains(p.Needs, file) {
		p.Needs = append(p.Needs, file)
	}
}

// Find returns the program that was asked for by name, or nil.
func (r *Report) Find(name string) *Executable {
	for i := range r.Programs {
		if r.Programs[i].Name == name {
			return &r.Programs[i]
		}
	}
	return nil
}

// Build makes a root filesystem in dir, which must be empty or absent, from the
// named programs, or from the default set (Default) when there are none. On an
// error nothing is left in dir.
func Build(dir string, programs []string, opt Options) (*Report, error) {
	b, err := plan(programs, opt)
	if err != nil {
		return nil, err
	}
	return b.write(dir, opt.Owner)
}

// builder gathers what goes into one root filesystem.
type builder struct {
	host     *host
	opt      Options
	tree     tree
	objects  map[string]*object // by real path
	search   map[string]*searchPath
	rep      Report
	warned   map[string]bool
	curses   bool // a program draws on the terminal
	optional bool // the program in hand is one of the default set
}

// plan decides what goes in, and writes nothing.
func plan(programs []string, opt Options) (*builder, error) {
	b := &builder{
		host: newHost(opt.Root), opt: opt, tree: tree{}, objects: map[string]*object{},
		search: map[string]*searchPath{}, warned: map[string]bool{},
	}
	for _, p := range list(programs, opt.Command) {
		b.optional = p.optional
		err := b.program(p.name)
		switch {
		case err == nil:
		case p.name == opt.Command:
			return nil, err
		case p.optional && errors.Is(err, os.ErrNotExist):
			b.rep.Absent = append(b.rep.Absent, p.name)
		default:
			b.warn(err.Error())
		}
	}
	if len(b.rep.Programs) == 0 {
		return nil, &fault.Error{Msg: "no program for the root filesystem was found", Hint: "name programs that this host has"}
	}
	b.terminals()
	b.base()
	b.finish()
	return b, nil
}

// program adds one program by the name it was asked for.
func (b *builder) program(name string) error {
	p, err := b.lookup(name)
	if err != nil {
		return err
	}
	prog := Executable{Name: name, Path: p}
	if err := b.pull(&prog, p, 0); err != nil {
		return err
	}
	for _, d := range []string{"/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(p, d) {
			b.warn(name + ": " + p + " can't be seen in a container, which has its own " + strings.Trim(d, "/") + " there")
		}
	}
	b.rep.Programs = append(b.rep.Programs, prog)
	return nil
}

// pull takes along the file at p and all that running it needs. depth counts
// interpreters of interpreters.
func (b *builder) pull(prog *Executable, p string, depth int) error {
	why := "program"
	if depth > 0 {
		why = "interpreter of " + prog.Name
	}
	real, _, err := b.host.resolve(p)
	if err != nil {
		return &fault.Error{Msg: prog.Name + ": " + p, Err: err}
	}
	head, err := b.head(real)
	if err != nil {
		return &fault.Error{Msg: prog.Name + ": can't read " + p, Err: err}
	}
	kind := "data"
	switch {
	case isELF(head):
		o, real, err := b.object(p, why)
		if err != nil {
			return &fault.Error{Msg: prog.Name + ": can't use " + p, Err: err}
		}
		kind = "dynamic"
		if o.interp == "" {
			kind = "static"
		}
		b.link(prog, p, real, o)
	default:
		if _, err := b.tree.take(b.host, p, why); err != nil {
			return &fault.Error{Msg: prog.Name + ": can't use " + p, Err: err}
		}
		if interp, arg, ok := shebang(head); ok {
			kind = "script"
			if err := b.script(prog, interp, arg, depth); err != nil {
				return err
			}
		} else {
			b.warn(prog.Name + ": " + p + " is neither an ELF program nor a script with a first line of #!, so that the kernel can't run it")
		}
	}
	if depth == 0 {
		prog.Kind = kind
	}
	return nil
}

// object takes along the ELF file at p and returns what is in it, and its real path.
func (b *builder) object(p, why string) (*object, string, error) {
	real, _, err := b.host.resolve(p)
	if err != nil {
		return nil, "", err
	}
	o, err := b.objectAt(real)
	if err != nil {
		return nil, "", err
	}
	if strings.HasPrefix(o.soname, "libtinfo") || strings.HasPrefix(o.soname, "libncurses") {
		b.curses = true
	}
	_, err = b.tree.take(b.host, p, why)
	return o, real, err
}

// objectAt reads the ELF file at a real path, once.
func (b *builder) objectAt(real string) (*object, error) {
	if o, ok := b.objects[real]; ok {
		if o == nil {
			return nil, badELF("seen before")
		}
		return o, nil
	}
	b.objects[real] = nil
	l := b.host.at(real)
	f, err := b.host.open(real)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o, err := readObject(f, l.size)
	if err != nil {
		return nil, err
	}
	b.objects[real] = o
	return o, nil
}

// open opens a regular file of the host by its real path. Should a FIFO or a
// device have taken its place, neither blocks.
func (h *host) open(real string) (*os.File, error) {
	if !h.at(real).isFile() {
		return nil, errNotFile
	}
	return os.OpenFile(h.root+real, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

var errNotFile = errors.New("not a regular file")

// head reads as much of a file as the kernel looks at to tell what it is
// (BINPRM_BUF_SIZE).
func (b *builder) head(real string) ([]byte, error) {
	f, err := b.host.open(real)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, 256)
	n, err := io.ReadFull(f, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return buf[:n], err
}

// maxText bounds configuration files.
const maxText = 1 << 20

// read returns a small text file of the host.
func (b *builder) read(p string) (string, error) {
	real, _, err := b.host.resolve(p)
	if err != nil {
		return "", err
	}
	f, err := b.host.open(real)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	return string(text), err
}

// extra takes along a file that helps but that nothing fails without.
func (b *builder) extra(p, why string) bool {
	_, err := b.tree.take(b.host, p, why)
	return err == nil
}

// tidy is p as people write it: without "..".
func (b *builder) tidy(p string) string {
	if !strings.Contains(p, "/..") {
		return p
	}
	dir, _, err := b.host.resolve(path.Dir(p))
	if err != nil {
		return p
	}
	return path.Join(dir, path.Base(p))
}

func (b *builder) warn(s string) {
	if !b.warned[s] {
		b.warned[s] = true
		b.rep.Warnings = append(b.rep.Warnings, s)
	}
}

// finish fills in the parts of the report that the tree tells.
func (b *builder) finish() {
	for _, n := range b.tree.sorted() {
		f := File{Path: n.path, Target: n.target, Bytes: int64(len(n.content)), Why: n.why}
		switch {
		case n.mode&unix.S_IFMT == unix.S_IFDIR:
			continue
		case n.from != nil:
			f.Bytes = n.from.size
		}
		b.rep.Files = append(b.rep.Files, f)
		b.rep.Bytes += f.Bytes
	}
}

// readNames lists a directory in order; a directory that can't be read is empty.
func readNames(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	sort.Strings(names)
	return names
}

// clean makes a program's name with a slash absolute.
func clean(name string) (string, error) {
	if path.IsAbs(name) {
		return path.Clean(name), nil
	}
	return filepath.Abs(name)
}
