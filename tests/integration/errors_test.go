package integration

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

func cwd(dir string) change { return func(s *specs.Spec) { s.Process.Cwd = dir } }

func env(list ...string) change { return func(s *specs.Spec) { s.Process.Env = list } }

func uid(id uint32) change {
	return func(s *specs.Spec) { s.Process.User.UID, s.Process.User.GID = id, id }
}

// What can not be executed is said by create and run, in the words that engines
// look for.
func TestExecErrors(t *testing.T) {
	args := harness.Args
	runAll(t, []scenario{
		{
			name: "not in PATH", rows: "PRO-8", change: on(args("nosuch")), code: 1,
			err: `exec: "nosuch": executable file not found in \$PATH`,
		},
		{
			name: "no PATH", rows: "PRO-8", change: on(args("true"), env("A=b")), code: 1,
			err: `exec: "true": executable file not found in \$PATH`,
		},
		{
			name: "empty PATH", rows: "PRO-8", change: on(args("true"), env("PATH=")), code: 1,
			err: `exec: "true": executable file not found in \$PATH`,
		},
		{
			name: "empty name", rows: "PRO-8", change: on(args("")), code: 1,
			err: `exec: "": executable file not found in \$PATH`,
		},
		{
			name: "no such file", rows: "PRO-8", change: on(args("/bin/nosuch")), code: 1,
			err: `exec: "/bin/nosuch": .*no such file or directory`,
		},
		{
			name: "no such directory", rows: "PRO-8", change: on(args("/nosuch/x")), code: 1,
			err: `exec: "/nosuch/x": .*no such file or directory`,
		},
		{
			name: "below a file", rows: "PRO-8", change: on(args("/etc/passwd/x")), code: 1,
			err: `exec: "/etc/passwd/x": .*not a directory`,
		},
		{
			name: "not executable", rows: "PRO-8", change: on(args("/etc/passwd")), code: 1,
			err: `exec: "/etc/passwd": permission denied`,
		},
		{
			name: "in PATH but not executable", rows: "PRO-8", change: on(args("passwd"), env("PATH=/etc")), code: 1,
			err: `exec: "passwd": (executable file not found in \$PATH|permission denied)`,
		},
		{
			name: "a directory", rows: "PRO-8", change: on(args("/etc")), code: 1,
			err: `exec: "/etc": (is a directory|permission denied)`,
		},
		{
			name: "not for this user", rows: "PRO-8 PRO-37", change: on(args("/secret"), uid(1000)), code: 1,
			prep: func(t *testing.T, b string) { put(t, b, "secret", "#!/bin/sh\n", 0o700) },
			err:  `exec:? "?/secret"?: permission denied`,
		},
		{
			name: "symlink to itself", rows: "PRO-8", change: on(args("/loop")), code: 1, prep: symlink("loop", "loop"),
			err: `exec: "/loop": .*(too many levels of symbolic links|too many links)`,
		},
		{
			name: "dangling symlink", rows: "PRO-8", change: on(args("/gone")), code: 1, prep: symlink("/nowhere", "gone"),
			err: `exec: "/gone": .*no such file or directory`,
		},
		{
			name: "script without interpreter line", change: on(args("/script")), code: 1, prep: files("script", "echo hi\n"),
			err: `exec /script.*exec format error`, old: "says it on the container's standard error",
		},
		{
			name: "missing interpreter", change: on(args("/script")), code: 1, prep: files("script", "#!/no/such\n"),
			err: `exec /script.*no such file or directory`, old: "says it on the container's standard error",
		},
		{
			name: "empty file", change: on(args("/empty")), code: 1, prep: files("empty", ""),
			err: `exec /empty.*exec format error`, old: "says it on the container's standard error",
		},
	})
}

