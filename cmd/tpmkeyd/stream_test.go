package main

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A broker is a server on a chip that a test watches, and can make wait.
type broker struct {
	path string
	log  *journal
	chip *tpmtest.Recorder
	gate sync.Mutex // held: no command gets through

	came atomic.Int32 // commands, to the gate
}

func newBroker(t *testing.T, spec string) *broker {
	t.Helper()
	raw := tpmtest.Dial(t, spec)
	b := &broker{}
	b.chip = tpmtest.Record(tpmtest.Func(func(command []byte) ([]byte, error) {
		b.came.Add(1)
		b.gate.Lock()
		defer b.gate.Unlock()
		return raw.Send(command)
	}))
	b.path, b.log, _ = start(t, tpmtest.Serve(t, b.chip))
	return b
}

// await waits until so many commands have come to the chip.
func (b *broker) await(t *testing.T, commands int32) {
	t.Helper()
	for range 1000 {
		if b.came.Load() >= commands {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d commands have come to the chip, want %d", b.came.Load(), commands)
}

func (b *broker) connect(t *testing.T) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: b.path})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func mustWrite(t *testing.T, w io.Writer, b ...[]byte) {
	t.Helper()
	if _, err := w.Write(bytes.Join(b, nil)); err != nil {
		t.Error(err)
	}
}

func mustRead(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Errorf("%d bytes of a response: %v", n, err)
	}
	return b
}

func getRandom(n uint16) []byte {
	return wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetRandom)).Uint16(n).Bytes()
}

// wantRandom checks a response to getRandom.
func wantRandom(t *testing.T, response []byte, n int) {
	t.Helper()
	if h, ok := wire.ParseHeader(response); !ok || h.Code != 0 || int(h.Size) != len(response) || len(response) != wire.HeaderSize+2+n {
		t.Errorf("%d random bytes: %x", n, response)
	}
}

// The Linux kernel's selftests of how a TPM device is read and written (tools/testing/selftests/tpm2, 6.1), by the kernel's names, on a socket. A socket is no
// device: it keeps all bytes in their order, and has no call that could fail because an answer is not read yet.
var streamCases = []struct {
	name string
	run  func(t *testing.T, b *broker)
}{
	{"SmokeTest/test_too_short_cmd", tooShortCommand},
	{"SmokeTest/test_read_partial_resp", readPartialResponse},
	{"SmokeTest/test_read_partial_overwrite", readPartialOverwrite},
	{"SmokeTest/test_send_two_cmds", sendTwoCommands},
	{"AsyncTest/test_async", neverBlock},
	{"AsyncTest/test_flush_invalid_context", flushInvalidContext},
}

func TestKernelSelftests(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		b := newBroker(t, spec)
		for _, c := range streamCases {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	})
}

// The device refuses what is shorter than it says, with EINVAL. A server waits for the rest, and sends away who ends before.
func tooShortCommand(t *testing.T, b *broker) {
	conn := b.connect(t)
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(0xDEADBEEF).Bytes()
	command[5]++
	b.chip.Reset()
	mustWrite(t, conn, command)
	conn.CloseWrite()
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 || b.chip.Count() > 0 {
		t.Errorf("answered with %x, %v; %d commands reached the chip", rest, err, b.chip.Count())
	}
	b.log.await(t, "half a command")
}

func readPartialResponse(t *testing.T, b *broker) {
	conn := b.connect(t)
	mustWrite(t, conn, getRandom(32))
	wantRandom(t, append(mustRead(t, conn, wire.HeaderSize), mustRead(t, conn, 2+32)...), 32)
}

// The device drops what was not read of a response when the next command comes; here it is read first.
func readPartialOverwrite(t *testing.T, b *broker) {
	conn := b.connect(t)
	mustWrite(t, conn, getRandom(32))
	first := mustRead(t, conn, 15)
	mustWrite(t, conn, getRandom(16))
	wantRandom(t, append(first, mustRead(t, conn, 10+2+32-15)...), 32)
	wantRandom(t, mustRead(t, conn, 10+2+16), 16)
}

// The device answers EBUSY to a second command before the first response was read. Here it waits: the chip gets it when the first is over.
func sendTwoCommands(t *testing.T, b *broker) {
	conn := b.connect(t)
	b.chip.Reset()
	b.gate.Lock()
	before := b.came.Load()
	mustWrite(t, conn, getRandom(32), getRandom(16))
	b.await(t, before+1)
	b.gate.Unlock()
	wantRandom(t, mustRead(t, conn, 10+2+32), 32)
	wantRandom(t, mustRead(t, conn, 10+2+16), 16)
	if sent := b.chip.Log(); len(sent) != 2 || !bytes.Equal(sent[0].Command, getRandom(32)) || !bytes.Equal(sent[1].Command, getRandom(16)) {
		t.Errorf("the chip got %+v", sent)
	}
}

// A client that never waits in read: there is nothing to be read before there is a response, poll tells when, and then the whole of it is there.
func neverBlock(t *testing.T, b *broker) {
	fd := nonBlocking(t, b.path)
	response := make([]byte, wire.MaxCommand)
	b.gate.Lock()
	if _, err := unix.Write(fd, getRandom(32)); err != nil {
		t.Error(err)
	}
	if n, err := unix.Read(fd, response); err != unix.EAGAIN || readable(t, fd, 50) {
		t.Errorf("before the response: %d bytes, %v", n, err)
	}
	b.gate.Unlock()
	if !readable(t, fd, 10_000) {
		t.Fatal("no response in ten seconds")
	}
	n, err := unix.Read(fd, response)
	if err != nil {
		t.Fatal(err)
	}
	wantRandom(t, response[:n], 32)
}

func nonBlocking(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// readable tells whether there is something to be read within so many milliseconds.
func readable(t *testing.T, fd, milliseconds int) bool {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, milliseconds)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		return n > 0
	}
}

// The device answers EINVAL, a socket as a TPM would; in neither case does the chip hear of it.
func flushInvalidContext(t *testing.T, b *broker) {
	conn := b.connect(t)
	b.chip.Reset()
	mustWrite(t, conn, wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(0x80123456).Bytes())
	if got := mustRead(t, conn, wire.HeaderSize); !bytes.Equal(got, wire.ErrorResponse(0x1C4)) || b.chip.Count() > 0 {
		t.Errorf("answered with %x; %d commands reached the chip", got, b.chip.Count())
	}
}
