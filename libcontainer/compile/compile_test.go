package compile

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/spec"
)

func minimal() *specs.Spec {
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"},
		Linux:   &specs.Linux{},
	}
}

// TestAllNamespaceCombinations compiles all 3^8 ways to come by eight namespaces,
// as root and as a user, and checks of each program what must hold for it.
func TestAllNamespaceCombinations(t *testing.T) {
	for _, f := range []*host.Facts{rootFacts(), userFacts()} {
		for n := range 6561 {
			s := minimal()
			choice := n
			var fresh, joined uintptr
			for _, k := range nsKinds {
				switch choice % 3 {
				case 1:
					s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: k.typ})
					fresh |= k.flag
				case 2:
					s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: k.typ, Path: "/ns/" + k.word})
					joined |= k.flag
				}
				choice /= 3
			}
			if fresh&unix.CLONE_NEWUSER != 0 {
				s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
				s.Linux.GIDMappings = s.Linux.UIDMappings
			}
			p := compileFor(t, s, f, &Request{ID: "x", Rootfs: "/r", StartFIFO: n%2 == 0, CgroupEntry: []string{"/cg/tasks"}})
			checkNamespaces(t, s, p, fresh, joined)
			if t.Failed() {
				t.Fatalf("namespaces: %+v", s.Linux.Namespaces)
			}
		}
	}
}

// checkNamespaces sees that each new namespace is made exactly once, each joined
// one is joined once, and children-only ones are followed by the intermediate.
func checkNamespaces(t *testing.T, s *specs.Spec, p *Result, fresh, joined uintptr) {
	made, entered := p.CloneFlags, uintptr(0)
	intermediate, user, first := -1, -1, -1
	for i, st := range p.Steps {
		switch st.Call {
		case program.CallUnshare:
			flags := uintptr(st.Args[0].Number())
			if made&flags != 0 {
				t.Errorf("step %d makes a namespace again", i+1)
			}
			made |= flags
			if flags&unix.CLONE_NEWUSER != 0 {
				user = i
			} else if first < 0 {
				first = i
			}
		case program.CallSetns:
			flags := uintptr(st.Args[1].Number())
			if entered&flags != 0 {
				t.Errorf("step %d joins a namespace again", i+1)
			}
			entered |= flags
		case program.CallClone:
			intermediate = i
		}
	}
	if made != fresh {
		t.Errorf("made %#x, want %#x", made, fresh)
	}
	if entered != joined {
		t.Errorf("joined %#x, want %#x", entered, joined)
	}
	if fresh&unix.CLONE_NEWUSER != 0 && p.CloneFlags != 0 {
		t.Error("a namespace is made at birth and so does not belong to the user namespace")
	}
	if user >= 0 && first >= 0 && first < user {
		t.Error("a namespace is made before the user namespace")
	}
	children := (fresh|joined)&unix.CLONE_NEWTIME != 0 || joined&unix.CLONE_NEWPID != 0 ||
		fresh&unix.CLONE_NEWPID != 0 && p.CloneFlags&unix.CLONE_NEWPID == 0
	if children != (intermediate >= 0) || p.Intermediate != children {
		t.Errorf("intermediate: %v, want %v", intermediate >= 0, children)
	}
}

func TestMountOptions(t *testing.T) {
	const (
		ro, nosuid, noatime, strict = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_STRICTATIME
		atime                       = unix.MOUNT_ATTR__ATIME
	)
	for _, c := range []struct {
		options          string
		set, clr         uint64
		recSet, recClr   uint64
		data, super      string
		bind, rbind, rdo bool
	}{
		{options: "ro", set: ro, rdo: true},
		{options: "ro,rw", clr: ro},
		{options: "rw,ro", set: ro, rdo: true},
		{options: "nosuid,suid", clr: nosuid},
		{options: "noatime", set: noatime, clr: atime},
		{options: "noatime,relatime", set: noatime, clr: atime},
		{options: "strictatime,noatime,relatime", set: strict, clr: atime},
		{options: "noatime,relatime,atime", clr: atime},
		{options: "relatime,strictatime", set: strict, clr: atime},
		{options: "noatime,atime", clr: atime},
		{options: "norelatime"},
		{options: "noatime,norelatime", set: noatime, clr: atime},
		{options: "rro", recSet: ro},
		{options: "rro,rrw", recClr: ro},
		{options: "rnoatime,ro", set: ro, recSet: noatime, recClr: atime, rdo: true},
		{options: "bind", bind: true},
		{options: "rbind,rprivate", bind: true, rbind: true},
		{options: "size=64k,mode=755,ro", set: ro, data: "size=64k,mode=755", rdo: true},
		{options: "sync,dirsync,lazytime", super: "sync,dirsync,lazytime"},
		{options: "defaults,silent,loud"},
		// No recursive form, so these are the file system's own.
		{options: "rsize=4096,rdefaults", data: "rsize=4096,rdefaults"},
	} {
		o := parseOptions(strings.Split(c.options, ","))
		if o.set != c.set || o.clr != c.clr || o.recSet != c.recSet || o.recClr != c.recClr {
			t.Errorf("%s: set %#x clr %#x rec %#x %#x", c.options, o.set, o.clr, o.recSet, o.recClr)
		}
		if strings.Join(o.data, ",") != c.data || strings.Join(o.super, ",") != c.super || o.readonly != c.rdo {
			t.Errorf("%s: data %v super %v readonly %v", c.options, o.data, o.super, o.readonly)
		}
		if o.bind != c.bind || o.rbind != c.rbind {
			t.Errorf("%s: bind %v rbind %v", c.options, o.bind, o.rbind)
		}
	}
}

