package security

import (
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/spec"
	"berth/tests/harness"
)

// mutantFacts is a host as root or an ordinary user sees it, the same on every
// machine: so are the programs, and what their mutants come to.
func mutantFacts(root bool) *host.Facts {
	all := uint64(1)<<41 - 1
	f := &host.Facts{
		Kernel: host.Version{Major: 6, Minor: 1}, PageSize: 4096, Permitted: all, Bounding: all, LastCap: 40, TimeNS: true, CgroupNS: true,
		UserNSAllowed: true, Seccomp: true, MemfdExec: true, AppArmor: true, SELinux: true, Cgroup: host.Cgroup{Mode: host.Hybrid}, IgnoredSignals: 3, BlockedSignals: 4,
	}
	if !root {
		f.EUID, f.EGID, f.Permitted = 1000, 1000, 0
	}
	return f
}

func mutantRequest() *compile.Request {
	r := &compile.Request{ID: "mutant", Bundle: "/bundle", Rootfs: "/bundle/rootfs", StartFIFO: true}
	for _, ctl := range []string{"memory", "cpu,cpuacct", "pids"} {
		dir := "/sys/fs/cgroup/" + ctl + "/mutant"
		r.Cgroups = append(r.Cgroups, compile.CgroupDir{Controllers: strings.Split(ctl, ","), Mount: "/sys/fs/cgroup/" + ctl, Path: dir})
		r.CgroupEntry = append(r.CgroupEntry, dir+"/tasks")
	}
	return r
}

// mutantPrograms are the programs that are spoilt: the sample bundles', configs as
// engines wrote them, and some that have what those lack.
func mutantPrograms(t *testing.T) map[string]*program.Program {
	t.Helper()
	list := make(map[string]*program.Program)
	create := func(name string, s *specs.Spec, root bool, change func(*compile.Request)) {
		r := mutantRequest()
		if change != nil {
			change(r)
		}
		p, err := compile.Create(s, mutantFacts(root), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list[name] = p.Program
	}
	bundles := "../../bundles/"
	configs := "../../spec/testdata/configs/"
	for name, file := range map[string]string{
		"busybox": bundles + "busybox/config.json", "limits": bundles + "limits/config.json", "userns": bundles + "userns/config.json",
		"docker-default": configs + "docker-default.json", "podman-pod-member": configs + "podman-pod-member.json",
		"cri-privileged-rshared": configs + "cri-privileged-rshared.json", "ctr2-userns": configs + "ctr2-userns.json",
	} {
		s, _, _, err := spec.Load(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		create(name, s, true, nil)
	}
	s, _, _, err := spec.Load(bundles + "userns/config.json")
	if err != nil {
		t.Fatal(err)
	}
	create("userns-as-user", s, false, nil)
	create("terminal", changed(process(func(p *specs.Process) {
		p.Terminal, p.ApparmorProfile, p.ConsoleSize = true, "x", &specs.Box{Height: 24, Width: 80}
		n := -5
		p.OOMScoreAdj = &n
	}), func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	}), true, nil)
	create("no-pivot", changed(), true, func(r *compile.Request) { r.NoPivot, r.PreserveFDs = true, 2 })
	create("no-mount-namespace", changed(func(s *specs.Spec) {
		s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Hostname = nil, nil, nil, ""
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.TimeNamespace}}
	}), true, nil)
	p := changed().Process
	entered, err := compile.Enter(mutantFacts(true), &compile.EnterRequest{
		ID: "mutant", Process: p, Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS, CgroupEntry: mutantRequest().CgroupEntry,
	})
	if err != nil {
		t.Fatal(err)
	}
	list["enter"] = entered.Program
	return list
}

func changed(change ...change) *specs.Spec {
	s := harness.Default()
	for _, c := range change {
		c(s)
	}
	return s
}

// shape is what makes one step like another, for Verify: how often the same is spoilt
// in one program is bounded.
func shape(st *program.Step) string {
	var b strings.Builder
	b.WriteString(st.Phase.String() + " " + callName(st))
	for _, a := range st.Args {
		switch {
		case a.Slot() != nil:
			b.WriteString(" " + a.Slot().Name)
		case a.Data() != nil:
			b.WriteString(" data")
		default:
			b.WriteString(" number")
		}
	}
	return b.String() + " " + strconv.Itoa(len(st.Fixups))
}

const maxAlike = 1

// TestMutants spoils real programs in all ways that the kernel's rules suggest, and
// not by the list of what is refused: each argument of each step becomes another
// constant, slot, path, or has a bit flipped; each step is dropped, doubled, swapped,
// allowed to fail. What Verify lets pass must be argued for in harmless, with the
// reason why it does no harm; what is argued for must be there.
func TestMutants(t *testing.T) {
	survivors := make(map[string][]string)
	made, refused, argued := 0, 0, 0
	try := func(p *program.Program, name, at string, m mutation) {
		made++
		m.apply()
		err := p.Verify()
		m.undo()
		if err != nil {
			refused++
			return
		}
		argued++
		k := m.key()
		if len(survivors[k]) < 6 {
			survivors[k] = append(survivors[k], name+" "+at+" "+m.detail)
		} else {
			survivors[k][5] = "..."
		}
	}
	done := make(map[string]int)
	programs := mutantPrograms(t)
	names := make([]string, 0, len(programs))
	for name := range programs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p := programs[name]
		if err := p.Verify(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slots := slotsOf(p)
		for _, m := range programMutations(p) {
			try(p, name, "", m)
		}
		for i := range p.Steps {
			at := p.Steps[i].Text()
			// What a step does as a whole hangs on where it stands: in each program.
			kind := shape(&p.Steps[i])
			if done[name+kind]++; done[name+kind] > maxAlike {
				continue
			}
			for _, m := range stepMutations(p, i) {
				try(p, name, at, m)
			}
			if done[kind]++; done[kind] > maxAlike {
				continue
			}
			for n := range p.Steps[i].Args {
				for _, m := range argMutations(&p.Steps[i], n, slots) {
					try(p, name, at, m)
				}
			}
			for j := range p.Steps[i].Fixups {
				for k := range p.Steps[i].Fixups[j].Steps {
					st := &p.Steps[i].Fixups[j].Steps[k]
					if done["fixup "+shape(st)]++; done["fixup "+shape(st)] > maxAlike {
						continue
					}
					for n := range st.Args {
						for _, m := range argMutations(st, n, slots) {
							try(p, name, "fixup: "+st.Text(), m)
						}
					}
				}
			}
		}
		if err := p.Verify(); err != nil {
			t.Fatalf("%s: what was spoilt was not undone: %v", name, err)
		}
	}
	t.Logf("%d programs, %d mutants made, %d refused, %d pass and are argued in %d groups", len(programs), made, refused, argued, len(survivors))
	for k, list := range survivors {
		if harmless[k] == "" {
			t.Errorf("%s: passes, and nobody says why that does no harm:\n\t%s", k, strings.Join(list, "\n\t"))
		}
	}
	for k := range harmless {
		if survivors[k] == nil {
			t.Errorf("%s: argued for, but nothing of the kind passes", k)
		}
	}
}
