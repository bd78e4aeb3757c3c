package engines

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// exec runs a process in a container by ctr, which wants a name for it.
func (s *session) ctrExec(id string, o opts, cmd ...string) result {
	s.Helper()
	args := append([]string{"task", "exec", "--exec-id", harness.ID(s.T)}, o...)
	return s.do(append(append(args, id), cmd...)...)
}

func ctrBackground(s *session) {
	id := s.sleeper()
	s.same("status", s.status(id), "running")
	s.same("comm", s.inProc(s.pid(id), "status", "Name:"), "sleep")
	s.has(s.must("container", "info", id), `"io.containerd.runc.v2"`)
	s.remove(id)
	s.same("status", s.status(id), "")
}

func ctrCreateStart(s *session) {
	// This one can not be told of a runtime: runc in PATH.
	id := s.ctrID()
	s.must("container", "create", imageName, id, "sh", "-c", "exit 4")
	s.same("exit code", s.do("task", "start", id).code, 4)
	s.must("container", "rm", id)
	s.same("cgroups left", strings.Join(harness.Cgroups(id), " "), "")
}

func ctrExitCodes(s *session) {
	s.same("0", s.run(nil, "true").code, 0)
	s.same("3", s.run(nil, "sh", "-c", "exit 3").code, 3)
	// ctr has no codes of its own for a container that does not start.
	s.same("/data/file", s.run(nil, "/data/file").code, 1)
	s.same("nosuch", s.run(nil, "nosuch").code, 1)
	id, ends := s.foreground(nil, "sleep", "1000")
	s.must("task", "kill", "--signal", "SIGKILL", id)
	s.same("137", ends(), 137)
}

func ctrErrorWords(s *session) {
	s.has(s.run(nil, "nosuch").err, `OCI runtime create failed`, `exec: "nosuch": executable file not found in $PATH`)
	s.has(s.run(nil, "/data/file").err, "permission denied")
	id := s.sleeper()
	s.has(s.ctrExec(id, nil, "nosuch").err, "OCI runtime exec failed", `exec: "nosuch": executable file not found in $PATH`)
	s.fails("not found", "task", "kill", "nosuch")
}

func ctrTerminal(s *session) {
	args, _ := s.args([]string{"run", "--rm", "--tty"}, nil, "sh")
	tty := onTerminal(s.T, s.command(args...))
	dialogue(tty)
	s.same("exit code", tty.ends(), 7)
}

func ctrExecs(s *session) {
	id := s.sleeper("--env", "OF=container")
	s.same("output", s.ctrExec(id, nil, "sh", "-c", "echo $OF").out, "container\n")
	s.same("user", s.ctrExec(id, opts{"--user", "1000:2000"}, "sh", "-c", "id -u; id -g").out, "1000\n2000\n")
	s.same("cwd", s.ctrExec(id, opts{"--cwd", "/tmp"}, "pwd").out, "/tmp\n")
	s.same("exit code", s.ctrExec(id, nil, "sh", "-c", "exit 5").code, 5)
	s.same("killed", s.ctrExec(id, nil, "sh", "-c", "kill -9 $$").code, 137)
	c := s.command("task", "exec", "--exec-id", "in", id, "cat")
	c.stdin = strings.Repeat("in\n", 1000)
	s.same("stdin", c.run(s.T).out, c.stdin)
}

func ctrExecTerminal(s *session) {
	id := s.sleeper()
	tty := onTerminal(s.T, s.command("task", "exec", "--exec-id", "tty", "--tty", id, "sh"))
	dialogue(tty)
	s.same("exit code", tty.ends(), 7)
}

func ctrExecDetached(s *session) {
	id := s.sleeper()
	s.must("task", "exec", "--exec-id", "bg", "--detach", id, "sh", "-c", "echo done > /tmp/file; sleep 1000")
	eventually(s, func() string {
		if res := s.ctrExec(id, nil, "cat", "/tmp/file"); res.out != "done\n" {
			return res.String()
		}
		return ""
	})
	s.must("task", "kill", "--exec-id", "bg", "--signal", "SIGKILL", id)
}

