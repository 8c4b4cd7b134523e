package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// replaceFile writes a file so that it has the old contents or the new ones, whatever happens on the way. What is there keeps owner and mode, and what a symbolic
// link leads to is replaced, not the link; a device or a FIFO is written to. A new file gets the mode that is named, less the umask.
func replaceFile(path string, text []byte, mode os.FileMode) error {
	var st unix.Stat_t
	there := unix.Stat(path, &st)
	if there == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return writeInto(path, text)
	}
	path, err := resolved(path)
	if err != nil {
		return err
	}
	if there != nil {
		return writeAndRename(path, text, func(f *os.File) error { return f.Chmod(mode &^ umask()) })
	}
	return writeAndRename(path, text, func(f *os.File) error {
		return errors.Join(f.Chown(int(st.Uid), int(st.Gid)), f.Chmod(os.FileMode(st.Mode&0o777)))
	})
}

func umask() os.FileMode {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return os.FileMode(mask)
}

// resolved follows symbolic links. A path at which there is nothing yet is itself.
func resolved(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, os.ErrNotExist) {
		return real, err
	}
	if target, err := os.Readlink(path); err == nil {
		return "", fmt.Errorf("%s is a symbolic link to %s, which is not there", path, target)
	}
	return path, nil
}

func writeAndRename(path string, text []byte, prepare func(*os.File) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".tpmkey-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, prepare(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeInto(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// lockDir keeps two processes from changing a file in a directory at once.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
