package program

import (
	"debug/elf"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ending is the shortest program.
func ending() *Program {
	b := &Builder{}
	b.Do(CallExitGroup, "end", Int(0))
	return &Program{Steps: b.Steps(), Descriptors: born(0)}
}

// BenchmarkStart starts and reaps a sealed image and a static C program, in
// turn, so that the machine's moods fall on both.
func BenchmarkStart(b *testing.B) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		b.Skip("no busybox to compare with")
	}
	if f, err := elf.Open(busybox); err != nil || interpreted(f) {
		b.Skip(busybox + " is not static")
	}
	p := ending()
	img, err := p.Image(false, os.Getpagesize())
	if err != nil {
		b.Fatal(err)
	}
	fd, err := Seal(img)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	var ours, theirs time.Duration
	for b.Loop() {
		t0 := time.Now()
		m, err := p.Start(fd, []int{0, 1, 2, -1}, -1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Wait4(m.Pid, nil, 0, nil); err != nil {
			b.Fatal(err)
		}
		m.Pid = 0
		m.Close()
		t1 := time.Now()
		pid, err := syscall.ForkExec(busybox, []string{"true"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			b.Fatal(err)
		}
		ours, theirs = ours+t1.Sub(t0), theirs+time.Since(t1)
	}
	n := float64(b.N)
	b.ReportMetric(float64(ours.Microseconds())/n, "µs/image")
	b.ReportMetric(float64(theirs.Microseconds())/n, "µs/busybox-true")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
	b.ReportMetric(0, "ns/op")
}

func interpreted(f *elf.File) bool {
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}

// BenchmarkSeal is what comes before: writing the image of 200 steps.
func BenchmarkSeal(b *testing.B) {
	bd := &Builder{}
	for range 200 {
		bd.Do(CallMkdirat, "make", AtCwd, Path("/some/path/of/usual/length"), Int(0o755)).FD("fd")
	}
	p := &Program{Steps: bd.Steps(), Descriptors: born(0)}
	for b.Loop() {
		img, err := p.Image(false, os.Getpagesize())
		if err != nil {
			b.Fatal(err)
		}
		fd, err := Seal(img)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}

// BenchmarkStep is the cost of a step that asks the kernel for next to nothing.
func BenchmarkStep(b *testing.B) {
	const steps = 1000
	bd := &Builder{}
	bd.Barrier(BarrierIDMap, "wait")
	for range steps {
		bd.Do(CallUmask, "go on", Int(0o22))
	}
	bd.Barrier(BarrierReady, "wait again")
	m := start(b, bd, false)
	if err := m.Run(handler{}, BarrierIDMap); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := m.resume(1, 0); err != nil {
			b.Fatal(err)
		}
		if _, _, ok, err := m.receive(); !ok || err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/step")
	b.ReportMetric(0, "ns/op")
}
