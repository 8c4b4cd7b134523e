package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// A caller is who uses a TPM through us, and by which way he came. All of it is the kernel's word.
type caller struct {
	uid, gid uint32
	pid      int32
	process  process
	entrance string // the path of the socket or of the node; "": a descriptor that the control socket made
}

// String names a caller in the log.
func (c caller) String() string { return fmt.Sprintf("uid=%d pid=%d", c.uid, c.pid) }

// calling names the program of a caller in the log, where it is certain. It is looked for when the line is written.
type calling process

func (c calling) String() string {
	name, err := process(c).program()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" program=%q", name)
}

// callerAt is who connected to a socket, fixed when the connection was made: whoever holds it later, and whatever credentials he sends along, changes nothing.
func callerAt(conn *net.UnixConn, entrance string) (caller, error) {
	peer, err := socketOption(conn, func(fd int) (*unix.Ucred, error) { return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil {
		return caller{}, err
	}
	return caller{peer.Uid, peer.Gid, peer.Pid, processAt(conn, peer.Pid, peer.Uid), entrance}, nil
}
