package seccomp

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCalls: names and numbers, and that the one leads to the other.
func TestCalls(t *testing.T) {
	for _, c := range []struct {
		arch Arch
		name string
		nr   uint32
	}{
		{AMD64, "read", 0},
		{AMD64, "rseq_slice_yield", 471},
		{X86, "socketcall", 102},
		{X32, "rt_sigaction", x32Bit + 512},
		{ARM, "set_tls", 0xf0005},
		{ARM64, "openat", 56},
		{Loong64, "openat", 56},
		{RISCV64, "riscv_flush_icache", 259},
		{MIPS, "read", 4003},
		{MIPSEL64, "read", 5000},
		{MIPSN32, "read", 6000},
		{PPC64LE, "clone3", 435},
		{S390X, "read", 3},
		{SHEB, "read", 3},
	} {
		if nr, ok := c.arch.Number(c.name); !ok || nr != c.nr {
			t.Errorf("%s %s: %d, %v", c.arch, c.name, nr, ok)
		}
		if name := c.arch.CallName(c.nr); name != c.name {
			t.Errorf("%s %d: %q", c.arch, c.nr, name)
		}
	}
	if _, ok := ARM64.Number("open"); ok {
		t.Error("arm64 has no open")
	}
	if !Known("open") || Known("opem") || AMD64.CallName(x32Bit) != "" {
		t.Error("a call that there is not")
	}
	if !slices.IsSortedFunc(multiplexed[:], func(a, b struct {
		name string
		code uint8
		ipc  bool
	},
	) int {
		return strings.Compare(a.name, b.name)
	}) {
		t.Error("multiplexed is searched, and not sorted")
	}
	for _, m := range multiplexed {
		if !Known(m.name) {
			t.Error(m.name)
		}
	}
}

// TestSince: the versions that calls came with.
func TestSince(t *testing.T) {
	for name, want := range map[string][2]int{"read": {1, 0}, "openat": {2, 6}, "seccomp": {3, 17}, "openat2": {5, 6}, "cachestat": {6, 5}, "listns": {6, 19}, "nothing": {0, 0}} {
		if major, minor := Since(name); [2]int{major, minor} != want {
			t.Errorf("%s: %d.%d", name, major, minor)
		}
	}
	var unknown []string
	for i := range callCount {
		if callSince[i] == 0 {
			unknown = append(unknown, callName(i))
		}
	}
	t.Logf("not known of %d: %v", len(unknown), unknown)
	for _, name := range AMD64.Calls() {
		if nr, _ := AMD64.Number(name); nr >= 335 && slices.Contains(unknown, name) {
			t.Errorf("%s is new, and has no version", name)
		}
	}
}

// TestNoInit: nothing is set up at start, where each process that links the package
// would pay for it.
func TestNoInit(t *testing.T) {
	export, err := exec.Command("go", "list", "-export", "-f", "{{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := exec.Command("go", "tool", "nm", "-size", strings.TrimSpace(string(export))).Output()
	if err != nil || !strings.Contains(string(symbols), "seccomp.Compile") {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(symbols)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "T" || !strings.HasPrefix(f[3], "berth/libcontainer/seccomp.init") {
			continue
		}
		// The compiler makes an init for the sake of imported packages: a bare return.
		if size, err := strconv.Atoi(f[1]); err != nil || size > 4 || f[3] != "berth/libcontainer/seccomp.init" {
			t.Error(line)
		}
	}
}
