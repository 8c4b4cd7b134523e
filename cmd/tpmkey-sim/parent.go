package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// followParent has the kernel send SIGTERM when the parent ends. A parent that
// ended before the request is noticed by its successor, process 1.
func followParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("follow parent: %w", err)
	}
	if os.Getppid() == 1 {
		return errors.New("follow parent: it has ended already")
	}
	return nil
}
