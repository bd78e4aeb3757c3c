package cli

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/jsonw"
)

var psCommand = command{
	name:  "ps",
	args:  "<container-id> [ps options]",
	usage: "list the processes of a container",
	about: `The table is that of ps(1), which gets the options that stand behind the id, or -ef
when there are none, with the lines of the container's processes alone. As json it
is an array of their pids, as the host sees them.`,
	options: []*option{&optFormat},
	least:   1, most: -1,
	foreign: true,
	run: func(c *call) (int, error) {
		return c.onContainer(func(ct *libcontainer.Container) error {
			pids, err := ct.Processes()
			if err != nil {
				return err
			}
			var out []byte
			switch c.text(&optFormat) {
			case "table":
				out, err = psTable(pids, c.args[1:])
			case "json":
				out = psJSON(pids)
			default:
				err = fault.New("invalid format option")
			}
			if err == nil {
				_, err = os.Stdout.Write(out)
			}
			return err
		})
	},
}

// psJSON is one line; without processes it says null, as runc's.
func psJSON(pids []int) []byte {
	if len(pids) == 0 {
		return []byte("null\n")
	}
	j := jsonw.New("")
	j.Begin('[')
	for _, pid := range pids {
		j.Item().Int(pid)
	}
	j.Close(']')
	return append(j.Buf, '\n')
}

// psTable runs ps(1), which knows all that a process can be asked, and picks.
func psTable(pids []int, args []string) ([]byte, error) {
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	out, err := exec.Command("ps", args...).CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, &fault.Error{Msg: "cannot list processes as a table", Err: err, Hint: "it is made by ps(1), from the package procps; --format json needs none"}
	case err != nil:
		return nil, fault.New("ps " + strings.Join(args, " ") + ": " + err.Error() + ": " + string(out))
	}
	return pickProcesses(string(out), pids)
}

// pickProcesses leaves the title and the lines of these processes.
func pickProcesses(text string, pids []int) ([]byte, error) {
	title, rest, _ := strings.Cut(text, "\n")
	column := slices.Index(strings.Fields(title), "PID")
	if column < 0 {
		return nil, &fault.Error{Msg: "couldn't find PID field in ps output", Hint: "let ps print pids: -o pid,..."}
	}
	out := append([]byte(title), '\n')
	for line := range strings.SplitSeq(rest, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		pid, err := 0, strconv.ErrSyntax
		if column < len(fields) {
			pid, err = strconv.Atoi(fields[column])
		}
		if err != nil {
			return nil, &fault.Error{Msg: "cannot find the pid in a line of ps", Call: line, Hint: "let the column PID come before those that may hold spaces"}
		}
		if slices.Contains(pids, pid) {
			out = append(append(out, line...), '\n')
		}
	}
	return out, nil
}
