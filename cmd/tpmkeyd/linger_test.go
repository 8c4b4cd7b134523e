package main

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
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

// poison connects and leaves bytes and a lingering descriptor behind, which nobody reads before the connection is closed.
func poison(t *testing.T, path, before string) net.Conn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	file := lingering(t)
	if _, err := conn.Write([]byte(before)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.WriteMsgUnix([]byte("x"), unix.UnixRights(int(file.Fd())), nil); err != nil {
		t.Error(err)
		return conn
	}
	file.Close()
	return conn
}

const noCommand = "\x80\x01\x00\x00\x00\x05\x00\x00\x01\x7b" // five bytes, it says

// What a client leaves unread makes nobody wait, neither other clients nor whoever stops the service.
func TestLingeringDescriptor(t *testing.T) {
	path, _, stop := start(t, tpmtest.SWTPM(t))
	gone := poison(t, path, strings.Repeat(string(getRandom(16)), 100)+noCommand+strings.Repeat("x", 4096))
	awaitEnd(t, gone)
	random(t, dial(t, path))
	within(t, "the service stops", stop)
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
