package cli

import "berth/libcontainer"

var pauseCommand = command{
	name:  "pause",
	args:  "<container-id>",
	usage: "stop all processes of a container",
	about: `Returns when all of them stand still. They go on with "berth resume".`,
	least: 1, most: 1,
	run: func(c *call) (int, error) { return c.onContainer((*libcontainer.Container).Pause) },
}

var resumeCommand = command{
	name:  "resume",
	args:  "<container-id>",
	usage: "let the processes of a paused container go on",
	least: 1, most: 1,
	run: func(c *call) (int, error) { return c.onContainer((*libcontainer.Container).Resume) },
}
