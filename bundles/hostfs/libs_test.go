package hostfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const ldLinux = "/lib64/ld-linux-x86-64.so.2"

// libHost makes a host with a dynamic linker, a C library and the given files.
func libHost(t *testing.T, files map[string]image) string {
	t.Helper()
	root := t.TempDir()
	put(t, root, ldLinux, string(image{soname: "ld-linux-x86-64.so.2"}.bytes()), 0o755)
	put(t, root, "/lib/x86_64-linux-gnu/libc.so.6", string(image{
		soname: "libc.so.6", needed: []string{"ld-linux-x86-64.so.2"}, symbols: []string{"GLIBC_2.34", "pthread_cancel"},
	}.bytes()), 0o644)
	for p, m := range files {
		put(t, root, p, string(m.bytes()), 0o755)
	}
	return root
}

func needs(t *testing.T, rep *Report, name string, want ...string) {
	t.Helper()
	p := rep.Find(name)
	if p == nil {
		t.Fatalf("%s is not in the report; warnings %q", name, rep.Warnings)
	}
	if !reflect.DeepEqual(p.Needs, want) {
		t.Errorf("%s needs %q, want %q", name, p.Needs, want)
	}
	for _, f := range want {
		if _, err := os.Stat(filepath.Join(rep.Rootfs, f)); err != nil {
			t.Error(err)
		}
	}
}

func TestSearchOrder(t *testing.T) {
	const dirs, libc = "/lib/x86_64-linux-gnu/", "/lib/x86_64-linux-gnu/libc.so.6"
	prog := func(m image) image { m.interp = ldLinux; return m }
	lib := func(needed ...string) image { return image{needed: needed} }
	for name, c := range map[string]struct {
		files map[string]image
		want  []string
		warn  []string
	}{
		"transitive, breadth first": {
			map[string]image{
				"/bin/p": prog(image{needed: []string{"a.so", "b.so"}}), dirs + "a.so": lib("c.so"), dirs + "b.so": lib("libc.so.6"), "/usr/lib/c.so": lib("b.so", "a.so"),
			},
			[]string{ldLinux, dirs + "a.so", dirs + "b.so", "/usr/lib/c.so", libc},
			nil,
		},
		"RPATH is inherited": {
			map[string]image{"/bin/p": prog(image{rpath: "/opt/l", needed: []string{"a.so"}}), "/opt/l/a.so": lib("b.so"), "/opt/l/b.so": lib()},
			[]string{ldLinux, "/opt/l/a.so", "/opt/l/b.so"},
			nil,
		},
		"RUNPATH is not": {
			map[string]image{"/bin/p": prog(image{runpath: "/opt/l", needed: []string{"a.so"}}), "/opt/l/a.so": lib("b.so"), "/opt/l/b.so": lib()},
			[]string{ldLinux, "/opt/l/a.so"},
			[]string{"b.so", "/opt/l/a.so", "not found"},
		},
		"RUNPATH silences RPATH, of callers too": {
			map[string]image{
				"/bin/p": prog(image{rpath: "/opt/l", needed: []string{"a.so"}}), "/opt/l/a.so": {runpath: "/opt/m", rpath: "/opt/l", needed: []string{"b.so"}},
				"/opt/l/b.so": lib(), "/opt/m/b.so": lib(),
			},
			[]string{ldLinux, "/opt/l/a.so", "/opt/m/b.so"},
			nil,
		},
		"$ORIGIN and $LIB and $PLATFORM": {
			map[string]image{
				"/opt/p/bin/p":      prog(image{runpath: "$ORIGIN/../none:${ORIGIN}/../$LIB:$ORIGIN/$PLATFORM", needed: []string{"a.so", "b.so"}}),
				"/opt/p/lib64/a.so": lib(), "/opt/p/bin/x86_64/b.so": lib(),
			},
			[]string{ldLinux, "/opt/p/lib64/a.so", "/opt/p/bin/x86_64/b.so"},
			nil,
		},
		"the wrong machine and class are passed over": {
			map[string]image{
				"/bin/p": prog(image{needed: []string{"a.so", "b.so"}}), dirs + "a.so": {class: 1, machine: em386}, "/usr/lib64/a.so": lib(),
				dirs + "b.so": {machine: emAArch64}, "/lib/b.so": lib(),
			},
			[]string{ldLinux, "/usr/lib64/a.so", "/lib/b.so"},
			nil,
		},
		"a soname answers for a name": {
			map[string]image{
				"/bin/p": prog(image{needed: []string{"a-1.2.so", "a.so"}}), dirs + "a-1.2.so": {soname: "a.so"}, dirs + "a.so": lib(),
			},
			[]string{ldLinux, dirs + "a-1.2.so"},
			nil,
		},
		"hwcaps beside the plain file, and alone": {
			map[string]image{
				"/bin/p": prog(image{needed: []string{"a.so", "b.so"}}), dirs + "a.so": lib(), dirs + "glibc-hwcaps/x86-64-v3/a.so": lib(),
				dirs + "glibc-hwcaps/x86-64-v2/b.so": lib(),
			},
			[]string{ldLinux, dirs + "a.so", dirs + "glibc-hwcaps/x86-64-v3/a.so", dirs + "glibc-hwcaps/x86-64-v2/b.so"},
			nil,
		},
		"a need with a slash is a path": {
			map[string]image{"/bin/p": prog(image{needed: []string{"/opt/x/a.so", "$ORIGIN/b.so"}}), "/opt/x/a.so": lib(), "/bin/b.so": lib()},
			[]string{ldLinux, "/opt/x/a.so", "/bin/b.so"},
			nil,
		},
		"pthread_cancel wants libgcc_s": {
			map[string]image{
				"/bin/p": prog(image{needed: []string{"libc.so.6"}, symbols: []string{"pthread_cancel"}}), dirs + "libgcc_s.so.1": lib("libc.so.6"),
			},
			[]string{ldLinux, libc, dirs + "libgcc_s.so.1"},
			nil,
		},
		"static": {map[string]image{"/bin/p": {}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := libHost(t, c.files)
			prog := "p"
			if _, ok := c.files["/opt/p/bin/p"]; ok {
				prog = "/opt/p/bin/p"
			}
			rep := build(t, Options{Root: root}, prog)
			needs(t, rep, prog, c.want...)
			if c.warn == nil && len(rep.Warnings) > 0 || c.warn != nil && !warned(rep, c.warn...) {
				t.Errorf("warnings %q, want %q", rep.Warnings, c.warn)
			}
			if c.want == nil && rep.Programs[0].Kind != "static" {
				t.Errorf("a static program is %q", rep.Programs[0].Kind)
			}
		})
	}
}

