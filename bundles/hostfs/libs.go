package hostfs

import (
	"path"
	"strconv"
	"strings"
)

// searchPath is where the dynamic linker of one kind of program looks for
// libraries after RPATH and RUNPATH.
type searchPath struct {
	// conf are the directories of /etc/ld.so.conf. glibc knows them only by way
	// of ld.so.cache.
	conf []string
	// fixed are the directories built into the dynamic linker.
	fixed []string
}

const cachePath = "/etc/ld.so.cache"

// musl says whether a program's interpreter is musl's dynamic linker.
func musl(interp string) bool { return strings.HasPrefix(path.Base(interp), "ld-musl-") }

// searchFor returns the search path for programs of o's kind. LD_LIBRARY_PATH is
// no part of it: the container does not get the caller's environment.
func (b *builder) searchFor(o *object, interp string) *searchPath {
	key := interp + ":" + strconv.Itoa(int(o.machine)) + ":" + strconv.Itoa(int(o.class))
	if s := b.search[key]; s != nil {
		return s
	}
	s := new(searchPath)
	if musl(interp) {
		s.fixed = b.muslPath(interp)
	} else {
		s.fixed = fixedDirs(o)
		// Without the cache file glibc does not look into the directories of
		// ld.so.conf at all, so neither must we.
		if b.host.at(cachePath).isFile() {
			s.conf = b.ldSoConf("/etc/ld.so.conf", 0)
		}
	}
	b.search[key] = s
	return s
}

// muslPath reads musl's own configuration (ldso/dynlink.c: /etc/ld-musl-ARCH.path).
func (b *builder) muslPath(interp string) []string {
	arch, _, _ := strings.Cut(strings.TrimPrefix(path.Base(interp), "ld-musl-"), ".")
	conf := "/etc/ld-musl-" + arch + ".path"
	text, err := b.read(conf)
	if err != nil {
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	// The copy needs the file too, else its dynamic linker looks elsewhere.
	b.extra(conf, "search path of the dynamic linker")
	return absolute(strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '\n' }))
}

// fixedDirs are the directories that distributions build into glibc's dynamic
// linker: Debian's multiarch ones, Fedora's lib64, and the plain two. A file of
// the wrong kind in one of them is passed over, as ld.so does.
func fixedDirs(o *object) []string {
	triplet, lib := "", "lib64"
	switch {
	case o.machine == emX8664 && o.class == 1:
		triplet, lib = "x86_64-linux-gnux32", "libx32"
	case o.machine == emX8664:
		triplet = "x86_64-linux-gnu"
	case o.machine == emAArch64:
		triplet = "aarch64-linux-gnu"
	case o.machine == emRISCV:
		triplet, lib = "riscv64-linux-gnu", "lib64/lp64d"
	case o.machine == em386:
		triplet, lib = "i386-linux-gnu", "lib32"
	case o.machine == emARM:
		triplet, lib = "arm-linux-gnueabihf", "lib32"
	}
	dirs := make([]string, 0, 6)
	if triplet != "" {
		dirs = append(dirs, "/lib/"+triplet, "/usr/lib/"+triplet)
	}
	return append(dirs, "/"+lib, "/usr/"+lib, "/lib", "/usr/lib")
}

// maxInclude bounds the nesting of include lines in ld.so.conf; ldconfig knows
// no bound, but a file that includes itself must end.
const maxInclude = 8

// ldSoConf reads the directories of an ld.so.conf file and those it includes (ldconfig(8)).
func (b *builder) ldSoConf(file string, depth int) []string {
	text, err := b.read(file)
	if err != nil || depth > maxInclude {
		return nil
	}
	var dirs []string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,:", r) })
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "include":
			for _, pattern := range words[1:] {
				for _, f := range b.glob(pattern, path.Dir(file)) {
					dirs = append(dirs, b.ldSoConf(f, depth+1)...)
				}
			}
		case "hwcap":
			// An old glibc feature that names no directory.
		default:
			dirs = append(dirs, absolute(words)...)
		}
	}
	return dirs
}

// glob expands a pattern whose last element alone may hold wildcards, which is
// what distributions use.
func (b *builder) glob(pattern, base string) []string {
	if !path.IsAbs(pattern) {
		pattern = path.Join(base, pattern)
	}
	dir, last := path.Split(pattern)
	real, _, err := b.host.resolve(dir)
	if err != nil {
		return nil
	}
	var files []string
	for _, name := range b.host.list(real) {
		if ok, _ := path.Match(last, name); ok {
			files = append(files, path.Join(real, name))
		}
	}
	return files
}

