package devfilter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A prober is a process in a cgroup, which says what the kernel lets it do there. It has
// the nodes of devices from before it entered.
type prober struct {
	in  *json.Encoder
	out *json.Decoder
}

// request has the prober make nodes, enter a cgroup of v1, or try.
type request struct {
	Nodes []node
	Enter string
	Tries []attempt
}

type node struct {
	Kind         byte
	Major, Minor int64
}

// attempt is one try. To open a node is what counts, to ask access(2) comes to the same
// check in the kernel and bothers no driver.
type attempt struct {
	node
	Access Access
	Open   bool
}

func TestMain(m *testing.M) {
	switch os.Getenv("BERTH_DEVFILTER") {
	case "prober":
		beProber()
	case "attach":
		beUnprivileged()
	default:
		os.Exit(m.Run())
	}
}

func again(mode string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "BERTH_DEVFILTER="+mode)
	cmd.Stderr = os.Stderr
	return cmd
}

// newProber starts one, in the cgroup that fd is open on if it is not negative.
func newProber(t *testing.T, fd int) *prober {
	t.Helper()
	cmd := again("prober")
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: fd >= 0, CgroupFD: fd, Unshareflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &prober{json.NewEncoder(in), json.NewDecoder(out)}
}

// ask returns the errno of each try, 0 where it worked.
func (p *prober) ask(t *testing.T, r request) (answer []syscall.Errno) {
	t.Helper()
	if err := p.in.Encode(r); err != nil {
		t.Fatal(err)
	}
	if err := p.out.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func beProber() {
	runtime.LockOSThread()
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "prober:", err)
			os.Exit(1)
		}
	}
	// A tmpfs of its own: the one of the test may be nodev.
	dir, err := os.Getwd()
	must(err)
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("devices", dir, "tmpfs", 0, ""))
	must(os.Chdir(dir))
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		if in.Decode(&r) != nil {
			os.Exit(0)
		}
		for _, n := range r.Nodes {
			if err := n.make(n.name()); err != unix.EEXIST {
				must(err)
			}
		}
		if r.Enter != "" {
			must(os.WriteFile(r.Enter, []byte("0"), 0))
		}
		answer := make([]syscall.Errno, 0, len(r.Tries))
		for _, a := range r.Tries {
			var errno syscall.Errno
			if err := a.try(); err != nil && !errors.As(err, &errno) {
				must(err)
			}
			answer = append(answer, errno)
		}
		must(out.Encode(answer))
	}
}

func (n node) name() string { return fmt.Sprintf("%c-%d-%d", n.Kind, n.Major, n.Minor) }

func (n node) make(name string) error {
	mode := uint32(unix.S_IFCHR)
	if n.Kind == 'b' {
		mode = unix.S_IFBLK
	}
	return unix.Mknod(name, mode|0o666, int(unix.Mkdev(uint32(n.Major), uint32(n.Minor))))
}

func (a attempt) try() error {
	if a.Access == Mknod {
		err := a.make("new")
		if err == nil {
			err = unix.Unlink("new")
		}
		return err
	}
	if !a.Open {
		mode := map[Access]uint32{0: unix.F_OK, Read: unix.R_OK, Write: unix.W_OK, Read | Write: unix.R_OK | unix.W_OK}[a.Access]
		return unix.Faccessat(unix.AT_FDCWD, a.name(), mode, 0)
	}
	mode := map[Access]int{Read: unix.O_RDONLY, Write: unix.O_WRONLY, Read | Write: unix.O_RDWR}[a.Access]
	fd, err := unix.Open(a.name(), mode|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// newCgroup makes a cgroup that is gone when the test ends, v1's of devices or a v2 one.
func newCgroup(t testing.TB, version int) (dir string, fd int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	var magic int64
	var mounts []string
	switch version {
	case 1:
		magic, mounts = unix.CGROUP_SUPER_MAGIC, []string{"/sys/fs/cgroup/devices"}
	case 2:
		magic, mounts = unix.CGROUP2_SUPER_MAGIC, []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}
	}
	for _, m := range mounts {
		var st unix.Statfs_t
		if unix.Statfs(m, &st) != nil || int64(st.Type) != magic {
			continue
		}
		dir = filepath.Join(m, fmt.Sprintf("berth-devfilter-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("no cgroup can be made: %v", err)
		}
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			unix.Close(fd)
			until(t, dir+" can be removed", func() bool { return os.IsNotExist(os.Remove(dir)) })
		})
		return dir, fd
	}
	t.Skipf("no cgroup v%d hierarchy that could have device rules", version)
	return "", -1
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("timed out: " + what)
		}
	}
}
