package audit

// danger is what a container should not be able to do without need.
type danger struct {
	calls []string
	why   string
	// grade is Minor for what default profiles of engines let through as well, or what takes
	// more to do harm.
	grade Grade
	// capability is what it takes, empty for none. With first it has to be had in the
	// first user namespace, so that a user namespace of one's own is of no use.
	capability string
	first      bool
	// when are arguments of which any is dangerous, nil for all of them.
	when []arguments
}

// arguments are those of a dangerous call.
type arguments struct {
	text string
	args [6]uint64
}

// newUser alone takes no capability.
var newUser = arguments{text: "CLONE_NEWUSER", args: [6]uint64{0x10000000}}

// Flags of clone(2) and unshare(2) that make namespaces (include/uapi/linux/sched.h).
var namespaceFlags = []arguments{
	newUser,
	{text: "CLONE_NEWNS", args: [6]uint64{0x00020000}},
	{text: "CLONE_NEWCGROUP", args: [6]uint64{0x02000000}},
	{text: "CLONE_NEWUTS", args: [6]uint64{0x04000000}},
	{text: "CLONE_NEWIPC", args: [6]uint64{0x08000000}},
	{text: "CLONE_NEWPID", args: [6]uint64{0x20000000}},
	{text: "CLONE_NEWNET", args: [6]uint64{0x40000000}},
}

// namespaces are the calls by which a process gets a user namespace of its own, and in it
// all capabilities.
var namespaces = []danger{
	{
		calls: []string{"clone", "unshare"}, when: namespaceFlags,
		why: "makes namespaces; a user namespace gives all capabilities in it, and with them much more of the kernel to attack",
	},
	{
		calls: []string{"clone3"},
		why:   "makes namespaces like clone, and its flags are in memory where no filter sees them: let it fail with ENOSYS, and programs use clone",
	},
}

var dangers = append(namespaces, []danger{
	{
		calls: []string{"setns"}, capability: "CAP_SYS_ADMIN",
		why: "enters namespaces of others, of which a descriptor or a process is at hand",
	},
	{
		calls:      []string{"mount", "umount", "umount2", "pivot_root", "fsopen", "fspick", "fsconfig", "fsmount", "move_mount", "open_tree", "open_tree_attr", "mount_setattr"},
		capability: "CAP_SYS_ADMIN",
		why:        "changes mounts: masks and read-only paths come off, file systems with flaws are within reach",
	},
	{
		calls: []string{"keyctl", "add_key", "request_key"},
		why:   "keyrings belong to no namespace: those of a user id are shared with the host and with other containers",
	},
	{
		calls: []string{"bpf"},
		why:   "loads programs into the kernel, whose verifier has had many holes; without a capability where kernel.unprivileged_bpf_disabled is 0",
	},
	{
		calls: []string{"perf_event_open"},
		why:   "measures the kernel and other processes, and has had many holes; without a capability where kernel.perf_event_paranoid is below 3",
	},
	{
		calls: []string{"userfaultfd"},
		why:   "stops the kernel amid its work on memory, which makes races in it easy to win",
	},
	{
		calls: []string{"io_uring_setup", "io_uring_enter", "io_uring_register"},
		why:   "what is asked for through its rings goes past every filter of system calls, and it has had many holes",
	},
	{
		calls: []string{"kexec_load", "kexec_file_load"}, capability: "CAP_SYS_BOOT", first: true,
		why: "starts another kernel",
	},
	{
		calls: []string{"init_module", "finit_module", "delete_module"}, capability: "CAP_SYS_MODULE", first: true,
		why: "loads and removes parts of the kernel",
	},
	{
		calls: []string{"open_by_handle_at"}, capability: "CAP_DAC_READ_SEARCH", first: true,
		why: `opens any file of a file system of which a part is in the container ("shocker")`,
	},
	{
		calls: []string{"fanotify_init"}, capability: "CAP_SYS_ADMIN",
		why: "hands out descriptors of files that others open; before Linux 5.13 only with the capability, now in part without",
	},
	{
		calls: []string{"reboot"}, capability: "CAP_SYS_BOOT", first: true,
		why: "restarts the machine; in a pid namespace of its own it only ends the container",
	},
	{
		calls: []string{"swapon", "swapoff"}, capability: "CAP_SYS_ADMIN", first: true,
		why: "changes where the machine's memory goes",
	},
	{
		calls: []string{"iopl", "ioperm"}, capability: "CAP_SYS_RAWIO", first: true,
		why: "gives access to the hardware's ports",
	},
	{
		calls: []string{"acct"}, capability: "CAP_SYS_PACCT", first: true,
		why: "turns process accounting on and off for the machine",
	},
	{
		calls: []string{"settimeofday", "stime", "clock_settime", "clock_settime64"}, capability: "CAP_SYS_TIME", first: true,
		why: "sets the machine's clock",
	},
	{
		calls: []string{"syslog"}, capability: "CAP_SYSLOG", grade: Minor, first: true,
		why: "reads the kernel's log, with addresses and what other containers do; without the capability where kernel.dmesg_restrict is 0",
	},
	{
		calls: []string{"quotactl", "quotactl_fd"}, capability: "CAP_SYS_ADMIN", first: true,
		why: "changes quotas of the host's file systems",
	},
	{
		calls: []string{"vm86", "vm86old"},
		why:   "an old way into 16-bit code that has had holes",
	},
	{
		calls: []string{"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"}, grade: Minor,
		why: "reads and changes other processes of the same user, on the host too without a pid namespace; before Linux 4.8 ptrace gets past this very filter",
	},
	{
		calls: []string{"kcmp", "move_pages"}, grade: Minor,
		why: "tells of the kernel's memory and of where other processes have theirs",
	},
	{
		calls: []string{"personality"}, grade: Minor, when: []arguments{
			{text: "ADDR_NO_RANDOMIZE", args: [6]uint64{0x0040000}},
			{text: "READ_IMPLIES_EXEC", args: [6]uint64{0x0400000}},
		},
		why: "takes protections of memory away from the programs that are executed next",
	},
	{
		calls: []string{"socket"}, grade: Minor, when: []arguments{
			{text: "AF_ALG", args: [6]uint64{38, 5}},
			{text: "AF_VSOCK", args: [6]uint64{40, 1}},
		},
		why: "AF_VSOCK reaches the hypervisor past network namespaces, AF_ALG the kernel's ciphers, which have had holes",
	},
	{
		calls: []string{"uselib", "nfsservctl", "_sysctl", "ustat", "sysfs", "bdflush", "create_module", "query_module", "get_kernel_syms", "lookup_dcookie", "vserver"}, grade: Minor,
		why: "is of no use any more: no program needs it",
	},
}...)
