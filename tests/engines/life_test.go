package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

func run(s *session) {
	s.same("output", s.prints(nil, "echo", "hello"), "hello")
	s.same("another one", s.prints(nil, "cat", "/data/file"), "of the image")
}

func stdin(s *session) {
	args, _ := s.args([]string{"run", "--rm", "-i"}, nil, "cat")
	c := s.command(args...)
	c.stdin = strings.Repeat("what came in\n", 10000)
	if res := c.run(s.T); res.code != 0 || res.out != c.stdin {
		s.Errorf("exit code %d, %d bytes", res.code, len(res.out))
	}
}

func background(s *session) {
	id := s.sleeper()
	s.same("status", s.status(id), "running")
	s.same("comm", s.inProc(s.pid(id), "status", "Name:"), "sleep")
	// Nothing but the monitor or the shim stands above the container.
	s.remove(id)
	s.fails("", "inspect", id)
}

func createStart(s *session) {
	args, _ := s.args([]string{"create"}, nil, "sh", "-c", "echo started; exit 4")
	id := s.must(args...)
	s.same("status", s.status(id), "created")
	s.must("start", id)
	s.same("wait", s.must("wait", id), "4")
	s.has(s.must("logs", id), "started")
	// The same container again.
	s.must("start", id)
	s.same("wait", s.must("wait", id), "4")
}

func exitCodes(s *session) {
	for _, c := range []struct {
		want int
		cmd  []string
	}{
		{0, []string{"true"}},
		{3, []string{"sh", "-c", "exit 3"}},
		{126, []string{"/data/file"}},
		{127, []string{"nosuch"}},
		{127, []string{"/bin/nosuch"}},
	} {
		if res := s.run(nil, c.cmd...); res.code != c.want {
			s.Errorf("%v: want %d: %v", c.cmd, c.want, res)
		}
	}
	id := s.sleeper()
	s.must("kill", id)
	s.same("wait", s.must("wait", id), "137")
	s.same("inspect", s.inspect(id, ".State.ExitCode"), "137")
}

// errorWords is what a person sees when it goes wrong: one line, from the runtime.
func errorWords(s *session) {
	for cmd, words := range map[string]string{
		"nosuch":     `"nosuch": executable file not found in $PATH`,
		"/data/file": `/data/file`,
	} {
		res := s.run(nil, cmd)
		s.has(res.err, words)
		if n := len(harness.Lines(res.err)); n > 2 {
			s.Errorf("%d lines: %s", n, res.err)
		}
	}
	if res := s.run(opts{"--workdir", "/data/file"}, "true"); res.code == 0 {
		s.Errorf("a file as the working directory: %v", res)
	}
	id := s.sleeper()
	s.must("kill", id)
	s.must("wait", id)
	if res := s.do("exec", id, "true"); res.code == 0 {
		s.Errorf("exec in a stopped container: %v", res)
	}
}

func terminal(s *session) {
	args, _ := s.args([]string{"run", "--rm", "--interactive", "--tty"}, nil, "sh")
	tty := onTerminal(s.T, s.command(args...))
	dialogue(tty)
	s.same("exit code", tty.ends(), 7)
	// In the background, with nobody at the other end.
	id := s.background(opts{"--tty"}, "sh", "-c", "tty; sleep 1000")
	eventually(s, func() string {
		if out := s.must("logs", id); !strings.Contains(out, "/dev/") {
			return "logs: " + out
		}
		return ""
	})
}

// dialogue is held with a shell that runs on a terminal; it ends it with 7.
func dialogue(tty *screen) {
	tty.t.Helper()
	tty.types("tty")
	tty.awaits("/dev/")
	// The size is set after the start, and anew when SIGWINCH has told the engine.
	hasSize := func(size string) {
		for range 50 {
			tty.types("echo size $(stty size)")
			time.Sleep(100 * time.Millisecond)
			if strings.Contains(tty.shown(), "size "+size) {
				return
			}
		}
		tty.awaits("size " + size)
	}
	hasSize("33 77")
	tty.resize(91, 44)
	hasSize("44 91")
	// Ctrl-C goes to the process in front, and only to that.
	tty.types("sleep 1000")
	time.Sleep(300 * time.Millisecond)
	_, err := tty.master.WriteString("\x03")
	must(tty.t, err)
	tty.types("echo after $?")
	tty.awaits("after 130")
	tty.types("exit 7")
}

func logs(s *session) {
	id := s.background(nil, "sh", "-c", "echo to stdout; echo to stderr >&2; seq 1 2000; exit 0")
	s.must("wait", id)
	res := s.do("logs", id)
	s.has(res.out, "to stdout", "\n2000\n")
	s.has(res.err, "to stderr")
}

