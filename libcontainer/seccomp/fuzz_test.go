package seccomp

import (
	"math/rand/v2"
	"testing"
)

// choices makes the fuzzer's bytes the random choices of a profile; when they are used
// up, the rest follows from how many there were.
type choices struct {
	data []byte
	rest *rand.PCG
}

func (c *choices) Uint64() uint64 {
	if len(c.data) < 2 {
		return c.rest.Uint64()
	}
	v := uint64(c.data[0])<<8 | uint64(c.data[1])
	c.data = c.data[2:]
	// The upper bits decide in IntN.
	return v<<48 | v<<24 | v
}

// FuzzCompile makes profiles of the fuzzer's bytes and compares filters with libseccomp's
// and with what Explain says.
func FuzzCompile(f *testing.F) {
	p := startPeer(f)
	for i := range 8 {
		b := make([]byte, 200)
		r := rand.New(rand.NewPCG(4, uint64(i)))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := rand.New(&choices{data, rand.NewPCG(5, uint64(len(data)))})
		s, native := randomProfile(t, p, r)
		optimize := 1 + r.IntN(2)
		c, err := newComparison(t, p, r, s, native, optimize)
		if err != nil {
			return
		}
		c.ruled()
		if c.bad != 0 {
			t.Errorf("with optimize %d: %s", optimize, shrink(t, p, s, native, optimize))
		}
	})
}
