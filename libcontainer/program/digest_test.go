package program

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestDigest: the same program has the same digest, whatever is said about it, and
// any change of what it does another one.
func TestDigest(t *testing.T) {
	want := goodProgram().Digest()
	p := goodProgram()
	if err := p.Verify(); err != nil {
		t.Fatal(err)
	}
	p.Steps[3].Why, p.Steps[3].JSONPath, p.Steps[3].Fail = "other words", "other.path", unix.EIO
	if got := p.Digest(); got != want {
		t.Errorf("digest %x, want %x", got, want)
	}
	seen := map[uint64]string{want: "the good one"}
	differs := func(name string, p *Program) {
		t.Helper()
		got := p.Digest()
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[got] = name
	}
	for i := range p.Steps {
		for j := range p.Steps[i].Args {
			p := goodProgram()
			a := &p.Steps[i].Args[j]
			switch {
			case a.data != nil && a.data.str:
				*a = Path(a.data.Value() + "x")
			case a.data != nil && len(a.data.Bytes) > 0:
				d := *a.data
				d.Bytes = append([]byte(nil), d.Bytes...)
				d.Bytes[len(d.Bytes)-1] ^= 1
				*a = Ptr(&d)
			case a.data != nil:
				*a = Ptr(&Data{Size: a.data.Size + 1})
			case a.slot != nil:
				*a = From(&Slot{Name: "other", Inherited: -1})
			default:
				*a = Uint(a.n ^ 1)
			}
			differs(p.Steps[i].Why+": another argument", p)
		}
		p := goodProgram()
		p.Steps[i].Harmless = append(p.Steps[i].Harmless, Harmless{unix.ENOENT, 0})
		differs(p.Steps[i].Why+": a harmless errno", p)
		p = goodProgram()
		p.Steps[i].Fixups = append(p.Steps[i].Fixups, Fixup{On: []unix.Errno{unix.ENOENT}})
		differs(p.Steps[i].Why+": a fixup", p)
		p = goodProgram()
		p.Steps = append(p.Steps[:i:i], p.Steps[i+1:]...)
		differs(p.Steps[max(i-1, 0)].Why+": the next step left out", p)
	}
	p = goodProgram()
	p.Kind = KindHook
	differs("another kind", p)
	p = goodProgram()
	p.CloneFlags |= unix.CLONE_NEWNET
	differs("another namespace", p)
	p = goodProgram()
	p.Descriptors = p.Descriptors[:4]
	differs("another descriptor", p)
}

func BenchmarkDigest(b *testing.B) {
	p := goodProgram()
	for len(p.Steps) < 450 {
		p.Steps = append(p.Steps, p.Steps[:20]...)
	}
	for b.Loop() {
		p.Digest()
	}
}
