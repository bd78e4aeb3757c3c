package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/cgroups"
	"berth/libcontainer/compile"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/libcontainer/seccomp"
)

// samplePlan has one of everything that explain can print.
func samplePlan() *libcontainer.Setup {
	target := &program.Slot{Name: "target", Inherited: -1}
	stat := program.Struct(make([]byte, 16), "statx")
	mk := program.Step{Call: program.CallMkdirat, Args: []program.Arg{program.From(target), program.Path("proc"), program.Int(0o755)}, Why: "make proc", Harmless: []program.Harmless{{Errno: unix.EEXIST, Skip: 0}, {Errno: unix.ENOSYS, Skip: 2}}}
	return &libcontainer.Setup{
		ID: "c",
		Bundle: &libcontainer.Bundle{
			Path: "/b", Rootfs: "/b/rootfs",
			Spec: &specs.Spec{Process: &specs.Process{Args: append([]string{"sh", "-c"}, strings.Repeat("a long command line ", 8))}},
		},
		Facts:    &host.Facts{Kernel: host.Version{Major: 6, Minor: 1}, AppArmor: true, Cgroup: host.Cgroup{Mode: host.Hybrid}},
		Warnings: []string{"memory.kernel has no effect"},
		Cgroups: &cgroups.Plan{Actions: []cgroups.Action{
			{Kind: cgroups.Mkdir, Path: "/sys/fs/cgroup/memory/c", Why: "the container's cgroup", JSONPath: "linux.cgroupsPath"},
			{Kind: cgroups.Inherit, Path: "/sys/fs/cgroup/cpuset/c/cpuset.cpus", Why: "a new cpuset takes no process while this is empty"},
			{Kind: cgroups.Write, Path: "/sys/fs/cgroup/memory/c/memory.swappiness", Else: "/sys/fs/cgroup/memory/c/other", Data: "5\n", Why: "set it", JSONPath: "linux.resources.memory.swappiness", Optional: true},
		}},
		Program: &compile.Result{
			Filter:   &seccomp.Filter{Insns: make([]seccomp.Insn, 272)},
			Warnings: []*fault.Error{fault.At("process.user.umask", "a warning")},
			Program: &program.Program{
				CloneFlags: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
				Steps: []program.Step{
					{Call: program.CallOpenat2, Args: []program.Arg{program.Int(5), program.Path("/proc"), program.Path("how"), program.Int(24)}, Result: target, Why: "open the mount point /proc", JSONPath: "mounts[0]", Phase: program.PhaseMounts, Fixups: []program.Fixup{
						{On: []unix.Errno{unix.ENOENT, unix.ENOTDIR}, Why: "make the missing mount point", Steps: []program.Step{mk}, Then: program.Retry},
						{On: []unix.Errno{unix.EPERM}, Why: "take another one", Then: program.Next},
					}},
					{Call: program.CallOpenat2, Args: mk.Args, Why: "look for it in a place whose name is too long for one line of the column", JSONPath: "mounts[0]", Phase: program.PhaseMounts, Harmless: []program.Harmless{{Errno: unix.ENOENT, Skip: 2}, {Errno: unix.EACCES, Skip: 2}, {Errno: unix.EEXIST}}},
					{Call: program.CallExpect, Args: []program.Arg{program.Ptr(stat), program.Int(15), program.Int(4), program.Int(8), program.Int(0)}, Why: "see that it is a directory", JSONPath: "mounts[0]", Phase: program.PhaseMounts, Harmless: []program.Harmless{{Errno: unix.ENOTDIR, Skip: 1}}},
					{Call: program.CallExpect, Args: []program.Arg{program.Int(0), program.Int(0), program.Int(1), program.Int(8), program.Int(0)}, Why: "search no further", JSONPath: "mounts[0]", Phase: program.PhaseMounts, Harmless: []program.Harmless{{Errno: unix.EAGAIN, Skip: 1}}},
					{Call: program.CallBarrier, Args: []program.Arg{program.Int(int(program.BarrierReady))}, Why: "tell the runtime that the container is created", Phase: program.PhaseStart},
					{Call: program.CallClose, Args: []program.Arg{program.From(target)}, Why: "close it", Phase: program.PhaseStart},
				},
			},
		},
	}
}

func TestExplainText(t *testing.T) {
	for name, p := range map[string]*page{
		"explain.txt":        {width: 120},
		"explain-fixups.txt": {width: 100, fixups: true},
		"explain-colour.txt": {width: 80, colour: true},
	} {
		out := p.explain(samplePlan())
		golden(t, name, out)
		if strings.Contains(string(out), "\x1b") != p.colour {
			t.Errorf("%s: colour is wrong", name)
		}
		if p.colour {
			continue
		}
		for _, l := range strings.Split(string(out), "\n") {
			if utf8.RuneCountInString(l) > p.width {
				t.Errorf("%s: wider than %d: %s", name, p.width, l)
			}
			if strings.TrimRight(l, " ") != l {
				t.Errorf("%s: blanks at the end: %q", name, l)
			}
		}
	}
}

func TestExplainJSON(t *testing.T) {
	out, err := explainJSON(samplePlan())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.json", out)
	var doc explainDoc
	d := json.NewDecoder(strings.NewReader(string(out)))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if h := doc.Steps[1].Harmless[0]; h.Errno != "ENOENT" || h.Next != 5 {
		t.Errorf("%+v: the step after it and two more", h)
	}
	if doc.Steps[4].Barrier != "ready" || doc.Steps[0].Fixups[0].Steps[0].Number != 0 {
		t.Errorf("%+v", doc.Steps)
	}
}

func TestExplainID(t *testing.T) {
	for _, c := range []struct{ arg, bundle, want string }{
		{"x", "/tmp/b", "x"}, {"", "/tmp/b", "b"}, {"", "/tmp/b/", "b"}, {"", "/", "container"}, {"", "/tmp/a b", "container"},
	} {
		var args []string
		if c.arg != "" {
			args = []string{c.arg}
		}
		if got, err := explainID(args, c.bundle); err != nil || got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
	if _, err := explainID([]string{"a/b"}, ""); err == nil {
		t.Error("a/b is no id")
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"short", 10, "short"},
		{"exactly10c", 10, "exactly10c"},
		{"two words more", 9, "two words/  more"},
		{"two words more", 10, "two words/  more"},
		{"unbreakable_word_here", 10, "unbreakable_word_here"},
		{"unbreakable_word_here then", 10, "unbreakable_word_here/  then"},
		{"AAAA|BBBB|CCCC|DDDD", 10, "AAAA|BBBB|/  CCCC|/  DDDD"},
		{"éééé éééé éééé", 9, "éééé éééé/  éééé"},
		{"", 10, ""},
	} {
		if got := strings.Join(wrap(c.text, c.n), "/"); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.n, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1536: "2 KiB", 10 << 20: "10 MiB", 3 << 30: "3072 MiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
