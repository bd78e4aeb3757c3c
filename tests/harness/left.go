package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// settle bounds the wait for what dies on its own after a command: a child that
// reads the end of its socket, a cgroup whose last process is being reaped.
const settle = 3 * time.Second

// Left lists what a container left on the host: processes, cgroup directories,
// files in the state root, mounts. Empty is how it should be.
func (h *Host) Left(id string) []string {
	h.t.Helper()
	var left []string
	for end := time.Now().Add(settle); ; time.Sleep(2 * time.Millisecond) {
		left = left[:0]
		left = append(left, orphans()...)
		left = append(left, Cgroups(id)...)
		left = append(left, files(filepath.Join(h.Root, id))...)
		left = append(left, mounts(h.Root, id)...)
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// NothingLeft fails the test when a container left anything.
func (h *Host) NothingLeft(id string) {
	h.t.Helper()
	for _, l := range h.Left(id) {
		h.t.Errorf("left by %s: %s", id, l)
	}
}

// orphans reaps what has ended, and lists the children of this process that live:
// as the subreaper it is the parent of every orphan. Tests that run commands in
// parallel must not ask.
func orphans() []string {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
	}
	var left []string
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		for pid := range strings.FieldsSeq(string(b)) {
			if _, own := helpers.Load(pid); own {
				continue
			}
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			left = append(left, "process "+pid+" "+strings.TrimSpace(string(comm)))
		}
	}
	return left
}

// Cgroups lists the cgroup directories of that name in all hierarchies.
func Cgroups(id string) []string {
	var left []string
	for p := range AllCgroups() {
		if filepath.Base(p) == id {
			left = append(left, "cgroup "+p)
		}
	}
	return left
}

// AllCgroups are the cgroups of all hierarchies.
func AllCgroups() map[string]bool {
	all := make(map[string]bool)
	for _, m := range cgroupMounts() {
		_ = filepath.WalkDir(m.dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all[p] = true
			}
			return nil
		})
	}
	return all
}

// helpers are processes of the tests themselves.
var helpers sync.Map

// Helper says that a child of the test process is the test's own and no leak.
func Helper(pid int) { helpers.Store(strconv.Itoa(pid), true) }

// Reap waits for the end of a process that has come to the test as its subreaper. A
// process that joined a container keeps that from ending until it is reaped: the
// first one of a pid namespace waits for all others.
func Reap(pid int) {
	Helper(pid)
	go func() {
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				return
			}
		}
	}()
}

func files(dir string) []string {
	var left []string
	_ = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err == nil {
			left = append(left, "file "+p)
		}
		return nil
	})
	return left
}

// mountinfo has a line for each mount of the host (proc_pid_mountinfo(5)).
func mountinfo() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	return Lines(string(b))
}

// mountsChanged lists the mounts of the host that have come, gone or changed since
// the test began: by what they are, their flags, and how they spread. Mounts that
// a namespace's end takes away are given time.
func (h *Host) mountsChanged() []string {
	for end := time.Now().Add(settle); ; time.Sleep(2 * time.Millisecond) {
		var changed []string
		now := mountinfo()
		for _, m := range now {
			if !slices.Contains(h.mounted, m) {
				changed = append(changed, "new: "+m)
			}
		}
		for _, m := range h.mounted {
			if !slices.Contains(now, m) {
				changed = append(changed, "gone: "+m)
			}
		}
		if len(changed) == 0 || time.Now().After(end) {
			return changed
		}
	}
}

func mounts(root, id string) []string {
	var left []string
	for _, line := range mountinfo() {
		f := strings.Fields(line)
		if len(f) > 4 && (strings.HasPrefix(f[4], root) || strings.HasPrefix(f[4], work) || strings.Contains(f[4]+"/", "/"+id+"/")) {
			left = append(left, "mount "+f[4])
		}
	}
	return left
}

// Gone waits until a process is gone or a zombie.
func Gone(pid int) bool {
	for end := time.Now().Add(settle); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return true
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X") {
			return true
		}
	}
	return false
}
