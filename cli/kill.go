package cli

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/fault"
)

var optAll = option{name: "all", short: "a", kind: toggle, usage: "send the signal to all processes of the container"}

var killCommand = command{
	name:    "kill",
	args:    "<container-id> [signal]",
	usage:   "send a signal to the process of a container",
	about:   `The signal is a name with or without SIG, or a number; TERM when there is none.`,
	options: []*option{&optAll},
	least:   1, most: 2,
	run: func(c *call) (int, error) {
		name := "SIGTERM"
		if len(c.args) > 1 {
			name = c.args[1]
		}
		sig, err := parseSignal(name)
		if err != nil {
			return 1, err
		}
		ct, err := c.container()
		if err != nil {
			return 1, err
		}
		defer ct.Close()
		return 0, ct.Kill(sig, c.on(&optAll))
	},
}

// The real-time signals that a program may use: glibc keeps 32 and 33 to itself.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// parseSignal reads a signal: 9, KILL, SIGKILL, in any case; and the real-time
// ones as RTMIN+n and RTMAX-n (systemd's containers are stopped with RTMIN+3).
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > sigRTMax {
			return 0, unknownSignal(s)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	for _, rt := range [...]struct {
		name string
		base int
		sign byte
	}{{"SIGRTMIN", sigRTMin, '+'}, {"SIGRTMAX", sigRTMax, '-'}} {
		rest, ok := strings.CutPrefix(name, rt.name)
		if !ok {
			continue
		}
		n := rt.base
		if rest != "" {
			d, err := strconv.Atoi(rest)
			if err != nil || rest[0] != rt.sign {
				return 0, unknownSignal(s)
			}
			n += d
		}
		if n >= sigRTMin && n <= sigRTMax {
			return unix.Signal(n), nil
		}
	}
	return 0, unknownSignal(s)
}

func unknownSignal(s string) error { return fault.New("unknown signal " + strconv.Quote(s)) }
