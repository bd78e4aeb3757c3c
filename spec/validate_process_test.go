package spec

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/sys"
)

// process returns an edit of the process alone.
func process(edit func(*specs.Process)) func(*specs.Spec) {
	return func(s *specs.Spec) { edit(s.Process) }
}

func TestValidateProcess(t *testing.T) {
	cwd := func(v string) func(*specs.Spec) { return process(func(p *specs.Process) { p.Cwd = v }) }
	args := func(v ...string) func(*specs.Spec) { return process(func(p *specs.Process) { p.Args = v }) }
	env := func(v string) func(*specs.Spec) {
		return process(func(p *specs.Process) { p.Env = append(p.Env, v) })
	}
	size := func(tty bool, h, w uint) func(*specs.Spec) {
		return process(func(p *specs.Process) { p.Terminal, p.ConsoleSize = tty, &specs.Box{Height: h, Width: w} })
	}
	user := func(u specs.User) func(*specs.Spec) { // where no map speaks first
		return func(s *specs.Spec) { s.Linux, s.Process.User = nil, u }
	}
	oom := func(v int) func(*specs.Spec) { return process(func(p *specs.Process) { p.OOMScoreAdj = &v }) }
	affinity := func(initial, final string) func(*specs.Spec) {
		return process(func(p *specs.Process) {
			p.ExecCPUAffinity = &specs.CPUAffinity{Initial: initial, Final: final}
		})
	}
	check(t, []rule{
		{"PRO-3 size without terminal", size(false, 0, 70000), "", ""},
		{"PRO-4 no height", size(true, 0, 80), "process.consoleSize.height", "between 1 and 65535, not 0"},
		{"PRO-4 no width", size(true, 24, 0), "process.consoleSize.width", "not 0"},
		{"PRO-4 too wide", size(true, 24, 65536), "process.consoleSize.width", "not 65536"},
		{"PRO-4 largest", size(true, 65535, 65535), "", ""},
		{"PRO-4 unsized", size(true, 0, 0), "", ""},
		{"PRO-5 missing", cwd(""), "process.cwd", "Cwd property must not be empty"},
		{"PRO-5 relative", cwd("tmp"), "process.cwd", "Cwd must be an absolute path"},
		{"PRO-5 NUL", cwd("/\x00"), "process.cwd", "NUL"},
		{"PRO-7 no =", env("A"), "process.env[2]", "invalid environment variable: missing '='"},
		{"PRO-7 no name", env("=a"), "process.env[2]", "empty name"},
		{"PRO-7 NUL", env("A=\x00"), "process.env[2]", "NUL"},
		{"PRO-7 empty", env(""), "process.env[2]", "missing '='"},
		{"PRO-7 twice", env("PATH=/usr/bin"), "", ""},
		{"PRO-8 empty", args(), "process.args", "args must not be empty"},
		{"PRO-8 NUL", args("sh", "\x00"), "process.args[1]", "NUL"},
		{"PRO-9 command line", process(func(p *specs.Process) { p.CommandLine = "x" }), "", ""},
		{"no user", user(specs.User{UID: 1<<32 - 1}), "process.user.uid", "must not be 4294967295"},
		{"no group", user(specs.User{GID: 1<<32 - 1}), "process.user.gid", "must not be 4294967295"},
		{"no additional group", user(specs.User{AdditionalGids: []uint32{5, 1<<32 - 1}}), "process.user.additionalGids[1]", "must not be 4294967295"},
		{"last ids", user(specs.User{UID: 1<<32 - 2, GID: 1<<32 - 2, AdditionalGids: []uint32{1<<32 - 2}}), "", ""},
		{"PRO-14 NUL", process(func(p *specs.Process) { p.ApparmorProfile = "\x00" }), "process.apparmorProfile", "NUL"},
		{"PRO-20 unknown capability", process(func(p *specs.Process) {
			p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_NONE"}}
		}), "", ""},
		{"PRO-22 too low", oom(-1001), "process.oomScoreAdj", "between -1000 and 1000, not -1001"},
		{"PRO-22 too high", oom(1001), "process.oomScoreAdj", "not 1001"},
		{"PRO-22 lowest", oom(-1000), "", ""},
		{"PRO-31 NUL", process(func(p *specs.Process) { p.SelinuxLabel = "\x00" }), "process.selinuxLabel", "NUL"},
		{"PRO-35 bad list", affinity("0-", ""), "process.execCPUAffinity.initial", `bad list "0-" at character 3`},
		{"PRO-36 bad list", affinity("", "x"), "process.execCPUAffinity.final", `bad list "x" at character 1`},
		{"PRO-36 good lists", affinity("0-3,7", "1"), "", ""},
	})
}

