package security

import (
	"context"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// created makes a container that waits for start and returns its init's pid.
func created(t *testing.T, h *harness.Host, bundle string, flags ...string) (id string, pid int) {
	t.Helper()
	id = harness.ID(t)
	h.Must(append(append([]string{"create", "--bundle", bundle}, flags...), id)...)
	return id, h.State(id).Pid
}

// running makes a container whose process runs.
func running(t *testing.T, h *harness.Host, bundle string) (id string, pid int) {
	t.Helper()
	id, pid = created(t, h, bundle)
	h.Must("start", id)
	return id, pid
}

// reap waits for orphans that have ended; this process is their reaper. A pid
// namespace does not end before all in it are waited for.
func reap() {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			if err == unix.ECHILD {
				return
			}
		}
	}
}

func digest(t *testing.T, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// TestCVE_2019_5736_entry has images whose first program is the runtime's own
// executable, by a magic link or by the interpreter line of a script. Nothing of
// Berth's is run there or can be written.
func TestCVE_2019_5736_entry(t *testing.T) {
	h := attack(t)
	before := digest(t, h.Binary)
	script := func(p string) error { return os.WriteFile(p, []byte("#!/proc/self/exe\n"), 0o755) }
	for name, c := range map[string]struct {
		args []string
		with func(string) error
	}{
		"args":           {args: []string{"/proc/self/exe", "run"}},
		"args of a pid":  {args: []string{"/proc/1/exe"}},
		"script":         {args: []string{"/entry"}, with: script},
		"script in PATH": {args: []string{"entry"}, with: script},
		"link":           {args: []string{"/entry"}, with: symlinkTo("/proc/self/exe")},
		"task":           {args: []string{"/entry"}, with: symlinkTo("/proc/self/task/1/exe")},
		"descriptor":     {args: []string{"/proc/self/fd/3"}},
		"start FIFO":     {args: []string{"/proc/self/fd/4/../x"}},
	} {
		t.Run(name, func(t *testing.T) {
			bundle := harness.Bundle(t, harness.Args(c.args...), process(func(p *specs.Process) { p.Env = []string{"PATH=/"} }))
			if c.with != nil {
				replace(t, filepath.Join(bundle, "rootfs"), "entry", c.with)
			}
			for _, create := range []bool{false, true} {
				id := harness.ID(t)
				if !create {
					if res := bounded(t, h, 20*time.Second, "run", "--bundle", bundle, id); res.Code == 0 {
						t.Errorf("it ran: %s", res.Stdout)
					}
					continue
				}
				if res := bounded(t, h, 20*time.Second, "create", "--bundle", bundle, id); res.Code == 0 {
					_ = bounded(t, h, 20*time.Second, "start", id)
					h.Must("delete", "--force", id)
				}
			}
			if digest(t, h.Binary) != before {
				t.Fatal("the runtime was overwritten")
			}
		})
	}
}

// TestCVE_2019_5736_swapped turns the executable into a link to the magic one
// between create, which looked at it, and start.
func TestCVE_2019_5736_swapped(t *testing.T) {
	h := attack(t)
	before := digest(t, h.Binary)
	for _, target := range []string{"/proc/self/exe", "/proc/self/fd/3", "/proc/self/fd/4"} {
		bundle := harness.Bundle(t, harness.Args("/entry"))
		rootfs := filepath.Join(bundle, "rootfs")
		replace(t, rootfs, "entry", symlinkTo("/bin/busybox"))
		id, pid := created(t, h, bundle)
		replace(t, rootfs, "entry", symlinkTo(target))
		_ = bounded(t, h, 20*time.Second, "start", id)
		if !harness.Gone(pid) {
			t.Errorf("%s: the container lives on what it was not given", target)
		}
		h.Must("delete", "--force", id)
	}
	if digest(t, h.Binary) != before {
		t.Fatal("the runtime was overwritten")
	}
}

// TestCVE_2019_5736_neighbour has a container that shares the pid namespace of
// one that is created look at its init, and write where it can. It gets nothing
// but the sealed image, and not even that without the right to trace.
func TestCVE_2019_5736_neighbour(t *testing.T) {
	h := attack(t)
	before := digest(t, h.Binary)
	_, pid := created(t, h, harness.Bundle(t, harness.Args("/bin/sleep", "1000")))
	look := `for f in exe fd/3 fd/4 fd/5 mem; do (: > /proc/1/$f) 2> /tmp/e && echo opened $f for writing; done
for f in exe cwd root fd/0 fd/3; do readlink /proc/1/$f > /tmp/e && echo sees $f; done
cat /proc/1/environ /proc/1/maps 2> /tmp/e | grep -c . ; echo looked`
	res := bounded(t, h, 20*time.Second, "run", "--bundle",
		harness.Bundle(t, harness.Shell(look), harness.Namespace(specs.PIDNamespace, "/proc/"+strconv.Itoa(pid)+"/ns/pid")), harness.ID(t))
	if strings.TrimSpace(res.Stdout) != "0\nlooked" || res.Code != 0 {
		t.Errorf("the neighbour sees: %s%s", res.Stdout, res.Stderr)
	}
	if digest(t, h.Binary) != before {
		t.Fatal("the runtime was overwritten")
	}
}

// TestCreatedShowsNothing looks, as root of the host, at all that /proc shows of a
// created container: no path of Berth's binary, no descriptor of the host but
// the start FIFO and standard files, no environment of the caller.
func TestCreatedShowsNothing(t *testing.T) {
	for name, change := range map[string][]change{
		"plain": nil,
		"user":  {harness.UserNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			h := attack(t)
			h.Env = []string{"SECRET_OF_THE_CALLER=1"}
			bundle := harness.Bundle(t, change...)
			_, pid := created(t, h, bundle)
			proc := "/proc/" + strconv.Itoa(pid) + "/"
			exe, _ := os.Readlink(proc + "exe")
			if !strings.HasPrefix(exe, "/memfd:berth") {
				t.Errorf("exe is %s", exe)
			}
			if f, err := os.OpenFile(proc+"exe", os.O_WRONLY, 0); err == nil {
				if _, err := f.Write([]byte("x")); err == nil {
					t.Error("the image can be overwritten")
				}
				f.Close()
			}
			for _, f := range []string{"maps", "environ", "cmdline"} {
				b, err := os.ReadFile(proc + f)
				if err != nil {
					t.Error(err)
				}
				if s := string(b); strings.Contains(s, h.Binary) || strings.Contains(s, "SECRET") || strings.Contains(s, bundle) {
					t.Errorf("%s: %s", f, s)
				}
			}
			fds, err := os.ReadDir(proc + "fd")
			if err != nil {
				t.Fatal(err)
			}
			for _, fd := range fds {
				to, _ := os.Readlink(proc + "fd/" + fd.Name())
				n, _ := strconv.Atoi(fd.Name())
				if n > 2 && !strings.HasSuffix(to, "/exec.fifo") {
					t.Errorf("descriptor %d is %s", n, to)
				}
			}
			for _, link := range []string{"root", "cwd"} {
				var here, there unix.Stat_t
				if unix.Stat(proc+link, &there) != nil || unix.Stat(filepath.Join(bundle, "rootfs"), &here) != nil || here.Ino != there.Ino {
					t.Errorf("%s is not the container's root", link)
				}
			}
		})
	}
}

