package seccomp

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

var engines = []string{"moby", "containerd", "podman"}

func BenchmarkCompile(b *testing.B) {
	for _, name := range engines {
		s := readProfile(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(s, AMD64); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestCold measures the first compilation of processes of their own: nothing is in
// caches or paged in, as when a runtime starts.
func TestCold(t *testing.T) {
	if name := os.Getenv("SECCOMP_COLD"); name != "" {
		s := readProfile(t, name)
		start := time.Now()
		_, err := Compile(s, AMD64)
		os.Stdout.WriteString("cold " + strconv.FormatInt(time.Since(start).Microseconds(), 10) + "\n")
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, name := range engines {
		best := int64(1 << 40)
		for range 10 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCold$")
			cmd.Env = append(os.Environ(), "SECCOMP_COLD="+name)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			_, after, _ := strings.Cut(string(out), "cold ")
			us, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			best = min(best, us)
		}
		t.Logf("%s: %d us cold", name, best)
		// The aim is half a millisecond; what a busy machine adds is not held against it.
		if best > 1500 {
			t.Errorf("%s: compiled in %d us", name, best)
		}
	}
}

// commonest are ten calls that programs make most.
var commonest = []string{"read", "write", "openat", "close", "fstat", "mmap", "futex", "epoll_wait", "newfstatat", "rt_sigaction"}

// executed is how many instructions the filters take for one of them.
func executed(call string, filters ...[]Insn) (counts []int) {
	nr, _ := AMD64.Number(call)
	for _, insns := range filters {
		_, n, _ := Run(insns, &Call{Nr: nr, Arch: AMD64.Audit()}, false)
		counts = append(counts, n)
	}
	return counts
}

// TestExecuted counts the instructions that the commonest calls cost, beside
// libseccomp's filters. Those have runc's part before them in a runtime, which is not counted.
func TestExecuted(t *testing.T) {
	p := startPeer(t)
	for _, name := range engines {
		s, _ := p.common(t, readProfile(t, name))
		linear, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), s, AMD64, 1)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := newComparison(t, p, rand.New(rand.NewPCG(1, 1)), s, AMD64, 2)
		if err != nil {
			t.Fatal(err)
		}
		var sum [3]int
		var each []string
		for _, call := range commonest {
			counts := executed(call, linear.ours.Insns, linear.theirs, tree.theirs)
			for i, n := range counts {
				sum[i] += n
			}
			each = append(each, fmt.Sprint(call, " ", counts))
		}
		t.Logf("%s: %d instructions in all (libseccomp linear %d, tree %d); executed for ten calls %d, linear %d, tree %d: %s",
			name, len(linear.ours.Insns), len(linear.theirs), len(tree.theirs), sum[0], sum[1], sum[2], strings.Join(each, " "))
		if sum[0] >= sum[1] || sum[0] >= sum[2] || len(linear.ours.Insns) >= len(linear.theirs) {
			t.Errorf("%s: not better than libseccomp", name)
		}
	}
}
