package cli

import "os"

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
		_, err = os.Stdout.Write(s.JSON("  "))
		return 0, err
	},
}
