// Vm runs commands in a small guest with systemd and pure cgroup v2 (package guest).
//
//	go run ./tests/vm image                      makes the guest's image and prints where it is
//	go run ./tests/vm run [FLAGS] -- COMMAND...  boots a guest, runs a command in it, ends it
//	go run ./tests/vm shell [FLAGS]              the same with a shell
//	go run ./tests/vm start [FLAGS]              boots a guest that stays
//	go run ./tests/vm exec [FLAGS] -- COMMAND... runs a command in that one; -tty with a terminal
//	go run ./tests/vm test [FLAGS] -- PACKAGE [-test.run X]...  runs a package's tests, there or in a new guest
//	go run ./tests/vm stop [-v1|-hybrid]         ends it
//
// The module's source tree is seen in the guest at the path that it has here,
// read-only, and $SCRATCH there is a directory that both can write to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"berth/tests/vm/guest"
	"berth/tests/vm/wire"
)

type flags struct {
	*flag.FlagSet
	user, v1, hybrid, tty bool
	timeout               time.Duration
	scratch               string
	env, share            list
}

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func parse(command string, args []string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet("vm "+command, flag.ExitOnError)}
	f.BoolVar(&f.user, "user", false, "run the command as an ordinary user, in his systemd session")
	f.BoolVar(&f.v1, "v1", false, "a guest with cgroup v1")
	f.BoolVar(&f.hybrid, "hybrid", false, "a guest with cgroup v1 and an empty v2 hierarchy")
	f.BoolVar(&f.tty, "tty", false, "with a terminal")
	f.DurationVar(&f.timeout, "timeout", 0, "end the command after this time")
	f.StringVar(&f.scratch, "dir", "", "the `directory` that the guest may write to, instead of one that is removed with it")
	f.Var(&f.env, "env", "`NAME=VALUE` for the command's environment (repeatable)")
	f.Var(&f.share, "share", "another `directory` that the guest sees, read-only (repeatable)")
	_ = f.Parse(args)
	return f
}

func (f *flags) cgroups() guest.Cgroups {
	switch {
	case f.v1:
		return guest.V1
	case f.hybrid:
		return guest.Hybrid
	}
	return guest.V2
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: vm image|run|shell|start|exec|test|stop (go doc berth/tests/vm)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	code, err := do(ctx, os.Args[1], parse(os.Args[1], os.Args[2:]))
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		code = 128 + int(unix.SIGINT)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(os.Stderr, "vm: the command did not end in time")
		code = 124
	case err != nil:
		fmt.Fprintln(os.Stderr, "vm:", err)
		code = max(code, 125)
	}
	os.Exit(code)
}

func do(ctx context.Context, command string, f *flags) (int, error) {
	switch command {
	case "image":
		if why := guest.Missing(); why != "" {
			return 0, errors.New(why)
		}
		image, err := guest.Build(os.Stderr)
		if err == nil {
			fmt.Println(image)
		}
		return 0, err
	case "run", "shell":
		g, err := f.start(false)
		if err != nil {
			return 0, err
		}
		code, err := f.run(ctx, g, command == "shell")
		return code, errors.Join(err, g.Stop())
	case "start":
		g, err := f.start(true)
		if err != nil {
			return 0, err
		}
		// Until it answers, so that what is wrong is said here.
		code, err := g.Run(ctx, guest.Command{Args: []string{"true"}})
		if err != nil || code != 0 {
			return code, errors.Join(err, g.Stop())
		}
		return 0, nil
	case "exec":
		g, err := guest.Find(f.cgroups())
		if err != nil {
			return 0, err
		}
		return f.run(ctx, g, false)
	case "test":
		g, err := guest.Find(f.cgroups())
		if err == nil {
			return f.test(ctx, g)
		}
		if g, err = f.start(false); err != nil {
			return 0, err
		}
		code, err := f.test(ctx, g)
		return code, errors.Join(err, g.Stop())
	case "stop":
		g, err := guest.Find(f.cgroups())
		if err != nil {
			return 0, err
		}
		return 0, g.Stop()
	}
	return 2, fmt.Errorf("no command %q", command)
}

func (f *flags) start(keep bool) (*guest.Guest, error) {
	tree, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	o := guest.Options{Cgroups: f.cgroups(), ReadOnly: append([]string{tree}, f.share...), Scratch: f.scratch, Keep: keep, Log: os.Stderr}
	return guest.Start(o)
}

// moduleRoot is the top of the source tree.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// test runs the tests of a package in a guest.
func (f *flags) test(ctx context.Context, g *guest.Guest) (int, error) {
	if f.NArg() == 0 {
		return 2, errors.New("no package")
	}
	tree, err := moduleRoot()
	if err != nil {
		return 0, err
	}
	ctx, cancel := f.bounded(ctx)
	defer cancel()
	c, err := g.TestCommand(ctx, tree, f.Arg(0), f.Args()[1:]...)
	if err != nil {
		return 0, err
	}
	c.Env, c.User, c.Stdout, c.Stderr = append(c.Env, f.env...), f.user, os.Stdout, os.Stderr
	return g.Run(ctx, c)
}

func (f *flags) bounded(ctx context.Context) (context.Context, func()) {
	if f.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, f.timeout)
}

func (f *flags) run(ctx context.Context, g *guest.Guest, shell bool) (int, error) {
	ctx, cancel := f.bounded(ctx)
	defer cancel()
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	c := guest.Command{Args: f.Args(), Env: append([]string{"SCRATCH=" + g.Scratch()}, f.env...), Dir: dir, User: f.user, Stdout: os.Stdout, Stderr: os.Stderr}
	if shell && len(c.Args) == 0 {
		c.Args = []string{"bash", "-l"}
	}
	if len(c.Args) == 0 {
		return 2, errors.New("no command")
	}
	if !shell && !f.tty {
		return g.Run(ctx, c)
	}
	return runTTY(ctx, g, c)
}

// runTTY runs a command on this process's terminal.
func runTTY(ctx context.Context, g *guest.Guest, c guest.Command) (int, error) {
	in := int(os.Stdin.Fd())
	c.TTY, c.Stdin = true, os.Stdin
	c.Env = append(c.Env, "TERM="+os.Getenv("TERM"))
	if !term.IsTerminal(in) {
		return g.Run(ctx, c)
	}
	c.Size = terminalSize(in)
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	defer signal.Stop(changed)
	resize := make(chan wire.Size)
	c.Resize = resize
	go func() {
		for range changed {
			resize <- terminalSize(in)
		}
	}()
	old, err := term.MakeRaw(in)
	if err != nil {
		return 0, err
	}
	defer func() { _ = term.Restore(in, old) }()
	return g.Run(ctx, c)
}

func terminalSize(fd int) wire.Size {
	columns, rows, err := term.GetSize(fd)
	if err != nil {
		return wire.Size{Rows: 24, Cols: 80}
	}
	return wire.Size{Rows: uint16(rows), Cols: uint16(columns)}
}
