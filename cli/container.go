package cli

import "berth/libcontainer"

// container opens the container that the first argument names.
func (c *call) container() (*libcontainer.Container, error) {
	rt, err := c.runtime()
	if err != nil {
		return nil, err
	}
	return rt.Open(c.args[0])
}
