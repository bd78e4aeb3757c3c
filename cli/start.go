package cli

import "context"

var startCommand = command{
	name:  "start",
	args:  "<container-id>",
	usage: "run the process of a created container",
	about: `Returns when the process has been executed. If it can't be, that is the error.`,
	least: 1, most: 1,
	run: func(c *call) (int, error) {
		ct, err := c.container()
		if err != nil {
			return 1, err
		}
		defer ct.Close()
		if err := ct.Start(context.Background()); err != nil {
			if faultStep(err) != 0 {
				err = prefix("start", err)
			}
			return 1, err
		}
		return 0, nil
	},
}
