package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// writeTemporary writes a hidden file beside path to the disk.
func writeTemporary(path string, text []byte, mode os.FileMode) (name string, err error) {
	return writeAs(path, text, func(f *os.File) error { return f.Chmod(mode) })
}

// writeLike is writeTemporary with the owner and the mode of the file at path.
func writeLike(path string, text []byte) (name string, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", err
	}
	return writeAs(path, text, func(f *os.File) error {
		return errors.Join(f.Chown(int(st.Uid), int(st.Gid)), f.Chmod(os.FileMode(st.Mode&0o777)))
	})
}

// writeAs gives the file its owner and mode while it is open: whoever owns the directory can put a link to another file in its place, and root would change that.
// Its errors name the file that it is to become.
func writeAs(path string, text []byte, own func(*os.File) error) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return "", renamedError(path, err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, own(f), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), renamedError(path, err)
}

// renamedError leaves out the name that a file has meanwhile, which tells nobody anything.
func renamedError(path string, err error) error {
	if meanwhile := (*os.PathError)(nil); errors.As(err, &meanwhile) {
		return fmt.Errorf("write %s: %w", path, meanwhile.Err)
	}
	return err
}

// putInPlace gives a temporary file the name of the one that it replaces.
func putInPlace(file, path string) error {
	defer os.Remove(file) // where it could not be renamed
	if err := os.Rename(file, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ifThere is for what need not be there.
func ifThere(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
