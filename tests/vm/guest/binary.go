package guest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Binary has the go command compile something of the source tree (build or test -c,
// flags, a package) and returns where it is in the guest: on the disk there, from
// which it starts several times as fast as from a shared directory.
func (g *Guest) Binary(ctx context.Context, tree string, args ...string) (string, error) {
	command := strings.Join(args, " ")
	name := strings.NewReplacer("/", "_", " ", "_").Replace(command)
	shared := filepath.Join(g.Scratch(), name)
	cmd := exec.CommandContext(ctx, "go", slices.Insert(slices.Clone(args), len(args)-1, "-o", shared)...)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", command, err, said)
	}
	defer os.Remove(shared)
	binary := "/var/tmp/" + name
	var said bytes.Buffer
	// By a name of its own first: the old one may be running.
	script := `cp "$0" "$1.new" && mv "$1.new" "$1"`
	code, err := g.Run(ctx, Command{Args: []string{"sh", "-c", script, shared, binary}, Stdout: &said, Stderr: &said})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, said.String())
	}
	if err != nil {
		return "", fmt.Errorf("copy %s into the guest: %w", name, err)
	}
	return binary, nil
}

// TestCommand is what runs the tests of a package (./libcontainer/cgroups) of the
// source tree in the guest, where the variable BERTH names the binary under test.
func (g *Guest) TestCommand(ctx context.Context, tree, pkg string, args ...string) (Command, error) {
	berth, err := g.Binary(ctx, tree, "build", ".")
	if err != nil {
		return Command{}, err
	}
	tests, err := g.Binary(ctx, tree, "test", "-c", pkg)
	if err != nil {
		return Command{}, err
	}
	return Command{Args: append([]string{tests}, args...), Env: []string{"BERTH=" + berth}, Dir: filepath.Join(tree, pkg)}, nil
}
