package cli

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Build is what the linker knows about this binary.
type Build struct {
	Version string
	// Commit is the revision of the source; empty to ask the Go build information.
	Commit string
}

var versionCommand = command{
	name:  "version",
	usage: "print the version, as --version does",
	run: func(c *call) (int, error) {
		_, err := os.Stdout.WriteString("berth version " + c.build.text() + "\n")
		return 0, err
	},
}

// text is all but the first two words of the version: the shape is runc's, whose
// output engines take apart line by line.
func (b *Build) text() string {
	return b.Version + "\ncommit: " + b.commit() + "\nspec: " + specs.Version + "\ngo: " + runtime.Version()
}

func (b *Build) commit() string {
	if b.Commit != "" {
		return b.Commit
	}
	rev, dirty := "unknown", ""
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return rev
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return rev + dirty
}
