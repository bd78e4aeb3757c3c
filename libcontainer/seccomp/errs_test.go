package seccomp

import (
	"math/rand/v2"
	"testing"
)

// TestLibseccompErrs has an example of each way in which libseccomp's filters do what their
// profile does not say. Where its version at hand does so no more, it is told.
func TestLibseccompErrs(t *testing.T) {
	p := startPeer(t)
	version, _ := p.ask(t, "version\n")
	for _, c := range []struct {
		what, profile, name string
		arch                Arch
		args                [6]uint64
		want, theirs        uint32
		optimize            int
	}{
		{
			"after a condition on one argument another is compared in its place, so that a call is allowed that should not be",
			`{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [
				{"names": ["removexattr"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
				{"names": ["removexattr"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 4294967298, "op": "SCMP_CMP_EQ"}]},
				{"names": ["removexattr"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 216711784, "op": "SCMP_CMP_EQ"}, {"index": 5, "value": 1, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]}]}`,
			"removexattr", AMD64,
			[6]uint64{216711784},
			RetErrno | eperm, RetAllow, 2,
		},
		{
			"of two bounds with other upper halves one is taken for the other",
			`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
				{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 4294967301, "op": "SCMP_CMP_LT"}]},
				{"names": ["ioctl"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 12884901888, "op": "SCMP_CMP_GT"}]}]}`,
			"ioctl", AMD64,
			[6]uint64{4294967301},
			RetAllow, RetTrap, 1,
		},
		{
			"the number of the call is not loaded",
			`{"defaultAction": "SCMP_ACT_TRAP", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [
				{"names": ["get_thread_area"], "action": "SCMP_ACT_NOTIFY", "args": [{"index": 1, "value": 4294967295, "op": "SCMP_CMP_LT"}]}]}`,
			"get_thread_area", AMD64,
			[6]uint64{},
			RetUserNotif, RetTrap, 1,
		},
		{
			"a version in the first argument of ipc goes past a rule",
			`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"names": ["shmat"], "action": "SCMP_ACT_ERRNO"}]}`,
			"ipc", X86,
			[6]uint64{1<<16 | 21},
			RetErrno | eperm, RetAllow, 1,
		},
		{
			"upper bits of the first argument of socketcall go past a rule",
			`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PPC64LE"], "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO"}]}`,
			"socketcall", PPC64LE,
			[6]uint64{1<<32 | 1},
			RetErrno | eperm, RetAllow, 1,
		},
		{
			"two calls of PowerPC are one",
			`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sys_debug_setcontext"], "action": "SCMP_ACT_ERRNO"}]}`,
			"switch_endian", PPC64LE,
			[6]uint64{},
			RetAllow, RetErrno | eperm, 1,
		},
	} {
		native := AMD64
		if c.arch == PPC64LE {
			native = PPC64LE
		}
		k, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), profileOf(t, c.profile), native, c.optimize)
		if err != nil {
			t.Error(c.what, err)
			continue
		}
		nr, ok := c.arch.Number(c.name)
		if !ok {
			t.Fatal(c.name)
		}
		d := &Call{Nr: nr, Arch: c.arch.Audit(), Args: c.args}
		if got := k.run(d); got != c.want {
			t.Errorf("%s: here %#x, not %#x", c.what, got, c.want)
		}
		switch theirs := k.want(d); theirs {
		case c.theirs:
		case c.want:
			t.Logf("%s: not with %s", c.what, version)
		default:
			t.Errorf("%s: libseccomp says %#x", c.what, theirs)
		}
	}
}
