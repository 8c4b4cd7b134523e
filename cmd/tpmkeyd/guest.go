package main

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A client may send descriptors along with its bytes (SCM_RIGHTS, unix(7)). Nobody here takes them: they end with the bytes, read or not. But if they are the last of
// their kind, the end of one may take as long as its sender likes (SO_LINGER, socket(7)), and whoever lets go of it waits in the kernel. Linux 6.16 and later refuses
// them to their sender (SO_PASSRIGHTS). Before that they must be looked for.

// refuseDescriptors has the kernel take none for a connection, or for those that are made to a listener from now on, where it can.
func (s *server) refuseDescriptors(of syscall.Conn) {
	socketOption(of, func(fd int) (any, error) { return nil, unix.SetsockoptInt(fd, unix.SOL_SOCKET, s.passRights, 0) })
}

// A guest is a connection whose client makes nobody wait who reads from it or closes it.
type guest struct {
	*net.UnixConn
	raw   syscall.RawConn
	clean bool // the kernel has taken no descriptor for it, and will not
}

// newGuest asks whether the connection was made under a refusal: the listener hands that down. Where it was not, bytes that are sent out of band stay among the
// others: they come with descriptors too, and else are passed over when they are looked at and dropped when what is behind them is read.
func (s *server) newGuest(conn *net.UnixConn) *guest {
	g := &guest{UnixConn: conn}
	g.raw, _ = conn.SyscallConn() // an error is for what never was a connection
	g.raw.Control(func(fd uintptr) {
		taken, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, s.passRights)
		if g.clean = err == nil && taken == 0; !g.clean {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
		}
	})
	return g
}

var errDescriptors = errors.New("descriptors came with its bytes; tpmkeyd takes none")

// Read is net.Conn's. Bytes with descriptors stay unread.
func (g *guest) Read(b []byte) (n int, err error) {
	if g.clean {
		return g.UnixConn.Read(b)
	}
	errWait := g.raw.Read(func(fd uintptr) bool {
		n, err = readSeen(int(fd), b)
		return err != unix.EAGAIN
	})
	switch {
	case errWait != nil:
		return 0, errWait
	case n == 0 && err == nil:
		return 0, io.EOF
	}
	return max(n, 0), err
}

// readSeen looks at what has come, which takes no descriptors, and then reads that and no more.
func readSeen(fd int, b []byte) (n int, err error) {
	n, _, flags, _, err := unix.Recvmsg(fd, b, nil, unix.MSG_PEEK)
	switch {
	case err == unix.EINTR:
		return readSeen(fd, b)
	case err != nil || n == 0:
		return 0, err
	case flags&unix.MSG_CTRUNC != 0:
		return 0, errDescriptors
	}
	return unix.Read(fd, b[:n])
}

// hangUp ends the talk: reading meets the end then, and nothing more comes.
func (g *guest) hangUp() {
	socketOption(g.UnixConn, func(fd int) (any, error) { return nil, unix.Shutdown(fd, unix.SHUT_RDWR) })
}

// Close is net.Conn's. What was not read is left to a thread that ends.
func (g *guest) Close() error {
	if g.clean {
		return g.UnixConn.Close()
	}
	g.hangUp()
	unread, err := socketOption(g.UnixConn, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) })
	if err != nil || unread == 0 {
		return g.UnixConn.Close()
	}
	return bury(g.UnixConn)
}

// bury closes a connection of which the last descriptor is then in a thread of its own, with a table of descriptors of its own, which ends with it: the end of a
// thread waits for no descriptor.
func bury(conn *net.UnixConn) error {
	ready, closed := make(chan bool), make(chan bool)
	defer close(closed)
	go onThreadThatEnds(func() {
		unix.Unshare(unix.CLONE_FILES) // where that is forbidden we wait here
		ready <- true
		<-closed
	})
	<-ready
	return conn.Close()
}

// onThreadThatEnds calls f on a thread that ends afterwards. The first thread of a process cannot: it is kept busy until another one has done it.
func onThreadThatEnds(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan bool)
	go func() {
		defer close(done)
		onThreadThatEnds(f)
	}()
	<-done
}
