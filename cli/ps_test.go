package cli

import (
	"strings"
	"testing"
)

func TestPickProcesses(t *testing.T) {
	for _, c := range []struct {
		name, text, want, err string
	}{
		{"first column", "PID CMD\n  1 a\n 22 b c\n333 d\n", "PID CMD\n 22 b c\n333 d\n", ""},
		{"not a part of a number", "UID  PID\n22   2222\n333  22\n", "UID  PID\n333  22\n", ""},
		{"pid of a name that is a number", "CMD  PID\n22  1\nx  22\n", "CMD  PID\nx  22\n", ""},
		{"none", "PID\n1\n", "PID\n", ""},
		{"no column", "CMD\na\n", "", "couldn't find PID field in ps output"},
		{"PPID alone", "PPID\n1\n", "", "couldn't find PID field in ps output"},
		{"a column with spaces before it", "CMD PID\na b 22\n", "", "cannot find the pid in a line of ps: a b 22"},
		{"a short line", "CMD PID\nx\n", "", "cannot find the pid in a line of ps: x"},
		{"nothing", "", "", "couldn't find PID field in ps output"},
	} {
		out, err := pickProcesses(c.text, []int{22, 333})
		if string(out) != c.want {
			t.Errorf("%s: %q, want %q", c.name, out, c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}
