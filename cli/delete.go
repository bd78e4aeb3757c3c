package cli

import (
	"errors"

	"berth/libcontainer"
)

var optForce = option{name: "force", short: "f", kind: toggle, usage: "kill the container if it runs; one that does not exist is no error"}

var deleteCommand = command{
	name:    "delete",
	args:    "<container-id>",
	usage:   "remove a container that has ended, and all that it held",
	options: []*option{&optForce},
	least:   1, most: 1,
	run: func(c *call) (int, error) {
		force := c.on(&optForce)
		ct, err := c.container()
		if err == nil {
			defer ct.Close()
			ctx, _ := interruptible()
			err = ct.Delete(ctx, force)
		}
		if force && errors.Is(err, libcontainer.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	},
}
