package compile

import (
	"os"
	"testing"

	"berth/libcontainer/host"
	"berth/spec"
)

// BenchmarkCreate compiles and verifies the program of runc's default config.
func BenchmarkCreate(b *testing.B) {
	raw, err := os.ReadFile("testdata/runc-default.json")
	if err != nil {
		b.Fatal(err)
	}
	s, _, err := spec.Decode(raw)
	if err != nil {
		b.Fatal(err)
	}
	f := &host.Facts{LastCap: 40, Permitted: 1<<41 - 1, Bounding: 1<<41 - 1, TimeNS: true, CgroupNS: true, PageSize: 4096, Cgroup: host.Cgroup{Mode: host.Unified}}
	for b.Loop() {
		p, err := Create(s, f, &Request{ID: "x", Rootfs: "/r", StartFIFO: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Verify(); err != nil {
			b.Fatal(err)
		}
		if _, err := p.Image(false, 4096); err != nil {
			b.Fatal(err)
		}
	}
}