// TestOldGlibc has a C library whose "files" service is a library of its own.
func TestOldGlibc(t *testing.T) {
	root := libHost(t, map[string]image{
		"/bin/p":                               {interp: ldLinux, needed: []string{"libc.so.6"}},
		"/lib/x86_64-linux-gnu/libc.so.6":      {soname: "libc.so.6", symbols: []string{"GLIBC_2.31"}},
		"/usr/lib64/libnss_files.so.2":         {needed: []string{"libc.so.6"}},
		"/lib/x86_64-linux-gnu/libgcc_s.so.1":  {},
		"/lib/x86_64-linux-gnu/libunneeded.so": {},
	})
	needs(t, build(t, Options{Root: root}, "p"), "p", ldLinux, "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/libnss_files.so.2")
}

func TestLdSoConf(t *testing.T) {
	files := map[string]image{
		"/bin/p": {interp: ldLinux, needed: []string{"a.so", "b.so"}}, "/opt/one/a.so": {}, "/lib/x86_64-linux-gnu/a.so": {}, "/opt/two/b.so": {},
	}
	root := libHost(t, files)
	put(t, root, "/etc/ld.so.conf", "# words\n/opt/none, /opt/one # why not\ninclude ld.so.conf.d/*.conf\ninclude /etc/ld.so.conf\nhwcap 1 nosegneg\n", 0o644)
	put(t, root, "/etc/ld.so.conf.d/x.conf", "/opt/two\n", 0o644)
	put(t, root, "/etc/ld.so.conf.d/x.conf.off", "/opt/three\n", 0o644)

	// Without the cache ld.so knows nothing of these directories.
	rep := build(t, Options{Root: root}, "p")
	needs(t, rep, "p", ldLinux, "/lib/x86_64-linux-gnu/a.so")
	if !warned(rep, "b.so", "not found") {
		t.Errorf("warnings %q", rep.Warnings)
	}
	put(t, root, cachePath, "index", 0o644)
	rep = build(t, Options{Root: root}, "p")
	needs(t, rep, "p", ldLinux, "/opt/one/a.so", "/opt/two/b.so")
	if has(rep, cachePath) == nil {
		t.Error("ld.so.cache, which alone leads there, was not taken along")
	}
}

