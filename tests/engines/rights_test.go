package engines

import (
	"path/filepath"
	"strings"
)

// capsEffective is the effective set of a process in a container.
const capsEffective = "grep CapEff /proc/self/status | tr -d '\t' | cut -d : -f 2"

func initProcess(s *session) {
	out := s.prints(opts{"--init"}, "sh", "-c", "cat /proc/1/comm; echo $$; (sleep 0.1 &); exec ps -o pid,stat,comm")
	if !strings.Contains(strings.Split(out, "\n")[0], "init") {
		s.Errorf("the first process: %s", out)
	}
	if res := s.run(opts{"--init"}, "sh", "-c", "kill -9 $$"); res.code != 137 {
		s.Errorf("want 137: %v", res)
	}
}

func readOnly(s *session) {
	ro, tmp := opts{"--read-only"}, "/tmp"
	if s.name == "podman" { // else it asks for tmpcopyup, which is a scenario of its own
		ro, tmp = append(ro, "--read-only-tmpfs=false"), "/tmp:notmpcopyup"
	}
	s.has(s.run(ro, "touch", "/data/new").err, "Read-only file system")
	s.has(s.prints(ro, "sh", "-c", "grep ' / ' /proc/mounts; touch /dev/shm/x"), " ro,")
	s.same("with a tmpfs", s.prints(append(ro, "--tmpfs", tmp), "sh", "-c", "touch /tmp/x && ls /tmp"), "x")
}

func user(s *session) {
	ids := func(o ...string) string {
		return strings.Join(strings.Fields(s.prints(o, "sh", "-c", "id -u; id -g; id -G")), " ")
	}
	s.same("number", ids("--user", "1000:1000"), "1000 1000 1000")
	s.same("name", ids("--user", "user"), "1000 1000 1000 2000")
	s.same("unknown", ids("--user", "4711:4712"), "4711 4712 4712")
	s.same("groups", ids("--user", "1000:1000", "--group-add", "2000", "--group-add", "3000"), "1000 1000 1000 2000 3000")
	s.same("no capabilities", s.prints(opts{"--user", "1000"}, "sh", "-c", capsEffective), "0000000000000000")
	s.same("home", s.prints(opts{"--user", "user"}, "sh", "-c", "echo $HOME"), "/home/user")
}

func userns(s *session) {
	o := opts{"--uidmap", "0:200000:65536", "--gidmap", "0:300000:65536"}
	out := s.prints(o, "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /root/mine && stat -c %u:%g /root/mine")
	s.same("maps", strings.Join(strings.Fields(out), " "), "0 0 200000 65536 0 300000 65536 0:0")
	id := s.sleeper(o...)
	s.same("on the host", strings.Fields(s.inProc(s.pid(id), "status", "Uid:"))[0], "200000")
	s.same("exec", s.must("exec", "--user", "1000", id, "id", "-u"), "1000")
	s.must("pause", id)
	s.must("unpause", id)
	tty := onTerminal(s.T, s.command("exec", "--interactive", "--tty", id, "sh"))
	dialogue(tty)
	s.same("exit code", tty.ends(), 7)
}

func device(s *session) {
	out := s.prints(opts{"--device", "/dev/full:/dev/mine:rw"}, "sh", "-c",
		"stat -c %F:%t:%T /dev/mine; dd if=/dev/mine bs=3 count=1 2>/dev/null | wc -c; echo x > /dev/mine; true")
	s.has(out, "character special file:1:7", "\n3")
	// Read only: the rule bites, the node's mode does not.
	res := s.run(opts{"--device", "/dev/full:/dev/mine:r"}, "sh", "-c", ": < /dev/mine && echo read; : > /dev/mine")
	s.has(res.out, "read")
	s.has(res.err, "Operation not permitted")
	// What was not asked for may be made, but not opened; and with a rule it may.
	make := "mknod /tmp/d c 1 7 && : < /tmp/d && echo opened"
	s.has(s.run(opts{"--cap-add", "MKNOD"}, "sh", "-c", strings.Replace(make, "1 7", "10 237", 1)).err, "Operation not permitted")
	s.has(s.prints(opts{"--cap-add", "MKNOD", "--device-cgroup-rule", "c 1:7 rwm"}, "sh", "-c", make), "opened")
}

func capabilities(s *session) {
	s.same("none", s.prints(opts{"--cap-drop", "ALL"}, "sh", "-c", capsEffective), "0000000000000000")
	s.same("one", s.prints(opts{"--cap-drop", "ALL", "--cap-add", "NET_ADMIN"}, "sh", "-c", capsEffective), "0000000000001000")
	if res := s.run(opts{"--cap-drop", "CHOWN"}, "chown", "1000", "/data/file"); res.code == 0 {
		s.Errorf("chown without CAP_CHOWN: %v", res)
	}
	s.prints(nil, "chown", "1000", "/data/file")
	s.same("no new privileges", s.prints(opts{"--security-opt", "no-new-privileges"}, "sh", "-c", "grep -c 'NoNewPrivs:.1' /proc/self/status"), "1")
}

// seccompDefault: with the engine's own profile.
func seccompDefault(s *session) {
	s.has(s.prints(nil, "grep", "Seccomp:", "/proc/self/status"), "2")
	if res := s.run(nil, "probe"); res.code != 1 { // Docker's says EPERM, Podman's ENOSYS
		s.Errorf("a call that the profile does not allow: %v", res)
	}
	s.same("unconfined", s.prints(opts{"--security-opt", "seccomp=unconfined"}, "probe"), "made")
	s.has(s.prints(opts{"--security-opt", "seccomp=unconfined"}, "grep", "Seccomp:", "/proc/self/status"), "0")
	id := s.sleeper()
	s.has(s.must("exec", id, "grep", "Seccomp:", "/proc/self/status"), "2")
	if res := s.do("exec", id, "probe"); res.code != 1 {
		s.Errorf("exec has the filter, too: %v", res)
	}
}

const profile = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
	{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
	{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_KILL_PROCESS"}]}`

func seccompProfile(s *session) {
	file := s.write(filepath.Join(s.temp(), "profile.json"), profile)
	o := opts{"--security-opt", "seccomp=" + file}
	s.has(s.run(o, "mkdir", "/tmp/x").err, "No space left on device")
	s.same("killed by SIGSYS", s.run(o, "chmod", "0", "/tmp").code, 159)
}

func privileged(s *session) {
	id := s.sleeper("--privileged")
	s.has(s.must("exec", id, "grep", "Seccomp:", "/proc/self/status"), "0")
	s.must("exec", id, "sh", "-c", "mkdir -p /tmp/m && mount -t tmpfs x /tmp/m && mknod /tmp/m/full c 1 7 && : < /tmp/m/full")
	s.same("masked paths", s.must("exec", id, "sh", "-c", "grep -c /proc/kcore /proc/mounts || true"), "0")
}

func namesAndLimits(s *session) {
	out := s.prints(opts{"--hostname", "inside", "--sysctl", "kernel.msgmax=65000", "--ulimit", "nofile=100:200", "--ulimit", "nproc=4096:4096", "--oom-score-adj", "500", "--workdir", "/data"},
		"sh", "-c", "hostname; cat /proc/sys/kernel/msgmax; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; pwd; umask")
	s.same("all", out, "inside\n65000\n100\n200\n500\n/data\n0022")
}
