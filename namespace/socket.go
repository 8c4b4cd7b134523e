package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
)

// Everybody may connect to a socket that is not said to be for less: the filter is what protects the chip.
const socketMode = 0o666

const maxSocketPath = 107 // unix(7)

var errNoSocket = errors.New("it is of a socket, and this namespace has none; add: socket = \"/run/tpmkey/NAME.sock\"")

func (t *table) takeSocket(n *Namespace, before *Set) error {
	if t.Socket == nil {
		return nil
	}
	path := *t.Socket
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/":
		return fmt.Errorf("%q is no whole path; write it like \"/run/tpmkey/%s.sock\"", path, n.Name)
	case len(path) > maxSocketPath:
		return fmt.Errorf("a path of %d bytes; a socket's has %d at most", len(path), maxSocketPath)
	}
	for _, other := range before.Namespaces {
		if other.Socket != nil && other.Socket.Path == path {
			return fmt.Errorf("%q in line %d has this socket; each needs its own", other.Name, other.Line)
		}
	}
	n.Socket = &Socket{Path: path, Mode: socketMode, UID: -1, GID: -1}
	return nil
}

func (t *table) takeMode(n *Namespace) error {
	if t.SocketMode == nil {
		return nil
	}
	mode, err := strconv.ParseUint(*t.SocketMode, 8, 32)
	switch {
	case err != nil || mode > 0o777:
		return fmt.Errorf("%q is no mode; write it like \"0660\"", *t.SocketMode)
	case n.Socket == nil:
		return errNoSocket
	case mode&0o200 == 0:
		return fmt.Errorf("%q keeps the socket's owner out, who must write to connect; write it like \"0660\"", *t.SocketMode)
	}
	n.Socket.Mode = fs.FileMode(mode)
	return nil
}

// takeOwner reads who owns a socket.
func takeOwner(from *string, s *Socket, k kind) error {
	if from == nil {
		return nil
	}
	id, err := k.id(*from)
	switch {
	case err != nil:
		return err
	case s == nil:
		return errNoSocket
	case k.what == users.what:
		s.UID = int(id)
	default:
		s.GID = int(id)
	}
	return nil
}