func TestMusl(t *testing.T) {
	const ld = "/lib/ld-musl-x86_64.so.1"
	root := libHost(t, map[string]image{
		"/bin/p":         {interp: ld, needed: []string{"libc.musl-x86_64.so.1", "a.so", "libpthread.so.0", "libc.so"}, runpath: "/opt/l"},
		ld:               {},
		"/opt/l/a.so":    {needed: []string{"b.so"}},
		"/opt/l/b.so":    {},
		"/opt/lib/c.so":  {},
		"/lib/c.so":      {},
		"/bin/other":     {interp: ld, needed: []string{"c.so"}},
		"/usr/lib/cc.so": {},
	})
	symlink(t, root, "ld-musl-x86_64.so.1", "lib/libc.musl-x86_64.so.1")
	rep := build(t, Options{Root: root}, "p", "other")
	needs(t, rep, "p", ld, "/lib/libc.musl-x86_64.so.1", "/opt/l/a.so", "/opt/l/b.so")
	needs(t, rep, "other", ld, "/lib/c.so")
	if len(rep.Warnings) > 0 {
		t.Error(rep.Warnings)
	}
	put(t, root, "/etc/ld-musl-x86_64.path", "/opt/lib:/lib\n", 0o644)
	rep = build(t, Options{Root: root}, "other")
	needs(t, rep, "other", ld, "/opt/lib/c.so")
	if has(rep, "/etc/ld-musl-x86_64.path") == nil {
		t.Error("musl's search path was not taken along")
	}
}

func TestTerminals(t *testing.T) {
	root := libHost(t, map[string]image{
		"/bin/p": {interp: ldLinux, needed: []string{"libtinfo.so.6"}}, "/lib/x86_64-linux-gnu/libtinfo.so.6": {soname: "libtinfo.so.6"},
		"/bin/q": {interp: ldLinux},
	})
	put(t, root, "/lib/terminfo/x/xterm", "description", 0o644)
	put(t, root, "/usr/share/terminfo/m/mine", "description", 0o644)
	symlink(t, root, "../x/xterm", "/lib/terminfo/l/linux")
	if rep := build(t, Options{Root: root, Term: "mine"}, "p"); has(rep, "/lib/terminfo/x/xterm") == nil ||
		has(rep, "/lib/terminfo/l/linux") == nil || has(rep, "/usr/share/terminfo/m/mine") == nil {
		t.Errorf("files %+v", rep.Files)
	}
	if rep := build(t, Options{Root: root}, "q"); has(rep, "/lib/terminfo/x/xterm") != nil {
		t.Error("a program that draws nothing got terminals")
	}
	for _, bad := range []string{"", "../../etc/shadow", ".", "a b", "a\x00", strings.Repeat("x", 65)} {
		if plainTerm(bad) {
			t.Errorf("TERM=%q passes", bad)
		}
	}
}

// TestOriginReally runs a compiled program whose library only $ORIGIN finds, by
// way of a link to the program.
func TestOriginReally(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("no unshare on this machine")
	}
	dir := t.TempDir()
	put(t, dir, "lib.c", "int answer(void) { return 42; }\n", 0o644)
	put(t, dir, "main.c", "int answer(void); int main(void) { return answer() - 42; }\n", 0o644)
	put(t, dir, "app/lib/keep", "", 0o644)
	put(t, dir, "app/bin/keep", "", 0o644)
	lib := filepath.Join(dir, "app/lib/libanswer.so")
	gcc(t, "-shared", "-fPIC", "-o", lib, filepath.Join(dir, "lib.c"))
	for tag, flag := range map[string]string{"runpath": "--enable-new-dtags", "rpath": "--disable-new-dtags"} {
		prog := filepath.Join(dir, "app/bin", tag)
		// By name: given the file, gcc would record its path where it has no soname.
		gcc(t, "-o", prog, filepath.Join(dir, "main.c"), "-L"+filepath.Dir(lib), "-lanswer", "-Wl,"+flag+",-rpath,$ORIGIN/../lib")
		link := filepath.Join(dir, tag)
		if err := os.Symlink(prog, link); err != nil {
			t.Fatal(err)
		}
		rep := build(t, Options{}, link)
		// The dynamic linker learns its origin from /proc/self/exe, so it needs a procfs.
		sh := `mount -t proc proc "$1/proc" && exec chroot "$1" "$2"`
		if out, err := exec.Command("unshare", "--mount", "sh", "-c", sh, "sh", rep.Rootfs, link).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s; needs %q, warnings %q", tag, err, out, rep.Programs[0].Needs, rep.Warnings)
		}
		if has(rep, lib) == nil {
			t.Errorf("%s: the library is not there", tag)
		}
	}
}

// TestScriptReally runs a script of the host's shell by way of env.
func TestScriptReally(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	put(t, dir, "hello", "#!/usr/bin/env sh\necho hello from $0\n", 0o755)
	rep := build(t, Options{Path: dir + ":/usr/bin:/bin"}, "hello")
	if len(rep.Warnings) != 1 || !warned(rep, "a tree of its own") {
		t.Errorf("warnings %q", rep.Warnings)
	}
	out, err := inside(t, rep.Rootfs, filepath.Join(dir, "hello"))
	if err != nil || !strings.HasPrefix(string(out), "hello from ") {
		t.Errorf("%v: %s", err, out)
	}
}
