package cli

import (
	"context"
	"os"
	"strconv"
	"time"

	"berth/libcontainer"
	"berth/libcontainer/fault"
)

var (
	optInterval = option{name: "interval", value: "5s", usage: "print the counts each `TIME`: a number and ms, s, m or h"}
	optStats    = option{name: "stats", kind: toggle, usage: "print the counts once, and end"}
)

var eventsCommand = command{
	name:  "events",
	args:  "<container-id>",
	usage: "tell what happens to a container, and what it uses",
	about: `Prints an object of JSON a line: what the kernel has counted for the container,
{"type":"stats","id":ID,"data":{...}}, and {"type":"oom","id":ID} when memory ran
out. It ends when the container does.`,
	options: []*option{&optInterval, &optStats},
	least:   1, most: 1,
	run: func(c *call) (int, error) {
		return c.onContainer(func(ct *libcontainer.Container) error {
			text := c.text(&optInterval)
			interval, err := time.ParseDuration(text)
			switch {
			case err != nil:
				return &fault.Error{
					Msg:  "invalid value " + strconv.Quote(text) + " for flag -interval: parse error",
					Hint: "a number and a unit, such as 500ms or 5s",
				}
			case interval <= 0:
				return fault.New("duration interval must be greater than 0")
			}
			tell := func(e *libcontainer.Event) error {
				_, err := os.Stdout.Write(eventJSON(ct.ID(), e))
				return err
			}
			if !c.on(&optStats) {
				return ct.Events(context.Background(), interval, tell)
			}
			stats, err := ct.Stats()
			if err != nil {
				return err
			}
			return tell(&libcontainer.Event{Stats: stats})
		})
	},
}
