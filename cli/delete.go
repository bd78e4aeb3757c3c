package cli

var optForce = option{name: "force", short: "f", kind: toggle, usage: "kill the container if it runs; one that does not exist is no error"}

var deleteCommand = command{
	name:    "delete",
	args:    "<container-id>",
	usage:   "remove a container that has ended, and all that it held",
	options: []*option{&optForce},
	least:   1, most: 1,
	run: func(c *call) (int, error) {
		rt, err := c.runtime()
		if err != nil {
			return 1, err
		}
		ctx, _ := interruptible()
		return 0, rt.Delete(ctx, c.args[0], c.on(&optForce))
	},
}
