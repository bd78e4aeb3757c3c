package integration

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/tests/harness"
)

func scheduler(s specs.Scheduler) change {
	return func(sp *specs.Spec) { sp.Process.Scheduler = &s }
}

// policyAndPriority prints what the kernel says of the process's scheduling: nice, static
// priority and policy (proc_pid_stat(5): fields 19, 40, 41).
const policyAndPriority = "cut -d' ' -f19,40,41 /proc/self/stat"

// rows: PRO-24 PRO-25 PRO-26 PRO-27 PRO-31 SEC-11 MEM-1
func TestScheduling(t *testing.T) {
	runAll(t, []scenario{
		{name: "batch", rows: "PRO-24", change: on(scheduler(specs.Scheduler{Policy: specs.SchedBatch, Nice: 7}), harness.Shell(policyAndPriority)), out: "7 0 3", old: "does not know it"},
		{name: "idle", rows: "PRO-24", change: on(scheduler(specs.Scheduler{Policy: specs.SchedIdle}), harness.Shell(policyAndPriority)), out: "0 0 5", old: "does not know it"},
		{name: "lower nice, without the right for it", rows: "PRO-25", change: on(scheduler(specs.Scheduler{Policy: specs.SchedOther, Nice: -5}), harness.Shell(policyAndPriority)), out: "-5 0 0", old: "does not know it"},
		{name: "a priority that is none", rows: "PRO-26", change: on(scheduler(specs.Scheduler{Policy: specs.SchedFIFO, Priority: 100})), code: 1, err: "process.scheduler.priority", old: "does not know it"},
		{name: "I/O class", rows: "PRO-31", change: on(func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE, Priority: 5}
		}, harness.Shell("ionice -p $$")), out: "idle", old: "does not know it"},
		{name: "another I/O class", rows: "PRO-31", change: on(func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 2}
		}, harness.Shell("ionice -p $$")), out: "best-effort: prio 2", old: "does not know it"},
		{name: "a machine of 32 bits", rows: "SEC-11", change: on(func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		}, harness.Args("/bin/uname", "-m")), out: "i686"},
		{name: "memory of a node", rows: "MEM-1", change: on(func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
		}, harness.Shell("grep -o 'bind=static:0 ' /proc/self/numa_maps | sort -u")), out: "bind=static:0", old: "does not know it"},
		{name: "memory of a node that is not there", rows: "MEM-1", change: on(func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "63"}
		}), code: 1, err: "linux.memoryPolicy", old: "does not know it"},
	})
	if harness.Unified() { // v1 has no time for realtime in a new cgroup
		one(t, scenario{name: "realtime", rows: "PRO-26", change: on(scheduler(specs.Scheduler{Policy: specs.SchedFIFO, Priority: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}), harness.Args("/bin/cut", "-d", " ", "-f40,41", "/proc/self/stat")), out: "3 1", old: "does not know it"})
	}
}

// What holds for the container's process holds for those of exec.
//
// rows: PRO-34 PRO-35 SEC-11
func TestSchedulingOfExec(t *testing.T) {
	c := newContainer(t, func(s *specs.Spec) {
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "0"}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE, Priority: 5}
	}, harness.Args("/bin/sleep", "1000"))
	skipOld(t, "does not know them")
	c.detached()
	for script, want := range map[string]string{
		"uname -m": "i686", "grep Cpus_allowed_list /proc/self/status | cut -f2": "0", "ionice -p $$": "idle",
	} {
		if got := strings.TrimSpace(c.says(nil, script)); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	// The container's own process runs wherever its cpuset lets it.
	if got := strings.TrimSpace(c.says(nil, "grep Cpus_allowed_list /proc/1/status | cut -f2")); got == "0" {
		t.Error("exec's CPUs are the container's")
	}
}
