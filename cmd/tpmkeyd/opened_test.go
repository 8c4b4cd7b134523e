package main

import (
	"errors"
	"log"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/cmd/tpmkeyd/cuse"
	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A descriptor is an open node as its holder sees it, on a chip that a test can make wait.
type descriptor struct {
	t *testing.T
	*opened
	flags int
	gate  sync.Mutex // held: no command gets through
	came  chan []byte
	woken chan struct{}
}

func newDescriptor(t *testing.T) *descriptor {
	t.Helper()
	d := &descriptor{t: t, came: make(chan []byte, 100), woken: make(chan struct{}, 100)}
	spec := tpmtest.SWTPM(t)
	raw := tpmtest.Dial(t, spec)
	gated := tpmtest.Serve(t, tpmtest.Func(func(command []byte) ([]byte, error) {
		d.came <- command
		d.gate.Lock()
		defer d.gate.Unlock()
		return raw.Send(command)
	}))
	tpms, err := openChips([]string{gated})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tpms.close() })
	s := newServer(tpms, everybody(), log.New(&journal{}, "", 0))
	n := &node{server: s, name: defaultNode}
	f, err := n.Open(&cuse.Request{Caller: cuse.Caller{UID: 1000, TID: int32(os.Getpid())}}, unix.O_RDWR, func() { d.woken <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Release)
	d.opened = f.(*opened)
	return d
}

func (d *descriptor) request() *cuse.Request {
	return &cuse.Request{Caller: cuse.Caller{UID: 1000, TID: int32(os.Getpid())}, Flags: d.flags}
}

func (d *descriptor) write(b []byte) error {
	n, err := d.Write(d.request(), b)
	if err == nil && n != len(b) {
		d.t.Errorf("%d of %d bytes were written", n, len(b))
	}
	return err
}

func (d *descriptor) read(size int) ([]byte, error) { return d.Read(d.request(), size) }

func (d *descriptor) mustWrite(b []byte) {
	d.t.Helper()
	if err := d.write(b); err != nil {
		d.t.Errorf("write: %v", err)
	}
}

// mustRead wants exactly so many bytes.
func (d *descriptor) mustRead(size, want int) []byte {
	d.t.Helper()
	b, err := d.read(size)
	if err != nil || len(b) != want {
		d.t.Errorf("read %d: %d bytes, %v; want %d", size, len(b), err, want)
	}
	return b
}

func (d *descriptor) wantPoll(want uint32) {
	d.t.Helper()
	if got := d.Poll(); got != want {
		d.t.Errorf("poll: 0x%x, want 0x%x", got, want)
	}
}

const (
	readable32 = wire.HeaderSize + 2 + 32 // bytes of the response to getRandom(32)
	mayRead    = unix.POLLIN | pollRdNorm
	mayWrite   = unix.POLLOUT | pollWrNorm
)

func TestBlockingDescriptor(t *testing.T) {
	d := newDescriptor(t)
	d.wantPoll(mayWrite)
	d.mustRead(100, 0)
	d.mustWrite(getRandom(32))
	d.wantPoll(mayRead)
	if err := d.write(getRandom(32)); err != unix.EBUSY {
		t.Errorf("a second command: %v", err)
	}
	first := d.mustRead(15, 15)
	d.wantPoll(mayRead)
	wantRandom(t, append(first, d.mustRead(4096, readable32-15)...), 32)
	d.wantPoll(mayWrite)
	d.mustRead(100, 0)
	d.mustWrite(getRandom(32))
	d.mustRead(15, 15)
	d.mustWrite(getRandom(16)) // what was not read of the first is gone
	wantRandom(t, d.mustRead(4096, wire.HeaderSize+2+16), 16)
}

// What is no command is refused in the write, and the chip does not hear of it.
func TestRefusedWrites(t *testing.T) {
	d := newDescriptor(t)
	long := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetRandom)).Raw(make([]byte, wire.MaxCommand)).Bytes()
	short := getRandom(32)
	short[5]++
	tiny := getRandom(32)
	tiny[5] = 9
	flush := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext))
	for _, row := range []struct {
		name string
		b    []byte
		want unix.Errno
	}{
		{"too long", long, unix.E2BIG},
		{"shorter than it says", short, unix.EINVAL},
		{"less than a header", getRandom(32)[:9], unix.EINVAL},
		{"a size less than a header", tiny, unix.EINVAL},
		{"a flush of what is not there", flush.Uint32(0x80123456).Bytes(), unix.EINVAL},
	} {
		if err := d.write(row.b); err != row.want {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		d.wantPoll(mayWrite)
	}
	if len(d.came) > 0 {
		t.Errorf("this came to the chip: %x", <-d.came)
	}
	unknown := getRandom(32)
	unknown[8], unknown[9] = 1, 0xFE
	d.mustWrite(unknown)
	if got := d.mustRead(100, wire.HeaderSize); string(got) != string(wire.ErrorResponse(filter.RCDenied)) {
		t.Errorf("an unknown command: %x", got)
	}
	d.mustWrite(append(getRandom(32), 0, 0)) // Linux passes over what comes behind
	wantRandom(t, d.mustRead(100, readable32), 32)
}

