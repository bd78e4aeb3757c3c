// Package host knows what this machine offers: kernel, privileges, cgroups,
// security modules. Facts are gathered once, are plain data, and can be made up
// in a test; compile is a pure function of a config and of these.
package host

// Facts is everything about the host that changes what program a config
// compiles to.
type Facts struct {
	Kernel   Version
	PageSize int

	// EUID and EGID are the effective ids of the calling process.
	EUID, EGID int
	// UserNS is true when the caller is itself inside a user namespace, where
	// some things are refused even to root (mknod, lowering oom_score_adj).
	UserNS bool
	// Permitted and Bounding are the caller's capability sets; LastCap is the
	// highest capability that the kernel knows.
	Permitted, Bounding uint64
	LastCap             int

	// TimeNS, CgroupNS and UserNSAllowed say whether the kernel has the namespace.
	// That a user namespace may be made is not said by it: limits and security
	// modules have a word in that.
	TimeNS, CgroupNS, UserNSAllowed bool

	AppArmor, SELinux bool
	// Seccomp is true when the kernel has seccomp filters.
	Seccomp bool

	// IgnoredSignals and BlockedSignals are those that a child would inherit as
	// such; signal n is bit n-1.
	IgnoredSignals, BlockedSignals uint64

	// MemfdExec is true when a sealed memfd may be executed (vm.memfd_noexec < 2).
	MemfdExec bool

	Cgroup Cgroup
	// Systemd is true when systemd runs the system. Gather leaves it alone: see Booted.
	Systemd bool
}

// Version is a kernel release, as far as decisions need it.
type Version struct{ Major, Minor int }

// AtLeast says whether v is major.minor or newer.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Privileged says whether the caller is root outside any user namespace.
func (f *Facts) Privileged() bool { return f.EUID == 0 && !f.UserNS }

// CgroupMode is how the cgroup hierarchies of a host are mounted.
type CgroupMode uint8

// The modes: none mounted, v1 only, v1 with a v2 hierarchy beside it, v2 only.
const (
	NoCgroup CgroupMode = iota
	Legacy
	Hybrid
	Unified
)

// String names the mode.
func (m CgroupMode) String() string {
	return [...]string{"none", "legacy", "hybrid", "unified"}[m]
}

// Cgroup is the layout of the cgroup hierarchies as the caller sees them.
type Cgroup struct {
	Mode        CgroupMode
	Hierarchies []Hierarchy
}

// Hierarchy is one mounted cgroup hierarchy.
type Hierarchy struct {
	// Controllers are the v1 controllers of this hierarchy, or the single name
	// "name=systemd"; for v2 what cgroup.controllers lists.
	Controllers []string
	// Mount is where it is mounted: /sys/fs/cgroup/memory.
	Mount string
	// Own is the caller's own cgroup in it: an absolute path below Mount. It begins
	// with "/.." when the caller is outside the root of its cgroup namespace.
	Own string
	// V2 is true for the cgroup2 hierarchy.
	V2 bool
}
