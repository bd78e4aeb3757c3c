package libcontainer

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/compile"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// noBarriers is a runtime that has nothing to do while the child is made.
type noBarriers struct{}

func (noBarriers) Barrier(_ *program.Machine, b program.Barrier, _ uint64) error {
	if b == program.BarrierBorn {
		return nil
	}
	return fault.New("unexpected barrier " + b.String())
}

// inNamespaces starts a process in new namespaces and returns its pid.
func inNamespaces(t *testing.T, flags ...string) int {
	t.Helper()
	cmd := exec.Command("unshare", append(flags, "--fork", "--kill-child", "sleep", "1000")...)
	if err := cmd.Start(); err != nil {
		t.Skip("needs unshare(1): ", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	children := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children"
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(children)
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); err == nil && string(comm) == "sleep\n" {
			return pid
		}
	}
	t.Fatal("no process in new namespaces")
	return 0
}

// enter runs a process in the namespaces of pid and returns what it printed.
func enter(t *testing.T, pid int, r *compile.EnterRequest) (string, error) {
	t.Helper()
	f, err := host.Gather()
	if err != nil {
		t.Fatal(err)
	}
	p, err := compile.Enter(f, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	img, err := p.Image(false, f.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	image, err := program.Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(image)
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	root, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	fds := make([]int, len(p.Descriptors))
	for i, d := range p.Descriptors {
		switch d.Kind {
		case program.FDStdio:
			fds[i] = int(in.Fd())
		case program.FDPidFD:
			fds[i] = pidfd
		case program.FDDirectory:
			fds[i] = root
		}
	}
	m, err := p.Start(image, fds, -1)
	in.Close()
	if err != nil {
		return "", err
	}
	defer m.Close()
	defer m.Kill()
	if err := m.Run(noBarriers{}, program.BarrierReady); err != nil {
		return "", err
	}
	if err := m.Release(); err != nil {
		return "", err
	}
	if err := m.Run(noBarriers{}, 0); err != nil {
		return "", err
	}
	b, err := io.ReadAll(out)
	return string(b), err
}

var nsFiles = map[string]uintptr{
	"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
	"cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME, "user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS,
}

// The program of a process that joins is run for real: it is in each namespace of
// the one that it joins, and is what its config says.
func TestEnterNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for name, flags := range map[string][]string{
		"all but user": {"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--time", "--mount-proc"},
		"user too":     {"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--time", "--mount-proc", "--user", "--map-root-user"},
		"mount alone":  {"--mount"},
		"no mount":     {"--uts", "--pid"},
		"none":         {},
	} {
		t.Run(name, func(t *testing.T) {
			pid := inNamespaces(t, flags...)
			var set uintptr
			want := map[string]string{}
			for file, flag := range nsFiles {
				theirs, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + file)
				if err != nil {
					t.Fatal(err)
				}
				if ours, _ := os.Readlink("/proc/self/ns/" + file); ours != theirs {
					set |= flag
				}
				want[file] = theirs
			}
			proc := &specs.Process{
				Args: []string{"sh", "-c", "for f in ipc uts net pid cgroup time user mnt; do echo $f $(readlink /proc/self/ns/$f); done; pwd; umask; echo $A; grep CapBnd /proc/self/status"},
				Env:  []string{"PATH=/usr/bin:/bin", "A=b"}, Cwd: "/tmp",
				Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
			}
			out, err := enter(t, pid, &compile.EnterRequest{ID: "x", Process: proc, Namespaces: set, NoNewKeyring: true})
			if err != nil {
				t.Fatal(err)
			}
			for file, ns := range want {
				if !strings.Contains(out, file+" "+ns+"\n") && name != "no mount" { // there /proc is the host's, of another pid namespace
					t.Errorf("%s is not %s in\n%s", file, ns, out)
				}
			}
			if !strings.HasSuffix(out, "\n/tmp\n0022\nb\nCapBnd:\t0000000000000020\n") && name != "no mount" {
				t.Errorf("the process is another one:\n%s", out)
			}
		})
	}
}

// What goes wrong in a process that joins is said with the step and where its
// property stands.
func TestEnterFails(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	pid := inNamespaces(t, "--mount", "--pid", "--mount-proc")
	set := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWPID)
	for want, proc := range map[string]*specs.Process{
		`"nosuch": executable file not found in $PATH: args[0]`: {Args: []string{"nosuch"}, Env: []string{"PATH=/usr/bin"}, Cwd: "/"},
		`set in config.json failed`:                             {Args: []string{"/bin/sh"}, Cwd: "/nosuch"},
	} {
		_, err := enter(t, pid, &compile.EnterRequest{ID: "x", Process: proc, Namespaces: set, NoNewKeyring: true})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
