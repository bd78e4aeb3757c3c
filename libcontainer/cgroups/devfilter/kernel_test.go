package devfilter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/devicerules"
)

// enforcer puts rules in force in a cgroup.
type enforcer struct {
	dir   string
	fd    int // for a process to be born into; -1 for v1
	apply func(*testing.T, *Rules)
}

// v1 writes the rules as package cgroups does, and sees that the kernel shows them.
func v1(t *testing.T) enforcer {
	dir, _ := newCgroup(t, 1)
	if list := read(t, filepath.Dir(dir)+"/devices.list"); list != "a *:* rwm" {
		t.Skip("the top of the hierarchy does not allow all: " + list)
	}
	return enforcer{dir, -1, func(t *testing.T, r *Rules) {
		all, one := "devices.deny", "devices.allow"
		if r.Allow {
			all, one = one, all
		}
		write(t, dir+"/"+all, "a")
		var lines []string
		for i := range r.Exceptions {
			lines = append(lines, r.Exceptions[i].String())
			write(t, dir+"/"+one, lines[i])
		}
		if r.Allow {
			lines = []string{"a *:* rwm"}
		}
		if got := read(t, dir+"/devices.list"); got != strings.Join(lines, "\n") {
			t.Fatalf("devices.list has %q, want %q", got, lines)
		}
	}}
}

// v2 has the program attached, again and again to one cgroup.
func v2(t *testing.T) enforcer {
	dir, fd := newCgroup(t, 2)
	return enforcer{dir, fd, func(t *testing.T, r *Rules) {
		p := r.Compile()
		if err := p.Attach(fd); err != nil {
			t.Fatal(err)
		}
	}}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// inside starts a prober that has nodes and then is in the cgroup.
func (e *enforcer) inside(t *testing.T, nodes []node) *prober {
	t.Helper()
	p := newProber(t, e.fd)
	r := request{Nodes: nodes}
	if e.fd < 0 {
		r.Enter = e.dir + "/cgroup.procs"
	}
	p.ask(t, r)
	return p
}

// everyAttempt is everyTry as far as it can come to be: a node is made or used, never
// both at once. The kernel asks nobody about the number 0:0.
func everyAttempt() (nodes []node, tries []attempt) {
	everyTry(func(kind byte, major, minor int64, access Access) {
		n := node{kind, major, minor}
		if major|minor == 0 || access > Mknod && access&Mknod != 0 {
			return
		}
		if access == 0 {
			nodes = append(nodes, n)
		}
		tries = append(tries, attempt{n, access, false})
	})
	return nodes, tries
}

func bothKernels(t *testing.T, f func(t *testing.T, e enforcer)) {
	t.Run("v1", func(t *testing.T) { f(t, v1(t)) })
	t.Run("v2", func(t *testing.T) { f(t, v2(t)) })
}

// The kernel does with random rules what Allowed says, with the lists of v1 and with
// the program of v2.
func TestKernelOnRandomRules(t *testing.T) {
	bothKernels(t, func(t *testing.T, e enforcer) {
		nodes, tries := everyAttempt()
		p := e.inside(t, nodes)
		rnd := rand.New(rand.NewPCG(3, 4))
		for done := 0; done < 150; {
			rules := randomRules(rnd, 10)
			r, err := workOut(rules)
			if err != nil {
				continue
			}
			done++
			e.apply(t, r)
			compare(t, p, r, tries)
		}
	})
}

func randomRules(rnd *rand.Rand, most int) []specs.LinuxDeviceCgroup {
	data := make([]byte, 4*rnd.IntN(most))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return fromBytes(data)
}

func compare(t *testing.T, p *prober, r *Rules, tries []attempt) {
	t.Helper()
	answer := p.ask(t, request{Tries: tries})
	for i, a := range tries {
		allowed := r.Allowed(a.Kind, a.Major, a.Minor, a.Access)
		if want := map[bool]syscall.Errno{true: 0, false: unix.EPERM}[allowed]; answer[i] != want {
			t.Fatalf("%+v: %+v: the kernel says %v", r, a, answer[i])
		}
	}
}

// Where the kernel's lists need no order, rules written to v1 one by one, as they
// stand in the config, come to the same.
func TestKernelOnRulesAsTheyAre(t *testing.T) {
	e := v1(t)
	nodes, tries := everyAttempt()
	p := e.inside(t, nodes)
	rnd := rand.New(rand.NewPCG(5, 6))
	for done := 0; done < 100; {
		rules := randomRules(rnd, 7)
		r, ok := withoutOrder(rules)
		if !ok {
			continue
		}
		done++
		write(t, e.dir+"/devices.deny", "a")
		for i := range rules {
			write(t, e.dir+"/devices."+map[bool]string{true: "allow", false: "deny"}[rules[i].Allow], line(&rules[i]))
		}
		compare(t, p, r, tries)
	}
}

// withoutOrder works rules out, if there is none that takes from an exception for
// other devices than its own, and none of all types but of part of the devices.
func withoutOrder(rules []specs.LinuxDeviceCgroup) (r *Rules, ok bool) {
	r = &Rules{}
	for i := range rules {
		d := &rules[i]
		if d.Type == "a" || d.Type == "" {
			d.Type, d.Major, d.Minor, d.Access = "a", nil, nil, "rwm"
		}
		major, _ := number(d.Major, "")
		minor, _ := number(d.Minor, "")
		access, _ := parseAccess(d.Access, "")
		for _, e := range r.Exceptions {
			if d.Allow == r.Allow && d.Type == string(e.Type) && access&e.Access != 0 && (e.Major != major || e.Minor != minor) &&
				overlap(e.Major, major) && overlap(e.Minor, minor) {
				return nil, false
			}
		}
		if err := r.rule(d, i); err != nil {
			return nil, false
		}
	}
	return r, true
}

func line(d *specs.LinuxDeviceCgroup) string {
	e := Exception{Type: d.Type[0]}
	e.Major, _ = number(d.Major, "")
	e.Minor, _ = number(d.Minor, "")
	e.Access, _ = parseAccess(d.Access, "")
	return e.String()
}

// What the table says is so, when nodes are opened and made.
func TestKernelOnCases(t *testing.T) {
	bothKernels(t, func(t *testing.T, e enforcer) {
		var nodes []node
		for i := range devicerules.Cases {
			for _, a := range attempts(t, &devicerules.Cases[i]) {
				nodes = append(nodes, a.node)
			}
		}
		p := e.inside(t, nodes)
		for i := range devicerules.Cases {
			c := &devicerules.Cases[i]
			if c.Refused != "" {
				continue
			}
			r, err := New(c.Rules)
			if err != nil {
				t.Fatal(err)
			}
			e.apply(t, r)
			tries := attempts(t, c)
			for i, errno := range p.ask(t, request{Tries: tries}) {
				if denied, want := errno == unix.EPERM, i >= len(c.Allowed); denied != want || errno == unix.EACCES {
					t.Errorf("%s: %c %d:%d %d: %v", c.Name, tries[i].Kind, tries[i].Major, tries[i].Minor, tries[i].Access, errno)
				}
			}
		}
	})
}

func attempts(t *testing.T, c *devicerules.Case) (list []attempt) {
	t.Helper()
	for _, try := range slices.Concat(c.Allowed, c.Denied) {
		kind, major, minor, s := try.Parse()
		access, err := parseAccess(s, "")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, attempt{node{kind, major, minor}, access, true})
	}
	return list
}