func ctrLogs(s *session) {
	file := filepath.Join(s.temp(), "log")
	id := s.background(opts{"--log-uri", "file://" + file}, "sh", "-c", "echo to stdout; echo to stderr >&2; seq 1 2000")
	s.awaitStatus(id, "stopped")
	s.has(harness.ReadFile(s, file), "to stdout", "to stderr", "\n2000")
}

func ctrStopKill(s *session) {
	file := filepath.Join(s.temp(), "log")
	id, ends := s.foreground(opts{"--log-uri", "file://" + file}, "sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do usleep 20000; done")
	eventually(s, func() string {
		if b, _ := os.ReadFile(file); !strings.Contains(string(b), "ready") {
			return "not ready"
		}
		return ""
	})
	s.must("task", "kill", "--signal", "SIGUSR1", id)
	s.same("exit code", ends(), 5)
	// With all processes, also where they are in the host's pid namespace.
	id = s.background(opts{"--with-ns", "pid:/proc/" + strconv.Itoa(os.Getpid()) + "/ns/pid"}, "sh", "-c", "sleep 1000 & sleep 1001; true")
	pid := s.pid(id)
	eventually(s, func() string {
		if len(harness.Lines(s.must("task", "ps", id))) < 4 {
			return s.must("task", "ps", id)
		}
		return ""
	})
	s.must("task", "kill", "--all", "--signal", "SIGKILL", id)
	s.awaitStatus(id, "stopped")
	eventually(s, func() string {
		if unix.Kill(pid, 0) == nil {
			return "lives: " + cmdline(pid)
		}
		return ""
	})
}

func ctrPause(s *session) {
	id := s.sleeper()
	s.must("task", "pause", id)
	s.same("status", s.status(id), "paused")
	if res := s.ctrExec(id, nil, "true"); res.code == 0 {
		s.Errorf("exec in a paused container: %v", res)
	}
	s.must("task", "resume", id)
	s.same("status", s.status(id), "running")
	s.same("exec", s.ctrExec(id, nil, "true").code, 0)
	// A paused one that is killed ends, since the shim resumes it.
	s.must("task", "pause", id)
	s.must("task", "kill", "--signal", "SIGKILL", id)
	s.awaitStatus(id, "stopped")
}

func ctrPs(s *session) {
	id := s.background(nil, "sh", "-c", "sleep 1000 & sleep 1001; true")
	eventually(s, func() string {
		lines := harness.Lines(s.must("task", "ps", id))
		if len(lines) != 4 || !strings.Contains(strings.Join(lines, " "), strconv.Itoa(s.pid(id))) {
			return strings.Join(lines, "\n")
		}
		return ""
	})
}

func ctrMetrics(s *session) {
	id := s.sleeper()
	out := s.must("task", "metrics", id)
	s.has(out, "memory", "pids.current")
	for _, line := range harness.Lines(out) {
		if f := strings.Fields(line); f[0] == "pids.current" {
			s.same("processes", f[1], "1")
		}
	}
}

// ctrMemory: the engine is told that memory ran out.
func ctrMemory(s *session) {
	log, err := os.Create(filepath.Join(s.temp(), "events"))
	must(s, err)
	defer log.Close()
	events := s.command("events").cmd()
	events.Stdout = log
	must(s, children.start(events))
	defer func() { _ = events.Process.Kill(); _ = children.wait(events) }()
	time.Sleep(300 * time.Millisecond)
	id, ends := s.foreground(opts{"--memory-limit", "33554432"}, "sh", "-c", "sleep 1; dd if=/dev/zero of=/dev/null bs=200M count=1")
	s.same("limit", s.limit(id, "memory", "memory.limit_in_bytes", "memory.max"), "33554432")
	s.same("exit code", ends(), 137)
	eventually(s, func() string {
		if text := harness.ReadFile(s, log.Name()); !strings.Contains(text, "/tasks/oom") {
			return "no event: " + text
		}
		return ""
	})
}

func ctrCPUs(s *session) {
	id := s.background(opts{"--cpus", "0.2"}, "sh", "-c", "while :; do :; done")
	s.same("quota", strings.Fields(s.limit(id, "cpu", "cpu.cfs_quota_us", "cpu.max"))[0], "20000")
	s.throttled(id)
}

