package device

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Boundary tells whether the filter is a security boundary for this user right now, or only guards against mistakes, and why in one
// sentence. A filter inside the user's own process is never one; tpmkeyd's is, unless the user can go around it.
func (d *Device) Boundary() (bool, string) {
	if !d.Managed() {
		return false, fmt.Sprintf("a safety net: this process opened %s itself, and another could do so without a filter", d.spec)
	}
	if open := openDevices("/dev/tpm[0-9]*", "/dev/tpmrm[0-9]*"); len(open) > 0 {
		return false, fmt.Sprintf("a safety net: tpmkeyd filters, but this user may also open %s", open[0])
	}
	return true, "a boundary: tpmkeyd owns the chip, and this user can reach it only through the filter"
}

// openDevices lists the files of some patterns that this user may read and write.
func openDevices(patterns ...string) []string {
	var open []string
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, path := range paths {
			if unix.Access(path, unix.R_OK|unix.W_OK) == nil {
				open = append(open, path)
			}
		}
	}
	return open
}