func TestValidateRlimits(t *testing.T) {
	limit := func(kind string, soft, hard uint64) func(*specs.Spec) {
		return process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 1}, {Type: kind, Soft: soft, Hard: hard}}
		})
	}
	check(t, []rule{
		{"PRO-10 unknown", limit("RLIMIT_X", 0, 0), "process.rlimits[1].type", "wrong rlimit value: RLIMIT_X"},
		{"PRO-10 without prefix", limit("NOFILE", 0, 0), "process.rlimits[1].type", "wrong rlimit value: NOFILE"},
		{"PRO-11 soft above hard", limit("RLIMIT_AS", 2, 1), "process.rlimits[1].soft", "the soft limit 2 is above the hard limit 1 of RLIMIT_AS"},
		{"PRO-12 infinite", limit("RLIMIT_AS", 1<<64-1, 1<<64-1), "", ""},
		{"PRO-13 twice", limit("RLIMIT_CORE", 0, 0), "process.rlimits[1].type", "RLIMIT_CORE is listed twice"},
		{"PRO-10 all", process(func(p *specs.Process) {
			for n := range uint64(16) {
				p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{Type: sys.RlimitName(n)})
			}
		}), "", ""},
	})
	if name := sys.RlimitName(16); name != "" {
		t.Errorf("a limit beyond the kernel's 16: %s", name)
	}
}

func TestValidateScheduler(t *testing.T) {
	sched := func(v specs.Scheduler) func(*specs.Spec) {
		return process(func(p *specs.Process) { p.Scheduler = &v })
	}
	io := func(class specs.IOPriorityClass, n int) func(*specs.Spec) {
		return process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: class, Priority: n} })
	}
	const path = "process.scheduler"
	check(t, []rule{
		{"user: missing", sched(specs.Scheduler{}), path + ".policy", "scheduler policy must be specified: must be one of SCHED_OTHER"},
		{"user: unknown", sched(specs.Scheduler{Policy: "SCHED_X"}), path + ".policy", `unknown scheduler policy "SCHED_X"`},
		{"user: ISO", sched(specs.Scheduler{Policy: "SCHED_ISO"}), "", ""},
		{"PRO-25 too nice", sched(specs.Scheduler{Policy: "SCHED_OTHER", Nice: 20}), path + ".nice", "between -20 and 19, not 20"},
		{"PRO-25 not nice", sched(specs.Scheduler{Policy: "SCHED_BATCH", Nice: -21}), path + ".nice", "not -21"},
		{"PRO-25 nicest", sched(specs.Scheduler{Policy: "SCHED_BATCH", Nice: 19}), "", ""},
		{"PRO-26 other policy", sched(specs.Scheduler{Policy: "SCHED_IDLE", Priority: 1}), path + ".priority", "only be set for SCHED_FIFO and SCHED_RR"},
		{"PRO-26 too high", sched(specs.Scheduler{Policy: "SCHED_FIFO", Priority: 100}), path + ".priority", "between 1 and 99 for SCHED_FIFO, not 100"},
		{"PRO-26 missing", sched(specs.Scheduler{Policy: "SCHED_RR"}), path + ".priority", "between 1 and 99 for SCHED_RR, not 0"},
		{"PRO-26 good", sched(specs.Scheduler{Policy: "SCHED_RR", Priority: 50}), "", ""},
		{"PRO-27 unknown", sched(specs.Scheduler{Policy: "SCHED_IDLE", Flags: []specs.LinuxSchedulerFlag{"SCHED_FLAG_RECLAIM", "X"}}), path + ".flags[1]", `unknown scheduler flag "X"`},
		{"PRO-28 other policy", sched(specs.Scheduler{Policy: "SCHED_OTHER", Runtime: 1}), path + ".runtime", "only be set for SCHED_DEADLINE"},
		{"PRO-29 other policy", sched(specs.Scheduler{Policy: "SCHED_OTHER", Deadline: 1}), path + ".deadline", "only be set for SCHED_DEADLINE"},
		{"PRO-30 other policy", sched(specs.Scheduler{Policy: "SCHED_OTHER", Period: 1}), path + ".period", "only be set for SCHED_DEADLINE"},
		{"PRO-28 missing", sched(specs.Scheduler{Policy: "SCHED_DEADLINE"}), path + ".runtime", "above 0"},
		{"PRO-29 below runtime", sched(specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 2, Deadline: 1}), path + ".deadline", "less than the runtime, 2 ns"},
		{"PRO-30 below deadline", sched(specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 1, Deadline: 3, Period: 2}), path + ".period", "less than the deadline, 3 ns"},
		{"PRO-30 good", sched(specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 1e6, Deadline: 2e6, Period: 3e6}), "", ""},
		{"PRO-32 missing", io("", 0), "process.ioPriority.class", "must be specified"},
		{"PRO-32 unknown", io("IOPRIO_CLASS_X", 0), "process.ioPriority.class", `unknown I/O priority class "IOPRIO_CLASS_X"`},
		{"PRO-33 too high", io("IOPRIO_CLASS_BE", 8), "process.ioPriority.priority", "invalid ioPriority.Priority: 8"},
		{"PRO-33 negative", io("IOPRIO_CLASS_BE", -1), "process.ioPriority.priority", "invalid ioPriority.Priority: -1"},
		{"PRO-33 highest", io("IOPRIO_CLASS_IDLE", 7), "", ""},
	})
}

