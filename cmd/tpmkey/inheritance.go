package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// disinherit keeps from a user's program what root has open beside its standard input and outputs, and the keys of root's session (session-keyring(7)). The thread
// that calls it must be the one that becomes the program.
func disinherit() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("which descriptors root has: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > unix.Stderr {
			unix.CloseOnExec(fd)
		}
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) { // there are no keys, or the program gets at none either
		return fmt.Errorf("a session keyring of its own: %w", err)
	}
	return nil
}
