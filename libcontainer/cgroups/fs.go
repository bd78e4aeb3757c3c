package cgroups

import (
	"os"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/sys"
)

// beneath keeps every lookup inside the hierarchy that the directory belongs to:
// whatever the path says, no other file of the host can be written.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func openMount(path string) (int, error) {
	return sys.Retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

func openBeneath(dir int, name string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: beneath}
	return sys.Retry(func() (int, error) { return unix.Openat2(dir, name, &how) })
}

// openDir opens the first n levels of c.
func (c *cgroup) openDir(n int) (int, error) {
	mount, err := openMount(c.mount)
	if err != nil || n == 0 {
		return mount, err
	}
	defer unix.Close(mount)
	return openBeneath(mount, c.below(n), c.flags(n))
}

// readFile returns a control file.
func readFile(dir int, name string) (string, error) {
	fd, err := openBeneath(dir, name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 512)
	for n := 0; ; {
		got, err := sys.Retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return "", err
		}
		if got == 0 {
			return string(buf[:n]), nil
		}
		if n += got; n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// writeFile writes a control file. A write is one call: the kernel takes each as
// a command.
func writeFile(dir int, name, data string) error {
	fd, err := openBeneath(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = sys.Retry(func() (int, error) { return unix.Write(fd, []byte(data)) })
	unix.Close(fd)
	return err
}

// children lists the cgroups in a cgroup. kernfs counts them in the link count,
// so a leaf costs one call.
func children(dir int) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil || st.Nlink == 2 {
		return nil, err
	}
	return entries(dir, true)
}

// list names the control files of a cgroup.
func list(dir int) ([]string, error) { return entries(dir, false) }

func entries(dir int, dirs bool) ([]string, error) {
	fd, err := openBeneath(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "cgroup")
	defer f.Close()
	all, err := f.ReadDir(-1)
	var names []string
	for _, e := range all {
		if e.IsDir() == dirs {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// procs appends the pids in a cgroup and all below it. A cgroup that vanishes
// meanwhile has none.
func procs(dir int, pids []int) ([]int, error) {
	text, err := readFile(dir, "cgroup.procs")
	if err == unix.ENOENT || err == unix.ENODEV {
		return pids, nil
	}
	if err != nil {
		return pids, err
	}
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		// 0 stands for a process that the caller's pid namespace does not show.
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	names, err := children(dir)
	if err != nil {
		return pids, err
	}
	for _, name := range names {
		fd, err := openBeneath(dir, name, unix.O_PATH|unix.O_DIRECTORY)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return pids, err
		}
		pids, err = procs(fd, pids)
		unix.Close(fd)
		if err != nil {
			return pids, err
		}
	}
	return pids, nil
}

// unique sorts pids; v1 may list one twice when threads move.
func unique(pids []int) []int {
	sort.Ints(pids)
	n := 0
	for i, pid := range pids {
		if i == 0 || pid != pids[n-1] {
			pids[n] = pid
			n++
		}
	}
	return pids[:n]
}
