package libcontainer

// start lets the process of an attached container go: the child executes it, which the
// end of its socket tells.
func (c *creation) start() error {
	var err error
	if c.proxy, err = c.rt.listen(c.record); err == nil {
		err = c.handOver()
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
