package program

import "golang.org/x/sys/unix"

// FDMessage returns what sendmsg(2) needs to hand the descriptor in a slot to
// Berth, and the slot: its cell lies inside the control message, where the step
// that opens the descriptor puts it.
func FDMessage(name string) (*Data, *Slot) {
	const hdr = 16 // struct cmsghdr
	cmsg := make([]byte, hdr+8)
	le.PutUint64(cmsg, hdr+4)
	le.PutUint32(cmsg[8:], unix.SOL_SOCKET)
	le.PutUint32(cmsg[12:], unix.SCM_RIGHTS)
	control := Struct(cmsg, "{SCM_RIGHTS, "+name+"}")

	iov := make([]byte, 16)
	le.PutUint64(iov[8:], 1)
	vec := Struct(iov, "{1 byte}")
	vec.Refs = []Ref{{0, Struct([]byte{'f'}, "'f'")}}

	msg := make([]byte, 56)
	le.PutUint64(msg[24:], 1) // msg_iovlen
	le.PutUint64(msg[40:], uint64(len(cmsg)))
	d := Struct(msg, "{SCM_RIGHTS, "+name+"}")
	d.Refs = []Ref{{16, vec}, {32, control}}
	return d, &Slot{Name: name, Home: control, Off: hdr, Inherited: -1}
}
