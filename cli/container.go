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

// onContainer does something to it.
func (c *call) onContainer(do func(*libcontainer.Container) error) (int, error) {
	ct, err := c.container()
	if err != nil {
		return 1, err
	}
	defer ct.Close()
	return 0, do(ct)
}
