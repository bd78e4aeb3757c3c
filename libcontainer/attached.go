package libcontainer

import "context"

// start lets the process of an attached container go: the child executes it, which the
// end of its socket tells.
func (c *creation) start(ctx context.Context) error {
	err := c.startContainer(ctx)
	if err == nil {
		c.proxy, err = c.rt.listen(c.record)
	}
	if err == nil {
		err = c.handOver()
	}
	if err == nil {
		err = c.poststart(ctx)
	}
	if err != nil {
		return c.undo(err)
	}
	if err := c.letGo(); err != nil {
		return err
	}
	c.listenToProcess(!c.opt.Foreground)
	return nil
}
