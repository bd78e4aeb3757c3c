package spec

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestValidateSeccomp(t *testing.T) {
	profile := func(edit func(*specs.LinuxSeccomp)) func(*specs.Spec) {
		return linux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActErrno,
				Architectures: []specs.Arch{specs.ArchX86_64},
				Syscalls:      []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}},
			}
			edit(l.Seccomp)
		})
	}
	syscall := func(c specs.LinuxSyscall) func(*specs.Spec) {
		return profile(func(s *specs.LinuxSeccomp) { s.Syscalls = append(s.Syscalls, c) })
	}
	arg := func(a specs.LinuxSeccompArg) func(*specs.Spec) {
		return syscall(specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{a}})
	}
	names := []string{"write"}
	const path = "linux.seccomp"
	rules := []rule{
		{"SCP-1 missing", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction = "" }), path + ".defaultAction", "must be specified"},
		{"SCP-1 unknown", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction = "X" }), path + ".defaultAction", `unknown seccomp action "X"`},
		{"SCP-1 notify", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction = specs.ActNotify }), path + ".defaultAction", "cannot be the default"},
		{"SCP-1 empty object", linux(func(l *specs.Linux) { l.Seccomp = &specs.LinuxSeccomp{} }), "", ""},
		{"SCP-2 other action", profile(func(s *specs.LinuxSeccomp) {
			s.DefaultAction, s.DefaultErrnoRet = specs.ActKill, ptr(uint(1))
		}), path + ".defaultErrnoRet", "only be set for SCMP_ACT_ERRNO and SCMP_ACT_TRACE"},
		{"SCP-2 trace", profile(func(s *specs.LinuxSeccomp) {
			s.DefaultAction, s.DefaultErrnoRet = specs.ActTrace, ptr(uint(65535))
		}), "", ""},
		{"SCP-2 too large", profile(func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = ptr(uint(65536)) }), path + ".defaultErrnoRet", "at most 65535, not 65536"},
		{"SCP-3 unknown", profile(func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{"amd64"} }), path + ".architectures[0]", `unknown seccomp architecture "amd64"`},
		{"SCP-3 all", profile(func(s *specs.LinuxSeccomp) { s.Architectures = seccompArchs }), "", ""},
		{"SCP-4 unknown", profile(func(s *specs.LinuxSeccomp) {
			s.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NEW_LISTENER"}
		}), path + ".flags[0]", "unknown seccomp flag"},
		{"SCP-4 all", profile(func(s *specs.LinuxSeccomp) { s.Flags = seccompFlags }), "", ""},
		{"SCP-8 no listener", syscall(specs.LinuxSyscall{Names: names, Action: specs.ActNotify}), path + ".listenerPath", "seccomp listenerPath is not set"},
		{"SCP-8 listener", func(s *specs.Spec) {
			syscall(specs.LinuxSyscall{Names: names, Action: specs.ActNotify})(s)
			s.Linux.Seccomp.ListenerPath, s.Linux.Seccomp.ListenerMetadata = "/run/agent", "m"
		}, "", ""},
		{"SCP-8 NUL", profile(func(s *specs.LinuxSeccomp) { s.ListenerPath = "\x00" }), path + ".listenerPath", "NUL"},
		{"SCP-12 listener without need", profile(func(s *specs.LinuxSeccomp) { s.ListenerPath = "/run/agent" }), "", ""},
		{"SCP-14 metadata alone", profile(func(s *specs.LinuxSeccomp) { s.ListenerMetadata = "m" }), path + ".listenerMetadata", "without listenerPath"},
		{"SCP-15 no names", syscall(specs.LinuxSyscall{Action: specs.ActAllow}), path + ".syscalls[1].names", "at least one name"},
		{"SCP-15 unknown name", syscall(specs.LinuxSyscall{Names: []string{"nosuch"}, Action: specs.ActAllow}), "", ""},
		{"SCP-16 unknown action", syscall(specs.LinuxSyscall{Names: names, Action: "SCMP_ACT_X"}), path + ".syscalls[1].action", `unknown seccomp action "SCMP_ACT_X"`},
		{"SCP-16 missing action", syscall(specs.LinuxSyscall{Names: names}), path + ".syscalls[1].action", "must be specified"},
		{"SCP-25 other action", syscall(specs.LinuxSyscall{Names: names, Action: specs.ActAllow, ErrnoRet: ptr(uint(1))}), path + ".syscalls[1].errnoRet", `not for "SCMP_ACT_ALLOW"`},
		{"SCP-25 errno", syscall(specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: ptr(uint(38))}), "", ""},
		{"SCP-26 index 6", arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo}), path + ".syscalls[1].args[0].index", "between 0 and 5, not 6"},
		{"SCP-26 index 5", arg(specs.LinuxSeccompArg{Index: 5, Op: specs.OpEqualTo}), "", ""},
		{"SCP-27 largest value", arg(specs.LinuxSeccompArg{Value: 1<<64 - 1, ValueTwo: 1<<64 - 1, Op: specs.OpMaskedEqual}), "", ""},
		{"SCP-29 unknown", arg(specs.LinuxSeccompArg{Op: "=="}), path + ".syscalls[1].args[0].op", `unknown seccomp operator "=="`},
		{"SCP-29 missing", arg(specs.LinuxSeccompArg{}), path + ".syscalls[1].args[0].op", "must be specified"},
	}
	for _, a := range seccompActions {
		if a != specs.ActNotify {
			rules = append(rules, rule{"SCP-16 " + string(a), syscall(specs.LinuxSyscall{Names: names, Action: a}), "", ""})
		}
	}
	for _, op := range seccompOperators {
		rules = append(rules, rule{"SCP-29 " + string(op), arg(specs.LinuxSeccompArg{Op: op}), "", ""})
	}
	check(t, rules)
	if len(seccompArchs) != 23 {
		t.Errorf("%d architectures", len(seccompArchs))
	}
}