// TestStartFIFOHeldByNeighbour is about the start FIFO: who could open it through
// /proc would keep `start` waiting for ever, or tell it tales. A container in the
// same pid namespace, as root, tries while another is created and started.
func TestStartFIFOHeldByNeighbour(t *testing.T) {
	h := attack(t)
	_, infra := running(t, h, harness.Bundle(t, harness.Args("/bin/sleep", "1000")))
	ns := harness.Namespace(specs.PIDNamespace, "/proc/"+strconv.Itoa(infra)+"/ns/pid")
	evil := `while :; do for p in /proc/[0-9]*; do for n in 3 4 5; do
[ -p $p/fd/$n ] && exec 9<>$p/fd/$n && echo caught; done; done; done 2> /tmp/e`
	log := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	evilID := harness.ID(t)
	cmd := h.Command(ctx, "run", "--bundle", harness.Bundle(t, harness.Shell(evil), ns), evilID)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		// It must be gone before the namespace's first process can be.
		_ = cmd.Process.Signal(unix.SIGKILL)
		_ = cmd.Wait()
		h.Must("delete", "--force", evilID)
		reap()
	}()
	time.Sleep(50 * time.Millisecond)
	// Also one whose pid namespace is its own until the neighbour, joining it, comes.
	for _, change := range []change{ns, func(*specs.Spec) {}} {
		for range 5 {
			id, _ := created(t, h, harness.Bundle(t, change))
			time.Sleep(20 * time.Millisecond)
			if res := bounded(t, h, 20*time.Second, "start", id); res.Code != 0 {
				t.Errorf("start: %s", res.Stderr)
			}
			if res := bounded(t, h, 20*time.Second, "delete", "--force", id); res.Code != 0 {
				t.Errorf("delete: %s", res.Stderr)
			}
		}
	}
	if b, _ := os.ReadFile(log); strings.Contains(string(b), "caught") {
		t.Errorf("the neighbour opened a start FIFO: %s", b)
	}
}

