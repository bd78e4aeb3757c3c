package engines

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// setUpDocker starts a dockerd, with a containerd below it, that changes nothing of the
// machine's network. Its config is a daemon.json.
func setUpDocker(e *engine) {
	socket := "unix://" + e.run + "/d.sock"
	config, err := json.MarshalIndent(map[string]any{
		"runtimes":        map[string]any{e.runtime: map[string]any{"path": e.binary}},
		"default-runtime": e.runtime,
		"data-root":       filepath.Join(e.dir, "data"),
		"exec-root":       filepath.Join(e.run, "x"),
		"pidfile":         filepath.Join(e.run, "pid"),
		"hosts":           []string{socket},
		"cgroup-parent":   e.parent,
		"init-path":       lookPath("docker-init"),
		"live-restore":    true,
		"bridge":          "none",
		"iptables":        false,
		"ip6tables":       false,
		"ip-forward":      false,
		"ip-masq":         false,
		"userland-proxy":  false,
	}, "", "  ")
	must(e.t, err)
	file := e.write(filepath.Join(e.dir, "daemon.json"), string(config))
	e.env = e.environment("DOCKER_HOST=" + socket)
	e.client = []string{lookPath("docker")}
	e.create = []string{"--network=none"}
	// runc is built in and has a name of its own there.
	e.states = []string{filepath.Join(e.run, "x/runtime-"+e.runtime, "moby")}
	e.clear = func(s *session) {
		if ids := strings.Fields(s.do("ps", "--all", "--quiet").out); len(ids) > 0 {
			s.do(append([]string{"unpause"}, ids...)...)
			s.do(append([]string{"rm", "--force"}, ids...)...)
		}
	}
	// What it keeps of the host's network namespace when it ends with live-restore.
	e.t.Cleanup(func() { _ = unix.Unmount(filepath.Join(e.run, "x/netns/default"), unix.MNT_DETACH) })
	e.start = func() { e.launch(append(e.client, "version"), lookPath("dockerd"), "--config-file", file) }
	e.start()
	e.importImage("import")
}
