package engines

import (
	"strconv"
	"strings"

	"berth/tests/harness"
)

func stats(s *session) {
	id := s.sleeper()
	var v []map[string]any
	out := s.must("stats", "--no-stream", "--format", "{{json .}}", id)
	if !strings.HasPrefix(out, "[") {
		out = "[" + out + "]"
	}
	s.parse(out, &v)
	if len(v) != 1 {
		s.Fatalf("stats: %s", out)
	}
	// Docker and Podman name the fields in ways of their own.
	field := func(name string) string {
		for key, value := range v[0] {
			if text, ok := value.(string); ok && strings.EqualFold(strings.ReplaceAll(key, "_", ""), name) {
				return text
			}
		}
		return ""
	}
	used := strings.TrimRight(strings.TrimSpace(strings.Split(field("memusage"), "/")[0]), "kKMGiB")
	if n, err := strconv.ParseFloat(used, 64); err != nil || n == 0 {
		s.Errorf("memory in use: %s", out)
	}
	s.same("processes", field("pids"), "1")
}

func update(s *session) {
	id := s.sleeper("--memory", "64m")
	s.same("memory", s.limit(id, "memory", "memory.limit_in_bytes", "memory.max"), "67108864")
	s.must("update", "--memory", "96m", "--memory-swap", "192m", id)
	s.same("memory, updated", s.limit(id, "memory", "memory.limit_in_bytes", "memory.max"), "100663296")
	s.must("update", "--cpus", "0.5", id)
	s.same("cpus, updated", strings.Fields(s.limit(id, "cpu", "cpu.cfs_quota_us", "cpu.max"))[0], "50000")
	s.same("memory, left alone", s.limit(id, "memory", "memory.limit_in_bytes", "memory.max"), "100663296")
	if s.name == "docker" { // Podman 4.3 has no such option
		s.must("update", "--pids-limit", "50", id)
		s.same("pids, updated", s.limit(id, "pids", "pids.max", "pids.max"), "50")
	}
	s.must("exec", id, "true")
}

// memory: 200 MB in a container that may have 32.
func memory(s *session) {
	id := s.background(opts{"--memory", "32m"}, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
	s.same("exit code", s.must("wait", id), "137")
	if s.name == "docker" { // podman 4.3's monitor looks in the wrong place with cgroup v1
		s.same("OOMKilled", s.inspect(id, ".State.OOMKilled"), "true")
	}
	id = s.sleeper("--memory", "32m", "--memory-reservation", "16m")
	s.same("limit", s.limit(id, "memory", "memory.limit_in_bytes", "memory.max"), "33554432")
	s.same("reservation", s.limit(id, "memory", "memory.soft_limit_in_bytes", "memory.low"), "16777216")
	res := s.do("exec", id, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
	if res.code != 137 {
		s.Errorf("exec is limited, too: %v", res)
	}
}

func pids(s *session) {
	id := s.sleeper("--pids-limit", "5")
	s.same("limit", s.limit(id, "pids", "pids.max", "pids.max"), "5")
	res := s.do("exec", id, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done")
	s.has(res.err, "can't fork")
}

func cpus(s *session) {
	id := s.background(opts{"--cpus", "0.2", "--cpu-shares", "512", "--cpuset-cpus", "0"}, "sh", "-c", "while :; do :; done")
	s.same("quota", strings.Fields(s.limit(id, "cpu", "cpu.cfs_quota_us", "cpu.max"))[0], "20000")
	if !harness.Unified() {
		s.same("shares", s.limit(id, "cpu", "cpu.shares", "cpu.weight"), "512")
	}
	s.same("cpuset", s.inProc(s.pid(id), "status", "Cpus_allowed_list:"), "0")
	s.throttled(id)
}

// throttled waits until a container with too little time was kept from running.
func (s *session) throttled(id string) {
	s.Helper()
	eventually(s, func() string {
		stat := s.limit(id, "cpu", "cpu.stat", "cpu.stat")
		for _, line := range harness.Lines(stat) {
			if n, ok := strings.CutPrefix(line, "nr_throttled "); ok && n != "0" {
				return ""
			}
		}
		return "not throttled: " + stat
	})
}
