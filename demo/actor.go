package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// actor is the user of the demo.
type actor struct {
	name       string
	uid, gid   uint32
	credential *syscall.Credential // nil: the demo's own
}

// chooseActor is whoever runs the demo. Root plays tpmkeyd's part and leaves the
// user's to "nobody": ssh asks for an account in the passwd database.
func chooseActor() (*actor, error) {
	account, err := user.Current()
	if os.Geteuid() == 0 {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("choose a user: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("uid of %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("gid of %s: %w", account.Username, err)
	}
	a := &actor{name: account.Username, uid: uint32(uid), gid: uint32(gid)}
	if os.Geteuid() == 0 {
		a.credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return a, nil
}
