package audit

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/seccomp"
)

func readProfile(t *testing.T, name string) *specs.LinuxSeccomp {
	t.Helper()
	text, err := os.ReadFile("../testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func audit(t *testing.T, s *specs.LinuxSeccomp, rights *Rights) *Report {
	t.Helper()
	r, err := Profile(s, seccomp.AMD64, rights)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func found(r *Report, g Grade) []string {
	var all []string
	for _, f := range r.Findings {
		if f.Grade == g {
			all = append(all, f.Call)
		}
	}
	slices.Sort(all)
	return all
}

// TestDefaults: the default list is Docker's profile, which has nothing serious; what
// the others have is known.
func TestDefaults(t *testing.T) {
	listed := defaultCalls()
	if !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) != len(listed) {
		t.Error("the list is not sorted, or has names twice")
	}
	var names []string
	for _, e := range readProfile(t, "moby").Syscalls {
		if e.Action == specs.ActAllow {
			names = append(names, e.Names...)
		}
	}
	for _, name := range names {
		if !slices.Contains(listed, name) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range listed {
		if _, ok := seccomp.AMD64.Number(name); ok && !slices.Contains(names, name) || !seccomp.Known(name) {
			t.Errorf("%s is no call of the profile", name)
		}
	}
	r := audit(t, readProfile(t, "moby"), nil)
	if r.Serious() || len(r.Missing)+len(r.Beyond)+len(r.Shadowed)+len(r.Unknown) != 0 {
		t.Errorf("moby: %+v", r)
	}
	for name, want := range map[string]struct{ serious, minor string }{
		"moby":       {"", "process_vm_readv process_vm_writev ptrace"},
		"containerd": {"", "process_vm_readv process_vm_writev ptrace"},
		"podman": {
			"clone clone3 fsconfig fsmount fsopen fspick keyctl mount mount_setattr move_mount open_tree pivot_root reboot setns umount umount2 unshare",
			"pidfd_getfd process_vm_readv process_vm_writev ptrace socket syslog",
		},
	} {
		r := audit(t, readProfile(t, name), nil)
		if got := strings.Join(found(r, Serious), " "); got != want.serious {
			t.Errorf("%s, serious: %s", name, got)
		}
		if got := strings.Join(found(r, Minor), " "); got != want.minor {
			t.Errorf("%s, minor: %s", name, got)
		}
	}
}

// TestFindings has one of each kind.
func TestFindings(t *testing.T) {
	clone := []specs.LinuxSeccompArg{{Index: 0, Value: 0x10000000, Op: specs.OpMaskedEqual}}
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86}, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"read", "read_all", "mount", "kexec_load"}, Action: specs.ActAllow},
		{Names: []string{"clone"}, Action: specs.ActAllow, Args: clone}, // no user namespace, but others
		{Names: []string{"bpf"}, Action: specs.ActNotify},
		{Names: []string{"vm86"}, Action: specs.ActLog},
		{Names: []string{"read"}, Action: specs.ActTrap, Args: clone},
		{Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 38, Op: specs.OpNotEqual}}},
	}}
	find := func(r *Report, call string) *Finding {
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Call == call })
		if i < 0 {
			t.Fatalf("%s is not found: %+v", call, r.Findings)
		}
		return &r.Findings[i]
	}
	r := audit(t, s, nil)
	if len(r.Findings) != 6 || len(r.Unknown) != 1 || r.Unknown[0].Name != "read_all" || len(r.Shadowed) != 1 || r.Shadowed[0].Rule != 4 {
		t.Errorf("%+v", r)
	}
	if f := find(r, "mount"); f.Grade != Serious || f.Rule != 0 || f.Capability != "CAP_SYS_ADMIN" || f.Lacking || len(f.Archs) != 2 || f.When != nil {
		t.Errorf("%+v", f)
	}
	if f := find(r, "clone"); f.Grade != Serious || f.Rule != 1 || slices.Contains(f.When, "CLONE_NEWUSER") || !slices.Contains(f.When, "CLONE_NEWNS") || len(f.When) != 6 {
		t.Errorf("%+v", f)
	}
	if f := find(r, "bpf"); f.Grade != Minor || !f.Asked || f.Rule != 2 {
		t.Errorf("%+v", f)
	}
	if f := find(r, "vm86"); f.Grade != Serious || len(f.Archs) != 1 || f.Archs[0] != seccomp.X86 {
		t.Errorf("%+v", f)
	}
	if f := find(r, "socket"); f.Grade != Minor || !slices.Equal(f.When, []string{"AF_VSOCK"}) {
		t.Errorf("%+v", f)
	}
	if !slices.Contains(r.Missing, "write") || slices.Contains(r.Missing, "read") || len(r.Beyond) != 0 {
		t.Errorf("%v %v", r.Missing, r.Beyond)
	}
	// What the process has no right to is minor; but where it can make namespaces it has
	// capabilities in them.
	r = audit(t, s, &Rights{Bounding: []string{"CAP_CHOWN"}})
	if f := find(r, "clone"); f.Capability != "CAP_SYS_ADMIN" || !f.Lacking || f.Grade != Minor {
		t.Errorf("%+v", f)
	}
	if f := find(r, "mount"); f.Grade != Minor || !f.Lacking {
		t.Errorf("%+v", f)
	}
	if f := find(r, "kexec_load"); f.Grade != Minor || !f.Lacking {
		t.Errorf("%+v", f)
	}
	if f := find(audit(t, s, &Rights{Bounding: []string{"CAP_SYS_BOOT"}}), "kexec_load"); f.Grade != Serious {
		t.Errorf("%+v", f)
	}
	if f := find(audit(t, s, &Rights{Bounding: []string{"CAP_SYS_BOOT"}, UserNamespace: true}), "kexec_load"); f.Grade != Minor {
		t.Errorf("%+v", f)
	}
	s.Syscalls[1].Args[0].Value = 0x6e020000
	r = audit(t, s, &Rights{})
	if f := find(r, "clone"); f.Grade != Serious || f.Capability != "" || !slices.Equal(f.When, []string{"CLONE_NEWUSER"}) {
		t.Errorf("%+v", f)
	}
	if f := find(r, "mount"); f.Grade != Serious || f.Lacking {
		t.Errorf("%+v", f)
	}
	// All that is dangerous is a call that some machine has.
	for i := range dangers {
		for _, call := range dangers[i].calls {
			if !seccomp.Known(call) {
				t.Errorf("%s is no system call", call)
			}
		}
	}
	all := audit(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, nil)
	if f := find(all, "clone"); f.Rule != -1 || f.When != nil || !all.Serious() || len(all.Missing) != 0 || !slices.Contains(all.Beyond, "vhangup") {
		t.Errorf("%+v, beyond %v", f, all.Beyond)
	}
}
