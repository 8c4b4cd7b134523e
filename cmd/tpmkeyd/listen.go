package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Everybody may connect: the filter is what protects the chip.
const socketMode = 0o666

// listen makes the socket for everybody.
func listen(path string) (*net.UnixListener, error) { return listenFor(path, socketMode) }

// listenFor makes a socket. One that a dead server left is replaced, one that somebody serves is not.
func listenFor(path string, mode os.FileMode) (*net.UnixListener, error) {
	if err := makeDirectory(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	unlock, err := lockSocket(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, errors.Unwrap(err))
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// makeDirectory makes the socket's own directory, but not the path to it, whatever the umask says.
func makeDirectory(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// lockSocket keeps two servers that start at once from replacing each other's socket. What is locked is a file that only its owner can open: anybody can open
// the directory, and whoever can open something can keep it locked for ever. The file goes with the lock.
func lockSocket(path string) (unlock func(), err error) {
	path += ".lock"
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		if isAt(f, path) {
			return func() { os.Remove(path); f.Close() }, nil
		}
		f.Close() // whoever had the lock has removed it
	}
}

// isAt tells whether an open file is still the one of a path.
func isAt(f *os.File, path string) bool {
	there, err1 := os.Lstat(path)
	opened, err2 := f.Stat()
	return err1 == nil && err2 == nil && os.SameFile(there, opened)
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("a file that is no socket is there; name another path")
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return errors.New("another server uses it; stop that one first, or name another path")
	}
	return os.Remove(path)
}
