package engines

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/tests/harness"
)

// namespaceOf reads a link in /proc/PID/ns.
func (s *session) namespaceOf(pid int, name string) string {
	s.Helper()
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + name)
	must(s, err)
	return link
}

func hostNamespaces(s *session) {
	saved := s.create
	defer func() { s.create = saved }()
	s.create = strings.Split(strings.ReplaceAll(strings.Join(saved, "\n"), "none", "host"), "\n")
	id := s.sleeper("--pid", "host", "--ipc", "host", "--uts", "host")
	for _, ns := range []string{"net", "pid", "ipc", "uts"} {
		s.same(ns, s.namespaceOf(s.pid(id), ns), s.namespaceOf(os.Getpid(), ns))
	}
	s.has(s.must("exec", id, "sh", "-c", "ls /proc/"+strconv.Itoa(os.Getpid())+"/status; ls -d /sys/class/net/lo"), "status", "lo")
	s.remove(id)
}

// othersNamespaces: a container in those of another one.
func othersNamespaces(s *session) {
	first := s.sleeper("--ipc", "shareable")
	saved := s.create
	defer func() { s.create = saved }()
	s.create = strings.Split(strings.ReplaceAll(strings.Join(saved, "\n"), "none", "container:"+first), "\n")
	second := s.sleeper("--pid", "container:"+first, "--ipc", "container:"+first)
	for _, ns := range []string{"net", "pid", "ipc"} {
		s.same(ns, s.namespaceOf(s.pid(second), ns), s.namespaceOf(s.pid(first), ns))
	}
	if n := len(harness.Lines(s.must("exec", second, "pidof", "sleep"))); n == 0 {
		s.Errorf("the processes of the other one are not seen")
	}
	s.must("kill", second)
	s.same("the second one ends alone", s.status(first), "running")
}

func pod(s *session) {
	name := "p" + strconv.Itoa(os.Getpid())
	s.must("pod", "create", "--name", name, "--network=none", "--cgroup-parent="+s.parent, "--share", "net,ipc,uts,pid", "--hostname", "podhost",
		"--infra-image", imageName, "--infra-command", "sleep 1000")
	saved := s.create
	defer func() { s.create = saved }()
	s.create = opts{"--pod", name}
	first, second := s.sleeper(), s.background(nil, "sh", "-c", "sleep 1001; true")
	for _, ns := range []string{"net", "ipc", "uts", "pid"} {
		s.same(ns, s.namespaceOf(s.pid(second), ns), s.namespaceOf(s.pid(first), ns))
	}
	if a, b := s.namespaceOf(s.pid(second), "mnt"), s.namespaceOf(s.pid(first), "mnt"); a == b {
		s.Errorf("one mount namespace: %s", a)
	}
	s.same("hostname", s.must("exec", second, "hostname"), "podhost")
	s.has(s.must("exec", first, "ps"), "sleep 1000", "sleep 1001")
	s.must("pod", "pause", name)
	s.same("paused", s.status(first), "paused")
	s.must("pod", "unpause", name)
	s.must("pod", "stop", "--time", "0", name)
	s.has("exited stopped", s.status(second))
	s.must("pod", "start", name)
	s.awaitStatus(first, "running")
	emptyUnmounted(s.T)
	s.must("pod", "rm", "--force", "--time=0", name)
}

// hooks of the engine's directory: each kind runs, with the state on stdin.
func hooks(s *session) {
	dir := s.temp()
	script := "#!/bin/sh\n{ echo $1; cat; echo; } >> " + filepath.Join(dir, "log") + "\n"
	must(s, os.WriteFile(filepath.Join(dir, "hook.sh"), []byte(script), 0o755))
	stages := []string{"prestart", "createRuntime", "poststart", "poststop"}
	for _, stage := range stages {
		s.write(filepath.Join(dir, "d", stage+".json"), `{"version": "1.0.0", "when": {"always": true}, "stages": ["`+stage+`"],
			"hook": {"path": "`+filepath.Join(dir, "hook.sh")+`", "args": ["hook.sh", "`+stage+`"]}}`)
	}
	saved := s.client
	defer func() { s.client = saved }()
	s.client = append(append([]string{}, saved...), "--hooks-dir", filepath.Join(dir, "d"))
	s.prints(nil, "true")
	log := harness.ReadFile(s, filepath.Join(dir, "log"))
	var ran []string
	for _, line := range harness.Lines(log) {
		for _, stage := range stages {
			if line == stage {
				ran = append(ran, stage)
			}
		}
	}
	s.same("order", strings.Join(ran, " "), strings.Join(stages, " "))
	s.has(log, `"ociVersion"`, `"bundle"`, `"pid"`)
}