func TestNonBlockingDescriptor(t *testing.T) {
	d := newDescriptor(t)
	d.flags = unix.O_NONBLOCK
	d.gate.Lock()
	d.mustWrite(getRandom(32))
	d.wantPoll(0)
	if b, err := d.read(100); err != unix.EAGAIN {
		t.Errorf("a read that comes too early: %x, %v", b, err)
	}
	if err := d.write(getRandom(32)); err != unix.EBUSY {
		t.Errorf("a second command: %v", err)
	}
	d.gate.Unlock()
	d.awaitWake()
	d.wantPoll(mayRead)
	wantRandom(t, d.mustRead(100, readable32), 32)
	d.awaitWake()
	d.mustWrite(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(0x80123456).Bytes())
	d.awaitWake()
	d.wantPoll(mayRead)
	if b, err := d.read(100); err != unix.EINVAL {
		t.Errorf("a flush of what is not there: %x, %v", b, err)
	}
	d.wantPoll(mayWrite)
}

func (d *descriptor) awaitWake() {
	d.t.Helper()
	select {
	case <-d.woken:
	case <-time.After(time.Minute):
		d.t.Fatal("who polls was not told for a minute")
	}
}

// A read waits for the command that another thread has written.
func TestReadWaits(t *testing.T) {
	d := newDescriptor(t)
	d.gate.Lock()
	var threads sync.WaitGroup
	threads.Go(func() { d.mustWrite(getRandom(32)) })
	<-d.came
	threads.Go(func() { wantRandom(t, d.mustRead(100, readable32), 32) })
	d.gate.Unlock()
	threads.Wait()
}

// A response that nobody reads is dropped, but not one that came since.
func TestUnreadResponse(t *testing.T) {
	d := newDescriptor(t)
	d.mustWrite(getRandom(32))
	d.drop()
	d.wantPoll(mayRead)
	d.mu.Lock()
	d.opened.came = time.Now().Add(-unreadFor)
	d.mu.Unlock()
	d.drop()
	d.wantPoll(mayWrite)
	d.mustWrite(getRandom(32))
	wantRandom(t, d.mustRead(100, readable32), 32)
}

// What a killed caller's command gives is nobody's: others may hold the descriptor too.
func TestKilledCaller(t *testing.T) {
	d := newDescriptor(t)
	command, run, err := d.start(getRandom(32))
	if err != nil {
		t.Fatal(err)
	}
	run.dropped = true
	if err := d.run(command, run, true); err != nil {
		t.Errorf("the command that came to its end: %v", err)
	}
	d.wantPoll(mayWrite)
	d.mustWrite(getRandom(32))
	wantRandom(t, d.mustRead(100, readable32), 32)
}

// Who was interrupted, but not killed, waits on until the command ends.
func TestInterruptedCaller(t *testing.T) {
	d := newDescriptor(t)
	_, run, err := d.start(getRandom(32))
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	go func() {
		d.watch(d.request(), run)
		close(watched)
	}()
	select {
	case <-watched:
		t.Error("nobody was killed")
	case <-time.After(2 * signalCheck):
	}
	close(run.ended)
	<-watched
	if run.dropped {
		t.Error("the response was dropped")
	}
}

// A chip that is closed below a descriptor, or has lost its place.
func TestDescriptorOfClosedChip(t *testing.T) {
	d := newDescriptor(t)
	d.client.server.chips.close()
	if err := d.write(getRandom(32)); err != unix.EPIPE {
		t.Errorf("write: %v", err)
	}
	n := &node{server: d.client.server, name: defaultNode}
	if _, err := n.Open(d.request(), unix.O_RDWR, nil); err != unix.ENODEV {
		t.Errorf("open: %v", err)
	}
}

func TestTooManyDescriptors(t *testing.T) {
	d := newDescriptor(t)
	n := &node{server: d.client.server, name: defaultNode}
	for i := 1; ; i++ {
		f, err := n.Open(d.request(), unix.O_RDWR, func() {})
		if err != nil {
			if i != maxConnections || !errors.Is(err, unix.EMFILE) {
				t.Errorf("number %d: %v", i, err)
			}
			return
		}
		defer f.Release()
	}
}
