package main

import (
	"sync"

	"tpmkey.example/filter"
	"tpmkey.example/rm/device"
)

// texts are read and written one at a time for each principal: it takes a thousand times as long as asking for it, and with all his connections at once a user would
// keep every processor from the others. Some principals share.
type texts [64]sync.Mutex

func (t *texts) of(principal uint32) *sync.Mutex { return &t[principal%uint32(len(t))] }

// readProfile reads a profile that a client has sent.
func (c *client) readProfile(text string) (*filter.Filter, error) {
	turn := c.server.texts.of(c.principal)
	turn.Lock()
	defer turn.Unlock()
	return device.ParseProfile(text)
}

// filterText is the text of a client's filter.
func (c *client) filterText() string {
	turn := c.server.texts.of(c.principal)
	turn.Lock()
	defer turn.Unlock()
	return c.granted().filter.String()
}
