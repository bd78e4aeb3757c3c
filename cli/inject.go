package cli

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/fault"
)

// maxErrno is the highest errno that Linux has.
const maxErrno = 133

// parseInjection reads step=N or action=N, then [,errno=NAME][,kill]; without
// either of those the step fails with EIO. Or it reads point=N, where all that can
// happen is a kill.
func parseInjection(what string) (*libcontainer.Injection, error) {
	in := &libcontainer.Injection{}
	for _, part := range strings.Split(what, ",") {
		name, val, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(val)
		switch {
		case name == "step" && err == nil && n > 0:
			in.Step = n
		case name == "action" && err == nil && n > 0:
			in.Action = n
		case name == "point" && err == nil && n > 0:
			in.Point = n
		case name == "errno":
			if in.Errno = errnoByName(val); in.Errno == 0 {
				return nil, fault.New("invalid value for --inject: no errno is called " + strconv.Quote(val))
			}
		case part == "kill":
			in.Kill = true
		default:
			return nil, &fault.Error{Msg: "invalid value for --inject: " + strconv.Quote(part), Hint: "step=N or action=N, then ,errno=NAME or ,kill; or point=N"}
		}
	}
	given := 0
	for _, n := range [...]int{in.Step, in.Action, in.Point} {
		if n != 0 {
			given++
		}
	}
	if given != 1 || in.Point != 0 && (in.Errno != 0 || in.Kill) {
		return nil, &fault.Error{Msg: "invalid value for --inject: " + strconv.Quote(what), Hint: "one of step=N, action=N and point=N, the last alone"}
	}
	if in.Point == 0 && in.Errno == 0 && !in.Kill {
		in.Errno = int(unix.EIO)
	}
	return in, nil
}

func errnoByName(name string) int {
	for n := 1; n <= maxErrno && name != ""; n++ {
		if unix.ErrnoName(unix.Errno(n)) == name {
			return n
		}
	}
	return 0
}
