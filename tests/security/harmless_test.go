package security

import "strings"

// argument says why one kind of change to some calls does no harm that Verify could
// know of.
type argument struct{ change, calls, why string }

// Reasons that several groups share. Verify does not know all of the config, and these
// say so: what comes out otherwise than asked for is held by the golden programs and by
// the tests that run containers, and is not proved.
const (
	again  = "The same once more: the kernel does nothing new, or refuses it, and the create fails."
	second = "A second descriptor of the same, close-on-exec, and closed with all others before the container is ready."
	inside = "It stays in what is the container's: any directory or mount that a slot may hold there belongs to it. That the config's own place is meant is not proved."
	asked  = "The container comes out otherwise than the config asks for; nothing of the host's changes and no right is gained. Not proved."
	errno  = "Another value leads to an errno of the kernel, and the create fails."
	order  = "Neither of the two hangs on the other. Where one does, a fact that it needs refuses the swap."
	late   = "It closes a descriptor that close_range closes anyway before the container is ready; until then only the interpreter has it."
	self   = "It is about the child alone, until execve."
)

var arguments = []argument{
	// Arguments.
	{"1 another slot", "mkdirat mknodat unlinkat openat openat2", inside},
	{"2 another slot", "symlinkat", inside},
	{"1 another slot", "mount_setattr move_mount open_tree", inside + " A mask may so be of the wrong mount: also not proved."},
	{"1 another slot", "close", late + " One that is still needed is missed, since its slot counts as closed."},
	{"1 another slot", "fchdir", "The only other directories there are the root and what was resolved below it; that it is inside is asked afterwards."},
	{"1 another slot", "expect statx", "A check that something hangs on (device, devpts, directory inside, process that stays) gives its fact only for the right slot; without it what follows is refused. The others choose between ways that are each verified."},
	{"1 slot", "expect statx", "As another slot: what hangs on it is refused."},
	{"1 bit", "expect statx", "As another slot: what hangs on it is refused."},
	{"1 constant", "expect statx", "As another slot: what hangs on it is refused."},
	{"1 constant for slot", "expect statx", "As another slot: what hangs on it is refused."},
	{"2 bit", "expect", "A mask or a wanted value that a fact hangs on is one exactly; the others choose between ways that are each verified."},
	{"2 constant", "expect", "As a bit of the mask."},
	{"3 bit", "expect statx", "As a bit of the mask; of statx it is AT_SYMLINK_NOFOLLOW beside AT_EMPTY_PATH, where there is nothing to follow."},
	{"3 constant", "expect", "As a bit of the mask."},
	{"4 bit", "expect", "An errno of a check is the interpreter's own. With another one it is not harmless any more, and the create fails; or it jumps where the step's errnos say, and each of these ways is verified."},
	{"4 constant", "expect", "As a bit of the errno."},
	{"5 bit", "expect", "A check that is negated gives its facts on the other way."},
	{"5 constant", "expect", "A check that is negated gives its facts on the other way."},
	{"4 bit", "statx", "Which fields are asked for: the kernel fills type and device always, and without STATX_TYPE no fact comes of it."},
	{"4 constant", "statx", "Which fields are asked for, as a bit."},
	{"1 bit", "umask", "The mode that files are made with, below 0777. Not proved."},
	{"1 constant", "umask", "The mode that files are made with, below 0777. Not proved."},
	{"1 slot", "umask", "A number that a step set, as a mask of file modes."},
	{"1 bit", "set", "A note of the program's own by which it chooses between ways that are each verified."},
	{"1 constant", "set", "A note of the program's own by which it chooses between ways that are each verified."},
	{"1 path", "set", "The path to execute, inside the container: that it is the config's is not proved."},
	{"1 bit", "rt_sigaction", "The default action of another signal, before execve, is what execve gives or what the process would have got. Or the kernel says EINVAL."},
	{"1 constant", "rt_sigaction", "As another bit."},
	{"2 bit of memory", "rt_sigprocmask", "A signal stays blocked in the user's process: it harms nobody else. Not proved."},
	{"1 bit", "fchown", "Another standard file, of which the caller gave all three to the container."},
	{"1 constant", "fchown", "Another standard file, of which the caller gave all three to the container."},
	{"2 bit", "fchown", "Another owner of a standard file that the caller gave to the container. Not proved."},
	{"2 constant", "fchown", "Another owner of a standard file that the caller gave to the container. Not proved."},
	{"3 bit", "fchown", "Another group of a standard file that the caller gave to the container. Not proved."},
	{"3 constant", "fchown", "Another group of a standard file that the caller gave to the container. Not proved."},
	{"1 path", "fsopen", "The name of a file system that the kernel does not know: ENODEV. One that it knows makes a mount that lies in the container, whose type is the config's word; procfs and devpts count as such only by their own names."},
	{"1 path", "symlinkat", "What a link in the container says; whoever follows it there stays inside."},
	{"2 bit", "dup3", "Another of the three standard files becomes the terminal or /dev/null."},
	{"2 constant", "dup3", "Another of the three standard files becomes the terminal or /dev/null."},
	{"2 bit", "getcwd", "Less room than there is. A path that does not fit is ERANGE."},
	{"2 constant", "getcwd", "Less room than there is. A path that does not fit is ERANGE."},
	{"4 bit", "readlinkat", "Less room than there is: the link is taken for another one, and replaced inside the container."},
	{"4 constant", "readlinkat", "Less room than there is: the link is taken for another one, and replaced inside the container."},
	{"2 bit", "prctl(PR_SET_KEEPCAPS)", "Whether capabilities outlive the change of user: those that the config has are set after it by capset, which fails where they are gone. execve takes the flag back."},
	{"2 constant", "prctl(PR_SET_KEEPCAPS)", "As a bit."},
	{"2 constant", "prctl(PR_SET_PDEATHSIG)", "0 or SIGKILL. Without it the end of the socket ends a child whose runtime was killed; with it until the end a container would die with the runtime's thread, which execve of another user takes back. Not proved."},
	{"1 constant", "prctl(PR_SET_PDEATHSIG)", "PR_SET_PDEATHSIG is 1 and PR_SET_DUMPABLE 4: with 0 behind it the process is hidden once more."},
	{"2 bit", "prlimit64(RLIMIT_NOFILE)", "A limit of the user's process. Which one is not proved; to raise a hard limit takes CAP_SYS_RESOURCE."},
	{"2 constant", "prlimit64(RLIMIT_NOFILE)", "A limit of the user's process, as a bit."},
	{"3 bit of memory", "prlimit64(RLIMIT_NOFILE)", "The value of a limit of the user's process. Not proved."},
	{"2 bit", "sched_setaffinity", "Fewer CPUs of those that its cpuset has. Not proved."},
	{"2 constant", "sched_setaffinity", "Fewer CPUs of those that its cpuset has. Not proved."},
	{"3 bit of memory", "sched_setaffinity", "Fewer CPUs of those that its cpuset has. Not proved."},
	{"2 bit of memory", "execve", "These bytes are the addresses of the strings: the image has the right ones in their place."},
	{"3 bit of memory", "execve", "These bytes are the addresses of the strings: the image has the right ones in their place."},
	{"2 constant for memory", "execve", "NULL: the process gets no arguments, or fails to start. Not proved."},
	{"3 constant for memory", "execve", "NULL: the process gets an empty environment. Not proved."},
	{"2 memory", "read", "Room for one byte, which is what is read."},
	{"2 path", "keyctl(1)", "The name of the session keyring: one of that name that the caller's user may join is one of his own. Not proved."},
	{"2 path", "prctl(PR_SET_NAME)", self + " Its name for ps."},
	{"2 path", "openat2", "Any path is resolved below the container's root, by no magic link. That it is the config's is not proved."},
	{"2 path", "write", "To oom_score_adj or to a parameter of the container's own: what the kernel does not take is EINVAL. That it is the config's value is not proved."},
	{"3 path", "fsconfig(FSCONFIG_SET_FLAG) fsconfig(FSCONFIG_SET_STRING)", "A parameter that the file system does not know is EINVAL; one that it knows is the config's word. Not proved."},
	{"4 path", "fsconfig(FSCONFIG_SET_STRING)", "The value of a parameter of a file system in the container, the config's word. Not proved."},
	{"3 bit", "fsmount", "A flag of a mount in the container (nosuid, nodev, ...). Not proved."},
	{"3 constant", "fsmount", "A flag of a mount in the container (nosuid, nodev, ...). Not proved."},
	{"3 bit", "mount_setattr", "AT_RECURSIVE: its flags go to what lies below it in the container too, or not. Where the propagation of a clone hangs on it, it is refused."},
	{"4 bit of memory", "mount_setattr", "A flag of a mount in the container (ro, nosuid, ...) or its propagation. Not proved, but for clones that may be peers of the host's mounts: these must be slave or private."},
	{"4 bit", "mount", "MS_REC: how the container's root spreads, below its top or not, as rootfsPropagation says. It is the container's own mount by then."},
	{"3 bit", "keyctl(5)", "Permissions of the container's own session keyring, for its own users. Not proved."},
	{"3 constant", "keyctl(5)", "Permissions of the container's own session keyring, for its own users. Not proved."},
	{"3 bit", "mkdirat mknodat", "The mode of what is made in the container. A device is of the type and number in this step, and the device cgroup says whether it may be used. Not proved."},
	{"3 constant", "mkdirat", "The mode of a directory in the container. Not proved."},
	{"4 bit", "mknodat", "The number of a device node in the container: the device cgroup, and in a user namespace the kernel, say whether it may be used. Not proved."},
	{"4 constant", "mknodat", "The number of a device node in the container, as a bit."},
	{"3 bit", "open_tree", "Following a link at the end of a path of the host that the program names; a tree in place of one mount, or the other way around. What a device is, is looked at afterwards."},
	{"3 bit", "openat", "O_DIRECTORY on a place in the container: ENOTDIR, or the same."},
	{"3 bit of memory", "openat2", "O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, or one of the resolve flags that forbid more. Without O_NOFOLLOW a link of the image at /proc leads elsewhere in the container, where the procfs is mounted: its masks go there with it, by its descriptor. Not proved."},
	{"3 bit of memory", "ioctl(SIOCSIFFLAGS)", "Bytes of the request that the kernel does not read for it: its name up to the zero and its flags are fixed."},
	{"3 bit of memory", "ioctl(TIOCSWINSZ)", "The size of the container's terminal. Not proved."},

	// Whole steps.
	{"cut short", "clone keyctl(5) prctl(PR_CAP_AMBIENT) prctl(PR_SET_NO_NEW_PRIVS)", "What is missing is 0 in the interpreter's step, and nothing but 0 or a permission stands there."},
	{"descriptor's kind", "program", "A namespace that is taken for a pidfd, or a pidfd for a namespace: setns looks at what it is, and at the flags."},
	{"doubled", "open_tree openat openat2 fsopen fsmount socket ioctl(TIOCGPTPEER)", second},
	{"doubled", "capset chdir chroot close_range dup3 expect faccessat2 fchdir fchown fsconfig(FSCONFIG_CMD_CREATE) fsconfig(FSCONFIG_SET_FLAG) fsconfig(FSCONFIG_SET_STRING) getcwd " +
		"ioctl(SIOCSIFFLAGS) ioctl(TIOCSCTTY) ioctl(TIOCSPTLCK) ioctl(TIOCSWINSZ) keyctl(5) mkdirat mknodat mount mount_setattr prctl(PR_CAPBSET_DROP) prctl(PR_CAP_AMBIENT) " +
		"prctl(PR_SET_DUMPABLE) prctl(PR_SET_KEEPCAPS) prctl(PR_SET_NAME) prctl(PR_SET_NO_NEW_PRIVS) prctl(PR_SET_PDEATHSIG) prlimit64(RLIMIT_NOFILE) rt_sigaction rt_sigprocmask " +
		"sched_setaffinity set setgroups sethostname setresgid setresuid setsid statx symlinkat umask write", again},
	{"doubled", "move_mount", "The mount is moved again within the container's own mount namespace, or the kernel refuses that."},
	{"doubled", "read", "It waits for a second word to start, which nobody writes: the container does not start."},
	{"doubled", "sendmsg", "The runtime gets the same master twice, and closes the second."},

	{"dropped", "chdir", "It is the way to / behind pivot_root: whether the process is inside is asked after its last change of directory."},
	{"may fail", "chdir", "As when it is left out."},
	{"dropped", "fchdir", "The container's working directory is / then; that it is inside is asked all the same. Not proved that it is the config's."},
	{"may fail", "fchdir", "As when it is left out."},
	{"dropped", "close", late},
	{"may fail", "close", late},
	{"dropped", "close_range", "The first one, at birth: what the engine had open is closed by the second one, before the container is ready, and until then no step has a slot for it."},
	{"may fail", "close_range", "As when it is left out."},
	{"dropped", "dup3", "The process keeps the caller's own standard file. Where that is the host's /dev/null it could change the node's owner in a user namespace: the tests that run containers see that it is replaced, it is not proved."},
	{"may fail", "dup3", "As when it is left out."},
	{"dropped", "expect", "A check that something hangs on gives its fact; without it what follows is refused. The rest choose between ways that are each verified."},
	{"may fail", "expect", "As when it is left out."},
	{"dropped", "faccessat2", "execve asks once more: only that the answer comes at create is lost."},
	{"may fail", "faccessat2", "As when it is left out."},
	{"dropped", "prctl(PR_SET_DUMPABLE)", "One of two: behind the other the process is hidden, and without any it may neither join others nor execute."},
	{"may fail", "prctl(PR_SET_DUMPABLE)", "One of two, as when it is left out."},
	{"dropped", "prctl(PR_SET_PDEATHSIG)", "A child whose runtime is killed ends at the end of its socket, with its next word."},
	{"may fail", "prctl(PR_SET_PDEATHSIG)", "As when it is left out."},
	{"dropped", "prctl(PR_SET_KEEPCAPS)", "capset fails where capabilities that the config has did not outlive the change of user. execve takes the flag back."},
	{"may fail", "prctl(PR_SET_KEEPCAPS)", "As when it is left out."},
	{"dropped", "prctl(PR_SET_NAME)", self + " Its name for ps."},
	{"may fail", "prctl(PR_SET_NAME)", self + " Its name for ps."},
	{"dropped", "prctl(PR_CAP_AMBIENT)", "The ambient set falls with the permitted and inheritable ones, so that no more can be in it than they have; fewer is less right than the config asks for. Not proved."},
	{"may fail", "prctl(PR_CAP_AMBIENT)", "As when it is left out."},
	{"dropped", "setresgid setresuid", "That of the user namespace's root, or one to whom the process has changed before: what must be certain at execve is that it is the config's user and group."},
	{"may fail", "setresgid setresuid", "As when it is left out."},
	{"may fail", "setgroups", "Only where no groups are asked for in a user namespace: an ordinary user's map forbids to drop those that he has (user_namespaces(7))."},
	{"dropped", "move_mount mount_setattr", asked + " A mask, a read-only path or a flag may be missing so."},
	{"may fail", "move_mount mount_setattr", asked + " A mask, a read-only path or a flag may be missing so."},
	{"dropped", "fsconfig(FSCONFIG_CMD_CREATE)", errno},
	{"may fail", "fsconfig(FSCONFIG_CMD_CREATE)", errno},
	{"dropped", "mount", "Only the last one: how the container's own root spreads, as rootfsPropagation says. Not proved."},
	{"may fail", "mount", "As when it is left out."},
	{"dropped", "fchown fsconfig(FSCONFIG_SET_FLAG) fsconfig(FSCONFIG_SET_STRING) ioctl(SIOCSIFFLAGS) ioctl(TIOCSCTTY) ioctl(TIOCSPTLCK) ioctl(TIOCSWINSZ) keyctl(5) mkdirat mknodat " +
		"prlimit64(RLIMIT_NOFILE) rt_sigaction rt_sigprocmask sched_setaffinity sendmsg sethostname setsid symlinkat umask", asked},
	{"may fail", "fsconfig(FSCONFIG_SET_FLAG) fsconfig(FSCONFIG_SET_STRING) ioctl(SIOCSIFFLAGS) ioctl(TIOCSCTTY) ioctl(TIOCSPTLCK) ioctl(TIOCSWINSZ) keyctl(5) mkdirat mknodat " +
		"prlimit64(RLIMIT_NOFILE) rt_sigaction rt_sigprocmask sched_setaffinity sendmsg sethostname setsid symlinkat umask", asked},
	{"dropped", "write", "oom_score_adj, a parameter or a label. " + asked + " (The cgroups are entered, or nothing is executed.)"},
	{"may fail", "write", "As when it is left out."},

	{"swapped", "capset chdir close close_range dup3 expect fchdir fsconfig(FSCONFIG_CMD_CREATE) fsconfig(FSCONFIG_SET_FLAG) fsconfig(FSCONFIG_SET_STRING) ioctl(TIOCGPTPEER) ioctl(TIOCSCTTY) " +
		"ioctl(TIOCSPTLCK) ioctl(TIOCSWINSZ) mkdirat mknodat mount mount_setattr move_mount open_tree openat prctl(PR_CAPBSET_DROP) prctl(PR_SET_DUMPABLE) prctl(PR_SET_KEEPCAPS) " +
		"prctl(PR_SET_NAME) prctl(PR_SET_NO_NEW_PRIVS) prctl(PR_SET_PDEATHSIG) prlimit64(RLIMIT_NOFILE) rt_sigaction rt_sigprocmask sched_setaffinity set setgroups sethostname setresgid " +
		"setresuid setsid symlinkat umask unshare", order},
	{"swapped", "barrier(born)", "A session or a cgroup before the runtime knows the pid: nothing that it would have to undo."},
	{"swapped", "barrier(id-map)", "Group 0 before there is a map: EINVAL."},
	{"swapped", "barrier(runtime-hooks)", "Hooks that run one step earlier or later: " + asked},
	{"dropped", "barrier(runtime-hooks)", "The config's hooks do not run. " + asked},
	{"may fail", "barrier(runtime-hooks)", "A barrier is no call and has no errno."},
	{"1 bit", "barrier(runtime-hooks)", "Another barrier has nothing to do, which is an error or no hooks, or writes the child's own id map or clock offsets once more, which the kernel refuses."},
	{"1 constant", "barrier(runtime-hooks)", "As another bit."},
	{"swapped", "barrier(ready)", "Hidden before the runtime has looked: it reads no HOME, or fails."},
}

// harmless has the reason for each kind of mutant that Verify lets pass.
var harmless = func() map[string]string {
	m := make(map[string]string)
	for _, a := range arguments {
		for _, call := range strings.Fields(a.calls) {
			m[call+" "+a.change] = a.why
		}
	}
	return m
}()
