package harness

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DevicePrograms are the ids of the programs on devices that are attached to a v2 cgroup
// (bpf(2), BPF_PROG_QUERY).
func DevicePrograms(t testing.TB, dir string) []uint32 {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids := make([]uint32, 64) // as many as the kernel attaches to one
	attr := struct {
		target, attachType, flags, attachFlags uint32
		ids                                    unsafe.Pointer
		count, _                               uint32
	}{target: uint32(f.Fd()), attachType: unix.BPF_CGROUP_DEVICE, ids: unsafe.Pointer(&ids[0]), count: uint32(len(ids))}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); errno != 0 {
		t.Fatalf("bpf(BPF_PROG_QUERY) of %s: %v", dir, errno)
	}
	return ids[:attr.count]
}

// ProgramLoaded says whether the kernel still has the program of an id, which it does not
// give to another one.
func ProgramLoaded(t testing.TB, id uint32) bool {
	t.Helper()
	attr := struct{ id, next, flags uint32 }{id: id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_FD_BY_ID, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	switch errno {
	case 0:
		unix.Close(int(fd))
		return true
	case unix.ENOENT:
		return false
	}
	t.Fatalf("bpf(BPF_PROG_GET_FD_BY_ID) of %d: %v", id, errno)
	return false
}
