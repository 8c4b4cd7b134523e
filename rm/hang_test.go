package rm_test

import (
	"errors"
	"testing"
	"time"

	"tpmkey.example/rm"
)

// soon fails the test when something takes longer than it takes on a chip that hangs not.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { do(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
		t.Errorf("%s waits for a chip that hangs", what)
	}
}

// hanging is a manager on a chip that has taken one client's command and does not answer.
func hanging(t *testing.T, below rm.Chip, asked <-chan struct{}) (m *rm.Manager, held *rm.Space, result <-chan error) {
	t.Helper()
	m = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return below, nil }})
	held, err := m.Open(rm.Options{UID: 1})
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 1)
	go func() { _, err := held.Send(getRandom); results <- err }()
	<-asked
	return m, held, results
}

func newStuck() *stuck { return &stuck{asked: make(chan struct{}, 1), closed: make(chan struct{})} }

// A chip that hangs keeps nobody from closing: neither other clients, nor the one whose command it has, twice.
func TestSpacesCloseOnAHangingChip(t *testing.T) {
	below := newStuck()
	m, held, result := hanging(t, below, below.asked)
	other, err := m.Open(rm.Options{UID: 2})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { _, err := other.Send(getRandom); waiting <- err }()
	for range 2 {
		soon(t, "another client's Close", func() { other.Close() })
		soon(t, "the client's own Close", func() { held.Close() })
	}
	soon(t, "a closed client's command", func() {
		if err := <-waiting; !errors.Is(err, rm.ErrClosed) {
			t.Errorf("a command that waited: %v", err)
		}
	})
	below.Close()
	if err := <-result; err == nil {
		t.Error("the command that hung has succeeded")
	}
	m.Close()
}

// A command without an answer is given up in the end, and the others go on.
func TestCommandWithoutAnAnswer(t *testing.T) {
	opened := 0
	first := newStuck()
	m := rm.New(rm.Config{Sharing: rm.Stacked, Open: func() (rm.Chip, error) {
		if opened++; opened == 1 {
			return first, nil
		}
		return chip{randomChip}, nil
	}})
	defer m.Close()
	m.SetPatience(20 * time.Millisecond)
	a, err := m.Open(rm.Options{UID: 1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Open(rm.Options{UID: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Send(getRandom); !errors.Is(err, errUnplugged) {
		t.Errorf("a command without an answer: %v", err)
	}
	for _, s := range []*rm.Space{b, a} {
		if response, err := s.Send(getRandom); err != nil || len(response) != 20 {
			t.Errorf("the next command: %x, %v", response, err)
		}
	}
}

// deaf is a chip that hangs and cannot be woken, like a device in a system call.
type deaf struct{ asked, answer chan struct{} }

func (d deaf) Send([]byte) ([]byte, error) { close(d.asked); <-d.answer; return nil, errUnplugged }
func (d deaf) Close() error                { return nil }

// A manager closes all the same, and says that something is left.
func TestCloseOnADeviceThatCannotBeWoken(t *testing.T) {
	t.Parallel()
	below := deaf{make(chan struct{}), make(chan struct{})}
	m, held, result := hanging(t, below, below.asked)
	start := time.Now()
	if err := m.Close(); err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("closed after %v: %v", time.Since(start), err)
	}
	if _, err := held.Send(getRandom); !errors.Is(err, rm.ErrClosed) {
		t.Errorf("a command to a closed manager: %v", err)
	}
	close(below.answer)
	if err := <-result; err == nil {
		t.Error("the command that hung has succeeded")
	}
	if err := m.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}
