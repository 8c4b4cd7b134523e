//go:build vm

package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/internal/ioctl"
	"tpmkey.example/rm/wire"
)

// hostileTime is how long attackers attack.
const hostileTime = time.Minute

// A hostile client does what no library would: with one node, for as long as it is told.
type hostile struct {
	*rand.Rand
	fd   int
	sent int
}

// The handles that it names: hierarchies, PCRs, NV, what may be its own, what may be others'.
var handles = []uint32{0x40000001, 0x40000007, 0x40000009, 0x4000000A, 0x4000000B, 0x4000000C, 0, 7, 16, 0x01000001, 0x01C00002, 0x81000001, 0x81010001,
	0x80000000, 0x80000001, 0x80000002, 0x80FFFFFF, 0x02000000, 0x02000001, 0x03000000, 0x03000001, 0x90000000}

// What it does, each as likely as it is often here.
var deeds = []func(h *hostile){
	(*hostile).command, (*hostile).command, (*hostile).command, (*hostile).command, (*hostile).command, (*hostile).command, (*hostile).good,
	(*hostile).garbage, (*hostile).garbage, (*hostile).readLess, (*hostile).poll, (*hostile).ioctl, (*hostile).switchMode, (*hostile).reopen,
}

// attack is an act: the seed, and how many seconds.
func attack(args []string) {
	seed, err1 := strconv.ParseUint(args[0], 10, 64)
	seconds, err2 := strconv.Atoi(args[1])
	if err1 != nil || err2 != nil {
		panic(args)
	}
	h := &hostile{Rand: rand.New(rand.NewPCG(seed, 0)), fd: -1}
	h.reopen()
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		deeds[h.IntN(len(deeds))](h)
	}
	fmt.Println(h.sent)
}

func init() { acts["attack"] = attack }

func (h *hostile) reopen() {
	unix.Close(h.fd)
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	h.fd = fd
}

func (h *hostile) bytes(most int) []byte {
	b := make([]byte, h.IntN(most+1))
	for i := range b {
		b[i] = byte(h.Uint32())
	}
	return b
}

func (h *hostile) write(b []byte) {
	if _, err := unix.Write(h.fd, b); err == nil {
		h.sent++
	}
}

func (h *hostile) read(n int) { unix.Read(h.fd, make([]byte, n)) }

// command has a true form as far as its parameters, some of the time.
func (h *hostile) command() {
	var named []uint32
	for range h.IntN(4) {
		named = append(named, handles[h.IntN(len(handles))])
	}
	parameters := h.bytes(60)
	if h.IntN(2) == 0 {
		parameters = make([]byte, h.IntN(40))
	}
	b := message(tpm2.TPMCC(0x11F+h.Uint32N(0x84)), named, h.IntN(2) == 0, parameters)
	if h.IntN(10) == 0 {
		b[h.IntN(len(b))] ^= byte(1 << h.IntN(8))
	}
	h.write(b)
	h.read(wire.MaxCommand)
}

// good holds something, so that there is something to do harm with.
func (h *hostile) good() {
	if h.IntN(2) == 0 {
		primary(chardev(h.fd))
		return
	}
	h.write(getRandom())
	h.read(wire.MaxCommand)
}

func (h *hostile) garbage() {
	b := h.bytes(6000)
	if len(b) > 10 && h.IntN(2) == 0 {
		binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
	}
	h.write(b)
}

func (h *hostile) readLess() { h.read(h.IntN(20)) }

func (h *hostile) poll() {
	unix.Poll([]unix.PollFd{{Fd: int32(h.fd), Events: int16(h.Uint32())}}, h.IntN(3))
}

func (h *hostile) ioctl() {
	number := ioctl.Read(0xBE, h.Uint32N(10), h.Uint32N(64))
	if h.IntN(2) == 0 {
		number = ioctl.Write(0xBE, h.Uint32N(10), []uint32{0, 4, 256, 16000}[h.IntN(4)])
	}
	argument := make([]byte, ioctl.Size(number))
	copy(argument, h.bytes(64))
	ioctl.Do(h.fd, number, argument)
}

func (h *hostile) switchMode() { unix.SetNonblock(h.fd, h.IntN(2) == 0) }

// observe asks the chip, past tpmkeyd, for all that nobody may change.
func observe(t *testing.T) []byte {
	t.Helper()
	c := mustOpen(t, "/dev/tpmrm0")
	var seen []byte
	ask := func(name string, command []byte, from int) {
		response, err := c.Send(command)
		if err != nil || !bytes.Equal(response[6:10], make([]byte, 4)) {
			t.Fatalf("%s: %x, %v", name, response, err)
		}
		seen = append(seen, response[from:]...)
	}
	property := func(p tpm2.TPMPT) {
		ask(fmt.Sprintf("property 0x%x", uint32(p)), message(tpm2.TPMCCGetCapability, nil, false, binary.BigEndian.AppendUint32(
			binary.BigEndian.AppendUint32([]byte{0, 0, 0, 6}, uint32(p)), 1)), wire.HeaderSize)
	}
	for _, p := range []tpm2.TPMPT{tpm2.TPMPTPermanent, tpm2.TPMPTLockoutCounter, tpm2.TPMPTMaxAuthFail, tpm2.TPMPTLockoutInterval, tpm2.TPMPTHRPersistent, tpm2.TPMPTNVCounters} {
		property(p)
	}
	for _, first := range []byte{0x01, 0x81} { // NV, persistent objects
		ask("handles", message(tpm2.TPMCCGetCapability, nil, false, []byte{0, 0, 0, 1, first, 0, 0, 0, 0, 0, 0, 64}), wire.HeaderSize)
	}
	for _, bits := range []byte{0x01, 0x80} { // eight PCRs at a time, each from the one that is asked for
		ask("PCRs", message(tpm2.TPMCCPCRRead, nil, false, []byte{0, 0, 0, 1, 0, 0x0B, 3, bits, bits, bits}), wire.HeaderSize)
	}
	return seen
}

// For a minute four users do to the node whatever comes to their minds. Another one signs meanwhile, with keys that stay his, and nothing of the chip's changes that
// is not theirs.
func TestHostileClients(t *testing.T) {
	seed := rand.Uint64N(1 << 32)
	t.Logf("seed %d", seed)
	before := observe(t)
	c := mustOpen(t, node)
	victim := newSigning(t, c)
	said := make(chan string)
	const attackers = 4
	for i := range attackers {
		attacker := as(t, uint32(2000+i)).again("attack", fmt.Sprint(seed+uint64(i)), fmt.Sprint(int(hostileTime.Seconds())))
		go func() {
			out, err := attacker.CombinedOutput()
			said <- fmt.Sprintf("%v %s", err, bytes.TrimSpace(out))
		}()
	}
	for signatures, left := 0, attackers; left > 0; signatures++ {
		if err := victim.sign(); err != nil {
			t.Fatalf("signature %d: %v", signatures, err)
		}
		select {
		case s := <-said:
			if left--; len(s) < 5 || s[:5] != "<nil>" {
				t.Errorf("an attacker: %s", s)
			}
			t.Logf("%d signatures; an attacker has sent %s commands", signatures, s[5:])
		default:
		}
	}
	if after := observe(t); !bytes.Equal(before, after) {
		t.Errorf("the chip was\n%x and is\n%x", before, after)
	}
}
