package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const build7 = "7" // build is hexadecimal

// echo is a core that answers what it was asked.
type echo struct{ finalized chan bool }

func (e echo) Call(message []byte) []byte {
	if bytes.Equal(message, finalize) {
		close(e.finalized)
	}
	return message
}

// start runs a helper and returns the host's end of its control socket.
func start(t *testing.T, build string) (*net.UnixConn, echo, chan error) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	library, ended := echo{make(chan bool)}, make(chan error, 1)
	go func() {
		ended <- serve(fds[1], build, library)
		unix.Close(fds[1])
	}()
	control := unixConn(t, fds[0])
	t.Cleanup(func() { control.Close() })
	return control, library, ended
}

func unixConn(t *testing.T, fd int) *net.UnixConn {
	t.Helper()
	file := os.NewFile(uintptr(fd), "socket")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn.(*net.UnixConn)
}

func helloOf(build uint64) []byte { return binary.NativeEndian.AppendUint64([]byte(greeting), build) }

func framed(message []byte) []byte {
	return append(binary.NativeEndian.AppendUint64(nil, uint64(len(message))), message...)
}

// connect passes a new connection to the helper and returns the host's end.
func connect(t *testing.T, control *net.UnixConn) *net.UnixConn {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	if _, _, err := control.WriteMsgUnix([]byte{0}, unix.UnixRights(fds[1]), nil); err != nil {
		t.Fatal(err)
	}
	return unixConn(t, fds[0])
}

// Connections are answered side by side, and the library is finalised when the host goes.
func TestServe(t *testing.T) {
	control, library, ended := start(t, build7)
	control.Write(helloOf(7))
	got := make([]byte, helloSize)
	if _, err := io.ReadFull(control, got); err != nil || !bytes.Equal(got, helloOf(7)) {
		t.Fatalf("hello %q, %v", got, err)
	}
	waiting, busy := connect(t, control), connect(t, control)
	message := bytes.Repeat([]byte("message"), 100000)
	for _, conn := range []*net.UnixConn{busy, busy, waiting} {
		go conn.Write(framed(message))
		got := make([]byte, 8+len(message))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, framed(message)) {
			t.Fatal("another answer, ", err)
		}
	}
	control.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-library.finalized
}

// A host that is not the module, or of another build, is refused before it can ask anything.
func TestServeRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		build string
		hello []byte
	}{
		"another build": {build7, helloOf(8)},
		"no build":      {"", helloOf(0)},
		"no hello":      {build7, nil},
		"half a hello":  {build7, helloOf(7)[:9]},
		"garbage":       {build7, bytes.Repeat([]byte{0xff}, helloSize)},
	} {
		t.Run(name, func(t *testing.T) {
			control, _, ended := start(t, row.build)
			control.Write(row.hello)
			control.CloseWrite()
			if err := <-ended; err == nil {
				t.Error("accepted")
			}
		})
	}
}

// What is no request ends its connection, and no other.
func TestConverseRefuses(t *testing.T) {
	control, _, _ := start(t, build7)
	control.Write(helloOf(7))
	other := connect(t, control)
	for name, bad := range map[string][]byte{
		"too long":       binary.NativeEndian.AppendUint64(nil, most+1),
		"half a length":  {1, 0, 0},
		"half a request": framed([]byte("request"))[:10],
	} {
		conn := connect(t, control)
		conn.Write(bad)
		conn.CloseWrite()
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	other.Write(framed([]byte("request")))
	if _, err := io.ReadFull(other, make([]byte, 15)); err != nil {
		t.Error(err)
	}
}
