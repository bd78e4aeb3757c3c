package engines

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

const (
	// patience bounds every command.
	patience = time.Minute
	// settle bounds the wait for what goes by itself: monitors and shims whose
	// container is gone, mounts that end with a namespace.
	settle = 10 * time.Second
)

// reaper waits for all children of this process: as the subreaper (harness.Main) it
// gets conmon, shims and whatever else an engine leaves to init. A monitor that stays a
// zombie looks alive to its engine.
type reaper struct {
	mu  sync.Mutex
	own map[int]bool // commands, which are waited for by who started them
}

var children = &reaper{own: map[int]bool{}}

// start starts a command that its caller waits for.
func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := cmd.Start()
	if err == nil {
		r.own[cmd.Process.Pid] = true
	}
	return err
}

// wait waits for a command that start has started.
func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.own, cmd.Process.Pid)
	return err
}

// reap takes what has ended and is nobody's, until the test ends.
func (r *reaper) reap(t *testing.T) {
	done, ended := make(chan bool), make(chan bool)
	t.Cleanup(func() { close(done); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				r.reapAll()
			}
		}
	}()
}

func (r *reaper) reapAll() {
	for {
		r.mu.Lock()
		pid := endedChild()
		own := r.own[pid]
		if pid > 0 && !own {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		r.mu.Unlock()
		if pid == 0 {
			return
		}
		if own {
			return // who started it takes it, then the next come
		}
	}
}

// endedChild is a child that has ended and was not waited for, or 0. On 64 bits si_pid
// stands behind three ints and a gap (siginfo_t).
func endedChild() int {
	var info unix.Siginfo
	if unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != nil {
		return 0
	}
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
}

// living lists the children of this process that are no commands of its own.
func (r *reaper) living() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for word := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil && !r.own[pid] {
				all = append(all, pid)
			}
		}
	}
	return all
}

func cmdline(pid int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
}

// result is what a command came to.
type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return "exit code " + strconv.Itoa(r.code) + "\n" + r.out + r.err
}

// command is a program to run, with all that it needs.
type command struct {
	args  []string
	env   []string
	dir   string
	stdin string
}

func (c command) cmd() *exec.Cmd {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env, cmd.Dir = c.env, c.dir
	if c.stdin != "" {
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	return cmd
}

// run goes through files and not pipes, which monitors and shims would hold open.
func (c command) run(t testing.TB) result {
	t.Helper()
	files := [2]*os.File{}
	for i := range files {
		f, err := os.CreateTemp("", "be-out-")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer os.Remove(f.Name())
		files[i] = f
	}
	cmd := c.cmd()
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if err := children.start(cmd); err != nil {
		t.Fatalf("%v: %v", c.args, err)
	}
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := children.wait(cmd)
	read := func(f *os.File) string {
		b, _ := os.ReadFile(f.Name())
		return string(b)
	}
	res := result{out: read(files[0]), err: read(files[1]), code: exitCode(cmd, err)}
	if !hung.Stop() {
		t.Fatalf("%v: not done after %v\n%v", c.args, patience, res)
	}
	return res
}

func exitCode(cmd *exec.Cmd, err error) int {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// eventually waits until the function returns "", which else says what is amiss.
func eventually(t testing.TB, f func() string) {
	t.Helper()
	for end := time.Now().Add(settle); ; time.Sleep(50 * time.Millisecond) {
		amiss := f()
		if amiss == "" {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s", amiss)
			return
		}
	}
}

// leftFiles lists what lies in a directory.
func leftFiles(dir string) []string {
	var left []string
	_ = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err == nil && p != dir {
			left = append(left, p)
		}
		return nil
	})
	return left
}

// leftCgroups lists the cgroups below one of that name in all hierarchies, but for
// those that are the engine's own.
func leftCgroups(parent string) []string {
	var left []string
	for _, dir := range harness.CgroupMounts() {
		top := filepath.Join(dir, parent)
		_ = filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && p != top && d.Name() != "conmon" && !slices.Contains(left, p) {
				left = append(left, p)
			}
			return nil
		})
	}
	return left
}

func mountinfo() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	return harness.Lines(string(b))
}

// newMounts lists the mounts that were not there before.
func newMounts(before []string) []string {
	return slices.DeleteFunc(mountinfo(), func(m string) bool { return slices.Contains(before, m) })
}
