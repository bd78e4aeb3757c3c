package sys

import "slices"

// rlimits are the kernel's limits, in the order of their numbers
// (include/uapi/asm-generic/resource.h).
var rlimits = [...]string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS",
	"RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS",
	"RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

// Rlimit is the number of a resource limit (getrlimit(2)).
func Rlimit(name string) (int, bool) {
	n := slices.Index(rlimits[:], name)
	return n, n >= 0
}

// RlimitName is the name of a resource limit; empty for a number that no limit has.
func RlimitName(n uint64) string {
	if n >= uint64(len(rlimits)) {
		return ""
	}
	return rlimits[n]
}
