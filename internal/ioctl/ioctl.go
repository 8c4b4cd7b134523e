// Package ioctl makes the system call of that name, with an argument as long as its number says.
package ioctl

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of a number, as on all machines but alpha, mips, powerpc and sparc (include/uapi/asm-generic/ioctl.h).
const (
	write     = 1 << 30
	read      = 2 << 30
	sizeShift = 16
	typeShift = 8
)

// None, Read, Write and ReadWrite are the numbers with no argument, one that is given back, one that is taken, and both: _IO, _IOR, _IOW, _IOWR.
func None(kind, number uint32) uint32 { return kind<<typeShift | number }

// Read is _IOR.
func Read(kind, number, size uint32) uint32 { return read | size<<sizeShift | None(kind, number) }

// Write is _IOW.
func Write(kind, number, size uint32) uint32 { return write | size<<sizeShift | None(kind, number) }

// ReadWrite is _IOWR.
func ReadWrite(kind, number, size uint32) uint32 { return write | Read(kind, number, size) }

// Size is how long the argument is.
func Size(number uint32) int { return int(number >> sizeShift & (1<<14 - 1)) }

// Do calls the kernel. The argument must be as long as the number says, or it is refused.
func Do(fd int, number uint32, argument []byte) error {
	if len(argument) != Size(number) {
		return unix.EINVAL
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(number), uintptr(unsafe.Pointer(unsafe.SliceData(argument))))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}
