package program

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// withIntermediate is a program whose first process clones the one that stays.
func withIntermediate(flags uint64) *Program {
	b := &Builder{}
	pid := b.Do(CallClone, "clone", Uint(flags|uint64(unix.SIGCHLD)), Int(0), Int(0), Int(0), Int(0)).FD("pid")
	stay := b.Label()
	b.ExpectNot(From(pid), ^uint64(0), 0, unix.EAGAIN, "ask which it is").On(unix.EAGAIN, stay)
	b.Do(CallExitGroup, "end the first", Int(0))
	b.Here(stay)
	b.Barrier(BarrierBorn, "say hello")
	b.Do(CallExitGroup, "end the second", Int(33))
	return &Program{Steps: b.Steps(), Descriptors: born(0), Intermediate: true}
}

func TestIntermediate(t *testing.T) {
	native(t, "qemu-user refuses CLONE_PARENT")
	m := startProgram(t, withIntermediate(unix.CLONE_PARENT), false)
	first := m.Pid
	if err := m.Run(handler{}, BarrierBorn); err != nil {
		t.Fatal(err)
	}
	if m.Pid == first {
		t.Fatal("the first process was adopted")
	}
	if err := unix.Kill(first, 0); err != unix.ESRCH {
		t.Errorf("the intermediate was not reaped: %v", err)
	}
	if err := unix.PidfdSendSignal(m.PidFD, 0, nil, 0); err != nil {
		t.Errorf("the pidfd is not the child's: %v", err)
	}
	if err := m.Release(); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(handler{}, 0); err != nil {
		t.Fatal(err)
	}
	if st := exit(t, m); st != 33 {
		t.Errorf("exit status %d, want 33", st)
	}
}

// A newborn that is not the runtime's child is not the intermediate's work.
func TestIntermediateOfForeign(t *testing.T) {
	m := startProgram(t, withIntermediate(0), false)
	err := m.Run(handler{}, BarrierBorn)
	if err == nil || !strings.Contains(err.Error(), "not a child of the runtime") {
		t.Errorf("got %v", err)
	}
}

func TestForeignSender(t *testing.T) {
	r, _ := pipe(t)
	b := &Builder{}
	pid := b.Do(CallClone, "clone", Uint(uint64(unix.SIGCHLD)), Int(0), Int(0), Int(0), Int(0)).FD("pid")
	other := b.Label()
	b.ExpectNot(From(pid), ^uint64(0), 0, unix.EAGAIN, "ask which it is").On(unix.EAGAIN, other)
	b.Do(CallRead, "wait for ever", Int(4), Ptr(Buffer(1, "byte")), Int(1))
	b.Here(other)
	b.Barrier(BarrierBorn, "speak for the first")
	alive, w := pipe(t)
	m := start(t, b, false, fdOf(r), fdOf(w))
	err := m.Run(handler{barrier: func(*Machine, Barrier) error { t.Error("the handler was called"); return nil }}, 0)
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
	// The pipe ends when the last process that has it does, the foreign one too.
	m.Kill()
	m.Close()
	if err := alive.SetReadDeadline(time.Now().Add(patience * time.Second)); err != nil {
		t.Fatal(err)
	}
	drain(t, alive, w)
}
