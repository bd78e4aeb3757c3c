package security

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/tests/harness"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// cheap runs a command with a bound on its memory, so that what grows without
// measure fails the test and not the machine.
func cheap(t *testing.T, h *harness.Host, megabytes int, args ...string) harness.Result {
	t.Helper()
	start := time.Now()
	res := h.Via([]string{"sh", "-c", "ulimit -v " + strconv.Itoa(megabytes<<10) + `; exec "$@"`, "sh"}, args...)
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	return res
}

// TestHugeConfig has configs that are beyond all reason, yet valid JSON: a clear
// error or a container, in seconds and without gigabytes.
func TestHugeConfig(t *testing.T) {
	many := func(n int, f func(i int) string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = f(i)
		}
		return list
	}
	for name, change := range map[string]change{
		"mounts": func(s *specs.Spec) {
			for i := range 50_000 {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m" + strconv.Itoa(i), Type: "tmpfs", Source: "tmpfs"})
			}
		},
		"masked": func(s *specs.Spec) {
			s.Linux.MaskedPaths = many(50_000, func(i int) string { return "/m" + strconv.Itoa(i) })
		},
		"devices": func(s *specs.Spec) {
			for i := range 50_000 {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/d" + strconv.Itoa(i), Type: "p"})
			}
		},
		"environment": process(func(p *specs.Process) {
			p.Env = many(100_000, func(i int) string { return "V" + strconv.Itoa(i) + "=" + strings.Repeat("x", 20) })
		}),
		"one argument of 2 MB": harness.Args("/bin/true", strings.Repeat("x", 2<<20)),
		"arguments of 4 MB": func(s *specs.Spec) {
			s.Process.Args = append(s.Process.Args, many(40, func(int) string { return strings.Repeat("x", 100<<10) })...)
		},
		"name of 2 MB":       harness.Args(strings.Repeat("x", 2<<20)),
		"path of 5000 bytes": harness.Args("/" + strings.Repeat("x/", 2500)),
		"groups": process(func(p *specs.Process) {
			for i := range uint32(70_000) {
				p.User.AdditionalGids = append(p.User.AdditionalGids, i)
			}
		}),
		"annotations": func(s *specs.Spec) {
			s.Annotations = map[string]string{}
			for i := range 20_000 {
				s.Annotations["a"+strconv.Itoa(i)] = strings.Repeat("x", 100)
			}
		},
		"cwd":      process(func(p *specs.Process) { p.Cwd = "/" + strings.Repeat("d/", 1800) }),
		"long cwd": process(func(p *specs.Process) { p.Cwd = "/" + strings.Repeat("d/", 5000) }),
		"sysctl": func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": strings.Repeat("1", 1<<20)}
		},
		"bad errors": func(s *specs.Spec) {
			for range 20_000 {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: ""})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := attack(t)
			res := cheap(t, h, 3<<10, "run", "--bundle", harness.Bundle(t, change), harness.ID(t))
			plain(t, res)
		})
	}
}

// TestPathVariable has images with a PATH of very many directories: each is a few
// steps of the program, and PATH is the image's own.
func TestPathVariable(t *testing.T) {
	for name, path := range map[string]string{
		"the same": strings.Repeat("/:", 60_000) + "/bin",
		"different ones": func() string {
			var b strings.Builder
			for i := range 20_000 {
				b.WriteString("/" + strconv.Itoa(i) + ":")
			}
			return b.String() + "/bin"
		}(),
		"found at once": "/bin:" + strings.Repeat("/x:", 40_000),
		"found late":    strings.Repeat("/etc:", 5_000) + "/bin",
	} {
		t.Run(name, func(t *testing.T) {
			h := attack(t)
			bundle := harness.Bundle(t, harness.Args("echo", "ran"), process(func(p *specs.Process) { p.Env = []string{"PATH=" + path} }))
			res := cheap(t, h, 2<<10, "run", "--bundle", bundle, harness.ID(t))
			plain(t, res)
			if res.Code == 0 && res.Stdout != "ran\n" {
				t.Errorf("%q", res.Stdout)
			}
		})
	}
}

