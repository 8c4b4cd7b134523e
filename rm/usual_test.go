package rm

import (
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// What a turn is not charged for, after a hundred like the one before.
func TestExcess(t *testing.T) {
	const usually = 2 * time.Millisecond
	for _, row := range []struct {
		name       string
		code       tpm2.TPMCC
		took, free time.Duration
	}{
		{"as usual", tpm2.TPMCCSign, usually, 0},
		{"longer", tpm2.TPMCCSign, 3 * usually, 0},
		{"a halt of the machine", tpm2.TPMCCSign, time.Second, time.Second - atMost*usually},
		{"a key that is hard to find", tpm2.TPMCCCreate, time.Second, 0},
	} {
		u := newUsual()
		for range 100 {
			u.excess(usage{1000, row.code}, usually)
		}
		if got := u.excess(usage{1000, row.code}, row.took); got != row.free {
			t.Errorf("%s: free is %v of %v, want %v", row.name, got, row.took, row.free)
		}
	}
}

// A chip that has become slow is charged as one soon.
func TestExcessEnds(t *testing.T) {
	u, of := newUsual(), usage{1000, tpm2.TPMCCSign}
	u.excess(of, time.Millisecond)
	for range 100 {
		u.excess(of, 50*time.Millisecond)
	}
	if got := u.excess(of, 50*time.Millisecond); got != 0 {
		t.Errorf("free is %v of 50ms", got)
	}
}

// Whoever hides long turns among short ones has the chip for three times his share at the very most.
func TestHiddenTurns(t *testing.T) {
	for _, every := range []int{2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100} {
		u := newUsual()
		var had, free time.Duration
		for i := range 10_000 {
			took := 500 * time.Microsecond // a signature by an RSA key of 1,024 bits
			if i%every == 0 {
				took = 15 * time.Millisecond // of 4,096
			}
			had, free = had+took, free+u.excess(usage{1000, tpm2.TPMCCSign}, took)
		}
		if had > 3*(had-free) {
			t.Errorf("one of %d: he had %v and is charged %v", every, had, had-free)
		}
	}
}

func TestUsualHasBounds(t *testing.T) {
	u := newUsual()
	for uid := range uint32(3 * mostUsually) {
		u.excess(usage{uid, tpm2.TPMCCSign}, time.Millisecond)
	}
	if len(u.of) > mostUsually {
		t.Errorf("%d are remembered", len(u.of))
	}
}

// haltingChip halts once in a command, after a number of others.
type haltingChip struct{ commands int }

func (c *haltingChip) Send([]byte) ([]byte, error) {
	if c.commands--; c.commands == 0 {
		time.Sleep(200 * time.Millisecond)
	}
	return []byte{0x80, 1, 0, 0, 0, 14, 0, 0, 0, 0, 0, 2, 7, 7}, nil
}

func (c *haltingChip) Close() error { return nil }

// A halt is not charged to whoever has the turn then, though it was measured.
func TestHaltIsExcused(t *testing.T) {
	const commands = 50
	m := New(Config{Sharing: Alone, Open: func() (Chip, error) { return &haltingChip{commands}, nil }})
	defer m.Close()
	var longest time.Duration
	s, err := m.Open(Options{UID: 1000, Ran: func(_ tpm2.TPMCC, _, took time.Duration) { longest = max(longest, took) }})
	if err != nil {
		t.Fatal(err)
	}
	for range commands {
		before := m.turns.usedBy(1000)
		if _, err := (tpm2.GetRandom{BytesRequested: 2}).Execute(s); err != nil {
			t.Fatal(err)
		}
		if charged := m.turns.usedBy(1000) - before; charged >= 200*time.Millisecond {
			t.Errorf("he is charged %v", charged)
		}
	}
	if longest < 200*time.Millisecond {
		t.Errorf("the longest turn took %v: nothing has halted", longest)
	}
}
