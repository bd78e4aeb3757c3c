package engines

import (
	"strings"
)

func execs(s *session) {
	id := s.sleeper("--env", "OF=container")
	s.same("output", s.must("exec", id, "sh", "-c", "echo $OF; echo $0 $1", "a", "b"), "container\na b")
	s.same("user", s.must("exec", "--user", "1000:2000", id, "sh", "-c", "id -u; id -g"), "1000\n2000")
	s.same("user's name", s.must("exec", "--user", "user", id, "sh", "-c", "id -u; id -G"), "1000\n1000 2000")
	s.same("env", s.must("exec", "--env", "A=1", "--env", "B=x y", id, "sh", "-c", "echo $A $B $OF"), "1 x y container")
	s.same("workdir", s.must("exec", "--workdir", "/tmp", id, "pwd"), "/tmp")
	for cmd, code := range map[string]int{"exit 5": 5, "kill -9 $$": 137, "exit 255": 255} {
		if res := s.do("exec", id, "sh", "-c", cmd); res.code != code {
			s.Errorf("%s: want %d: %v", cmd, code, res)
		}
	}
	// Docker 20.10 makes 126 of a program that is missing.
	missing := 127
	if s.name == "docker" {
		missing = 126
	}
	res := s.do("exec", id, "nosuch")
	s.same("exit code of a missing program", res.code, missing)
	s.has(res.out+res.err, "executable file not found in $PATH")
	s.same("exit code of a file that may not be executed", s.do("exec", id, "/data/file").code, 126)
	if res := s.do("exec", "--workdir", "/nosuch", id, "true"); res.code == 0 {
		s.Errorf("a working directory that is not there: %v", res)
	}
	c := s.command("exec", "--interactive", id, "cat")
	c.stdin = strings.Repeat("in\n", 1000)
	s.same("stdin", c.run(s.T).out, c.stdin)
	s.has(s.must("exec", "--privileged", id, "grep", "CapEff", "/proc/self/status"), "ffff")
}

func execTerminal(s *session) {
	id := s.sleeper()
	tty := onTerminal(s.T, s.command("exec", "--interactive", "--tty", id, "sh"))
	dialogue(tty)
	s.same("exit code", tty.ends(), 7)
}

func execDetached(s *session) {
	id := s.sleeper()
	s.must("exec", "--detach", id, "sh", "-c", "echo done > /tmp/file; sleep 1000")
	eventually(s, func() string {
		if res := s.do("exec", id, "cat", "/tmp/file"); res.out != "done\n" {
			return res.String()
		}
		return ""
	})
	// It is in the container: it goes with it.
	s.remove(id)
}
