package engines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"berth/tests/harness"
)

// opts are options of a command line.
type opts = []string

func (s *session) command(args ...string) command {
	return command{args: append(append([]string{}, s.client...), args...), env: s.env, dir: s.dir}
}

// do runs a command of the client.
func (s *session) do(args ...string) result {
	s.Helper()
	return s.command(args...).run(s.T)
}

// must runs one that has to succeed, and returns what it prints.
func (s *session) must(args ...string) string {
	s.Helper()
	res := s.do(args...)
	if res.code != 0 {
		s.Fatalf("%s: %v", strings.Join(args, " "), res)
	}
	return strings.TrimSpace(res.out)
}

// fails runs a command that must fail with these words.
func (s *session) fails(words string, args ...string) {
	s.Helper()
	if res := s.do(args...); res.code == 0 || !strings.Contains(res.out+res.err, words) {
		s.Errorf("%s: want an error with %q: %v", strings.Join(args, " "), words, res)
	}
}

// same compares.
func (s *session) same(what string, got, want any) {
	s.Helper()
	if got != want {
		s.Errorf("%s: %#v, want %#v", what, got, want)
	}
}

// has looks for each of these in a text.
func (s *session) has(text string, words ...string) {
	s.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.Errorf("no %q in %q", w, text)
		}
	}
}

// ctrID names a container of ctr, which gives none itself.
func (s *session) ctrID() string { return harness.ID(s.T) }

// args is the command line of a new container. For ctr an id comes behind the image.
func (s *session) args(verb []string, o opts, cmd ...string) (args []string, id string) {
	args = append(args, verb...)
	args = append(append(args, s.create...), o...)
	if s.name == "containerd" {
		id = s.ctrID()
		return append(append(args, "--cgroup", s.parent+"/"+id, imageName, id), cmd...), id
	}
	return append(append(args, imageName), cmd...), ""
}

// run runs a container in the foreground, which is removed at its end.
func (s *session) run(o opts, cmd ...string) result {
	s.Helper()
	args, _ := s.args([]string{"run", "--rm"}, o, cmd...)
	return s.do(args...)
}

// prints runs one that has to succeed, and returns what it prints.
func (s *session) prints(o opts, cmd ...string) string {
	s.Helper()
	res := s.run(o, cmd...)
	if res.code != 0 {
		s.Fatalf("%v %v: %v", o, cmd, res)
	}
	return strings.TrimSpace(res.out)
}

// background runs a container in the background and returns its id.
func (s *session) background(o opts, cmd ...string) string {
	s.Helper()
	args, id := s.args([]string{"run", "--detach"}, o, cmd...)
	out := s.must(args...)
	if id == "" {
		id = out
	}
	return id
}

// sleeper runs a container in the background that does nothing.
func (s *session) sleeper(o ...string) string {
	s.Helper()
	return s.background(o, "sleep", "1000")
}

// foreground runs a container of ctr in the foreground, and returns when it runs; the
// function waits for its end and returns the exit code.
func (s *session) foreground(o opts, cmd ...string) (id string, ends func() int) {
	s.Helper()
	args, id := s.args([]string{"run"}, o, cmd...)
	c := s.command(args...).cmd()
	must(s, children.start(c))
	s.awaitStatus(id, "running")
	return id, func() int {
		hung := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
		defer hung.Stop()
		return exitCode(c, children.wait(c))
	}
}

// remove kills a container and removes it.
func (s *session) remove(id string) {
	s.Helper()
	switch s.name {
	case "podman":
		s.must("rm", "--force", "--time=0", id)
	case "docker":
		s.must("rm", "--force", id)
	default:
		s.do("task", "rm", "--force", id)
		s.must("container", "rm", id)
	}
}

// inspect has a field of what `inspect` prints, as a Go template names it.
func (s *session) inspect(id, field string) string {
	s.Helper()
	return s.must("inspect", "--format", "{{"+field+"}}", id)
}

// pid is that of the container's first process.
func (s *session) pid(id string) int {
	s.Helper()
	if s.name != "containerd" {
		pid, err := strconv.Atoi(s.inspect(id, ".State.Pid"))
		must(s, err)
		return pid
	}
	for _, line := range harness.Lines(s.must("task", "ls")) {
		if f := strings.Fields(line); f[0] == id {
			pid, err := strconv.Atoi(f[1])
			must(s, err)
			return pid
		}
	}
	s.Fatalf("no task %s", id)
	return 0
}

// status is what the engine says of a container.
func (s *session) status(id string) string {
	s.Helper()
	if s.name != "containerd" {
		return s.inspect(id, ".State.Status")
	}
	for _, line := range harness.Lines(s.must("task", "ls")) {
		if f := strings.Fields(line); f[0] == id {
			return strings.ToLower(f[2])
		}
	}
	return ""
}

// awaitStatus waits for it.
func (s *session) awaitStatus(id, want string) {
	s.Helper()
	eventually(s, func() string {
		if got := s.status(id); got != want {
			return "status of " + id + ": " + got + ", want " + want
		}
		return ""
	})
}

// limit reads a file of the container's cgroup of a controller: by v1's name, or v2's.
func (s *session) limit(id, controller, v1, v2 string) string {
	s.Helper()
	file := v1
	if harness.Unified() {
		file = v2
	}
	return harness.ReadFile(s, filepath.Join(harness.CgroupsOf(s, s.pid(id))[controller], file))
}

// inProc reads a line of a file in /proc by its first word.
func (s *session) inProc(pid int, file, word string) string {
	s.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	must(s, err)
	for _, line := range harness.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func (s *session) parse(text string, v any) {
	s.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		s.Fatalf("%v: %q", err, text)
	}
}

// temp is a directory to be a volume.
func (s *session) temp() string {
	s.Helper()
	dir, err := os.MkdirTemp(s.dir, "v")
	must(s, err)
	must(s, os.Chmod(dir, 0o777))
	return dir
}