// TestKnownMountOptions holds the words that validation knows against those that
// mean something here: one that is missing would be handed to the file system.
func TestKnownMountOptions(t *testing.T) {
	known := spec.MountOptions()
	for _, word := range known {
		if o := parseOptions([]string{word}); len(o.data) > 0 {
			t.Errorf("%s is taken for data", word)
		}
	}
	for _, a := range attrOptions {
		for _, word := range []string{a.word, "r" + a.word} {
			if !slices.Contains(known, word) {
				t.Errorf("%s is unknown to validation", word)
			}
		}
	}
}

// steps lists the calls of a program by name.
func steps(p *Result, c program.Call) []*program.Step {
	var all []*program.Step
	for i := range p.Steps {
		if p.Steps[i].Call == c {
			all = append(all, &p.Steps[i])
		}
	}
	return all
}

func TestSearchPath(t *testing.T) {
	s := minimal()
	s.Process.Args = []string{"prog"}
	s.Process.Env = []string{"PATH=/nope", "A=b", "PATH=/a:relative::/b/:/c"}
	p := compileFor(t, s, rootFacts(), &Request{ID: "x", Rootfs: "/r"})
	var looked []string
	for _, st := range steps(p, program.CallOpenat2) {
		if path := st.Args[1].Data().Value(); strings.HasSuffix(path, "/prog") {
			looked = append(looked, path)
		}
	}
	if want := []string{"/a/prog", "/b/prog", "/c/prog"}; !slices.Equal(looked, want) {
		t.Errorf("looked for %v, want %v", looked, want)
	}
}

func TestEnvironment(t *testing.T) {
	c := newCompiler(minimal(), rootFacts(), &Request{})
	c.spec.Process.Env = []string{"A=1", "B=2", "A=3", "EMPTY="}
	d := c.environment()
	var got []string
	for _, r := range d.Refs {
		got = append(got, r.To.Value())
	}
	if want := []string{"A=3", "B=2", "EMPTY=", "HOME=/"}; !slices.Equal(got, want) {
		t.Errorf("environment %v, want %v", got, want)
	}
	if c.home == nil {
		t.Error("HOME has no place to be written to")
	}
	c.home, c.spec.Process.Env = nil, []string{"HOME=/x"}
	if c.environment(); c.home != nil {
		t.Error("HOME was set, and would be set again")
	}
}

func TestCapabilities(t *testing.T) {
	s := minimal()
	s.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding:    []string{"CAP_KILL", "CAP_CHOWN", "CAP_NEW_IDEA"},
		Permitted:   []string{"CAP_KILL"},
		Effective:   []string{"CAP_KILL", "CAP_CHOWN"},
		Inheritable: []string{"CAP_KILL", "CAP_SYSLOG"},
		Ambient:     []string{"CAP_KILL", "CAP_SYSLOG"},
	}
	f := rootFacts()
	f.Permitted &^= 1 << unix.CAP_SYSLOG
	c := newCompiler(s, f, &Request{})
	got := c.capabilities()
	want := capabilities{
		bounding: 1<<unix.CAP_KILL | 1<<unix.CAP_CHOWN, permitted: 1 << unix.CAP_KILL, effective: 1 << unix.CAP_KILL,
		inheritable: 1 << unix.CAP_KILL, ambient: 1 << unix.CAP_KILL,
	}
	if *got != want {
		t.Errorf("sets %+v, want %+v", *got, want)
	}
	if len(c.warn) == 0 || !strings.Contains(c.warn[0].Error(), "CAP_NEW_IDEA") {
		t.Errorf("warnings %v must name the unknown capability", c.warn)
	}
}

// TestRefusals is what can be known to be impossible before anything is run.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*specs.Spec, *host.Facts)
		want   string
	}{
		"mounts without a mount namespace": {func(s *specs.Spec, _ *host.Facts) {
			s.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc"}}
		}, "mounts need a mount namespace"},
		"time namespace": {func(s *specs.Spec, f *host.Facts) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.TimeNamespace}}
			f.TimeNS = false
		}, "time namespaces aren't enabled in the kernel"},
		"apparmor": {func(s *specs.Spec, f *host.Facts) {
			s.Process.ApparmorProfile = "x"
			f.AppArmor = false
		}, "apparmor is not enabled"},
		"selinux": {func(s *specs.Spec, _ *host.Facts) {
			s.Process.SelinuxLabel = "x"
		}, "selinux label is specified in config, but selinux is disabled or not supported"},
		"data on a bind": {func(s *specs.Spec, _ *host.Facts) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/y", Options: []string{"bind", "size=1"}}}
		}, "bind mounts cannot have any filesystem-specific options applied"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := minimal(), rootFacts()
			c.change(s, f)
			_, err := Create(s, f, &Request{ID: "x", Rootfs: "/r"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
