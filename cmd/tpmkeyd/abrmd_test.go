package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// What the integration tests of tpm2-abrmd 3.0 ask of its connections, by their names.
var connectionCases = []struct {
	name string
	run  func(t *testing.T, b *broker)
}{
	{"tcti-connections-max", connectionsMax}, // first, while the user has no other
	{"tcti-cancel", hangUp},
	{"tcti-connect-multiple", connectMultiple},
	{"tcti-double-finalize", doubleFinalize},
	{"util-buf-max-upper-bound", tooLongCommand},
}

func TestAbrmd(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		b := newBroker(t, spec)
		for _, c := range connectionCases {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
			random(t, dial(t, b.path))
		}
	})
}

// Neither tpm2-abrmd nor a socket can cancel a command. A client that hangs up instead gets no answer, and its command comes to its end.
func hangUp(t *testing.T, b *broker) {
	conn := b.connect(t)
	b.chip.Reset()
	b.gate.Lock()
	before := b.came.Load()
	mustWrite(t, conn, getRandom(32))
	b.await(t, before+1)
	conn.Close()
	b.gate.Unlock()
	random(t, dial(t, b.path))
	if sent := b.chip.Log(); len(sent) != 2 || sent[0].Err != nil || string(sent[0].Command) != string(getRandom(32)) {
		t.Errorf("the chip got %+v", sent)
	}
}

// Many connections at once, each of which sends a command and one byte more, and leaves without its answer.
func connectMultiple(t *testing.T, b *broker) {
	var conns []net.Conn
	for range 25 {
		conns = append(conns, b.connect(t))
	}
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).
		Uint32(uint32(tpm2.TPMCapTPMProperties)).Uint32(0x100).Uint32(0x7f).Bytes()
	before := b.came.Load()
	for _, conn := range conns {
		mustWrite(t, conn, command, []byte{0x0a})
	}
	for _, conn := range conns {
		conn.Close()
	}
	b.await(t, before+int32(len(conns)))
}

// One connection more than a user may have is closed, and there is room again when another one ends. tpm2-abrmd's limit is 27 for all.
func connectionsMax(t *testing.T, b *broker) {
	conns := dialAsNobody(t, b.path, maxConnections)
	for _, conn := range conns {
		mustAnswer(t, conn)
	}
	if rest, err := io.ReadAll(dialAsNobody(t, b.path, 1)[0]); err != nil || len(rest) > 0 {
		t.Errorf("one too many: %x, %v", rest, err)
	}
	b.log.await(t, "more than 256 connections")
	conns[0].Close()
	again := func() bool {
		conn := dialAsNobody(t, b.path, 1)[0]
		_, err := conn.Write(getRandom(16))
		n, _ := io.ReadFull(conn, make([]byte, 10+2+16))
		return err == nil && n == 10+2+16
	}
	for range 100 { // until the server has noticed
		if again() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no room after a connection was closed")
}

func mustAnswer(t *testing.T, conn net.Conn) {
	t.Helper()
	mustWrite(t, conn, getRandom(16))
	wantRandom(t, mustRead(t, conn, 10+2+16), 16)
}

// dialAsNobody connects as a user for whom the limit holds, as it does not for root.
func dialAsNobody(t *testing.T, path string, n int) []net.Conn {
	t.Helper()
	return dialAs(t, path, nobody, n)
}

func dialAs(t *testing.T, path string, uid uintptr, n int) []net.Conn {
	t.Helper()
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, n)
	var dialled sync.WaitGroup
	dialled.Go(func() {
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // never unlocked: the thread with the other uid ends with this goroutine
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
				t.Error(errno)
			}
		}
		for i := range conns { // the kernel remembers who called connect
			var err error
			if conns[i], err = net.DialTimeout("unix", path, time.Minute); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if dialled.Wait(); t.Failed() {
		t.FailNow()
	}
	for _, conn := range conns {
		conn.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { conn.Close() })
	}
	return conns
}

func doubleFinalize(t *testing.T, b *broker) {
	d := dial(t, b.path)
	random(t, d)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A command of 8192 bytes: its header is enough to be sent away for.
func tooLongCommand(t *testing.T, b *broker) {
	conn := b.connect(t)
	b.chip.Reset()
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextSave)).Uint32(0).Bytes()
	command[4], command[5] = 0x20, 0
	mustWrite(t, conn, command)
	if rest, err := io.ReadAll(conn); len(rest) > 0 || b.chip.Count() > 0 {
		t.Errorf("answered with %x, %v; %d commands reached the chip", rest, err, b.chip.Count())
	}
	b.log.await(t, "says it has 8192 bytes")
}
