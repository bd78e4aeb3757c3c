// Package bench times Berth beside runc, in turn in one run, so that what counts
// is a ratio: the machine's own speed, and who else uses it, drop out.
package bench

import (
	"context"
	"os/exec"
	"slices"
	"testing"
	"time"

	"berth/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// runtime is one of those that are compared.
type runtime struct {
	name, binary string
	root         string
}

func runtimes(b *testing.B) []runtime {
	b.Helper()
	h := harness.New(b)
	all := []runtime{{"berth", h.Binary, h.Root}}
	return append(all, runtime{"runc", harness.Need(b, "runc", "runc"), b.TempDir()})
}

// life is a sequence of commands of a runtime for a container.
type life func(id, bundle string) [][]string

func run(id, bundle string) [][]string {
	return [][]string{{"run", "--bundle", bundle, id}}
}

func steps(id, bundle string) [][]string {
	return [][]string{
		{"create", "--bundle", bundle, id},
		{"start", id},
		{"delete", "--force", id},
	}
}

func version(string, string) [][]string { return [][]string{{"--version"}} }

// BenchmarkRun is `run` of /bin/true with the default config.
func BenchmarkRun(b *testing.B) { compare(b, run) }

// BenchmarkSteps is create, start and delete by separate commands.
func BenchmarkSteps(b *testing.B) { compare(b, steps) }

// BenchmarkVersion is the least that a command can cost.
func BenchmarkVersion(b *testing.B) { compare(b, version) }

func compare(b *testing.B, l life) {
	rts := runtimes(b)
	bundle := harness.Bundle(b)
	times := make([][]time.Duration, len(rts))
	for b.Loop() {
		for i, rt := range rts {
			id := harness.ID(b)
			start := time.Now()
			for _, args := range l(id, bundle) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				// Output nowhere: a pipe would be waited for.
				err := exec.CommandContext(ctx, rt.binary, append([]string{"--root", rt.root}, args...)...).Run()
				cancel()
				if err != nil {
					b.Fatalf("%s %v: %v", rt.name, args, err)
				}
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	medians := make([]float64, len(rts))
	for i, rt := range rts {
		slices.Sort(times[i])
		medians[i] = float64(times[i][len(times[i])/2]) / 1e6
		b.ReportMetric(medians[i], rt.name+"-ms")
	}
	b.ReportMetric(medians[0]/medians[1], "ratio")
	b.ReportMetric(0, "ns/op")
}
