package guest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// kvm are the arguments for it, also of the probe: that one processor model runs does
// not say that another does.
var kvm = []string{"-accel", "kvm", "-cpu", "host"}

// acceleration are qemu's arguments for how the guest's code is run. BERTH_VM_ACCEL
// (kvm or tcg) decides; without it KVM is used where it is seen to work.
func acceleration() []string {
	accel := os.Getenv("BERTH_VM_ACCEL")
	if accel == "kvm" || accel == "" && kvmWorks() {
		return kvm
	}
	return []string{"-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"}
}

// kvmProbe is a machine's whole firmware: where it starts, 16 bytes before its end,
// it writes 16 to port 0xf4 and halts. qemu's debug exit there makes 33 of it.
const (
	kvmProbe     = "\xb0\x10\xe6\xf4\xf4"
	kvmProbeCode = 33
	kvmProbeTime = 4 * time.Second
)

// kvmWorks runs a few instructions with KVM. That /dev/kvm is there and opens does
// not say that a processor ever runs: there are hosts on which it hangs. The answer is
// kept until the host is booted anew.
func kvmWorks() bool {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return false
	}
	cache, err := CacheDir()
	if err != nil {
		return false
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	known := filepath.Join(cache, "kvm")
	if text, _ := os.ReadFile(known); len(text) > 0 && string(text[1:]) == string(boot) {
		return text[0] == 'y'
	}
	answer := "n"
	if probeKVM(cache) {
		answer = "y"
	}
	_ = os.WriteFile(known, []byte(answer+string(boot)), 0o600)
	return answer == "y"
}

func probeKVM(dir string) bool {
	bios, err := os.CreateTemp(dir, "kvm-probe-")
	if err != nil {
		return false
	}
	defer os.Remove(bios.Name())
	defer bios.Close()
	rom := make([]byte, 64<<10)
	copy(rom[len(rom)-16:], kvmProbe)
	if _, err := bios.Write(rom); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), kvmProbeTime)
	defer cancel()
	args := append([]string{
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "16", "-bios", bios.Name(),
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1",
	}, kvm...)
	cmd := exec.CommandContext(ctx, qemu, args...)
	if cmd.Start() != nil {
		return false
	}
	// Buffered: the one who waits may come too late.
	code := make(chan int, 1)
	go func() {
		_ = cmd.Wait()
		code <- cmd.ProcessState.ExitCode()
	}()
	select {
	case c := <-code:
		return c == kvmProbeCode
	case <-time.After(2 * kvmProbeTime):
		// Killed, it still hangs in the kernel: nobody can wait for that.
		return false
	}
}