// The script for containers says nothing where the table holds, and something where
// it does not.
func TestScript(t *testing.T) {
	work := t.TempDir()
	if err := (node{'c', 1, 3}).make(work + "/null"); err != nil {
		t.Skipf("no device node can be made: %v", err)
	}
	if _, err := os.ReadFile(work + "/null"); err != nil {
		t.Skipf("no device can be used in %s: %v", work, err)
	}
	bothKernels(t, func(t *testing.T, e enforcer) {
		script := func(c *devicerules.Case) string {
			text := c.Script()
			cmd := exec.Command("/bin/sh")
			if e.fd < 0 {
				text = "echo 0 >" + e.dir + "/cgroup.procs\n" + text
			} else {
				cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: e.fd}
			}
			cmd.Stdin, cmd.Dir = strings.NewReader(text), work
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v %s", c.Name, err, out)
			}
			return string(out)
		}
		for i := range devicerules.Cases {
			c := &devicerules.Cases[i]
			if c.Refused != "" {
				continue
			}
			r, err := New(c.Rules)
			if err != nil {
				t.Fatal(err)
			}
			e.apply(t, r)
			if out := script(c); out != "" {
				t.Errorf("%s:\n%s", c.Name, out)
			}
			wrong := devicerules.Case{Name: "wrong", Allowed: c.Denied, Denied: c.Allowed}
			if out := script(&wrong); strings.Count(out, "\n") != len(c.Allowed)+len(c.Denied) {
				t.Errorf("%s: of %d wrong ones %s", c.Name, len(c.Allowed)+len(c.Denied), out)
			}
		}
	})
}

// Who has no right to attach programs gets an error to go by.
func TestNotPermitted(t *testing.T) {
	dir, fd := newCgroup(t, 2)
	for _, attr := range []*syscall.SysProcAttr{
		{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
		{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		},
	} {
		cmd := again("attach")
		cmd.SysProcAttr = attr
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(must(unix.Dup(fd))), dir)}
		out, err := cmd.Output()
		cmd.ExtraFiles[0].Close()
		want := "true true cannot put the device rules in force: linux.resources.devices: bpf(BPF_PROG_QUERY, BPF_CGROUP_DEVICE): " +
			"device programs take CAP_SYS_ADMIN in the first user namespace: operation not permitted"
		if err != nil || string(out) != want {
			t.Errorf("%v %s", err, out)
		}
	}
}

func beUnprivileged() {
	p, err := Compile(nil)
	if err == nil {
		err = p.Attach(3)
	}
	fmt.Print(errors.Is(err, ErrNotPermitted), " ", errors.Is(err, unix.EPERM), " ", err)
}

func must(fd int, err error) int {
	if err != nil {
		panic(err)
	}
	return fd
}
