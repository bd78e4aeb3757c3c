package libcontainer

import (
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
	"berth/libcontainer/host"
)

// writeIDMaps writes the id maps of the child's user namespace: directly where
// the runtime may, else by the setuid helpers newuidmap and newgidmap, which
// know what /etc/subuid and /etc/subgid allow (user_namespaces(7)).
func (r *Runtime) writeIDMaps(pid int, l *specs.Linux, f *host.Facts) error {
	if f.Permitted&(1<<unix.CAP_SETUID) != 0 && f.Permitted&(1<<unix.CAP_SETGID) != 0 {
		if err := writeMap(pid, "uid_map", "linux.uidMappings", l.UIDMappings); err != nil {
			return err
		}
		return writeMap(pid, "gid_map", "linux.gidMappings", l.GIDMappings)
	}
	if ownID(l.UIDMappings, f.EUID) {
		if err := writeMap(pid, "uid_map", "linux.uidMappings", l.UIDMappings); err != nil {
			return err
		}
	} else if err := runMapper("newuidmap", pid, "linux.uidMappings", l.UIDMappings); err != nil {
		return err
	}
	if ownID(l.GIDMappings, f.EGID) {
		// CVE-2014-8989: an ordinary user may map his group only after giving
		// setgroups up.
		if err := writeProc(pid, "setgroups", "deny"); err != nil {
			return fault.At("linux.gidMappings", "cannot deny setgroups: "+err.Error())
		}
		return writeMap(pid, "gid_map", "linux.gidMappings", l.GIDMappings)
	}
	return runMapper("newgidmap", pid, "linux.gidMappings", l.GIDMappings)
}

// ownID says whether a map holds the caller's own id alone, which needs no help.
func ownID(m []specs.LinuxIDMapping, id int) bool {
	return len(m) == 1 && m[0].Size == 1 && m[0].HostID == uint32(id)
}

// mapText is the map as the kernel reads it: one write, a line an entry.
func mapText(m []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, e := range m {
		b.WriteString(strconv.FormatUint(uint64(e.ContainerID), 10) + " " +
			strconv.FormatUint(uint64(e.HostID), 10) + " " + strconv.FormatUint(uint64(e.Size), 10) + "\n")
	}
	return b.String()
}

func writeMap(pid int, file, path string, m []specs.LinuxIDMapping) error {
	if len(m) == 0 {
		return nil
	}
	text := mapText(m)
	if err := writeProc(pid, file, text); err != nil {
		return &fault.Error{
			Msg: "cannot write " + file + " of the container's user namespace", JSONPath: path,
			Call: "write " + strconv.Quote(text), Err: err, Hint: "do the ranges overlap, or are they not mapped here?",
		}
	}
	return nil
}

func writeProc(pid int, file, text string) error {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

func runMapper(name string, pid int, path string, m []specs.LinuxIDMapping) error {
	args := []string{strconv.Itoa(pid)}
	args = append(args, strings.Fields(mapText(m))...)
	cmd := exec.Command(name, args...)
	// The helper looks at its own /proc, and wants no environment of ours.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	e := &fault.Error{Msg: name + " failed", JSONPath: path, Call: name + " " + strings.Join(args, " "), Err: err, Hint: strings.TrimSpace(string(out))}
	if e.Hint == "" {
		e.Hint = "install newuidmap and newgidmap (Debian: uidmap) and give the user ranges in /etc/subuid and /etc/subgid"
	}
	return e
}

// writeTimeOffsets writes the offsets of a new time namespace before the first
// process is in it (time_namespaces(7)).
func writeTimeOffsets(pid int, l *specs.Linux) error {
	var b strings.Builder
	for _, clock := range []string{"monotonic", "boottime"} {
		if o, ok := l.TimeOffsets[clock]; ok {
			b.WriteString(clock + " " + strconv.FormatInt(o.Secs, 10) + " " + strconv.FormatUint(uint64(o.Nanosecs), 10) + "\n")
		}
	}
	if err := writeProc(pid, "timens_offsets", b.String()); err != nil {
		return &fault.Error{Msg: "cannot set the clocks' offsets", JSONPath: "linux.timeOffsets", Call: "write " + strconv.Quote(b.String()), Err: err}
	}
	return nil
}

// hasNamespace says whether the container has a new namespace of that type.
func hasNamespace(s *specs.Spec, typ specs.LinuxNamespaceType) bool {
	if s.Linux == nil {
		return false
	}
	for _, n := range s.Linux.Namespaces {
		if n.Type == typ && n.Path == "" {
			return true
		}
	}
	return false
}
