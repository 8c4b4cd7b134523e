package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"tpmkey.example/internal/control"
)

// sockets are the paths that we listen at, unless systemd has made the sockets.
type sockets struct{ everybody, control string }

// listeners are what callers come in by.
type listeners struct {
	everybody, asking *net.UnixListener // asking: the control socket, nil where there is none
	handed            bool              // by systemd, who keeps them when we leave
}

// controlPath is the one that was named, else one beside the socket for everybody.
func (s sockets) controlPath() string {
	if s.control != "" {
		return s.control
	}
	return filepath.Join(filepath.Dir(s.everybody), filepath.Base(control.Path))
}

func (s sockets) open() (l listeners, err error) {
	handed, err := handedSockets()
	if err != nil {
		return l, err
	}
	if handed != nil {
		l = listeners{everybody: handed[socketForAll], asking: handed[socketOfRoot], handed: true}
		if l.everybody == nil {
			return l, fmt.Errorf("systemd hands over no socket by the name of %s; use the units that come with tpmkeyd", socketForAll)
		}
		return l, nil
	}
	if l.everybody, err = listen(s.everybody); err != nil {
		return l, err
	}
	if l.asking, err = listenFor(s.controlPath(), controlMode); err != nil {
		l.everybody.Close()
	}
	return l, err
}

func (l listeners) close() error {
	err := l.everybody.Close()
	if l.asking != nil {
		err = errors.Join(err, l.asking.Close())
	}
	return err
}
