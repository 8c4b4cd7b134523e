package main

import "errors"

var errLent = errors.New("this program has the set-user-ID or set-group-ID bit, and reads and writes whatever files it is told, so it would lend its owner's rights to anybody; " +
	"take it away: chmod ug-s FILE; it is tpmkeyd that lets users use a TPM")

// noLentPrivileges refuses to run for somebody with the rights of somebody else: -out would write over files of his, -pin-file and -config read them, and doctor
// start programs as him.
func noLentPrivileges(lent bool) error {
	if lent {
		return errLent
	}
	return nil
}