// TestLogInjection puts line ends, control characters and quotes wherever a
// config or a command line has words of its own. Each message stays one line, and
// the JSON log stays JSON.
func TestLogInjection(t *testing.T) {
	h := attack(t)
	evil := "x\n\r{\"level\":\"error\"}\x1b[31m\u2028\"" + `\n`
	fake := `time="2020-01-01T00:00:00Z" level=error msg=fake`
	word := evil + "\n" + fake + "\n"
	for name, change := range map[string]change{
		"args":      harness.Args(word),
		"path":      harness.Args("/bin/" + word),
		"cwd":       process(func(p *specs.Process) { p.Cwd = "/etc/passwd/" + word }),
		"mount":     mount(specs.Mount{Destination: "/etc/passwd/" + word, Type: "tmpfs", Source: "tmpfs"}),
		"type":      mount(specs.Mount{Destination: "/m", Type: word, Source: "tmpfs"}),
		"option":    mount(specs.Mount{Destination: "/m", Type: "tmpfs", Source: "tmpfs", Options: []string{word}}),
		"source":    mount(specs.Mount{Destination: "/m", Source: "/nowhere/" + word, Options: []string{"bind"}}),
		"namespace": harness.Namespace(specs.NetworkNamespace, "/nowhere/"+word),
		"kind": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(word)})
		},
		"rlimit": process(func(p *specs.Process) { p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{Type: word}) }),
		"caps": process(func(p *specs.Process) {
			p.Capabilities.Bounding = append(p.Capabilities.Bounding, word)
			p.Args = []string{"/no"}
		}),
		"sysctl":   func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{word: "1"} },
		"value":    func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": word} },
		"cgroup":   func(s *specs.Spec) { s.Linux.CgroupsPath = strings.Repeat("/"+strings.ReplaceAll(word, "/", ""), 30) },
		"apparmor": process(func(p *specs.Process) { p.ApparmorProfile = word }),
		"selinux":  process(func(p *specs.Process) { p.SelinuxLabel = word }),
		"root":     func(s *specs.Spec) { s.Root.Path = word },
		"hostname": func(s *specs.Spec) { s.Hostname = word },
		"device":   func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/etc/passwd/" + word, Type: "p"}} },
		"version":  func(s *specs.Spec) { s.Version = word },
	} {
		t.Run(name, func(t *testing.T) {
			bundle := harness.Bundle(t, change)
			log := filepath.Join(t.TempDir(), "log")
			for _, debug := range []bool{false, true} {
				h.Global = []string{"--log", log, "--log-format", "json"}
				if debug {
					h.Global = append(h.Global, "--debug")
				}
				res := h.Do("run", "--bundle", bundle, harness.ID(t))
				h.Global = nil
				if res.Code == 0 || strings.Count(res.Stderr, "\n") != 1 {
					t.Errorf("exit status %d: %q", res.Code, res.Stderr)
				}
				if strings.ContainsAny(strings.TrimSuffix(res.Stderr, "\n"), "\n\r\x1b") {
					t.Errorf("control characters: %q", res.Stderr)
				}
			}
			b, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range harness.Lines(string(b)) {
				var r struct{ Level, Msg, Time string }
				if err := json.Unmarshal([]byte(line), &r); err != nil || r.Msg == "" {
					t.Errorf("%v: %s", err, line)
				}
			}
			refused(t, h.Do("run", "--bundle", bundle, harness.ID(t)))
		})
	}
}

