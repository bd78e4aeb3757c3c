package host

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGatherAgreesWithTheHost(t *testing.T) {
	f, err := Gather()
	if err != nil {
		t.Fatal(err)
	}
	if f.EUID != os.Geteuid() || f.EGID != os.Getegid() || f.PageSize != os.Getpagesize() {
		t.Errorf("ids or page size differ: %+v", f)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Skip("no cap_last_cap to compare with: ", err)
	}
	if n, _ := strconv.Atoi(strings.TrimSpace(string(last))); n != f.LastCap {
		t.Errorf("LastCap is %d, cap_last_cap says %d", f.LastCap, n)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		n, _ := strconv.ParseUint(v, 16, 64)
		if k == "CapPrm" && n != f.Permitted || k == "CapBnd" && n != f.Bounding {
			t.Errorf("%s is %x; Permitted %x, Bounding %x", k, n, f.Permitted, f.Bounding)
		}
	}
	for _, h := range f.Cgroup.Hierarchies {
		if _, err := os.Stat(h.Mount + h.Own + "/cgroup.procs"); err != nil {
			t.Errorf("the own cgroup of %v is not there: %v", h.Controllers, err)
		}
	}
}

// What is found in the conventional places has to be what mountinfo says.
func TestLayoutAgreesWithMountinfo(t *testing.T) {
	procCgroup := read("/proc/self/cgroup")
	quick := layout(procCgroup, kernelView)
	if len(quick.Hierarchies) == 0 {
		t.Skip("no cgroup hierarchy is mounted")
	}
	slow := kernelView
	slow.magic = func(path string) int64 {
		if strings.HasPrefix(path, base+"/") && path != base+"/unified" {
			return 0
		}
		return magic(path)
	}
	if got := layout(procCgroup, slow); !reflect.DeepEqual(got, quick) {
		t.Errorf("by mountinfo\n%+v\nby convention\n%+v", got, quick)
	}
}

func TestCheckKernel(t *testing.T) {
	for release, want := range map[string]string{
		"6.18.44-fc":        "",
		"5.14.0-362.el9":    "",
		"5.14-rc1":          "",
		"7.0":               "",
		"5.13.19":           "Linux 5.14 or later is needed, and this is 5.13.19",
		"4.18.0-513.el8":    "Linux 5.14 or later is needed, and this is 4.18.0-513.el8",
		"next":              `cannot understand the kernel's version "next"`,
		"6":                 `cannot understand the kernel's version "6"`,
		"99999999999999.1.": `cannot understand the kernel's version "99999999999999.1."`,
	} {
		_, err := checkKernel(release)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if release == "99999999999999.1." && strconv.IntSize == 64 {
			want = ""
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", release, got, want)
		}
	}
}

