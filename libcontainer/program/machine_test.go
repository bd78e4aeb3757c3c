package program

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// start runs the steps in a child, with descriptor 3 as the socket.
func start(t *testing.T, b *Builder, trace bool) *Machine {
	t.Helper()
	p := &Program{Steps: b.Steps(), Socket: 3, Gate: -1}
	return startProgram(t, p, trace)
}

func startProgram(t *testing.T, p *Program, trace bool) *Machine {
	t.Helper()
	img, err := p.Image(trace, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Seal(img)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m, err := p.Start(fd, []int{0, 1, 2, -1}, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Kill(); m.Close() })
	return m
}

type noHandler struct{}

func (noHandler) Barrier(*Machine, Barrier) error { return nil }
func (noHandler) Mend(*Machine, string) error     { return nil }

// exit reaps the child and gives its exit status.
func exit(t *testing.T, m *Machine) int {
	t.Helper()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(m.Pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	m.Pid = 0
	return ws.ExitStatus()
}

func TestExit(t *testing.T) {
	b := &Builder{}
	b.Do(CallExitGroup, "end", Int(42))
	m := start(t, b, false)
	if err := m.Run(noHandler{}, 0); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, m); got != 42 {
		t.Errorf("exit status %d, want 42", got)
	}
}
