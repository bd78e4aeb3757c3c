package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// containerdConf is a config.toml(5) without the plugins that want a network or a disk
// of their own.
const containerdConf = `version = 2
root = "%s/containerd"
state = "%s/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
address = "%[2]s/c.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "%[1]s/opt"
`

func setUpContainerd(e *engine) {
	file := e.write(filepath.Join(e.dir, "config.toml"), fmt.Sprintf(containerdConf, e.dir, e.run))
	e.env = e.environment()
	e.client = []string{lookPath("ctr"), "--address", e.run + "/c.sock", "--namespace", "be"}
	e.create = []string{"--runc-binary", e.binary}
	e.states = []string{"/run/containerd/runc/be"}
	e.clear = func(s *session) {
		for _, id := range strings.Fields(s.do("task", "ls", "--quiet").out) {
			s.do("task", "resume", id)
			s.do("task", "rm", "--force", id)
		}
		for _, id := range strings.Fields(s.do("container", "ls", "--quiet").out) {
			s.do("container", "rm", id)
		}
	}
	// What the shim calls if it is told of nothing else is runc in PATH.
	bin := filepath.Join(e.dir, "bin")
	must(e.t, os.Mkdir(bin, 0o755))
	must(e.t, os.Symlink(e.binary, filepath.Join(bin, "runc")))
	e.start = func() {
		e.daemonPath = bin + ":"
		e.launch(append(e.client, "version"), lookPath("containerd"), "--config", file)
	}
	e.start()
	archive := e.write(filepath.Join(e.dir, "image.tar"), string(ociArchive(e.t, e.layer)))
	if res := (command{args: append(e.client, "image", "import", archive), env: e.env}).run(e.t); res.code != 0 {
		e.t.Fatal(res)
	}
}
