package seccomp

// ARM's own calls are at 0xf0000 and above; the table has them at 0xf000.
const (
	armTable = 0xf000
	armBase  = 0xf0000
)

// callName is the name of a call by its place in the list of all.
func callName(i int) string { return callNames[callStart[i]:callStart[i+1]] }

// findCall is the place of a name in the list of all calls.
func findCall(name string) (int, bool) {
	lo, hi := 0, callCount
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if callName(mid) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < callCount && callName(lo) == name
}

// raw is the number of a call without the base of the ABI.
func (a Arch) raw(call int) (uint32, bool) {
	n := uint32(callNumbers[arches[a].table][call])
	return n - 1, n != 0
}

// full adds what the table leaves out.
func (a Arch) full(raw uint32) uint32 {
	if a == ARM && raw >= armTable {
		return raw - armTable + armBase
	}
	return raw + arches[a].base
}

// Number is the number of a system call.
func (a Arch) Number(name string) (uint32, bool) {
	i, ok := findCall(name)
	if !ok {
		return 0, false
	}
	n, ok := a.raw(i)
	return a.full(n), ok
}

// CallName is the name of the system call with that number, empty where there is none.
func (a Arch) CallName(nr uint32) string {
	for i := range callCount {
		if n, ok := a.raw(i); ok && a.full(n) == nr {
			return callName(i)
		}
	}
	return ""
}

// Known says whether any architecture has a system call of that name.
func Known(name string) bool {
	_, ok := findCall(name)
	return ok
}

// Calls are the names of the system calls of an architecture, sorted.
func (a Arch) Calls() []string {
	var all []string
	for i := range callCount {
		if _, ok := a.raw(i); ok {
			all = append(all, callName(i))
		}
	}
	return all
}

// Since is the version of Linux that the call came with; 0, 0 where that is not known.
// All that is older than 2.6 or came in its course has 2.6 at most.
func Since(name string) (major, minor int) {
	i, ok := findCall(name)
	if !ok {
		return 0, 0
	}
	return int(callSince[i] >> 8), int(callSince[i] & 0xff)
}

// multiplexed are the calls that some architectures do, or did once, by way of
// socketcall(2) or ipc(2), with the number that these take as their first argument
// (include/uapi/linux/net.h and ipc.h). Sorted.
var multiplexed = [...]struct {
	name string
	code uint8
	ipc  bool
}{
	{"accept", 5, false},
	{"accept4", 18, false},
	{"bind", 2, false},
	{"connect", 3, false},
	{"getpeername", 7, false},
	{"getsockname", 6, false},
	{"getsockopt", 15, false},
	{"listen", 4, false},
	{"msgctl", 14, true},
	{"msgget", 13, true},
	{"msgrcv", 12, true},
	{"msgsnd", 11, true},
	{"recv", 10, false},
	{"recvfrom", 12, false},
	{"recvmmsg", 19, false},
	{"recvmsg", 17, false},
	{"semctl", 3, true},
	{"semget", 2, true},
	{"semop", 1, true},
	{"semtimedop", 4, true},
	{"send", 9, false},
	{"sendmmsg", 20, false},
	{"sendmsg", 16, false},
	{"sendto", 11, false},
	{"setsockopt", 14, false},
	{"shmat", 21, true},
	{"shmctl", 24, true},
	{"shmdt", 22, true},
	{"shmget", 23, true},
	{"shutdown", 13, false},
	{"socket", 1, false},
	{"socketpair", 8, false},
}

// multiplexer is what a call may come by on a: the number of socketcall or ipc, and
// the code of the call there.
func (a Arch) multiplexer(call int) (raw uint32, code uint8, ipc, ok bool) {
	name := callName(call)
	lo, hi := 0, len(multiplexed)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if multiplexed[mid].name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(multiplexed) || multiplexed[lo].name != name {
		return 0, 0, false, false
	}
	m := &multiplexed[lo]
	by := "socketcall"
	if m.ipc {
		by = "ipc"
	}
	at, _ := findCall(by)
	raw, ok = a.raw(at)
	return raw, m.code, m.ipc, ok
}
