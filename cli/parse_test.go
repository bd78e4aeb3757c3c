package cli

import (
	"bytes"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// oracle parses a command line by urfave/cli alone: what it would carry out, or
// nil, and what it printed.
func oracle(argv []string, moved bool) (*call, string, error) {
	var out bytes.Buffer
	var got *call
	r := &fullParser{out: &out, call: &call{build: &Build{Version: "x"}}, exec: func(c *call) (int, error) {
		got = c
		return 0, nil
	}}
	argv = append([]string{"berth"}, argv...)
	app := r.app()
	// Without the log: parsing must not open files.
	app.Before = func(ctx *cli.Context) error {
		r.call.collect(ctx, globals)
		return nil
	}
	if moved {
		argv = reorder(argv)
	}
	err := app.Run(argv)
	return got, out.String(), err
}

// settings are the values of all options and the arguments, to be compared.
func (c *call) settings() map[string]string {
	m := map[string]string{"command": c.cmd.name, "args": strings.Join(c.args, "\x00")}
	for _, list := range [][]*option{globals, c.cmd.options} {
		for _, o := range list {
			text, given := c.given(o)
			if o.kind == toggle && text == "" {
				text = "false"
			}
			if o == &optVersion {
				continue // urfave/cli sees to it itself
			}
			if o.kind == many {
				text = strings.Join(c.texts(o), "\x00")
			}
			m[o.name] = text
			if given {
				m[o.name] += " (given)"
			}
		}
	}
	return m
}

// agree fails the test where the quick parser accepts a command line that
// urfave/cli reads differently.
func agree(t *testing.T, argv []string) (accepted bool) {
	t.Helper()
	quick := parse(slices.Clone(argv))
	if quick == nil {
		return false
	}
	for _, moved := range []bool{false, true} {
		got, out, err := oracle(slices.Clone(argv), moved)
		switch {
		case quick.on(&optVersion):
			if err != nil || got != nil || !strings.HasPrefix(out, "berth version x\n") {
				t.Fatalf("%q: taken for --version; urfave/cli: %v, %q", argv, err, out)
			}
			continue
		case !moved && (got == nil || !reflect.DeepEqual(got.settings(), quick.settings())):
			// Right only where options stand behind arguments.
			if !behind(quick, argv) {
				t.Fatalf("%q: %v; urfave/cli: %v", argv, quick.settings(), err)
			}
			continue
		case got == nil:
			t.Fatalf("%q: accepted; urfave/cli: %v", argv, err)
		}
		if a, b := quick.settings(), got.settings(); !reflect.DeepEqual(a, b) {
			t.Fatalf("%q:\nquick      %v\nurfave/cli %v", argv, a, b)
		}
	}
	return true
}

// behind says whether an option stands behind an argument of the command.
func behind(c *call, argv []string) bool {
	if len(c.args) == 0 || c.cmd.foreign {
		return false
	}
	at := slices.Index(argv, c.cmd.name)
	for i, a := range argv {
		if a == "--" {
			return false
		}
		if i > at && slices.Contains(c.args, a) {
			return slices.ContainsFunc(argv[i:], func(s string) bool { return len(s) > 1 && s[0] == '-' })
		}
	}
	return false
}

// TestHotForms are what engines call (and people, most of the time): all must be
// taken by the quick parser.
func TestHotForms(t *testing.T) {
	for _, line := range []string{
		"--version",
		"-v",
		"--log-format=json --log /l create --bundle /b --pid-file /p id",
		"--systemd-cgroup --log-format=json --log /l create --bundle /b --pid-file /p --no-pivot --no-new-keyring --preserve-fds 3 --console-socket /s id",
		"--root /r --log /l --log-format json create --bundle /b --pid-file /p id",
		"start id",
		"pause id",
		"resume id",
		"features",
		"events --stats id",
		"events --interval 1s id",
		"update --resources - id",
		"update --resources=- id",
		"update --resources=/var/tmp/podman1 id",
		"update --memory 50M --pids-limit 5 id",
		"ps --format json id",
		"ps id -o pid,cmd --format json -- x",
		"--debug start id",
		"kill id 15",
		"kill --all id 9",
		"kill id KILL --all",
		"kill id",
		"delete --force id",
		"delete id",
		"state id",
		"list --format json",
		"list -q",
		"list",
		"run -b /b -d id",
		"run --bundle=/b --keep -no-subreaper id",
		"run id --bundle /b",
		"-root /r state id",
		"state -- -id",
		"try ls -l /",
		"try -t=false -- sh -c exit",
		"bundle create /d ls cat --json",
		"explain --bundle /b",
		"spec --rootless",
		"version",
	} {
		if !agree(t, strings.Fields(line)) {
			t.Errorf("%s: left to urfave/cli", line)
		}
	}
}

// TestOddForms are left to urfave/cli, which then says what it thinks.
func TestOddForms(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "",
		"--help":                           "",
		"-h":                               "",
		"help":                             "",
		"create --help":                    "",
		"create":                           `berth: "create" requires exactly 1 argument(s)`,
		"create a b":                       `berth: "create" requires exactly 1 argument(s)`,
		"list a":                           `berth: "list" requires exactly 0 argument(s)`,
		"kill":                             `berth: "kill" requires a minimum of 1 argument(s)`,
		"kill a b c":                       `berth: "kill" requires a maximum of 2 argument(s)`,
		"explain a b":                      `berth: "explain" requires a maximum of 1 argument(s)`,
		"create --bogus id":                "flag provided but not defined: -bogus",
		"create id --bogus":                "flag provided but not defined: -bogus",
		"--bogus create id":                "flag provided but not defined: -bogus",
		"create --pid-file":                "flag needs an argument: -pid-file",
		"create id --pid-file":             "flag needs an argument: -pid-file",
		"--log":                            "flag needs an argument: -log",
		"create -b /a --bundle /b id":      "Cannot use two forms of the same flag: b bundle",
		"create --preserve-fds x id":       `invalid value "x" for flag -preserve-fds: parse error`,
		"create --no-pivot=maybe id":       `invalid boolean value "maybe" for -no-pivot: parse error`,
		"bogus":                            "No help topic for 'bogus'",
		"statte id":                        `No help topic for 'statte'. Did you mean "state"?`,
		"--debug=1 state id":               "",
		"create --preserve-fds 0x3 id":     "",
		"create --preserve-fds=-1 id":      "",
		"bundle":                           "",
		"bundle create":                    `berth: "create" requires a minimum of 1 argument(s)`,
		"--version=false state id":         "*",
		"--log-format=json --version=true": "*",
	} {
		argv := strings.Fields(line)
		if want == "*" {
			agree(t, argv)
			continue
		}
		if c := parse(argv); c != nil {
			t.Errorf("%q: accepted", line)
		}
		_, _, err := oracle(argv, true)
		switch {
		case want == "" && err != nil, want != "" && err == nil:
			t.Errorf("%q: %v", line, err)
		case want != "" && !strings.HasPrefix(err.Error(), want):
			t.Errorf("%q: %q, want %q", line, err, want)
		}
	}
}

