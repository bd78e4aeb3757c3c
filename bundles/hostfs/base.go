package hostfs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

const baseWhy = "base of every root filesystem"

// base adds what is there whatever the programs are: mount points, a place to
// write, and the names of the users.
func (b *builder) base() {
	t := b.tree
	for _, d := range [...]struct {
		path string
		mode uint32
	}{
		{"/proc", 0o555},
		{"/sys", 0o555},
		{"/dev", 0o755},
		{"/run", 0o755},
		{"/var", 0o755},
		{"/etc", 0o755},
		{"/root", 0o700},
		{"/tmp", 0o1777},
	} {
		t.put(d.path, unix.S_IFDIR|d.mode, "", baseWhy)
	}
	for _, f := range [...]struct{ path, text string }{
		{"/etc/passwd", "root:x:0:0:root:/root:" + b.shell() + "\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"},
		// Terminals in devpts belong to group 5.
		{"/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"},
		{"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
		// Without it glibc asks for services whose libraries are not there.
		{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"},
	} {
		t.put(f.path, unix.S_IFREG|0o644, f.text, baseWhy)
	}
	// On a host with a merged /usr these are links. Scripts and people use both names.
	for _, l := range [...]string{"/bin", "/sbin", "/lib", "/lib64"} {
		if !b.host.at(l).isLink() {
			continue
		}
		if real, trail, err := b.host.resolve(l); err == nil && t[real] != nil {
			for _, p := range trail {
				t.pass(b.host, p, "merged /usr")
			}
		}
	}
}

// shell is the shell of root: the first there is.
func (b *builder) shell() string {
	for _, name := range []string{"sh", "bash"} {
		if p := b.rep.Find(name); p != nil {
			return p.Path
		}
	}
	return "/bin/sh"
}

// terminals adds the descriptions of terminals where a program draws on one.
func (b *builder) terminals() {
	if !b.curses {
		return
	}
	names := []string{"dumb", "linux", "screen", "screen-256color", "tmux", "tmux-256color", "vt100", "xterm", "xterm-256color"}
	if t := b.opt.Term; plainTerm(t) && !contains(names, t) {
		names = append(names, t)
	}
	for _, name := range names {
		// A letter a directory; where file names have no case, the letter in hexadecimal.
		for _, dir := range []string{name[:1], strconv.FormatUint(uint64(name[0]), 16)} {
			for _, base := range []string{"/etc/terminfo/", "/lib/terminfo/", "/usr/share/terminfo/", "/usr/lib/terminfo/"} {
				b.extra(base+dir+"/"+name, "description of the terminal "+name)
			}
		}
	}
}

// plainTerm says whether a value of TERM, which comes from the environment, is
// the name of a file and nothing else.
func plainTerm(t string) bool {
	if t == "" || t[0] == '.' || len(t) > 64 {
		return false
	}
	for i := 0; i < len(t); i++ {
		if c := t[i]; c <= ' ' || c == '/' || c >= 0x7f {
			return false
		}
	}
	return true
}
