package host

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The size in bytes of the kernel's signal set.
const sigsetSize = 8

// ignoredSignals asks what is done at each signal. Those for which the Go runtime
// has a handler get their default action back at execve; those that it leaves
// alone (SIGHUP and SIGINT when they were ignored at its start, job control) do not.
func ignoredSignals() uint64 {
	var set uint64
	for n := 1; n <= 64; n++ {
		var action [4]uintptr // struct sigaction of the kernel; the handler is first
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), 0, uintptr(unsafe.Pointer(&action)), sigsetSize, 0, 0)
		if errno == 0 && action[0] == sigIgn {
			set |= 1 << (n - 1)
		}
	}
	return set
}

const sigIgn = 1 // SIG_IGN, <signal.h>

// blockedSignals is the signal mask, which all threads of a Go program have as it
// was at the start.
func blockedSignals() uint64 {
	var set uint64
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, 0, uintptr(unsafe.Pointer(&set)), sigsetSize, 0, 0)
	if errno != 0 {
		return 0
	}
	return set
}
