package rm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A breaker is a chip that breaks once, at one of its commands.
type breaker struct {
	t    testing.TB
	spec string
	raw  *tpmtest.Conn
	m    *rm.Manager
	how  breakage
	at   int // counted from 1

	mu      sync.Mutex
	sent    int
	broken  tpm2.TPMCC // the command at which it broke; 0: not yet
	away    int        // how many more times it cannot be opened
	foreign func()     // what somebody else does with a chip that was reset
}

// A breakage is one way to break.
type breakage struct {
	name string
	// answer gives what comes back instead of the response. Before: nothing has run yet, and send runs it.
	answer func(b *breaker, send func() ([]byte, error)) ([]byte, error)
	resets bool // sessions are lost
	silent bool // nobody need notice
	away   int
	hangs  bool
}

// lost runs the command and lets its answer be changed.
func lost(change func([]byte) ([]byte, error)) func(*breaker, func() ([]byte, error)) ([]byte, error) {
	return func(_ *breaker, send func() ([]byte, error)) ([]byte, error) {
		response, err := send()
		if err != nil {
			return nil, err
		}
		return change(response)
	}
}

func fails(err error) func(*breaker, func() ([]byte, error)) ([]byte, error) {
	return func(*breaker, func() ([]byte, error)) ([]byte, error) { return nil, err }
}

// swap changes one byte of a response.
func swap(i int, by byte) func([]byte) ([]byte, error) {
	return func(r []byte) ([]byte, error) {
		r = bytes.Clone(r)
		if i < len(r) {
			r[i] ^= by
		}
		return r, nil
	}
}

var errHung = errors.New("closed while a command ran")

// What a chip below a manager does, at whatever command.
var breakages = []breakage{
	{name: "EIO instead of the command", answer: fails(unix.EIO)},
	{name: "EPIPE instead of the command", answer: fails(unix.EPIPE)},
	{name: "EIO instead of the answer", answer: lost(func([]byte) ([]byte, error) { return nil, unix.EIO })},
	{name: "an empty answer", answer: lost(func([]byte) ([]byte, error) { return nil, nil })},
	{name: "half an answer", answer: lost(func(r []byte) ([]byte, error) { return r[:len(r)/2], nil })},
	{name: "one byte too many", answer: lost(func(r []byte) ([]byte, error) { return append(bytes.Clone(r), 0), nil })},
	{name: "4096 bytes of noise", answer: lost(func([]byte) ([]byte, error) { return bytes.Repeat([]byte{0xA5, 0x80}, 2048), nil })},
	{name: "another tag", answer: lost(swap(1, 0x40))},
	{name: "another handle, or another byte", answer: lost(swap(10, 0x02))},
	{name: "no answer, the command not run", hangs: true, answer: func(b *breaker, _ func() ([]byte, error)) ([]byte, error) { return nil, errHung }},
	{name: "no answer, the command run", hangs: true, answer: lost(func([]byte) ([]byte, error) { return nil, errHung })},
	{name: "a reset", resets: true, silent: true, answer: func(b *breaker, send func() ([]byte, error)) ([]byte, error) {
		b.reset()
		return send()
	}},
	{name: "a reset and EIO", resets: true, answer: func(b *breaker, send func() ([]byte, error)) ([]byte, error) {
		send()
		b.reset()
		return nil, unix.EIO
	}},
	{name: "unplugged, and back after two tries", away: 2, answer: fails(unix.ENODEV)},
}

// reset switches the chip off and on, and somebody else is the first to use it.
func (b *breaker) reset() {
	tpmtest.PowerCycle(b.t, b.spec)
	tpmtest.Startup(b.t, b.raw)
	if b.foreign != nil {
		b.foreign()
	}
}

func (b *breaker) open() (rm.Chip, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away > 0 {
		b.away--
		return nil, unix.ENODEV
	}
	return &breaking{b, make(chan struct{}), sync.Once{}}, nil
}

// breaking is a breaker's open connection.
type breaking struct {
	*breaker
	closed chan struct{}
	once   sync.Once
}

func (c *breaking) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

const (
	short = 50 * time.Millisecond
	long  = time.Minute
)

func (c *breaking) Send(command []byte) ([]byte, error) {
	b := c.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent++
	if b.sent == b.at && b.how.silent && unnamed[commandCode(command)] {
		b.at++
	}
	if b.sent == b.at-1 && b.how.hangs {
		b.m.SetPatience(short)
	}
	if b.sent != b.at {
		return b.raw.Send(command)
	}
	b.broken, b.away = commandCode(command), b.how.away
	response, err := b.how.answer(b, func() ([]byte, error) { return b.raw.Send(command) })
	if b.how.hangs {
		<-c.closed
		b.m.SetPatience(long)
	}
	return response, err
}

// unnamed are the commands right before which the manager looks at the clock: whose it is that was made after a reset between the two, nobody knows.
var unnamed = map[tpm2.TPMCC]bool{tpm2.TPMCCStartAuthSession: true, tpm2.TPMCCCreatePrimary: true, tpm2.TPMCCHashSequenceStart: true}

func commandCode(command []byte) tpm2.TPMCC { return tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) }

func (b *breaker) state() (broken tpm2.TPMCC, sent int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken, b.sent
}