func TestInUserNS(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n": false,
		"":                                   false,
		"         0       1000          1\n": true,
		"         0          0      65536\n": true,
		"         0       1000          1\n         1     100000      65536\n": true,
		"         0          0          1\n         1          1 4294967294\n": true,
	} {
		if got := inUserNS([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestBounding(t *testing.T) {
	set, last := bounding(func(n int) (int, error) {
		if n > 40 {
			return -1, errors.New("invalid")
		}
		return n % 2, nil
	})
	if last != 40 || set != 0xaaaaaaaaaa {
		t.Errorf("set %x, last %d", set, last)
	}
}

func TestMemfdExec(t *testing.T) {
	for text, want := range map[string]bool{"": true, "0\n": true, "1\n": true, "2\n": false} {
		if got := memfdExec([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// made is a made-up host: what is mounted where, and what files hold.
type made struct {
	v1, v2 []string
	files  map[string]string
	reads  []string
}

func (m *made) view() view {
	return view{
		magic: func(path string) int64 {
			for _, p := range m.v1 {
				if p == path {
					return unix.CGROUP_SUPER_MAGIC
				}
			}
			for _, p := range m.v2 {
				if p == path {
					return unix.CGROUP2_SUPER_MAGIC
				}
			}
			return unix.TMPFS_MAGIC
		},
		exists: func(path string) bool { _, ok := m.files[path]; return ok },
		read: func(path string) []byte {
			m.reads = append(m.reads, path)
			return []byte(m.files[path])
		},
	}
}

func h(mount, own string, controllers ...string) Hierarchy {
	return Hierarchy{Mount: mount, Own: own, Controllers: controllers}
}

func h2(mount, own string, controllers ...string) Hierarchy {
	return Hierarchy{Mount: mount, Own: own, Controllers: controllers, V2: true}
}

var layouts = []struct {
	name   string
	proc   string
	host   made
	want   Cgroup
	lookup bool // mountinfo is read
}{
	{
		name: "nothing mounted", proc: "0::/\n",
		want: Cgroup{Mode: NoCgroup},
	},
	{
		name: "v2 alone", proc: "0::/user.slice/user-0.slice/session-1.scope\n",
		host: made{
			v2: []string{base},
			files: map[string]string{
				base + "/user.slice/user-0.slice/session-1.scope": "",
				base + "/cgroup.controllers":                      "cpuset cpu io memory hugetlb pids rdma misc\n",
			},
		},
		want: Cgroup{Unified, []Hierarchy{h2(base, "/user.slice/user-0.slice/session-1.scope",
			"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")}},
	},
	{
		name: "v2 with a leftover named hierarchy", proc: "1:name=systemd:/\n0::/\n",
		host: made{v2: []string{base}},
		want: Cgroup{Unified, []Hierarchy{h2(base, "/")}},
	},
	{
		name: "hybrid, each controller by itself",
		proc: "4:memory:/job/0feb\n3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n",
		host: made{
			v1:    []string{base + "/memory", base + "/cpuset", base + "/cpuacct", base + "/cpu"},
			v2:    []string{base + "/unified"},
			files: map[string]string{base + "/memory/job/0feb": "", base + "/unified/cgroup.controllers": "hugetlb\n"},
		},
		want: Cgroup{Hybrid, []Hierarchy{
			h(base+"/memory", "/job/0feb", "memory"), h(base+"/cpuset", "/", "cpuset"),
			h(base+"/cpuacct", "/", "cpuacct"), h(base+"/cpu", "/", "cpu"), h2(base+"/unified", "/", "hugetlb"),
		}},
	},
	{
		name: "systemd's hybrid, co-mounted",
		proc: "12:cpu,cpuacct:/user.slice\n5:net_cls,net_prio:/\n1:name=systemd:/user.slice/a:b.scope\n0::/user.slice/a:b.scope\n",
		host: made{
			v1: []string{base + "/cpu,cpuacct", base + "/cpu", base + "/net_cls,net_prio", base + "/systemd"},
			v2: []string{base + "/unified"},
			files: map[string]string{
				base + "/cpu,cpuacct/user.slice": "", base + "/systemd/user.slice/a:b.scope": "",
				base + "/unified/user.slice/a:b.scope": "",
			},
		},
		want: Cgroup{Hybrid, []Hierarchy{
			h(base+"/cpu,cpuacct", "/user.slice", "cpu", "cpuacct"), h(base+"/net_cls,net_prio", "/", "net_cls", "net_prio"),
			h(base+"/systemd", "/user.slice/a:b.scope", "name=systemd"), h2(base+"/unified", "/user.slice/a:b.scope"),
		}},
	},
	{
		name: "co-mounted, the directory named in another order, v1 alone",
		proc: "3:cpuacct,cpu:/\n0::/\n",
		host: made{v1: []string{base + "/cpu,cpuacct", base + "/cpu"}},
		want: Cgroup{Legacy, []Hierarchy{h(base+"/cpu", "/", "cpuacct", "cpu")}},
	},
	{
		name: "in a container without a cgroup namespace",
		proc: "4:memory:/docker/abc\n3:pids:/docker/abc/sub\n",
		host: made{
			v1: []string{base + "/memory", base + "/pids"},
			files: map[string]string{"/proc/self/mountinfo": "" +
				"60 50 0:30 / / rw - overlay overlay rw\n" +
				"61 60 0:28 /docker/ab /elsewhere rw - cgroup cgroup rw,memory\n" +
				"62 60 0:28 /docker/abc /sys/fs/cgroup/memory ro,nosuid shared:9 - cgroup cgroup rw,memory\n" +
				"63 60 0:29 /docker/abc /sys/fs/cgroup/pids ro,nosuid master:1 - cgroup cgroup rw,pids\n"},
		},
		want: Cgroup{Legacy, []Hierarchy{
			h(base+"/memory", "/", "memory"), h(base+"/pids", "/sub", "pids"),
		}},
		lookup: true,
	},
	{
		name: "unconventional places, and one hierarchy mounted nowhere",
		proc: "4:memory:/a\n3:pids:/\n2:cpu,cpuacct:/\n",
		host: made{files: map[string]string{"/proc/self/mountinfo": "" +
			"61 60 0:28 / /cg\\040roup/mem rw - cgroup none rw,memory\n" +
			"62 60 0:28 / /cgroup/cpu rw - cgroup none rw,cpuacct,cpu\n"}},
		want: Cgroup{Legacy, []Hierarchy{
			h("/cg roup/mem", "/a", "memory"), h("/cgroup/cpu", "/", "cpu", "cpuacct"),
		}},
		lookup: true,
	},
}

func TestLayout(t *testing.T) {
	for _, tt := range layouts {
		t.Run(tt.name, func(t *testing.T) {
			got := layout([]byte(tt.proc), tt.host.view())
			for i := range got.Hierarchies {
				if len(got.Hierarchies[i].Controllers) == 0 {
					got.Hierarchies[i].Controllers = nil
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			looked := strings.Contains(strings.Join(tt.host.reads, " "), "mountinfo")
			if looked != tt.lookup {
				t.Errorf("mountinfo read: %v", looked)
			}
		})
	}
}

func FuzzLayout(f *testing.F) {
	for _, l := range layouts {
		f.Add([]byte(l.proc), []byte(l.host.files["/proc/self/mountinfo"]))
	}
	f.Fuzz(func(t *testing.T, proc, mountinfo []byte) {
		m := made{files: map[string]string{"/proc/self/mountinfo": string(mountinfo)}}
		for _, h := range layout(proc, m.view()).Hierarchies {
			if h.Mount == "" || !strings.HasPrefix(h.Own, "/") {
				t.Errorf("a hierarchy without mount or own path: %+v", h)
			}
		}
		if !bytes.Contains(mountinfo, []byte("cgroup")) && len(layout(proc, m.view()).Hierarchies) > 0 {
			t.Error("found what is not mounted")
		}
	})
}

func BenchmarkGather(b *testing.B) {
	for b.Loop() {
		if _, err := Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
