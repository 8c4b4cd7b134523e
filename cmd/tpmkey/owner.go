package main

import "fmt"

// readOwnerPassword reads the file that the flag names, by the rules of a PIN's.
func (t *tool) readOwnerPassword() (err error) {
	if t.ownerFile == "" {
		return nil
	}
	if t.owner, err = readPIN(t.ownerFile); err != nil {
		return fmt.Errorf("the owner's password: %w", err)
	}
	return nil
}