func TestValidateUser(t *testing.T) {
	user := func(u specs.User) func(*specs.Spec) { return process(func(p *specs.Process) { p.User = u }) }
	joined := func(edit func(*specs.Spec)) func(*specs.Spec) {
		return func(s *specs.Spec) {
			edit(s)
			join(s, specs.UserNamespace, "/proc/1/ns/user")
		}
	}
	check(t, []rule{
		{"PRO-37 unmapped", user(specs.User{UID: 65536}), "process.user.uid", "cannot setuid to unmapped uid 65536 in user namespace"},
		{"PRO-37 last", user(specs.User{UID: 65535}), "", ""},
		{"PRO-37 joined", joined(user(specs.User{UID: 65536})), "", ""},
		{"PRO-38 unmapped", user(specs.User{GID: 65536}), "process.user.gid", "cannot setgid to unmapped gid 65536 in user namespace"},
		{"PRO-39 too large", user(specs.User{Umask: ptr(uint32(0o1000))}), "process.user.umask", "at most 511 (0777), not 512"},
		{"PRO-40 largest", user(specs.User{Umask: ptr(uint32(0o777))}), "", ""},
		{"PRO-41 unmapped", user(specs.User{AdditionalGids: []uint32{1, 70000}}), "process.user.additionalGids[1]", "unmapped gid 70000"},
		{"PRO-42 name", user(specs.User{Username: "nobody"}), "", ""},
		{"PRO-37 no user namespace", func(s *specs.Spec) {
			without(s, specs.UserNamespace)
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			s.Process.User.UID = 1 << 31
		}, "", ""},
	})
}

// TestProcessAlone is how exec validates.
func TestProcessAlone(t *testing.T) {
	list := ValidateProcess(&specs.Process{Cwd: "tmp", User: specs.User{UID: 1 << 20}}, good(), "exec")
	want := []string{"exec.cwd", "exec.args", "exec.user.uid"}
	if len(list) != len(want) {
		t.Fatal(list)
	}
	for i := range want {
		if list[i].JSONPath != want[i] {
			t.Errorf("got %s, want %s", list[i].JSONPath, want[i])
		}
	}
	if list := ValidateProcess(&specs.Process{Cwd: "/", Args: []string{"a"}}, nil, "process"); len(list) > 0 {
		t.Error(list)
	}
}

// TestLists is RES-21: the grammar of CPU lists, and where they go wrong.
func TestLists(t *testing.T) {
	for list, bad := range map[string]string{
		"": "", "0": "", "0-3": "", "0,2-4,7": "", " 0 ": "", "0,,1": "", ",": "", "0 1": "", "0\n": "", "all": "", "N": "", "0-N": "",
		"0-10:2/4": "", "all:1/2": "", "5-5": "", "999999999": "",
		"a": "1", "0-": "3", "-1": "1", "3-1": "3", "0x1": "2", "0,a": "3", "1.5": "2", "0-3-5": "4", "9999999999": "10",
		"0-10:2": "7", "0-10:": "6", "0-10:3/2": "8", "0-10:0/0": "8", "0;1": "2", "allx": "4", "0-10:2/": "8", "N-1": "3",
	} {
		got := badList(list)
		switch {
		case bad == "" && got != "":
			t.Errorf("%q refused: %s", list, got)
		case bad != "" && !strings.HasSuffix(got, " at character "+bad):
			t.Errorf("%q: got %q, want character %s", list, got, bad)
		}
	}
}
