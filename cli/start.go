package cli

var startCommand = command{
	name:  "start",
	args:  "<container-id>",
	usage: "run the process of a created container",
	about: `Returns when the process has been executed. If it can't be, that is the error.`,
	least: 1, most: 1,
	run: func(c *call) (int, error) {
		rt, err := c.runtime()
		if err != nil {
			return 1, err
		}
		if err := rt.Start(c.args[0]); err != nil {
			if faultStep(err) != 0 {
				err = prefix("start", err)
			}
			return 1, err
		}
		return 0, nil
	},
}