var words = strings.Fields("create start state kill delete run list spec explain try bundle version help h " +
	"id id2 - -- --- -a --all -b --bundle --bundle= --bundle=/b -bundle=x=y --force -f --force=true --force=false --force= " +
	"--format -f=json json table --quiet -q=true --log --log= --log-format json --log-format=text --root /r -root=/r --debug " +
	"-debug=false --debug=1 --version -v -v=true --version=false --help -h --preserve-fds 3 --preserve-fds=3 --preserve-fds=03 " +
	"--preserve-fds=-3 0x3 9 KILL --detach -d --keep --no-pivot --no-new-keyring -no-subreaper --pid-file /p --console-socket= " +
	"--rootless auto --rootless=true --systemd-cgroup --inject step=1 --json --run --fixups -t --tty --tty=false --verbose --userns " +
	"--hostname n --bogus -x --x=y -= --= -==")

// TestAgreement throws random words at both parsers.
func TestAgreement(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	accepted := 0
	n := 20000
	if testing.Short() {
		n = 2000
	}
	for range n {
		argv := make([]string, 1+rnd.Intn(7))
		for i := range argv {
			argv[i] = words[rnd.Intn(len(words))]
		}
		// Most command lines of chance alone would have no command.
		if i := rnd.Intn(len(argv) + 1); i < len(argv) {
			argv[i] = commands[rnd.Intn(len(commands))].name
		}
		if agree(t, argv) {
			accepted++
		}
	}
	if accepted < n/20 {
		t.Errorf("only %d of %d command lines were taken by the quick parser", accepted, n)
	}
}

func FuzzAgreement(f *testing.F) {
	f.Add("create\n--bundle\n/b\nid")
	f.Add("--root=/r\nkill\nid\n9\n-a")
	f.Add("try\n--\nls\n-l")
	f.Add("--\nkill\n0\n-a")
	f.Fuzz(func(t *testing.T, line string) { agree(t, strings.Split(line, "\n")) })
}

// TestTable holds the table itself to what the parsers take for granted.
func TestTable(t *testing.T) {
	var check func(list []*command)
	check = func(list []*command) {
		for i, c := range list {
			if c.usage == "" || (c.run == nil) == (c.children == nil) {
				t.Errorf("%s: no usage, or not one of run and children", c.name)
			}
			if findCommand(list[:i], c.name) != nil {
				t.Errorf("%s: twice", c.name)
			}
			if c.most >= 0 && c.most < c.least {
				t.Errorf("%s: takes from %d to %d arguments", c.name, c.least, c.most)
			}
			for k, o := range c.options {
				names := []string{o.name}
				if o.short != "" {
					names = append(names, o.short)
				}
				for _, name := range names {
					// A global option may have the same name (--rootless of spec).
					if findOption(c.options[:k], name) != nil || name == "help" || name == "h" {
						t.Errorf("%s: --%s: twice", c.name, name)
					}
				}
				if o.usage == "" || o.kind == toggle && o.value != "" {
					t.Errorf("%s: --%s: no usage, or a toggle with a value", c.name, o.name)
				}
			}
			check(c.children)
		}
	}
	check(commands)
}

func BenchmarkQuick(b *testing.B) {
	argv := strings.Fields("--root /r --log /l --log-format json create --bundle /b --pid-file /p id")
	for b.Loop() {
		if parse(argv) == nil {
			b.Fatal("not taken")
		}
	}
}

func BenchmarkUrfave(b *testing.B) {
	argv := strings.Fields("--root /r --log /l --log-format json create --bundle /b --pid-file /p id")
	for b.Loop() {
		if got, _, err := oracle(argv, true); got == nil {
			b.Fatal(err)
		}
	}
}
