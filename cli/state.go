package cli

import (
	"os"
	"sort"
	"time"

	"berth/libcontainer"
)

var stateCommand = command{
	name:  "state",
	args:  "<container-id>",
	usage: "print the state of a container as JSON",
	least: 1, most: 1,
	run: func(c *call) (int, error) {
		ct, err := c.container()
		if err != nil {
			return 1, err
		}
		defer ct.Close()
		s, err := ct.State()
		if err != nil {
			return 1, err
		}
		j := newJSON("  ")
		j.state(s)
		_, err = os.Stdout.Write(j.buf)
		return 0, err
	},
}

// state writes a container's state as runc does, which is the spec's (runtime.md,
// State) with rootfs, created and owner.
func (j *jsonWriter) state(s *libcontainer.State) {
	j.begin('{')
	j.key("ociVersion").str(s.OCIVersion)
	j.key("id").str(s.ID)
	j.key("pid").int(s.Pid)
	j.key("status").str(s.Status)
	j.key("bundle").str(s.Bundle)
	j.key("rootfs").str(s.Rootfs)
	j.key("created").str(s.Created.Format(time.RFC3339Nano))
	if len(s.Annotations) > 0 {
		names := make([]string, 0, len(s.Annotations))
		for name := range s.Annotations {
			names = append(names, name)
		}
		sort.Strings(names)
		j.key("annotations").begin('{')
		for _, name := range names {
			j.key(name).str(s.Annotations[name])
		}
		j.close('}')
	}
	j.key("owner").str(s.Owner)
	j.close('}')
}