func ctrReadOnly(s *session) {
	s.has(s.run(opts{"--read-only"}, "touch", "/data/new").err, "Read-only file system")
}

// ctrUserns is by the runtime that is runc in PATH: ctr drops --runc-binary here.
func ctrUserns(s *session) {
	o := opts{"--uidmap", "0:200000:65536", "--gidmap", "0:300000:65536"}
	out := s.prints(o, "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map")
	s.same("maps", strings.Join(strings.Fields(out), " "), "0 0 200000 65536 0 300000 65536")
	id := s.sleeper(o...)
	s.same("on the host", strings.Fields(s.inProc(s.pid(id), "status", "Uid:"))[0], "200000")
	s.same("exec", s.ctrExec(id, opts{"--user", "1000:1000"}, "id", "-u").out, "1000\n")
}

func ctrDevice(s *session) {
	s.has(s.prints(opts{"--device", "/dev/full"}, "sh", "-c", "stat -c %F:%t:%T /dev/full; : < /dev/full && echo opened"), "file:1:7", "opened")
}

func ctrVolumes(s *session) {
	dir := s.temp()
	mount := "type=bind,src=" + dir + ",dst=/v,options=rbind:"
	s.has(s.run(opts{"--mount", mount + "ro"}, "touch", "/v/new").err, "Read-only file system")
	s.prints(opts{"--mount", mount + "rw"}, "sh", "-c", "echo inside > /v/new")
	s.same("written", harness.ReadFile(s, filepath.Join(dir, "new")), "inside")
}

func ctrCapabilities(s *session) {
	s.same("dropped", s.run(opts{"--cap-drop", "CAP_CHOWN"}, "chown", "1000", "/data/file").code, 1)
	s.prints(opts{"--cap-add", "CAP_NET_ADMIN"}, "chown", "1000", "/data/file")
}

func ctrSeccomp(s *session) {
	s.has(s.prints(opts{"--seccomp"}, "grep", "Seccomp:", "/proc/self/status"), "2")
	s.has(s.run(opts{"--seccomp"}, "probe").out, "operation not permitted")
	s.same("without", s.prints(nil, "probe"), "made")
}

func ctrSeccompProfile(s *session) {
	file := s.write(filepath.Join(s.temp(), "profile.json"), profile)
	o := opts{"--seccomp", "--seccomp-profile", file}
	s.has(s.run(o, "mkdir", "/tmp/x").err, "No space left on device")
	s.same("killed by SIGSYS", s.run(o, "chmod", "0", "/tmp").code, 159)
}

func ctrPrivileged(s *session) {
	s.prints(opts{"--privileged"}, "sh", "-c", "mkdir -p /tmp/m && mount -t tmpfs x /tmp/m")
}

func ctrNames(s *session) {
	s.same("cwd, env", s.prints(opts{"--cwd", "/data", "--env", "A=b c"}, "sh", "-c", "pwd; echo $A"), "/data\nb c")
}

func ctrOthersNamespaces(s *session) {
	first := s.sleeper()
	proc := "/proc/" + strconv.Itoa(s.pid(first)) + "/ns/"
	second := s.sleeper("--with-ns", "network:"+proc+"net", "--with-ns", "pid:"+proc+"pid", "--with-ns", "ipc:"+proc+"ipc", "--with-ns", "uts:"+proc+"uts")
	for _, ns := range []string{"net", "pid", "ipc", "uts"} {
		s.same(ns, s.namespaceOf(s.pid(second), ns), s.namespaceOf(s.pid(first), ns))
	}
	s.must("task", "kill", "--signal", "SIGKILL", second)
	s.awaitStatus(second, "stopped")
	s.same("the first one", s.status(first), "running")
}

func ctrEngineKilled(s *session) {
	id := s.sleeper()
	s.end(unix.SIGKILL)
	s.start()
	s.same("status", s.status(id), "running")
	s.same("exec", s.ctrExec(id, nil, "echo", "still").out, "still\n")
	s.must("task", "pause", id)
	s.must("task", "resume", id)
	s.must("task", "kill", "--signal", "SIGKILL", id)
	s.awaitStatus(id, "stopped")
	s.must("task", "rm", id)
}
