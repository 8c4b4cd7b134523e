package main

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// A caller is who uses a TPM through us, and by which way he came. All of it is the kernel's word.
type caller struct {
	uid, gid uint32
	pid      int32
	entrance string // the path of the socket or of the node; "": a descriptor that the control socket made
}

// String names a caller in the log.
func (c caller) String() string { return fmt.Sprintf("uid=%d pid=%d", c.uid, c.pid) }

// callerAt is who connected to a socket, fixed when the connection was made: whoever holds it later, and whatever credentials he sends along, changes nothing.
func callerAt(conn *net.UnixConn, entrance string) (caller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return caller{}, err
	}
	var peer *unix.Ucred
	var sockErr error
	err = raw.Control(func(fd uintptr) { peer, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, sockErr); err != nil {
		return caller{}, err
	}
	return caller{uid: peer.Uid, gid: peer.Gid, pid: peer.Pid, entrance: entrance}, nil
}
