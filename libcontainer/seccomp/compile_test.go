package seccomp

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func profileOf(t testing.TB, text string) *specs.LinuxSeccomp {
	t.Helper()
	s := &specs.LinuxSeccomp{}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		t.Fatal(text, err)
	}
	return s
}

// TestBadProfiles: what is wrong is said with its JSON path.
func TestBadProfiles(t *testing.T) {
	for _, c := range []struct{ profile, path, message string }{
		{`{}`, "defaultAction", "is missing"},
		{`{"defaultAction": "SCMP_ACT_MAYBE"}`, "defaultAction", `"SCMP_ACT_MAYBE" is no action`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}`, "defaultErrnoRet", "SCMP_ACT_ALLOW takes no errno"},
		{`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}`, "defaultErrnoRet", "4096 is larger than 4095"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_VAX"]}`, "architectures[1]", `"SCMP_ARCH_VAX" is no architecture`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"]}`, "architectures[0]", "the other byte order"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW"]}`, "flags[0]", "is no flag"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}`, "flags[0]", "SCMP_ACT_NOTIFY"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": ""}]}`, "syscalls[0].action", "is missing"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 0}]}`, "syscalls[0].errnoRet", "SCMP_ACT_KILL takes no errno"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}]}`, "syscalls[0].errnoRet", "65536 is larger than 65535"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_KILL"}]}`, "syscalls[0].names", "is empty"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read", ""], "action": "SCMP_ACT_KILL"}]}`, "syscalls[0].names[1]", "is empty"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}`, "syscalls[0].args[0].index", "numbered from 0 to 5"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "value": 0}]}]}`, "syscalls[0].args[0].op", "is missing"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "value": 0, "op": "EQ"}]}]}`, "syscalls[0].args[0].op", `"EQ" is no operator`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
			{"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]},
			{"names": ["write", "read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]}]}`, "syscalls[1]", "the same conditions for read as syscalls[0]"},
	} {
		f, err := Compile(profileOf(t, c.profile), AMD64)
		var e *Error
		if !errors.As(err, &e) || f != nil {
			t.Errorf("%s: %v, %v", c.profile, f, err)
			continue
		}
		if e.Path != c.path || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s: %q: %q", c.profile, e.Path, e.Message)
		}
		if !strings.HasPrefix(e.Error(), "linux.seccomp."+c.path+": ") {
			t.Errorf("%q", e.Error())
		}
	}
	if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, 0); err == nil {
		t.Error("a filter for no architecture")
	}
}

// TestFlags: what seccomp(2) is told beside the filter.
func TestFlags(t *testing.T) {
	for _, c := range []struct {
		profile string
		flags   uint32
		notify  bool
	}{
		{`{"defaultAction": "SCMP_ACT_ALLOW"}`, FlagSpecAllow, false},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": []}`, 0, false},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}`, FlagLog, false},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}`, FlagSpecAllow, false},
		{`{"defaultAction": "SCMP_ACT_NOTIFY", "flags": []}`, FlagNewListener, true},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}`, FlagNewListener | FlagWaitKillableRecv, true},
	} {
		f, err := Compile(profileOf(t, c.profile), AMD64)
		if err != nil {
			t.Error(c.profile, err)
			continue
		}
		if f.Flags != c.flags || f.Notify != c.notify {
			t.Errorf("%s: flags %#x, notify %v", c.profile, f.Flags, f.Notify)
		}
	}
}

// TestSkipped: names that no architecture has are told, and left out.
func TestSkipped(t *testing.T) {
	f, err := Compile(profileOf(t, `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "frobnicate", "sync_file_range2", "mkdir"], "action": "SCMP_ACT_ALLOW"}]}`), AMD64)
	if err != nil || len(f.Skipped) != 1 || f.Skipped[0] != "frobnicate" {
		t.Error(f, err)
	}
}

// TestExplain: which entry decides.
func TestExplain(t *testing.T) {
	s := profileOf(t, `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
		{"names": ["read", "close_range"], "action": "SCMP_ACT_ALLOW"},
		{"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
		{"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_GE"}]},
		{"names": ["socket"], "action": "SCMP_ACT_ALLOW"}]}`)
	for _, c := range []struct {
		arch Arch
		name string
		arg  uint64
		want Verdict
	}{
		{AMD64, "read", 0, Verdict{RetAllow, ByRule, 0}},
		{AMD64, "write", 0, Verdict{RetErrno | 13, ByDefault, -1}},
		{AMD64, "personality", 8, Verdict{RetAllow, ByRule, 1}},
		{AMD64, "personality", 9, Verdict{RetErrno | 13, ByDefault, -1}},
		{AMD64, "personality", 1 << 40, Verdict{RetErrno | 38, ByRule, 2}},
		{X86, "personality", 1 << 40, Verdict{RetErrno | 13, ByDefault, -1}},
		{X86, "socketcall", 1, Verdict{RetAllow, ByRule, 3}},
		{X86, "socketcall", 2, Verdict{RetErrno | 13, ByDefault, -1}},
		{X86, "socket", 0, Verdict{RetAllow, ByRule, 3}},
		{AMD64, "openat2", 0, Verdict{RetErrno | 38, ByAge, -1}},
		{ARM64, "read", 0, Verdict{RetKillThread, ByArch, -1}},
		{X32, "read", 0, Verdict{RetKillThread, ByArch, -1}},
	} {
		nr, ok := c.arch.Number(c.name)
		if !ok {
			t.Fatal(c.name)
		}
		v, err := Explain(s, AMD64, &Call{Nr: nr, Arch: c.arch.Audit(), Args: [6]uint64{c.arg}})
		if err != nil || v != c.want {
			t.Errorf("%s %s(%d): %+v, %v", c.arch, c.name, c.arg, v, err)
		}
	}
}

// TestTooLong: what the kernel would not take is an error that says so.
func TestTooLong(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	for i := range 1500 {
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{
			{Index: 1, Value: uint64(i) * 3, Op: specs.OpEqualTo}, {Index: 2, Value: uint64(i) << 33, Op: specs.OpEqualTo},
		}})
	}
	_, err := Compile(s, AMD64)
	var e *Error
	if !errors.As(err, &e) || e.Path != "syscalls" || !strings.Contains(e.Message, "4096 at most") {
		t.Error(err)
	}
}

// TestBytes: the instructions as the kernel has them in memory.
func TestBytes(t *testing.T) {
	for a, want := range map[Arch]string{AMD64: "\x20\x00\x00\x00\x04\x00\x00\x00", S390X: "\x00\x20\x00\x00\x00\x00\x00\x04"} {
		f, err := Compile(profileOf(t, `{"defaultAction": "SCMP_ACT_ALLOW"}`), a)
		if err != nil || string(f.Bytes()[:8]) != want || len(f.Bytes()) != 8*len(f.Insns) {
			t.Errorf("%s: %x, %v", a, f.Bytes(), err)
		}
	}
	f := Filter{Insns: make([]Insn, 3), Arch: AMD64}
	if p := f.Fprog(0x1234); string(p) != "\x03\x00\x00\x00\x00\x00\x00\x00\x34\x12\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%x", p)
	}
}