// absolute keeps the absolute directories of a list. Relative ones are meant
// from a working directory that nobody knows beforehand.
func absolute(dirs []string) []string {
	kept := make([]string, 0, len(dirs))
	for _, d := range dirs {
		if d = strings.TrimSpace(d); path.IsAbs(d) {
			// Not path.Clean: "link/.." is not where link stands.
			kept = append(kept, strings.TrimRight(d, "/"))
		}
	}
	return kept
}

// loaded is an object in the process that is to be.
type loaded struct {
	path   string // as the dynamic linker opens it
	origin string // $ORIGIN
	obj    *object
	parent *loaded // who asked for it first; nil for the program
}

// linker plays the dynamic linker for one program.
type linker struct {
	b      *builder
	prog   *Executable
	musl   bool
	search *searchPath
	// names are the sonames and requested names of all that is loaded: a need
	// that one of them answers is not searched for again.
	names map[string]bool
	queue []*loaded
}

// link takes along the interpreter and all libraries of the ELF program at p,
// breadth first, the order of ld.so, because the first to be found answers for all.
func (b *builder) link(prog *Executable, p, real string, o *object) {
	if o.interp == "" {
		return // static
	}
	l := linker{b: b, prog: prog, musl: musl(o.interp), search: b.searchFor(o, o.interp), names: map[string]bool{}}
	if prog.Interpreter == "" {
		prog.Interpreter = o.interp
	}
	ld, _, err := b.object(o.interp, "dynamic linker")
	if err != nil {
		b.warn(prog.Name + ": the dynamic linker " + o.interp + " can't be used: " + err.Error())
		return
	}
	prog.need(o.interp)
	l.names[path.Base(o.interp)] = true
	l.names[ld.soname] = true
	// The kernel tells a program its real path, so $ORIGIN is that of the file and not of a link to it.
	l.queue = append(l.queue, &loaded{path: p, origin: path.Dir(real), obj: o})
	var gcc, oldC *loaded
	for i := 0; i < len(l.queue); i++ {
		cur := l.queue[i]
		for _, name := range cur.obj.needed {
			l.need(cur, name, false)
		}
		isC := strings.HasPrefix(cur.obj.soname, "libc.so.") || strings.HasPrefix(cur.obj.soname, "libpthread.so.")
		switch {
		case isC && !l.musl && cur.obj.soname == "libc.so.6" && !cur.obj.nssInside:
			oldC = cur
		case !isC && cur.obj.unwinds:
			gcc = cur
		}
		if i < len(l.queue)-1 || l.musl {
			continue
		}
		// What glibc loads with dlopen at run time: at the end, so that a library
		// that is linked anyway is not searched for again.
		if gcc != nil {
			l.need(gcc, "libgcc_s.so.1", true)
			gcc = nil
		}
		if oldC != nil {
			l.need(oldC, "libnss_files.so.2", true)
			oldC = nil
		}
	}
}

// need finds one library and queues it.
func (l *linker) need(by *loaded, name string, optional bool) {
	if l.names[name] || l.musl && muslInside(name) {
		return
	}
	l.names[name] = true
	found, extra := l.find(by, name)
	if found == "" {
		if !optional {
			l.b.warn(l.prog.Name + ": library " + name + ", which " + by.path + " needs, was not found")
		}
		return
	}
	for i, p := range append([]string{found}, extra...) {
		obj, _, err := l.b.object(p, "library")
		if err != nil {
			l.b.warn(l.prog.Name + ": library " + p + " can't be used: " + err.Error())
			continue
		}
		l.prog.need(l.b.tidy(p))
		if i == 0 && obj.soname != "" && !l.musl {
			l.names[obj.soname] = true
		}
		l.queue = append(l.queue, &loaded{path: p, origin: path.Dir(p), obj: obj, parent: by})
	}
}

// muslInside says whether musl's own libc answers for a library: it has all the
// parts of the C library in the dynamic linker (ldso/dynlink.c, load_library).
func muslInside(name string) bool {
	rest, ok := strings.CutPrefix(name, "lib")
	if !ok {
		return false
	}
	for _, part := range []string{"c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."} {
		// "c." alone is musl's libc.so; libc.so.6 and libc.musl-*.so.1 are names of files.
		if strings.HasPrefix(rest, part) && (part != "c." || rest == "c.so") {
			return true
		}
	}
	return false
}

