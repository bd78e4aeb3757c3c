package program

import (
	"strconv"

	"berth/libcontainer/fault"
)

// keeps are the numbers that the rules about closing descriptors hang on.
type keeps struct {
	process int // the highest that the user's process keeps
	first   int // the lowest and the highest that are kept until execve
	last    int
	born    int // the highest of all
}

// descriptors checks the table of what the child is born with, and that each slot
// that no step sets is in it. The numbers ascend by how long a descriptor is kept,
// so that one close_range is about all that go at a time.
func (v *verifier) descriptors() {
	no := func(d *Descriptor, rule string) {
		v.errs = append(v.errs, &fault.Error{
			Msg:  "the program breaks a rule of the house: descriptor " + strconv.Itoa(d.Number) + ", " + d.Name + ": " + rule,
			Hint: "this is a bug in Berth: nothing was done",
		})
	}
	k := keeps{process: -1, first: -1, last: -1, born: -1}
	keep, sockets, fifos := KeepForProcess, 0, 0
	for i := range v.p.Descriptors {
		d := &v.p.Descriptors[i]
		if d.Number <= k.born || d.Number > maxDescriptor || d.Keep > keep {
			no(d, "the numbers must ascend, by how long the child has it")
		}
		k.born, keep = d.Number, min(keep, d.Keep)
		own := d.Kind == FDStdio || d.Kind == FDPreserved
		switch {
		case own != (d.Keep == KeepForProcess) || d.Kind == FDStdio != (d.Number < 3):
			no(d, "the user's process keeps its standard files and what the caller meant for it, and nothing else")
		case (d.Kind == FDSocket || d.Kind == FDStartFIFO) != (d.Keep == KeepUntilExec):
			no(d, "the socket and the start FIFO are kept until execve, and nothing else")
		}
		switch d.Kind {
		case FDSocket:
			sockets++
		case FDStartFIFO:
			fifos++
		}
		switch d.Keep {
		case KeepForProcess:
			k.process = d.Number
		case KeepUntilExec:
			if k.first < 0 {
				k.first = d.Number
			}
			k.last = d.Number
		}
	}
	if sockets != 1 || fifos > 1 || fifos == 1 && v.p.Kind != KindCreate {
		v.errs = append(v.errs, fault.New("the program breaks a rule of the house: a child has one socket, and one start FIFO where it is created to wait"))
	}
	v.keeps = k
	slotsOf(v.p.Steps, func(s *Slot) {
		if s.Inherited >= 0 && v.p.inherited(s.Inherited) == nil {
			v.errs = append(v.errs, fault.New("the program breaks a rule of the house: the child is not born with the descriptor "+s.Name))
		}
	})
}
