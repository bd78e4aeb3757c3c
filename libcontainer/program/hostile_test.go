package program

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestHostileMessages is a child that has been taken over: it sends messages of
// any length, and as many descriptors as fit into one. Berth refuses the message,
// and keeps none of the descriptors that nobody asked for.
func TestHostileMessages(t *testing.T) {
	native(t, "there the descriptors of a control message that is cut stay open")
	for name, c := range map[string]struct {
		data []byte
		fds  int
		ok   bool
	}{
		"253 descriptors":           {[]byte{0}, 253, true},
		"253 and a wrong length":    {make([]byte, msgLen-1), 253, false},
		"descriptors with a report": {make([]byte, msgLen), 10, false},
		"too long":                  {make([]byte, msgLen+1), 0, false},
		"very long":                 {make([]byte, 100_000), 1, false},
		"short":                     {make([]byte, 2), 0, false},
		"only zeros":                {make([]byte, msgLen), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[1])
			if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
				t.Fatal(err)
			}
			m := &Machine{prog: &Program{Steps: make([]Step, 3)}, sock: pair[0], PidFD: -1, at: -1}
			defer m.Close()
			before := descriptors(t)
			var oob []byte
			if c.fds > 0 {
				fds := make([]int, c.fds)
				for i := range fds {
					fds[i] = pair[1]
				}
				oob = unix.UnixRights(fds...)
			}
			if err := unix.Sendmsg(pair[1], c.data, oob, nil, 0); err != nil {
				t.Fatal(err)
			}
			_, fds, ok, err := m.receive()
			if ok != c.ok || (err == nil) != c.ok {
				t.Errorf("ok %v, %v", ok, err)
			}
			m.hand(fds)
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// TestHostileReports is what a child could write to the start FIFO.
func TestHostileReports(t *testing.T) {
	b := make([]byte, ReportLen)
	for i := range b {
		b[i] = 0xff
	}
	for _, n := range []byte{0, 1, 2, 0xff} {
		b[0] = n
		rep := ReadReport(b)
		if !rep.Trap || rep.Step < 1<<20 {
			t.Errorf("%+v", rep)
		}
	}
}
