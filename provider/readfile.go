package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/privilege"
	"tpmkey.example/internal/shell"
)

const maxFile = 64 << 10 // bytes

// readPrivate reads a key file, which nobody else can read or change.
func readPrivate(path string) ([]byte, error) { return readRegular(path, checkPrivate) }

// readRegular reads a regular file of bounded size, if its owner and mode are right. It is opened without waiting: a FIFO would block for ever.
func readRegular(path string, check func(*unix.Stat_t, string) error) ([]byte, error) {
	return readBounded(path, maxFile, check)
}

func readBounded(path string, most int64, check func(*unix.Stat_t, string) error) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, formatError("it is not a regular file")
	case st.Size > most:
		return nil, formatError("it has %d bytes, more than %d", st.Size, most)
	}
	if err := check(&st, path); err != nil {
		return nil, err
	}
	return readWhole(fd, int(st.Size))
}

// readWhole reads a file of a known size, without the poller and the buffers of os.File: in a store of thousands they count.
func readWhole(fd, size int) ([]byte, error) {
	b, n := make([]byte, size), 0
	for n < size {
		got, err := unix.Read(fd, b[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case got == 0:
			return nil, formatError("it became shorter while it was read")
		default:
			n += got
		}
	}
	return b, nil
}

// public is the check of a file that may be anybody's.
func public(*unix.Stat_t, string) error { return nil }

// checkPrivate wants a file that only its owner can read, who is the caller or root. A file of root's may be read by a group: that is how services
// get theirs.
func checkPrivate(st *unix.Stat_t, path string) error {
	forbidden := uint32(0o077)
	if st.Uid == 0 {
		forbidden = 0o037
	}
	if st.Mode&forbidden != 0 {
		return fmt.Errorf("%w: its mode is %04o; run: chmod 600 %s", ErrInsecure, st.Mode&0o7777, shell.Word(path))
	}
	return checkOwner(st, filepath.Dir(path))
}

func checkOwner(st *unix.Stat_t, dir string) error {
	me := caller{real: uint32(os.Getuid()), effective: uint32(os.Geteuid()), raised: privilege.Raised()}
	if !me.mayUse(st.Uid, dir) {
		return fmt.Errorf("%w: it belongs to user %d, not to you", ErrInsecure, st.Uid)
	}
	return nil
}

// ReadBeside reads a file that a directory of keys has below it, of a bounded size. Whose it may be is as with the keys; unlike these, all may read it.
func ReadBeside(dir, path string, most int64) ([]byte, error) {
	return readBounded(path, most, func(st *unix.Stat_t, path string) error {
		if st.Mode&0o022 != 0 {
			return fmt.Errorf("%w: its mode is %04o; run: chmod go-w %s", ErrInsecure, st.Mode&0o7777, shell.Word(path))
		}
		return checkOwner(st, dir)
	})
}

// A caller is who a process is.
type caller struct {
	real, effective uint32 // uids
	raised          bool
}

// mayUse tells whether a caller may use a key file in a directory by its owner. A process with raised privileges opens what whoever started it may not, and his
// directory can have links to other users' keys in it, or be one: there each file must be his own.
func (c caller) mayUse(owner uint32, dir string) bool {
	if c.raised && dir != SystemDir {
		return owner == c.real
	}
	return owner == c.effective || owner == 0 || c.effective == 0
}
