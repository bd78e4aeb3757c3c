package libcontainer

import (
	"strings"
	"testing"
)

func TestHomeIn(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nrel:x:5:5::home:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nagain:x:1000:1000::/other:\n"
	for uid, want := range map[uint32]string{0: "/root", 1000: "/home/user", 5: "", 7: ""} {
		if got := homeIn(passwd, uid, 100); got != want {
			t.Errorf("home of %d: %q, want %q", uid, got, want)
		}
	}
	for n, want := range map[int]bool{99: true, 100: true, 101: false} {
		long := "/" + strings.Repeat("a", n-1)
		if got := homeIn("x:x:9:9::"+long+":/bin/sh\n", 9, 100); (got == long) != want {
			t.Errorf("a home of %d bytes was taken: %v", n, !want)
		}
	}
}

// TestPasswdEntry: an entry whose ids are no ids is none. Its group would be 0, root's.
func TestPasswdEntry(t *testing.T) {
	const passwd = "word:x:1000:bad::/:/bin/sh\nlarge:x:1000:99999999999::/:/bin/sh\nuid:x:bad:7::/:/bin/sh\n" +
		"none:x:1000:::/:/bin/sh\ngood:x:1000:100::/:/bin/sh\n"
	for name, want := range map[string]bool{"word": false, "large": false, "uid": false, "none": false, "good": true} {
		if e, ok := entryIn(passwd, "etc/passwd", name); ok != want || ok && e != (entry{1000, 100}) {
			t.Errorf("%s: %v, %v", name, e, ok)
		}
	}
	if e, ok := entryIn("staff:x:50:user,root\n", "etc/group", "staff"); !ok || e.id != 50 {
		t.Errorf("a group with members: %v, %v", e, ok)
	}
}
