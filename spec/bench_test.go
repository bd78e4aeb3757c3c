package spec

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func BenchmarkDecode(b *testing.B) {
	data := configs(b)["docker-default.json"]
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	data := configs(b)["docker-default.json"]
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var s specs.Spec
		if err := json.Unmarshal(data, &s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirst measures what a command of the runtime pays: the first decode
// of a process. The test binary starts itself for each measurement.
func BenchmarkFirst(b *testing.B) {
	for _, how := range []string{"spec", "encoding/json"} {
		b.Run(how, func(b *testing.B) {
			total := 0
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^TestFirstDecode$", "-test.v")
				cmd.Env = append(os.Environ(), "BERTH_FIRST_DECODE="+how)
				out, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				_, rest, _ := strings.Cut(string(out), "first decode took ")
				word, _, _ := strings.Cut(rest, " ns")
				ns, err := strconv.Atoi(word)
				if err != nil {
					b.Fatal(string(out))
				}
				total += ns
			}
			b.ReportMetric(float64(total)/float64(b.N), "ns/first-decode")
		})
	}
}

// TestFirstDecode is the process that BenchmarkFirst starts.
func TestFirstDecode(t *testing.T) {
	how := os.Getenv("BERTH_FIRST_DECODE")
	if how == "" {
		t.Skip("only started by BenchmarkFirst")
	}
	data, err := os.ReadFile("testdata/configs/docker-default.json")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if how == "spec" {
		_, _, err = Decode(data)
	} else {
		err = json.Unmarshal(data, new(specs.Spec))
	}
	took := time.Since(begin)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first decode took %d ns", took.Nanoseconds())
}
