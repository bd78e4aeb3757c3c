package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/seccomp"
	"berth/tests/harness"
)

// mixedProfile has rules of several kinds.
func mixedProfile() *specs.LinuxSeccomp {
	arg := func(i uint, o specs.LinuxSeccompOperator, v, two uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: i, Op: o, Value: v, ValueTwo: two}
	}
	edom := uint(33)
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "write", "mkdir", "no_such_call", "_llseek", "futex"}, Action: specs.ActAllow},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{arg(0, specs.OpMaskedEqual, 0x7e020000, 0)}},
			{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: &edom, Args: []specs.LinuxSeccompArg{arg(0, specs.OpGreaterThan, 10, 0), arg(2, specs.OpNotEqual, 1<<40, 0)}},
			{Names: []string{"mkdir"}, Action: specs.ActKillProcess, Args: []specs.LinuxSeccompArg{arg(1, specs.OpEqualTo, 0, 0)}},
		},
	}
}

// onAMD64 reads a profile as on that machine.
func onAMD64(t *testing.T, s *specs.LinuxSeccomp) *filterReader {
	t.Helper()
	if seccomp.Native() != seccomp.AMD64 {
		t.Skip("about profiles on amd64")
	}
	x, err := readFilter(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestExplainFilter(t *testing.T) {
	x := onAMD64(t, mixedProfile())
	p := &page{width: 120}
	x.summary().text(p)
	for _, call := range []string{"mkdir", "clone", "clone,0x10000000", "socket", "socket,11,0,-1", "_llseek", "700", "0x53,1", "keyctl", "openat2"} {
		d, err := x.call(call)
		if err != nil {
			t.Fatal(err)
		}
		p.line()
		d.text(p)
	}
	golden(t, "explain-seccomp.txt", []byte(p.b.String()))
	for call, want := range map[string]string{
		"mkdirr": "no system call", "mkdir,x": "no number", "mkdir,0x10000000000000000": "no number", "mkdir,1,2,3,4,5,6,7": "six", "": "no system call",
	} {
		if _, err := x.call(call); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// TestExplainSeccomp is the command.
func TestExplainSeccomp(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	bundle := harness.Bundle(t, func(s *specs.Spec) { s.Linux.Seccomp = mixedProfile() })
	var call explainedCall
	if err := json.Unmarshal([]byte(h.Must("explain", "--bundle", bundle, "--seccomp", "--json", "clone,0x20000")), &call); err != nil {
		t.Fatal(err)
	}
	a := call.Architectures[0]
	if call.Call != "clone" || len(call.Args) != 1 || call.Args[0] != 0x20000 || a.Architecture != seccomp.Native().String() || len(a.Outcomes) != 1 ||
		a.Outcomes[0].Errno != "EPERM" || a.Outcomes[0].Path != "linux.seccomp.defaultAction" || a.Outcomes[0].Reason != "default" || a.Instructions < 5 {
		t.Errorf("%+v", call)
	}
	var filter explainedFilter
	if err := json.Unmarshal([]byte(h.Must("explain", "--json", "--bundle", bundle, "--seccomp")), &filter); err != nil {
		t.Fatal(err)
	}
	if filter.Default != "SCMP_ACT_ERRNO" || filter.DefaultErrno != "EPERM" || filter.Instructions < 20 || len(filter.Skipped) != 1 || len(filter.Shadowed) != 1 ||
		filter.Shadowed[0] != (explainedIdle{"linux.seccomp.syscalls[3]", "mkdir"}) {
		t.Errorf("%+v", filter)
	}
	if out := h.Must("explain", "--bundle", bundle); !strings.Contains(out, "berth explain --seccomp") {
		t.Error("explain does not tell of the filter")
	}
	if res := h.Do("explain", "--bundle", bundle, "--seccomp", "mkdirr"); res.Code != 1 || !strings.Contains(lastLine(res.Stderr), "mkdirr") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
	harness.WriteConfig(t, bundle, harness.Default())
	if res := h.Do("explain", "--bundle", bundle, "--seccomp"); res.Code != 1 || !strings.Contains(lastLine(res.Stderr), "linux.seccomp is not set") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
}
