package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/seccomp"
	"berth/libcontainer/seccomp/audit"
	"berth/tests/harness"
)

const profiles = "../libcontainer/seccomp/testdata/"

func TestCheckText(t *testing.T) {
	s := mixedProfile()
	s.Syscalls = append(s.Syscalls,
		specs.LinuxSyscall{Names: []string{"umount", "mount", "umount2", "kexec_load", "vhangup"}, Action: specs.ActAllow},
		specs.LinuxSyscall{Names: []string{"bpf"}, Action: specs.ActNotify},
		specs.LinuxSyscall{Names: []string{"unshare"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 0x10000000, Op: specs.OpMaskedEqual}}})
	f := &profileFile{profile: s, file: "/b/config.json", path: "linux.seccomp", rights: &audit.Rights{}, docker: true}
	r, err := audit.Profile(s, seccomp.AMD64, f.rights)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{width: 100}
	newCheckDoc(f, r).text(p)
	golden(t, "seccomp-check.txt", []byte(p.b.String()))
}

// TestSeccompCheck is the command, with all kinds of files.
func TestSeccompCheck(t *testing.T) {
	needBerth(t)
	h := harness.New(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bundle := harness.Bundle(t, func(s *specs.Spec) { s.Linux.Seccomp = mixedProfile() })
	none := harness.Bundle(t)
	typo := file("typo.json", `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","raed"],"action":"SCMP_ACT_ALLOW"}]}`)
	for _, c := range []struct {
		args []string
		code int
		out  string // a part of the output or, for 1, of the last line of standard error
	}{
		{[]string{profiles + "moby.json"}, 0, "minor    ptrace"},
		{[]string{"--strict", profiles + "moby.json"}, 2, "minor    ptrace"},
		{[]string{profiles + "podman.json"}, 2, "serious  keyctl"},
		{[]string{bundle}, 0, "Nothing dangerous is let through."},
		{[]string{bundle + "/config.json", "--strict"}, 2, "linux.seccomp.syscalls[3]"},
		{[]string{none}, 2, "linux.seccomp is not set"},
		{[]string{typo}, 0, "raed"},
		{[]string{"--strict", typo}, 2, "raed"},
		{[]string{file("action.json", `{"defaultAction":"X"}`)}, 1, `is no action of seccomp: defaultAction`},
		{[]string{file("entry.json", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[3]}]}`)}, 1, "syscalls[0].names[0] (profile:1:57)"},
		{[]string{file("other.json", `{"a":1}`)}, 1, "neither a config.json nor a profile"},
		{[]string{file("half.json", `{"defaultAction":`)}, 1, "half.json"},
		{[]string{dir + "/nope.json"}, 1, "nope.json"},
	} {
		res := h.Do(append([]string{"seccomp", "check"}, c.args...)...)
		out := res.Stdout
		if c.code == 1 {
			out = lastLine(res.Stderr)
		}
		if res.Code != c.code || !strings.Contains(out, c.out) {
			t.Errorf("%q: %d, want %d with %q\n%s%s", c.args, res.Code, c.code, c.out, res.Stdout, res.Stderr)
		}
	}
	var doc checkDoc
	if err := json.Unmarshal([]byte(h.Must("seccomp", "check", "--json", profiles+"containerd.json")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Dangerous) != 3 || doc.Dangerous[0].Grade != "minor" || doc.Dangerous[0].Path != "syscalls[13]" || len(doc.Architectures) != 3 || doc.Unknown == nil || doc.Missing == nil {
		t.Errorf("%+v", doc)
	}
}

// TestDockersProfile is a profile with conditions of engines.
func TestDockersProfile(t *testing.T) {
	if seccomp.Native() != seccomp.AMD64 {
		t.Skip("about profiles on amd64")
	}
	path := filepath.Join(t.TempDir(), "p.json")
	text := `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
		"archMap":[{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
		"syscalls":[
			{"names":["read"],"action":"SCMP_ACT_ALLOW"},
			{"name":"write","action":"SCMP_ACT_ALLOW","args":[],"comment":"","includes":{},"excludes":{}},
			{"names":["chroot"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_CHROOT"]}},
			{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_CHROOT","CAP_SYS_ADMIN"]}},
			{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"excludes":{"caps":["CAP_SYS_ADMIN"]}},
			{"names":["open"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_KILL"]}},
			{"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64","x32"]}},
			{"names":["cacheflush"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm","arm64"]}},
			{"names":["clone"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["s390","s390x"]},"args":[{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"}]},
			{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
			{"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}}
		]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := readProfile(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range f.profile.Syscalls {
		names = append(names, e.Names...)
	}
	if got := strings.Join(names, " "); got != "read write chroot clone3 arch_prctl clone ptrace" {
		t.Error(got)
	}
	if !f.docker || !slices.Equal(f.profile.Architectures, []specs.Arch{specs.ArchX86_64, specs.ArchX86}) || *f.profile.DefaultErrnoRet != 1 ||
		*f.profile.Syscalls[3].ErrnoRet != 38 || len(f.profile.Syscalls[5].Args) != 1 {
		t.Errorf("%+v", f.profile)
	}
}
