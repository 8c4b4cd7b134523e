package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A caller answers one message of the front (pkcs11-module/token).
type caller interface{ Call(message []byte) []byte }

// The hello of both sides: these bytes and the build's number. spawn.c has the same.
const (
	greeting  = "tpmkey\x00\x01"
	helloSize = len(greeting) + 8
)

// farewell is how long a host that has gone may keep the chip busy.
const farewell = 5 * time.Second

// finalize is a C_Finalize(NULL), for hosts that go without one.
var finalize = binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 2), 0)

// serve takes the connections that come over the control socket, until its other end is closed.
func serve(control int, build string, library caller) error {
	if err := hello(control, build); err != nil {
		return err
	}
	for {
		conn, err := receive(control)
		if err != nil {
			break
		}
		go converse(os.NewFile(uintptr(conn), "host"), library)
	}
	timer := time.AfterFunc(farewell, func() { os.Exit(1) })
	defer timer.Stop()
	library.Call(finalize)
	return nil
}

// hello makes sure that the module is of the same build: the messages of others may mean something else.
func hello(control int, build string) error {
	id, err := strconv.ParseUint(build, 16, 64)
	if err != nil {
		return fmt.Errorf("build %q: %w", build, err)
	}
	ours := binary.NativeEndian.AppendUint64([]byte(greeting), id)
	theirs := make([]byte, helloSize)
	if err := unix.Send(control, ours, unix.MSG_NOSIGNAL); err != nil {
		return err
	}
	n, _, err := unix.Recvfrom(control, theirs, unix.MSG_WAITALL)
	if err == nil && string(theirs[:n]) != string(ours) {
		err = errors.New("the module is of another build than its helper; start this program anew, or install both anew")
	}
	return err
}

// receive takes the next connection: one byte, and a descriptor beside it.
func receive(control int) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, size, _, _, err := unix.Recvmsg(control, make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err == unix.EINTR {
		return receive(control)
	}
	if err != nil || n == 0 {
		return 0, errors.Join(err, io.EOF)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return fds[0], nil
}

// most is more than the front sends: it takes no length above 1 GiB from a host, and few at once.
const most = 1 << 32

// converse answers a connection's calls, one at a time. The socket blocks, which costs less than waking up a goroutine. There is no buffer in which PINs would
// stay: the library wipes its request.
func converse(host *os.File, library caller) {
	defer host.Close()
	for {
		request, err := readRequest(host)
		if err != nil || answer(host, library.Call(request)) != nil {
			return
		}
	}
}

func readRequest(from io.Reader) ([]byte, error) {
	var size [8]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return nil, err
	}
	n := binary.NativeEndian.Uint64(size[:])
	if n > most {
		return nil, fmt.Errorf("a request of %d bytes", n)
	}
	request := make([]byte, n)
	_, err := io.ReadFull(from, request)
	return request, err
}

func answer(host io.Writer, response []byte) error {
	message := append(binary.NativeEndian.AppendUint64(make([]byte, 0, 8+len(response)), uint64(len(response))), response...)
	_, err := host.Write(message)
	clear(message) // perhaps a plaintext
	clear(response)
	return err
}
