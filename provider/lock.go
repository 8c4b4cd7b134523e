package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What is in a key directory beside keys.
const (
	lockFile   = ".lock"
	temporary  = ".new-" // and more letters: files that are being written
	lockTries  = 100
	lockPeriod = 100 * time.Millisecond
)

// lockDir keeps two processes from writing to one directory at once. What is locked is a file that only the directory's owner can open, because whoever can
// open a file can keep it locked for ever, and anybody may open /etc/tpmkey/keys. Temporary files that are there then are of processes that died.
func lockDir(dir string) (unlock func(), err error) {
	f, err := openLock(dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := waitForLock(f, lockTries); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := removeTemporary(dir); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// openLock makes the file where it is not there yet; root, in a user's directory, makes it the user's.
func openLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	const flags = os.O_RDWR | unix.O_NOFOLLOW
	f, err := os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, keyMode)
	if errors.Is(err, os.ErrExist) {
		return os.OpenFile(path, flags, 0)
	}
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}
	var st unix.Stat_t
	if err = unix.Stat(dir, &st); err == nil {
		err = f.Chown(int(st.Uid), int(st.Gid))
	}
	if err != nil {
		f.Close()
	}
	return f, err
}

func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporary) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

func waitForLock(f *os.File, tries int) error {
	for range tries {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		time.Sleep(lockPeriod)
	}
	return fmt.Errorf("another process has kept it for %v", time.Duration(tries)*lockPeriod)
}
