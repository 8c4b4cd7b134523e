// Package privilege tells whether this process has more rights than whoever started it.
package privilege

import (
	"os"

	"golang.org/x/sys/unix"
)

const atSecure = 23 // AT_SECURE in <elf.h>

// Raised tells whether the kernel started this process with raised privileges (AT_SECURE, getauxval(3)). Such a process does not listen to its environment.
func Raised() bool {
	auxv, err := unix.Auxv()
	if err != nil {
		return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid()
	}
	for _, entry := range auxv {
		if entry[0] == atSecure {
			return entry[1] != 0
		}
	}
	return false
}
