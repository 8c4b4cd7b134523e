package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// replaceFile writes a file so that it has the old contents or the new ones, whatever happens on the way. What is there keeps owner and mode, and what a symbolic
// link leads to is replaced, not the link; a device or a FIFO is written to. A new file gets the mode that is named, less the umask.
func replaceFile(ctx context.Context, path string, text []byte, mode os.FileMode) error {
	var st unix.Stat_t
	there := unix.Stat(path, &st)
	if there == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return writeInto(ctx, path, text)
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

// writeAndRename writes a file that gets a name when all is in it: what is killed before leaves nothing, which may be a plaintext.
func writeAndRename(path string, text []byte, prepare func(*os.File) error) error {
	dir := filepath.Dir(path)
	name := filepath.Join(dir, ".tpmkey-"+rand.Text())
	f, unnamed, err := createUnnamed(dir, name)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err)) // whatever name the file has meanwhile
	}
	defer os.Remove(name)
	_, err = f.Write(text)
	err = errors.Join(err, prepare(f), f.Sync())
	if err == nil && unnamed {
		err = unix.Linkat(unix.AT_FDCWD, filepath.Join(ownFiles, strconv.Itoa(int(f.Fd()))), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err)) // whatever name the file has meanwhile
	}
	return syncDir(dir)
}

// ownFiles is through what a file without a name gets one (open(2), O_TMPFILE).
const ownFiles = "/proc/self/fd"

// createUnnamed makes a file without a name, or with the one that is given where the system cannot do that.
func createUnnamed(dir, name string) (f *os.File, unnamed bool, err error) {
	if unix.Access(ownFiles, unix.X_OK) == nil {
		if f, err := os.OpenFile(dir, os.O_WRONLY|unix.O_TMPFILE, 0o600); err == nil {
			return f, true, nil
		}
	}
	f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return f, false, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// writeInto waits for the reader of a FIFO, but not longer than the person does.
func writeInto(ctx context.Context, path string, text []byte) error {
	f, err := openToWrite(path)
	for isFIFO(path) && errors.Is(err, unix.ENXIO) {
		select {
		case <-ctx.Done():
			return errInterrupted
		case <-time.After(20 * time.Millisecond):
			f, err = openToWrite(path)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func isFIFO(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

func openToWrite(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
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
