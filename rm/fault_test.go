package rm_test

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

var errUnplugged = errors.New("input/output error")

// What a broken chip may answer. Each costs one client one clean error; the next command opens the chip anew and works.
var faults = []struct {
	name   string
	answer func(response []byte) ([]byte, error)
}{
	{"an error of the device", func([]byte) ([]byte, error) { return nil, errUnplugged }},
	{"nothing", func([]byte) ([]byte, error) { return nil, nil }},
	{"half a response", func(r []byte) ([]byte, error) { return r[:len(r)/2], nil }},
	{"a response that is too long", func(r []byte) ([]byte, error) { return append(bytes.Clone(r), 0), nil }},
	{"zeros", func([]byte) ([]byte, error) { return make([]byte, 512), nil }},
}

func TestFaults(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
			var broken atomic.Bool
			below := tpmtest.Func(func(command []byte) ([]byte, error) {
				response, err := raw.Send(command)
				if broken.CompareAndSwap(true, false) {
					return fault.answer(response)
				}
				return response, err
			})
			m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{below}, nil }})
			first, err := m.Open(rm.Options{UID: 1})
			if err != nil {
				t.Fatal(err)
			}
			other, err := m.Open(rm.Options{UID: 2})
			if err != nil {
				t.Fatal(err)
			}
			k, theirs := newKey(t, first, false, ""), newKey(t, other, false, "")
			broken.Store(true)
			if err := k.sign(tpm2.PasswordAuth(nil)); err == nil || errors.As(err, new(tpm2.TPMRC)) {
				t.Errorf("a signature on a broken chip: %v, want an error that is not the TPM's", err)
			}
			// What was on the chip comes back from the command that made it, and nobody notices.
			theirs.mustSign(t)
			k.mustSign(t)
			newKey(t, other, false, "").mustSign(t)
			newKey(t, first, false, "").mustSign(t)
			m.Close()
			if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) > 0 {
				t.Errorf("left on the chip: %x, %v", leaks, err)
			}
		})
	}
}

// stuck is a chip that never answers until it is closed.
type stuck struct {
	asked, closed chan struct{}
	once          sync.Once
}

func (s *stuck) Send([]byte) ([]byte, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.closed
	return nil, errUnplugged
}

func (s *stuck) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

var getRandom = []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8}

// Closing a manager over a chip that hangs: clients in the queue return at once, the one whose command hangs after a few seconds.
func TestCloseUnblocksEveryone(t *testing.T) {
	below := &stuck{asked: make(chan struct{}, 1), closed: make(chan struct{})}
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return below, nil }})
	results := make(chan error)
	for i := range 4 {
		s, err := m.Open(rm.Options{UID: uint32(i)})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, err := s.Send(getRandom); results <- err }()
	}
	<-below.asked
	time.Sleep(20 * time.Millisecond) // until the others wait
	go m.Close()
	start := time.Now()
	for i := range 4 {
		err := <-results
		if i < 3 && (!errors.Is(err, rm.ErrClosed) || time.Since(start) > time.Second) {
			t.Errorf("a waiting client: %v after %v", err, time.Since(start))
		}
		if i == 3 && err == nil {
			t.Error("the command that hung has succeeded")
		}
	}
	m.Close()
	if _, err := m.Open(rm.Options{}); !errors.Is(err, rm.ErrClosed) {
		t.Errorf("a new space of a closed manager: %v", err)
	}
}

// TPM_RC_RETRY and its like end in the manager.
func TestWarningsAreRepeated(t *testing.T) {
	for _, rc := range []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting} {
		asked := 0
		below := tpmtest.Func(func([]byte) ([]byte, error) {
			if asked++; asked < 4 {
				return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, byte(rc >> 8), byte(rc)}, nil
			}
			return []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, nil
		})
		m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{below}, nil }})
		s, err := m.Open(rm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if response, err := s.Send(getRandom); err != nil || len(response) != 20 || asked != 4 {
			t.Errorf("0x%x: %x, %v after %d tries", uint32(rc), response, err, asked)
		}
		m.Close()
	}
}

func TestChipThatCannotBeOpened(t *testing.T) {
	m := rm.New(rm.Config{Open: func() (rm.Chip, error) { return nil, errUnplugged }})
	s, err := m.Open(rm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(getRandom); !errors.Is(err, errUnplugged) {
		t.Errorf("a command: %v", err)
	}
	s.Close()
	m.Close()
}

// randomChip answers TPM2_GetRandom of 8 bytes, whatever it is asked.
var randomChip = tpmtest.Func(func([]byte) ([]byte, error) {
	return []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, nil
})

// A chip that panics takes nobody's turn with it.
func TestPanicGivesTheTurnBack(t *testing.T) {
	panics := true
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) {
		return chip{tpmtest.Func(func([]byte) ([]byte, error) {
			if panics {
				panic("a chip that does this")
			}
			return []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, nil
		})}, nil
	}})
	defer m.Close()
	s, err := m.Open(rm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		s.Send(getRandom)
	}()
	panics = false
	if response, err := s.Send(getRandom); err != nil || len(response) != 20 {
		t.Errorf("%x, %v", response, err)
	}
}
