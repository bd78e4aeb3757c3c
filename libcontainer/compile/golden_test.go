package compile

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
	"berth/spec"
)

var update = flag.Bool("update", false, "write the golden programs anew")

// rootFacts is a host as root sees it: this is the same on every machine that
// runs the tests, so that golden programs are.
func rootFacts() *host.Facts {
	all := uint64(1)<<41 - 1
	return &host.Facts{
		Kernel: host.Version{Major: 6, Minor: 1}, PageSize: 4096, Permitted: all, Bounding: all, LastCap: 40,
		TimeNS: true, CgroupNS: true, UserNSAllowed: true, Seccomp: true, MemfdExec: true, AppArmor: true,
		Cgroup: host.Cgroup{Mode: host.Hybrid},
	}
}

// userFacts is the same host as an ordinary user sees it.
func userFacts() *host.Facts {
	f := rootFacts()
	f.EUID, f.EGID, f.Permitted = 1000, 1000, 0
	return f
}

func request(id string) *Request {
	dir := func(ctl string) CgroupDir {
		return CgroupDir{Controllers: strings.Split(ctl, ","), Mount: "/sys/fs/cgroup/" + ctl, Path: "/sys/fs/cgroup/" + ctl + "/" + id}
	}
	r := &Request{ID: id, Bundle: "/bundle", Rootfs: "/bundle/rootfs", StartFIFO: true}
	r.Cgroups = []CgroupDir{dir("memory"), dir("cpu,cpuacct"), dir("pids")}
	for _, d := range r.Cgroups {
		r.CgroupEntry = append(r.CgroupEntry, d.Path+"/tasks")
	}
	return r
}

// listing prints a program as golden files have it.
func listing(p *program.Program) string {
	var b strings.Builder
	phase := program.Phase(255)
	for i := range p.Steps {
		st := &p.Steps[i]
		if st.Phase != phase {
			phase = st.Phase
			b.WriteString("== " + phase.String() + "\n")
		}
		writeStep(&b, strconv.Itoa(i+1), st)
		for j := range st.Fixups {
			m := &st.Fixups[j]
			b.WriteString("      on ")
			for _, no := range m.On {
				b.WriteString(no.Error() + " ")
			}
			b.WriteString("-> " + m.Why + "\n")
			for k := range m.Steps {
				writeStep(&b, "        "+strconv.Itoa(k+1), &m.Steps[k])
			}
		}
	}
	return b.String()
}

func writeStep(b *strings.Builder, n string, st *program.Step) {
	b.WriteString(n + " " + st.Text())
	for _, h := range st.Harmless {
		b.WriteString(" [" + h.Errno.Error() + ": +" + strconv.Itoa(h.Skip) + "]")
	}
	b.WriteString(" # " + st.Why)
	if st.JSONPath != "" {
		b.WriteString(" <" + st.JSONPath + ">")
	}
	b.WriteByte('\n')
}

func load(t testing.TB, file string) *specs.Spec {
	t.Helper()
	s, _, _, err := spec.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(s).OrNil(); err != nil {
		t.Fatal(err)
	}
	return s
}

func compileFor(t testing.TB, s *specs.Spec, f *host.Facts, r *Request) *Result {
	t.Helper()
	p, err := Create(s, f, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestGolden compares whole programs: of the sample bundles, beside them, and of
// configs as engines wrote them.
func TestGolden(t *testing.T) {
	bundles := "../../bundles"
	configs := "../../spec/testdata/configs"
	for _, c := range []struct {
		name, config, golden string
		facts                *host.Facts
	}{
		{"busybox", bundles + "/busybox/config.json", bundles + "/busybox/program.golden", rootFacts()},
		{"limits", bundles + "/limits/config.json", bundles + "/limits/program.golden", rootFacts()},
		{"userns", bundles + "/userns/config.json", bundles + "/userns/program.golden", rootFacts()},
		{"userns-as-user", bundles + "/userns/config.json", "testdata/userns-as-user.golden", userFacts()},
		{"runc-default", "testdata/runc-default.json", "testdata/runc-default.golden", rootFacts()},
		{"docker-default", configs + "/docker-default.json", "testdata/docker-default.golden", rootFacts()},
		{"podman-pod-member", configs + "/podman-pod-member.json", "testdata/podman-pod-member.golden", rootFacts()},
		{"podman-userns", configs + "/podman-userns.json", "testdata/podman-userns.golden", rootFacts()},
		{"cri-privileged-rshared", configs + "/cri-privileged-rshared.json", "testdata/cri-privileged-rshared.golden", rootFacts()},
		{"ctr2-userns", configs + "/ctr2-userns.json", "testdata/ctr2-userns.golden", rootFacts()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := load(t, c.config)
			for i := range s.Mounts {
				s.Mounts[i].Options = without(s.Mounts[i].Options, "tmpcopyup")
			}
			got := listing(compileFor(t, s, c.facts, request("golden")).Program)
			if *update {
				if err := os.WriteFile(c.golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(c.golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the program has changed: look at it, then run go test -update\n%s", firstDifference(string(want), got))
			}
		})
	}
}

func without(list []string, word string) []string {
	var left []string
	for _, s := range list {
		if s != word {
			left = append(left, s)
		}
	}
	return left
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "want: " + w[i] + "\ngot:  " + g[i]
		}
	}
	return "one is longer: " + strconv.Itoa(len(w)) + " and " + strconv.Itoa(len(g)) + " lines"
}

// TestEngineConfigs compiles and verifies what engines wrote, all of it, as root
// and as an ordinary user, with and without a start FIFO.
func TestEngineConfigs(t *testing.T) {
	files, err := filepath.Glob("../../spec/testdata/configs/*.json")
	if err != nil || len(files) < 20 {
		t.Fatal("the configs are not there: ", err, len(files))
	}
	for _, file := range files {
		for _, f := range []*host.Facts{rootFacts(), userFacts()} {
			for _, startFIFO := range []bool{true, false} {
				s := load(t, file)
				for i := range s.Mounts {
					m := &s.Mounts[i]
					m.Options = without(without(without(m.Options, "tmpcopyup"), "idmap"), "ridmap")
					m.UIDMappings, m.GIDMappings = nil, nil
				}
				r := request("x")
				r.StartFIFO = startFIFO
				p, err := Create(s, f, r)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if err := p.Verify(); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if _, err := p.Image(false, 4096); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
		}
	}
}