// Where execve itself fails, `start` says so.
func TestStartReportsExecve(t *testing.T) {
	skipOld(t, "start knows nothing of it")
	for _, s := range []struct{ name, content, err string }{
		{"no interpreter line", "echo hi\n", `exec /script: exec format error`},
		{"missing interpreter", "#!/no/such\n", `exec /script: no such file or directory`},
		{"interpreter not executable", "#!/etc/passwd\n", `exec /script.*permission denied`},
		{"garbage after ELF magic", "\x7fELF garbage", `exec /script: exec format error`},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newContainer(t, harness.Args("/script"))
			put(t, c.bundle, "script", s.content, 0o755)
			c.create()
			c.fails(s.err, "start", c.id)
			c.awaitStatus("stopped")
			c.Must("delete", c.id)
		})
	}
	// What create found may have gone until start.
	t.Run("gone since create", func(t *testing.T) {
		c := newContainer(t, harness.Args("/script"))
		put(t, c.bundle, "script", "#!/bin/sh\n", 0o755)
		c.create()
		symlink("/nowhere", "script")(t, c.bundle)
		c.fails(`exec /script: no such file or directory`, "start", c.id)
		c.awaitStatus("stopped")
		c.Must("delete", c.id)
	})
}

func TestPATHSearch(t *testing.T) {
	show := func(name string) change {
		return func(s *specs.Spec) { s.Process.Args = []string{name} }
	}
	runAll(t, []scenario{
		{
			name: "first hit", rows: "PRO-8", change: on(show("prog"), env("PATH=/one:/two")), out: "two",
			prep: preps(mkdirs("one"), files("two/prog", "#!/bin/sh\necho two\n")),
		},
		{
			name: "directory of that name is passed over", rows: "PRO-8", change: on(show("prog"), env("PATH=/one:/two")), out: "two",
			prep: preps(mkdirs("one/prog"), files("two/prog", "#!/bin/sh\necho two\n")),
		},
		{
			name: "file without x is passed over", rows: "PRO-8", change: on(show("prog"), env("PATH=/one:/two")), out: "two",
			prep: func(t *testing.T, b string) {
				put(t, b, "one/prog", "#!/bin/sh\necho one\n", 0o644)
				put(t, b, "two/prog", "#!/bin/sh\necho two\n", 0o755)
			},
		},
		{
			name: "what another user may execute is passed over", rows: "PRO-8", change: on(show("prog"), env("PATH=/one:/two"), uid(1000)), out: "two",
			prep: func(t *testing.T, b string) {
				put(t, b, "one/prog", "#!/bin/sh\necho one\n", 0o700)
				put(t, b, "two/prog", "#!/bin/sh\necho two\n", 0o755)
			},
			old: "looks with root's rights",
		},
		{
			name: "file as a directory of PATH", rows: "PRO-8", change: on(show("prog"), env("PATH=/etc/passwd:/two")), out: "two",
			prep: files("two/prog", "#!/bin/sh\necho two\n"),
		},
		{
			name: "last PATH counts", rows: "PRO-7 PRO-8", change: on(show("prog"), env("PATH=/one", "PATH=/two")), out: "two",
			prep: files("one/prog", "#!/bin/sh\necho one\n", "two/prog", "#!/bin/sh\necho two\n"),
			old:  "takes the first for the search",
		},
		{
			name: "symlink in PATH stays inside", rows: "PRO-8", change: on(show("prog"), env("PATH=/link")), out: "real",
			prep: preps(symlink("/../../real", "link"), files("real/prog", "#!/bin/sh\necho real\n")),
		},
		{
			// execvp would take it from the working directory: what lies there by
			// chance must not be run.
			name: "empty and relative elements are not searched", rows: "PRO-8", change: on(show("prog"), env("PATH=::bin:.:/two"), cwd("/here")), out: "two",
			prep: files("here/prog", "#!/bin/sh\necho here\n", "here/bin/prog", "#!/bin/sh\necho bin\n", "two/prog", "#!/bin/sh\necho two\n"),
			old:  "go1.19 stops at the first relative hit",
		},
		{
			name: "relative with a slash is below cwd", rows: "PRO-8 PRO-5", change: on(harness.Args("./prog"), cwd("/here")), out: "here",
			prep: files("here/prog", "#!/bin/sh\necho here\n"),
		},
		{
			name: "argv[0] stays as it was given", rows: "PRO-8", change: on(harness.Args("sh", "-c", "cat /proc/1/cmdline; exit", "zero", "")),
			out: "sh\x00-c\x00cat /proc/1/cmdline; exit\x00zero\x00\x00",
		},
		{
			name: "arguments are not changed", rows: "PRO-8 BND-3", change: on(harness.Args("/bin/printf", "%s|", "", " a  b", "ä\n\"'", "$HOME")),
			out: "| a  b|ä\n\"'|$HOME|",
		},
	})
}
