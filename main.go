// Berth is an OCI container runtime for Linux: it takes a bundle and runs the
// container in it, in runc's place.
package main

import (
	"os"

	"berth/cli"
)

// The Makefile sets these with -ldflags "-X main.version=... -X main.commit=...".
var (
	version = "0.1.0"
	commit  string
)

func main() {
	os.Exit(cli.Main(os.Args, cli.Build{Version: version, Commit: commit}))
}
