// Package seccomp compiles linux.seccomp of a container's configuration to a filter of classic
// BPF, without libseccomp and without cgo. Compile makes the filter, Run executes
// it on a call, Explain says which entry of the profile decides. All of it is pure.
//
// A profile means what it means to runc with libseccomp: tests hold both against each other
// for every call of every architecture. Of that, as it is written nowhere else:
//
//   - Conditions of an entry hold together, but where two are about one argument each
//     is an entry of its own, so that any of them is enough (runc).
//   - The machine's own architecture is always included. Callers of another one than the
//     profile has are killed (SCMP_ACT_KILL).
//   - An entry with the default action has no effect, but for the next point.
//   - A call with a number above all that the profile names has ENOSYS instead of the
//     default action, unless that lets it through or asks somebody: so programs fall back
//     to what they did before the call was there (runc).
//   - Where registers have 32 bits, and in x32 and n32, the lower halves are compared.
//   - On x86 and others, rules on socket(2) and the like, and on SysV IPC, hold for socketcall(2)
//     and ipc(2) as well. What is said of their first argument is left out there, and what is
//     said of the others is compared with other values, as the call's own are in memory.
//   - Which of several rules on a call decides: see order.go.
//
// SCMP_ACT_NOTIFY may be the default action and stand for any call: whether the process that
// loads the filter can do without it is its own affair. Refused are, as errors with a JSON path: an
// errno for an action that takes none, or a larger one than the kernel returns; an architecture
// with the other byte order; rules on one call with the same conditions and different actions;
// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV where nothing notifies; a filter of more than 4096 instructions.
//
// Where libseccomp differs, and is wrong:
//
//   - Of ipc(2) the kernel takes the lower 16 bits of the first argument, of socketcall(2) on 64-bit
//     machines the lower 32. libseccomp compares all, and a call with another bit set goes past
//     a rule that forbids it.
//   - Where the rules on a call have several conditions, or there are several and not all
//     compare for equality, filters of libseccomp 2.5.4 may pass over a rule, or compare
//     the wrong argument: they allow what the profile refuses, too. No default profile of
//     an engine is among them.
//   - Where every rule on a call that an architecture has comes with conditions, and the profile
//     names others that it lacks, filters of libseccomp 2.5.4 may not load the number of the
//     call, and compare something else.
//   - A rule on sys_debug_setcontext is one on switch_endian, too.
//
// And where runc does: on ARM a profile that names one of ARM's private calls, as most do, has
// no ENOSYS for new calls, since the private ones have the largest numbers. What
// socketcall(2) and ipc(2) multiplex counts as named, too.
package seccomp