func stopKill(s *session) {
	trap := func(sig string, code int) string {
		return s.background(nil, "sh", "-c", fmt.Sprintf("trap 'exit %d' %s; echo ready; while :; do usleep 20000; done", code, sig))
	}
	ready := func(id string) string {
		eventually(s, func() string {
			if !strings.Contains(s.must("logs", id), "ready") {
				return "not ready: " + id
			}
			return ""
		})
		return id
	}
	id := ready(trap("TERM", 4))
	s.must("stop", id)
	s.same("stopped by SIGTERM", s.inspect(id, ".State.ExitCode"), "4")
	// As pid 1 it gets no signal that it has no handler for: killed after a second.
	id = s.sleeper()
	began := time.Now()
	s.must("stop", "--time", "1", id)
	s.same("stopped by SIGKILL", s.inspect(id, ".State.ExitCode"), "137")
	if d := time.Since(began); d < time.Second || d > 8*time.Second {
		s.Errorf("stop took %v", d)
	}
	id = ready(trap("USR1", 5))
	s.must("kill", "--signal", "USR1", id)
	s.same("killed by SIGUSR1", s.must("wait", id), "5")
	if res := s.do("kill", id); res.code == 0 {
		s.Errorf("kill of a stopped container: %v", res)
	}
}

func pause(s *session) {
	id := s.sleeper()
	s.must("pause", id)
	s.same("status", s.status(id), "paused")
	if res := s.do("exec", id, "true"); res.code == 0 {
		s.Errorf("exec in a paused container: %v", res)
	}
	if res := s.do("pause", id); res.code == 0 {
		s.Errorf("paused twice: %v", res)
	}
	s.must("unpause", id)
	s.same("status", s.status(id), "running")
	s.must("exec", id, "true")
	if res := s.do("unpause", id); res.code == 0 {
		s.Errorf("unpaused twice: %v", res)
	}
}

// top goes to `ps` of the runtime with Docker, and to the kernel with Podman.
func top(s *session) {
	id := s.background(nil, "sh", "-c", "sleep 1000 & sleep 1001; true")
	eventually(s, func() string {
		if out := s.must("top", id); !strings.Contains(out, "sleep 1000") || !strings.Contains(out, "sleep 1001") {
			return out
		}
		return ""
	})
}

func healthCheck(s *session) {
	id := s.background(opts{"--health-cmd", "test -e /tmp/well", "--health-interval", "1s", "--health-retries", "1"}, "sleep", "1000")
	check := func(want string) {
		eventually(s, func() string {
			if s.name == "podman" { // without systemd nobody else calls it
				s.do("healthcheck", "run", id)
			}
			if got := s.inspect(id, ".State.Health.Status"); got != want {
				return "health: " + got + ", want " + want
			}
			return ""
		})
	}
	check("unhealthy")
	s.must("exec", id, "touch", "/tmp/well")
	check("healthy")
}

func restart(s *session) {
	id := s.sleeper()
	pid := s.pid(id)
	s.must("restart", "--time", "0", id)
	if now := s.pid(id); now == pid {
		s.Errorf("the same process %d after restart", now)
	}
	s.must("exec", id, "true")
	id = s.background(opts{"--restart", "on-failure:2"}, "sh", "-c", "echo once; exit 6")
	eventually(s, func() string {
		if n := strings.Count(s.must("logs", id), "once"); n != 3 {
			return fmt.Sprintf("ran %d times, want 3", n)
		}
		return ""
	})
	s.awaitStatus(id, "exited")
}

// many containers at once, in the foreground and in the background.
func many(s *session) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if i%2 == 0 {
				if got, want := s.run(nil, "echo", fmt.Sprint(i)), fmt.Sprint(i, "\n"); got.out != want {
					s.Errorf("printed %v, want %s", got, want)
				}
				return
			}
			args, _ := s.args([]string{"run", "--detach"}, nil, "sleep", "1000")
			if res := s.do(args...); res.code != 0 {
				s.Errorf("%v: %v", args, res)
			}
		})
	}
	wg.Wait()
}

// engineKilled kills the daemon (Podman has none: the client that waits for the
// container), and has a new one go on with what runs.
func engineKilled(s *session) {
	file := filepath.Join(s.temp(), "out")
	var id string
	switch s.name {
	case "podman":
		args, _ := s.args([]string{"run", "--cidfile", file}, nil, "sleep", "1000")
		cmd := s.command(args...).cmd()
		must(s, children.start(cmd))
		eventually(s, func() string {
			b, _ := os.ReadFile(file)
			if id = string(b); id == "" || s.do("exec", id, "true").code != 0 {
				return "not running"
			}
			return ""
		})
		must(s, cmd.Process.Kill())
		_ = children.wait(cmd)
	default:
		id = s.sleeper()
		s.end(unix.SIGKILL)
		s.start()
	}
	s.same("status", s.status(id), "running")
	s.same("exec", s.must("exec", id, "echo", "still"), "still")
	s.must("pause", id)
	s.must("unpause", id)
	s.must("stop", "--time", "0", id)
	s.same("exit code", s.inspect(id, ".State.ExitCode"), "137")
	s.must("start", id)
	s.same("status", s.status(id), "running")
}
