package cuse

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A kernel is the other end of a device: it sends what Linux would, and takes the answers apart.
type kernel struct {
	t    *testing.T
	fd   int
	last uint64 // request
}

// A reply is what the device said.
type reply struct {
	unique uint64
	errno  unix.Errno
	notice int32 // of a notification, whose unique is 0
	data   []byte
}

// newKernel makes a device of a driver, served until the test ends.
func newKernel(t *testing.T, driver Driver) (*kernel, *Device) {
	t.Helper()
	k, device := beginKernel(t, driver)
	ended := make(chan error, 1)
	go func() { ended <- device.Serve() }()
	t.Cleanup(func() {
		device.Close()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return k, device
}

func beginKernel(t *testing.T, driver Driver) (*kernel, *Device) {
	t.Helper()
	k, theirs := newPair(t)
	k.send(opInit, Caller{}, u32s(7, 38, 0, 1))
	device, err := newDevice(theirs, "tpms", driver)
	if err != nil {
		t.Fatal(err)
	}
	r := k.reply()
	if got := u32at(r.data, 0); r.errno != 0 || len(r.data) != initOutSize+len("DEVNAME=tpms\x00") || got != 7 || u32at(r.data, 5) != MostWritten {
		t.Fatalf("CUSE_INIT was answered with %+v", r)
	}
	return k, device
}

// newPair is a connection that, like /dev/cuse, keeps messages apart.
func newPair(t *testing.T) (k *kernel, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	if err := unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}); err != nil {
		t.Fatal(err)
	}
	return &kernel{t: t, fd: fds[0]}, fds[1]
}

func u32at(b []byte, index int) uint32 {
	if len(b) < 4*index+4 {
		return 0xDEADBEEF
	}
	return binary.NativeEndian.Uint32(b[4*index:])
}

// request is a whole one, with its header.
func request(op opcode, unique uint64, c Caller, parts ...[]byte) []byte {
	var body []byte
	for _, part := range parts {
		body = append(body, part...)
	}
	b := u32s(uint32(headerSize+len(body)), uint32(op))
	b = append(b, u64s(unique, 0)...)
	b = append(b, u32s(c.UID, c.GID, uint32(c.TID), 0)...)
	return append(b, body...)
}

// send gives the name of the request. As Linux does, it counts by twos.
func (k *kernel) send(op opcode, c Caller, parts ...[]byte) uint64 {
	k.t.Helper()
	k.last += 2
	if _, err := unix.Write(k.fd, request(op, k.last, c, parts...)); err != nil {
		k.t.Fatal(err)
	}
	return k.last
}

func (k *kernel) reply() reply {
	k.t.Helper()
	b := make([]byte, 65536)
	n, err := unix.Read(k.fd, b)
	if err != nil || n < outHeaderSize || u32at(b, 0) != uint32(n) {
		k.t.Fatalf("a reply of %d bytes: %x, %v", n, b[:max(n, 0)], err)
	}
	r := reply{unique: binary.NativeEndian.Uint64(b[8:]), data: b[outHeaderSize:n]}
	if code := int32(u32at(b, 1)); r.unique == 0 {
		r.notice = code
	} else {
		r.errno = unix.Errno(-code)
	}
	return r
}

// ask sends a request and gives its reply, which must be the next one.
func (k *kernel) ask(op opcode, c Caller, parts ...[]byte) reply {
	k.t.Helper()
	unique := k.send(op, c, parts...)
	r := k.reply()
	if r.unique != unique {
		k.t.Errorf("request %d was answered with %+v", unique, r)
	}
	return r
}

func (k *kernel) open(c Caller) (handle uint64) {
	k.t.Helper()
	r := k.ask(opOpen, c, u32s(unix.O_RDWR, 0))
	if r.errno != 0 || len(r.data) != 16 {
		k.t.Fatalf("open: %+v", r)
	}
	return binary.NativeEndian.Uint64(r.data)
}

func readIn(handle uint64, size, flags uint32) []byte {
	return append(u64s(handle, 0), append(u32s(size, 0), append(u64s(0), u32s(flags, 0)...)...)...)
}

func writeIn(handle uint64, flags uint32, data string) []byte {
	return append(readIn(handle, uint32(len(data)), flags), data...)
}

func ioctlIn(handle uint64, number uint32, argument string, out uint32) []byte {
	return append(append(append(u64s(handle), u32s(0, number)...), append(u64s(0), u32s(uint32(len(argument)), out)...)...), argument...)
}

func pollIn(handle, kernelHandle uint64, flags uint32) []byte {
	return append(u64s(handle, kernelHandle), u32s(flags, 0)...)
}

func releaseIn(handle uint64) []byte { return u64s(handle, 0, 0) }

// await waits for what a driver does of its own accord.
func await[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatal("nothing has happened for a minute")
	}
	return v
}
