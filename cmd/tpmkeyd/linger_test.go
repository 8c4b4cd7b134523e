package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A lingering descriptor is one whose last close waits, here until the test ends: a connection with bytes that the other side does not take (SO_LINGER, socket(7)).
// Whoever sends it along (SCM_RIGHTS) and keeps none has whoever lets go of it wait.
func lingering(t *testing.T) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() }) // with what it has not read: the wait ends
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(file.Fd())
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}); err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fd, true)
	for b := make([]byte, 1<<16); err == nil; {
		_, err = unix.Write(fd, b)
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	return file
}

// A sending is what is sent on a connection: bytes, then others and with them a lingering descriptor, and others.
type sending struct {
	before, with, after string
	flags               int // of those that the descriptor comes with
}

func poison(t *testing.T, path string, s sending) net.Conn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	file := lingering(t)
	_, err = conn.Write([]byte(s.before))
	_, err2 := socketOption(conn, func(fd int) (any, error) {
		return nil, unix.Sendmsg(fd, []byte(s.with), unix.UnixRights(int(file.Fd())), nil, s.flags)
	})
	_, err3 := conn.Write([]byte(s.after))
	if err := errors.Join(err, err2, err3); err != nil {
		t.Error(err)
		return conn
	}
	go file.Close() // mostly before the other side lets go of it; else this one waits, until the test ends
	return conn
}

const noCommand = "\x80\x01\x00\x00\x00\x05\x00\x00\x01\x7b" // five bytes, it says

// Descriptors of a client make nobody wait, neither other clients nor whoever stops the service, also where the kernel takes them.
func TestLingeringDescriptor(t *testing.T) {
	command, long := string(getRandom(16)), strings.Repeat("x", wire.MaxCommand)
	busy := strings.Repeat(command, 1000) // more than there is room for answers that nobody reads yet: the rest waits
	for _, row := range []struct {
		name string
		sent sending
	}{
		{"not read", sending{before: busy + noCommand + long, with: "x"}},
		{"with a command", sending{before: busy, with: command}},
		{"in a command", sending{before: busy + command[:5], with: command[5:]}},
		{"behind a header", sending{before: busy + string(message(wire.MaxCommand)[:100]), with: long}},
		{"with no command", sending{before: busy, with: noCommand}},
		{"out of band, behind commands", sending{before: busy, with: "x", flags: unix.MSG_OOB}},
		{"out of band, before commands", sending{before: busy, with: "x", after: command + noCommand, flags: unix.MSG_OOB}},
		{"out of band, not read", sending{before: busy + noCommand + long, with: "x", flags: unix.MSG_OOB}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, _, stop := startGranting(t, tpmtest.SWTPM(t), everybody(), beforeLinux616)
			gone := poison(t, path, row.sent)
			awaitEnd(t, gone)
			random(t, dial(t, path))
			within(t, "the service stops", stop)
		})
	}
}

// awaitEnd waits until the other side has closed a connection.
func awaitEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	within(t, "the connection ends", func() { io.Copy(io.Discard, conn) })
}

func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan bool)
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("not within a minute: %s", what)
	}
}
