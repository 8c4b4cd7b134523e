package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tpmkey.example/namespace"
)

// A door is a socket that the callers of one namespace come in by.
type door struct {
	namespace.Socket
	listener *net.UnixListener
}

// doors are all of them.
type doors struct {
	everybody string // the path of the socket for everybody, which none of them is

	mu     sync.Mutex
	open   []door
	closed bool // for good
}

var errStopping = errors.New("the service is about to stop")

// replaceDoors makes the doors that are missing, has swap change the rules, opens the new doors and closes those that nobody wants any more. When one cannot be
// made all stays as it was. Who came in by a door that closes stays.
func (s *server) replaceDoors(wanted []namespace.Socket, swap func()) error {
	s.doors.mu.Lock()
	defer s.doors.mu.Unlock()
	if s.doors.closed {
		return errStopping
	}
	made, err := s.doors.missing(wanted)
	if err != nil {
		return err
	}
	if err := s.doors.hangUpSigns(wanted); err != nil {
		closeDoors(made)
		return err
	}
	swap()
	for _, d := range made {
		s.clients.Go(func() { s.accept(d.listener, s.converse) })
	}
	s.doors.keep(wanted)
	s.doors.open = append(s.doors.open, made...)
	return nil
}

func closeDoors(list []door) {
	for _, d := range list {
		d.listener.Close()
	}
}

// missing makes the doors that are not there yet: all of them, or none.
func (d *doors) missing(wanted []namespace.Socket) (made []door, err error) {
	for _, w := range wanted {
		if slices.ContainsFunc(d.open, func(o door) bool { return o.Path == w.Path }) {
			continue
		}
		l, err := d.makeDoor(w)
		if err != nil {
			closeDoors(made)
			return nil, err
		}
		made = append(made, door{w, l})
	}
	return made, nil
}

// keep closes the doors that are not wanted.
func (d *doors) keep(wanted []namespace.Socket) {
	d.open = slices.DeleteFunc(d.open, func(o door) bool {
		stays := slices.ContainsFunc(wanted, func(w namespace.Socket) bool { return w.Path == o.Path })
		if !stays {
			o.listener.Close()
		}
		return !stays
	})
}

// hangUpSigns gives the doors the owners and modes that are wanted now.
func (d *doors) hangUpSigns(wanted []namespace.Socket) (err error) {
	for _, w := range wanted {
		err = errors.Join(err, letIn(w))
	}
	return err
}

// any tells whether there is one.
func (d *doors) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open) > 0
}

// closeAll closes all doors for good.
func (d *doors) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep(nil)
	d.closed = true
}

// makeDoor makes a socket that at first only we can connect to. In a directory of others it touches nothing: whoever can make files there has us wait for ever, for the
// lock of a socket or for a server that lets nobody in.
func (d *doors) makeDoor(w namespace.Socket) (*net.UnixListener, error) {
	if w.Path == d.everybody {
		return nil, fmt.Errorf("%s is the socket for everybody; a namespace needs one of its own, like /run/tpmkey/NAME.sock", w.Path)
	}
	if err := d.mayMakeIn(filepath.Dir(w.Path)); err != nil {
		return nil, err
	}
	l, err := listenFor(w.Path, 0o600)
	if err != nil {
		return nil, err
	}
	if err := letIn(w); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// mayMakeIn tells whether a socket may be made in a directory. One that is not there is made beside the socket for everybody; elsewhere its name is a mistake more
// often than not.
func (d *doors) mayMakeIn(dir string) error {
	err := isOurs(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	beside := filepath.Dir(d.everybody)
	if dir == beside || strings.HasPrefix(dir, beside+"/") {
		return nil
	}
	return fmt.Errorf("%w; make this directory, or put the socket into %s", err, beside)
}

// letIn gives a socket its owner and its mode. The directory must be one that nobody else can change, who could put a link to something else in its place.
func letIn(w namespace.Socket) error {
	if err := isOurs(filepath.Dir(w.Path)); err != nil {
		return err
	}
	return errors.Join(os.Lchown(w.Path, w.UID, w.GID), os.Chmod(w.Path, w.Mode))
}

// isOurs tells whether nobody else can change a directory.
func isOurs(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s: others may write to this directory; put the socket into another one, like /run/tpmkey", dir)
	}
	return nil
}
