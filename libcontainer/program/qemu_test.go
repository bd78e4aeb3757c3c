package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestOtherMachines builds these tests for the other machines and runs them
// under qemu-user, so that every interpreter is tested wherever one is. qemu runs
// the image of a child too, since the kernel could execute it only with a
// registration in binfmt_misc, which is the whole machine's.
func TestOtherMachines(t *testing.T) {
	if emulator != nil || testing.Short() {
		t.Skip("short, or already under emulation")
	}
	golang, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command to build with")
	}
	for arch, names := range map[string][]string{
		"amd64":   {"qemu-x86_64-static", "qemu-x86_64"},
		"arm64":   {"qemu-aarch64-static", "qemu-aarch64"},
		"riscv64": {"qemu-riscv64-static", "qemu-riscv64"},
	} {
		if arch == runtime.GOARCH {
			continue
		}
		t.Run(arch, func(t *testing.T) {
			qemu := find(names)
			if qemu == "" {
				t.Skip("neither of " + strings.Join(names, ", ") + " is installed (Debian: qemu-user-static)")
			}
			onMachine(t, golang, qemu, arch)
		})
	}
}

func find(names []string) string {
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	return ""
}

func onMachine(t *testing.T, golang, qemu, arch string) {
	bin := filepath.Join(t.TempDir(), "program.test")
	build := exec.Command(golang, "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "GOARCH="+arch, "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	test := exec.Command(qemu, bin, "-test.v", "-test.timeout=5m")
	// Signals that preempt goroutines only slow an emulator down.
	test.Env = append(os.Environ(), emulatorEnv+"="+qemu+" -0 berth-init", "GODEBUG=asyncpreemptoff=1")
	out, err := test.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", qemu, err, out)
	}
	passed := strings.Count(string(out), "\n--- PASS")
	t.Logf("%d tests passed", passed)
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "not under emulation") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if passed < 30 {
		t.Errorf("only %d tests were run:\n%s", passed, out)
	}
}
