package program

import "math/bits"

// digest mixes words into 64 bits. It tells programs apart; it is no defence against
// somebody who looks for two that are alike.
type digest uint64

func (d *digest) word(n uint64) {
	const odd = 0x9e3779b97f4a7c15 // the golden ratio's bits
	hi, lo := bits.Mul64(uint64(*d)^n^odd, odd)
	*d = digest(hi ^ lo + n)
}

func (d *digest) bytes(b []byte) {
	d.word(uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		d.word(le.Uint64(b))
	}
	var rest [8]byte
	copy(rest[:], b)
	d.word(le.Uint64(rest[:]))
}

// Digest tells a program by what it does: kind, descriptors, namespaces, and each
// step with its arguments, errnos and fixups. Words for people and injected faults do
// not count. Two compilations of the same config on the same host have the same.
func (p *Program) Digest() uint64 {
	f := &flow{v: &verifier{p: p}}
	f.number(p.Steps)
	d := new(digest)
	d.word(uint64(p.Kind))
	d.word(uint64(p.CloneFlags))
	d.word(uint64(len(p.Descriptors)))
	for i := range p.Descriptors {
		e := &p.Descriptors[i]
		d.word(uint64(e.Number)<<16 | uint64(e.Kind)<<8 | uint64(e.Keep))
	}
	d.steps(p.Steps)
	return uint64(*d)
}

func (d *digest) steps(steps []Step) {
	d.word(uint64(len(steps)))
	for i := range steps {
		st := &steps[i]
		d.word(uint64(st.Call)<<32 | uint64(len(st.Args))<<24 | uint64(len(st.Harmless))<<16 | uint64(len(st.Fixups)))
		for j := range st.Args {
			d.arg(&st.Args[j])
		}
		d.slot(st.Result)
		for _, h := range st.Harmless {
			d.word(uint64(h.Errno)<<32 | uint64(h.Skip))
		}
		for j := range st.Fixups {
			m := &st.Fixups[j]
			d.word(uint64(m.Then))
			for _, no := range m.On {
				d.word(uint64(no))
			}
			d.steps(m.Steps)
			if m.Links != nil {
				d.bytes([]byte(m.Links.Path))
			}
		}
	}
}

func (d *digest) arg(a *Arg) {
	switch {
	case a.data != nil:
		d.data(a.data)
	case a.slot != nil:
		d.slot(a.slot)
		d.word(a.n)
	default:
		d.word(a.n)
	}
}

func (d *digest) slot(s *Slot) {
	if s == nil {
		d.word(0)
		return
	}
	home := 0
	if s.Home != nil {
		home = s.Home.memory
	}
	d.word(1 | uint64(s.id)<<1 | uint64(home)<<32 | uint64(s.Off)<<48)
}

func (d *digest) data(m *Data) {
	d.bytes(m.Bytes)
	d.word(uint64(m.Size))
	for _, r := range m.Refs {
		d.word(uint64(r.Off))
		d.data(r.To)
	}
}