// TestStartFIFOOfOwnNamespace is the same with a neighbour that joins the pid namespace
// of a created container, as members of a pod do.
func TestStartFIFOOfOwnNamespace(t *testing.T) {
	h := attack(t)
	id, pid := created(t, h, harness.Bundle(t, harness.Args("/bin/true")))
	evil := `for n in 3 4 5; do [ -p /proc/1/fd/$n ] && exec 9<>/proc/1/fd/$n && echo caught && sleep 1000; done 2> /tmp/e; echo none`
	bundle := harness.Bundle(t, harness.Shell(evil), harness.Namespace(specs.PIDNamespace, "/proc/"+strconv.Itoa(pid)+"/ns/pid"))
	res := bounded(t, h, 5*time.Second, "run", "--bundle", bundle, harness.ID(t))
	if res.Stdout != "none\n" {
		t.Errorf("the neighbour: %s%s", res.Stdout, res.Stderr)
	}
	if res := bounded(t, h, 10*time.Second, "start", id); res.Code != 0 {
		t.Errorf("start: %s", res.Stderr)
	}
}

// TestStopped stops and freezes the init of a created container: start waits, and
// delete --force ends both within a bound.
func TestStopped(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, id string, pid int){
		"SIGSTOP": func(t *testing.T, _ string, pid int) {
			if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		},
		"frozen": func(t *testing.T, id string, pid int) {
			harness.NeedControllers(t, "freezer")
			dir := harness.CgroupsOf(t, pid)["freezer"]
			if filepath.Base(dir) != id {
				t.Fatalf("in cgroup %s", dir)
			}
			harness.AskToFreeze(t, dir, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := attack(t)
			id, pid := created(t, h, harness.Bundle(t))
			stop(t, id, pid)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			start := h.Command(ctx, "start", id)
			if err := start.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			if s := h.State(id).Status; s != specs.StateCreated && s != "paused" {
				t.Errorf("status %s", s)
			}
			if res := bounded(t, h, 20*time.Second, "delete", "--force", id); res.Code != 0 {
				t.Errorf("delete: %s", res.Stderr)
			}
			// It may have taken the word to start in its last moment.
			if err := start.Wait(); ctx.Err() != nil {
				t.Errorf("start: %v", err)
			}
			h.NothingLeft(id)
		})
	}
}

// TestPtraceJoined has a process of the user and pid namespaces that a container
// joins attach to each process that appears. None of Berth's may be traced.
func TestPtraceJoined(t *testing.T) {
	harness.Need(t, "strace", "strace")
	nsenter := harness.Need(t, "nsenter", "util-linux")
	h := attack(t)
	_, infra := running(t, h, harness.Bundle(t, harness.Args("/bin/sleep", "1000"), harness.UserNamespace))
	ns := "/proc/" + strconv.Itoa(infra) + "/ns/"
	change := on(harness.Namespace(specs.PIDNamespace, ns+"pid"), func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: ns + "user"})
	})
	log := filepath.Join(t.TempDir(), "log")
	// A tracer with all capabilities in those namespaces.
	script := `while :; do for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n = 1 ] || [ $n = $$ ] && continue
case $(cat $p/comm 2>/dev/null) in *berth*) readlink $p/exe $p/root $p/fd/* && echo caught $n ;; esac; done; done`
	cmd := exec.Command(nsenter, "-t", strconv.Itoa(infra), "-U", "-p", "-m", "--preserve-credentials", "-S", "0", "-G", "0", "sh", "-c", script)
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout = f
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait(); reap() }()
	time.Sleep(50 * time.Millisecond)
	for range 15 {
		id, _ := created(t, h, harness.Bundle(t, change...))
		time.Sleep(10 * time.Millisecond)
		h.Must("delete", "--force", id)
	}
	if b, _ := os.ReadFile(log); len(b) > 0 {
		t.Errorf("the tracer saw: %s", b)
	}
}