// find searches as ld.so(8) describes, and returns the library and, beside it,
// its variants for better processors.
func (l *linker) find(by *loaded, name string) (found string, variants []string) {
	if strings.Contains(name, "/") {
		for _, p := range by.expand(name) {
			if path.IsAbs(p) && l.fits(by, p) {
				return p, nil
			}
		}
		return "", nil
	}
	for _, dir := range l.runPaths(by) {
		if found, variants = l.in(by, dir, name); found != "" {
			return found, variants
		}
	}
	for _, dir := range l.search.conf {
		if found, variants = l.in(by, dir, name); found != "" {
			if !contains(l.search.fixed, dir) {
				// Only the cache leads ld.so there. It is copied whole: entries whose
				// files are not there are passed over.
				l.b.extra(cachePath, "index of the libraries outside the usual directories")
			}
			return found, variants
		}
	}
	for _, dir := range l.search.fixed {
		if found, variants = l.in(by, dir, name); found != "" {
			return found, variants
		}
	}
	return "", nil
}

// runPaths are the directories that the objects themselves name. glibc: RUNPATH
// replaces RPATH and counts for its own object alone; RPATH counts for all that
// the object pulls in. musl makes no difference between the two and inherits both.
func (l *linker) runPaths(by *loaded) []string {
	var dirs []string
	add := func(o *loaded, list string) {
		for _, d := range strings.Split(list, ":") {
			for _, e := range o.expand(d) {
				dirs = append(dirs, absolute([]string{e})...)
			}
		}
	}
	if l.musl {
		for o := by; o != nil; o = o.parent {
			if o.obj.runpath != "" {
				add(o, o.obj.runpath)
			} else {
				add(o, o.obj.rpath)
			}
		}
		return dirs
	}
	if by.obj.runpath != "" {
		add(by, by.obj.runpath)
		return dirs
	}
	for o := by; o != nil; o = o.parent {
		if o.obj.runpath == "" {
			add(o, o.obj.rpath)
		}
	}
	return dirs
}

// expand replaces the tokens of ld.so(8). $LIB differs between distributions, so
// each of its values is tried.
func (o *loaded) expand(s string) []string {
	if !strings.Contains(s, "$") {
		return []string{s}
	}
	s = replaceToken(replaceToken(s, "ORIGIN", o.origin), "PLATFORM", platform(o.obj.machine))
	var out []string
	for _, lib := range fixedDirs(o.obj) {
		if lib, ok := strings.CutPrefix(lib, "/"); ok && !strings.HasPrefix(lib, "usr/") {
			out = append(out, replaceToken(s, "LIB", lib))
		}
	}
	if out[0] == s {
		return out[:1]
	}
	return out
}

// platform is the kernel's AT_PLATFORM for a machine.
func platform(machine uint16) string {
	switch machine {
	case emX8664:
		return "x86_64"
	case emAArch64:
		return "aarch64"
	case em386:
		return "i686"
	case emARM:
		return "v7l"
	}
	return ""
}

func replaceToken(s, token, value string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "${"+token+"}", value), "$"+token, value)
}

// in looks for a library in one directory.
func (l *linker) in(by *loaded, dir, name string) (found string, variants []string) {
	if real, _, err := l.b.host.resolve(dir); err != nil || !l.b.host.at(real).isDir() && real != "/" {
		return "", nil
	}
	// The plain file is what every processor can run. Variants for the levels of
	// x86-64 (glibc 2.33) go along where the host has them, so that the copy
	// loads what the host would, and still runs on a lesser machine.
	if by.obj.machine == emX8664 && !l.musl {
		for _, level := range []string{"x86-64-v4", "x86-64-v3", "x86-64-v2"} {
			if p := dir + "/glibc-hwcaps/" + level + "/" + name; l.fits(by, p) {
				variants = append(variants, p)
			}
		}
	}
	if p := dir + "/" + name; l.fits(by, p) {
		return p, variants
	}
	if len(variants) > 0 {
		return variants[0], variants[1:]
	}
	return "", nil
}

// fits says whether p is a library that a process with by in it can load. One for
// another kind of machine is passed over, as ld.so does.
func (l *linker) fits(by *loaded, p string) bool {
	real, _, err := l.b.host.resolve(p)
	if err != nil || !l.b.host.at(real).isFile() {
		return false
	}
	lib, err := l.b.objectAt(real)
	return err == nil && by.obj.sameABI(lib)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
