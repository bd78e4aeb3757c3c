package cli

import (
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"

	"berth/libcontainer/fault"
)

// fullParser is the urfave/cli application, made from the same table as the quick
// parser reads, and only when that one gave up: for help, mistakes and odd forms.
type fullParser struct {
	out    io.Writer
	call   *call
	status int
	// exec carries a call out; tests put something else in its place.
	exec func(*call) (int, error)
}

// run parses a command line, program name first, and carries it out. The error
// is one of usage, or of the command.
func (r *fullParser) run(argv []string) (int, error) {
	err := r.app().Run(reorder(argv))
	var coder cli.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode(), err
	}
	if err != nil && r.status == 0 {
		return 1, err
	}
	return r.status, err
}

// reorder moves the options of a command ahead of its arguments, where
// urfave/cli looks for them.
func reorder(argv []string) []string {
	head, rest, ok := split(globals, argv[1:], true)
	if !ok || len(rest) == 0 {
		return argv
	}
	cmd, tail := descend(rest)
	if cmd == nil || cmd.foreign {
		return argv
	}
	flags, args, ok := split(cmd.options, tail, false)
	out := append([]string{argv[0]}, head...)
	out = append(append(out, rest[:len(rest)-len(tail)]...), flags...)
	if !ok {
		// An option lacks its value and must find nothing behind it.
		return out
	}
	return append(append(out, "--"), args...)
}

func (r *fullParser) app() *cli.App {
	app := &cli.App{
		Name:        "berth",
		Usage:       "run containers: an OCI runtime",
		Description: about,
		Version:     r.call.build.text(),
		Writer:      r.out,
		ErrWriter:   r.out,
		Suggest:     true,
		// A value may hold a comma.
		DisableSliceFlagSeparator: true,
		HideHelpCommand:           false,
		Flags:                     flags(globals),
		Before: func(ctx *cli.Context) error {
			r.call.collect(ctx, globals)
			return r.call.openLog()
		},
		OnUsageError: usageError,
		// The caller decides how to end.
		ExitErrHandler: func(*cli.Context, error) {},
	}
	for _, c := range commands {
		app.Commands = append(app.Commands, r.command(c))
	}
	return app
}

func (r *fullParser) command(c *command) *cli.Command {
	u := &cli.Command{
		Name:            c.name,
		Usage:           c.usage,
		ArgsUsage:       c.args,
		Description:     c.about,
		Flags:           flags(c.options),
		OnUsageError:    usageError,
		HideHelpCommand: true,
	}
	for _, child := range c.children {
		u.Subcommands = append(u.Subcommands, r.command(child))
	}
	if c.run == nil {
		return u
	}
	u.Action = func(ctx *cli.Context) error {
		if err := checkArgs(ctx, c); err != nil {
			return err
		}
		r.call.cmd, r.call.args = c, ctx.Args().Slice()
		r.call.collect(ctx, c.options)
		var err error
		r.status, err = r.exec(r.call)
		return err
	}
	return u
}

// flags makes urfave/cli flags of options. --version is urfave/cli's own.
func flags(list []*option) []cli.Flag {
	var out []cli.Flag
	for _, o := range list {
		var short []string
		if o.short != "" {
			short = []string{o.short}
		}
		switch {
		case o == &optVersion:
		case o.kind == toggle:
			out = append(out, &cli.BoolFlag{Name: o.name, Aliases: short, Usage: o.usage, Hidden: o.hidden, DisableDefaultText: true})
		case o.kind == many:
			out = append(out, &cli.StringSliceFlag{Name: o.name, Aliases: short, Usage: o.usage, Hidden: o.hidden})
		case o.kind == number:
			out = append(out, &cli.IntFlag{Name: o.name, Aliases: short, Usage: o.usage, Hidden: o.hidden})
		default:
			out = append(out, &cli.StringFlag{Name: o.name, Aliases: short, Usage: o.usage, Hidden: o.hidden, Value: o.value})
		}
	}
	return out
}

// collect takes over the values of options that were given.
func (c *call) collect(ctx *cli.Context, list []*option) {
	for _, o := range list {
		if !ctx.IsSet(o.name) {
			continue
		}
		v := value{opt: o, name: o.name}
		switch o.kind {
		case many:
			for _, text := range ctx.StringSlice(o.name) {
				c.values = append(c.values, value{o, o.name, text})
			}
			continue
		case toggle:
			v.text = strconv.FormatBool(ctx.Bool(o.name))
		case number:
			v.text = strconv.Itoa(ctx.Int(o.name))
		default:
			v.text = ctx.String(o.name)
		}
		c.values = append(c.values, v)
	}
}

// usageError shows the help of the command that was called wrongly, as runc
// does: on standard output, for standard error has the error on its last line.
func usageError(ctx *cli.Context, err error, sub bool) error {
	io.WriteString(ctx.App.Writer, "Incorrect Usage: "+err.Error()+"\n\n")
	if sub {
		_ = cli.ShowSubcommandHelp(ctx)
	} else {
		_ = cli.ShowAppHelp(ctx)
	}
	return err
}

// checkArgs refuses a wrong number of arguments, in the words of runc.
func checkArgs(ctx *cli.Context, c *command) error {
	n := ctx.NArg()
	if c.takes(n) {
		return nil
	}
	bound, limit := "exactly", c.least
	if c.least != c.most {
		bound, limit = "a minimum of", c.least
		if n > c.least {
			bound, limit = "a maximum of", c.most
		}
	}
	io.WriteString(ctx.App.Writer, "Incorrect Usage.\n\n")
	_ = cli.ShowSubcommandHelp(ctx)
	return fault.New("berth: " + strconv.Quote(c.name) + " requires " + bound + " " + strconv.Itoa(limit) + " argument(s)")
}

const about = `Berth takes a bundle, which is a directory with a config.json and a root file
system, and gives the container in it its place on this machine. It follows the
OCI runtime specification, and its command line is that of runc, so that
containerd, Docker, Podman and CRI-O can call it in runc's stead.

To look around in a container without having anything:

    berth try

To see what would be done for a bundle, without doing it:

    berth explain --bundle DIR

To run the bundle in this directory:

    berth run NAME`

// runFull is the way of a command line that the quick parser did not take.
func runFull(argv []string, b *Build) int {
	r := &fullParser{out: os.Stdout, call: &call{build: b}, exec: (*call).carryOut}
	status, err := r.run(argv)
	return r.call.conclude(status, err)
}