// TestStrangePaths has bundles and state roots whose names have spaces, line ends
// and bytes that are no text.
func TestStrangePaths(t *testing.T) {
	h := attack(t)
	for _, name := range []string{"a b", "a\nb", "a\xffb", `a"b\`, "a%s", strings.Repeat("n", 255), "-b"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		bundle := filepath.Join(dir, "bundle")
		if err := os.Rename(harness.Bundle(t, harness.Shell("echo ran")), bundle); err != nil {
			t.Fatal(err)
		}
		h.Global = []string{"--root", filepath.Join(dir, "root")}
		id := harness.ID(t)
		h.Must("create", "--bundle", bundle, id)
		var s struct{ Bundle, Status string }
		if err := json.Unmarshal([]byte(h.Must("state", id)), &s); err != nil || s.Status != "created" {
			t.Errorf("%q: state: %v %+v", name, err, s)
		}
		if !json.Valid([]byte(h.Must("list", "--format", "json"))) {
			t.Errorf("%q: list is no JSON", name)
		}
		if n := strings.Count(h.Must("list"), "\n"); n != 2 {
			t.Errorf("%q: list has %d lines", name, n)
		}
		h.Must("start", id)
		h.Must("delete", "--force", id)
		h.Global = nil
	}
	for _, id := range []string{"..", ".", "a/b", "../x", "a\nb", "", strings.Repeat("x", 256), "a\x7fb", "ä"} {
		refused(t, h.Do("create", "--bundle", harness.Bundle(t), id))
		refused(t, h.Do("delete", "--force", id))
	}
}

// TestAbsurdNumbers are flags and properties at the ends of their ranges.
func TestAbsurdNumbers(t *testing.T) {
	h := attack(t)
	bundle := harness.Bundle(t, harness.Shell("true"))
	for _, n := range []string{"9223372036854775807", "9223372036854775806", "2147483647", "4294967295", "1000000", "-1", "99999999999999999999", "0x10", "1e3", "10"} {
		res := h.Do("run", "--preserve-fds", n, "--bundle", bundle, harness.ID(t))
		if res.Code == 0 || strings.Contains(res.Stderr, "goroutine") {
			t.Errorf("--preserve-fds %s: %d %s", n, res.Code, short(res.Stderr))
		}
	}
	max64, min64 := int64(1<<63-1), int64(-1<<63)
	umax := ^uint64(0)
	for name, change := range map[string]change{
		"memory":   func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &max64, Swap: &max64} },
		"negative": func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &min64} },
		"cpu": func(s *specs.Spec) {
			s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: &umax, Quota: &max64, Period: &umax}
		},
		"pids":     func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &max64} },
		"pids min": func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &min64} },
		"uid":      process(func(p *specs.Process) { p.User.UID = 1<<32 - 1 }),
		"gid":      process(func(p *specs.Process) { p.User.GID = 1<<32 - 1 }),
		"device": func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: max64, Minor: min64}}
		},
		"maps": func(s *specs.Spec) {
			harness.UserNamespace(s)
			s.Linux.UIDMappings[0] = specs.LinuxIDMapping{HostID: 1<<32 - 1, Size: 1<<32 - 1}
		},
		"offset": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: min64}, "monotonic": {Secs: max64}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			plain(t, h.Do("run", "--bundle", harness.Bundle(t, change, harness.Shell("true")), harness.ID(t)))
		})
	}
}

// TestRlimits sets limits that leave the process next to nothing. They are the
// process's: the container's set-up must not be what fails.
func TestRlimits(t *testing.T) {
	h := attack(t)
	for _, c := range []struct {
		kind string
		n    uint64
		runs bool
	}{
		{"NOFILE", 0, true},
		{"NOFILE", 1, true},
		{"NOFILE", 3, true},
		{"NOFILE", 5, true},
		{"FSIZE", 0, true},
		{"CORE", 0, true},
		{"NPROC", 0, false},
		{"NPROC", 1, false},
		{"SIGPENDING", 0, true},
		{"MSGQUEUE", 0, true},
		{"MEMLOCK", 0, true},
		{"LOCKS", 0, true},
		{"RTTIME", 0, true},
		{"NICE", 0, true},
		{"AS", 0, false},
		{"AS", 1 << 20, false},
		{"DATA", 0, false},
		{"STACK", 0, false},
		{"CPU", 1, true},
	} {
		for _, user := range []uint32{0, 1000} {
			bundle := harness.Bundle(t, harness.Args("/bin/true"), process(func(p *specs.Process) {
				p.User.UID = user
				p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_" + c.kind, Soft: c.n, Hard: c.n}}
			}))
			id := harness.ID(t)
			res := bounded(t, h, 10*time.Second, "create", "--bundle", bundle, id)
			plain(t, res)
			if res.Code != 0 {
				t.Errorf("RLIMIT_%s %d, user %d: create: %s", c.kind, c.n, user, res.Stderr)
				continue
			}
			res = bounded(t, h, 10*time.Second, "start", id)
			plain(t, res)
			if c.runs && res.Code != 0 {
				t.Errorf("RLIMIT_%s %d, user %d: start: %s", c.kind, c.n, user, res.Stderr)
			}
			h.Must("delete", "--force", id)
		}
	}
}

// TestSmallCgroups gives the container less memory and fewer processes than its
// set-up may need: it works, or it fails in one line and leaves nothing.
func TestSmallCgroups(t *testing.T) {
	intermediate := func(s *specs.Spec) {
		harness.UserNamespace(s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	}
	for _, namespaces := range []change{func(*specs.Spec) {}, intermediate} {
		h := attack(t)
		for _, kb := range []int64{0, 4, 16, 64, 128, 192} {
			limit := kb << 10
			id := harness.ID(t)
			res := bounded(t, h, 20*time.Second, "create", "--bundle", harness.Bundle(t, namespaces, func(s *specs.Spec) {
				s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
			}), id)
			plain(t, res)
			t.Logf("%d KB: %d %s", kb, res.Code, res.Stderr)
			if res.Code == 0 {
				_ = bounded(t, h, 20*time.Second, "start", id)
				h.Must("delete", "--force", id)
			}
			h.NothingLeft(id)
		}
		for _, n := range []int64{1, 2, 3} {
			res := bounded(t, h, 20*time.Second, "run", "--bundle", harness.Bundle(t, namespaces, func(s *specs.Spec) {
				s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &n}
			}), harness.ID(t))
			if res.Code != 0 {
				t.Errorf("pids.limit %d: %s", n, res.Stderr)
			}
		}
	}
}
