package main

import (
	"cmp"
	"errors"
	"runtime"

	"golang.org/x/sys/unix"

	"tpmkey.example/cmd/tpmkeyd/cuse"
)

// defaultNode is the name of the device that everybody may open.
const defaultNode = "tpms"

// A node is /dev/tpms: whoever opens it gets a space of his own.
type node struct {
	server *server
	name   string
	device *cuse.Device
	ended  chan struct{}
}

// leastThreads is how many of our threads may run Go code at once, whatever the machine has of processors. Two sit in the kernel when a command runs, one with the
// chip and one with the node; with a single one the first to come back would wait, up to ten milliseconds, until the runtime notices that the other is not there.
const leastThreads = 4

// serveNode makes a node below /dev, and serves it until it is closed.
func (s *server) serveNode(name string) (*node, error) {
	n := &node{server: s, name: name, ended: make(chan struct{})}
	var err error
	if n.device, err = cuse.Open(name, n); err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(max(leastThreads, runtime.GOMAXPROCS(0)))
	go func() {
		defer close(n.ended)
		if err := n.device.Serve(); err != nil {
			s.log.Printf("/dev/%s: %v; restart tpmkeyd to have it back", name, err)
		}
	}()
	return n, nil
}

// serveNodeIfPossible makes the node that was asked for. Nobody has to: where the kernel has no CUSE, or we are not root, there are sockets only.
func (s *server) serveNodeIfPossible(asked string) (stop func(), err error) {
	n, err := s.serveNode(cmp.Or(asked, defaultNode))
	switch {
	case err == nil:
		s.node = n
		return n.close, nil
	case asked != "":
		return nil, err
	}
	s.log.Printf("no /dev/%s: %v", defaultNode, err)
	return func() {}, nil
}

// close takes the node away. Commands that run have come to their end then: close the chips before.
func (n *node) close() {
	n.device.Close()
	<-n.ended
}

// Open lets a caller in, as connecting to the socket does.
func (n *node) Open(r *cuse.Request, _ int, wake func()) (cuse.File, error) {
	pid := processNumber(r.Caller.TID)
	who := caller{r.Caller.UID, r.Caller.GID, pid, processOf(pid, r.Caller.UID), "/dev/" + n.name}
	c, err := n.server.admitCaller(who)
	switch {
	case errors.Is(err, errTooMany):
		return nil, unix.EMFILE
	case errors.Is(err, errNotForHim), errors.Is(err, errHidden):
		return nil, unix.EACCES
	case err != nil:
		return nil, unix.ENODEV
	}
	return newOpened(c, isRoot(r.Caller.UID, r.Caller.TID), wake), nil
}
