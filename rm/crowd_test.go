package rm_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A thousand clients at once, of many users, who load keys, sign, start sessions and vanish whenever they like, also in the middle of a command. Nobody gets
// an error that is not a quota's or one's own Close, and nothing stays on the chip.
func TestAThousandClients(t *testing.T) {
	const clients = 1000
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := newStock(t, b.recorder)
	p := &point{TB: t, breaker: &breaker{t: t, m: b.Manager}, stock: s}
	var all sync.WaitGroup
	var signed, cut atomic.Int64
	for i := range clients {
		c := p.client(uint32(i % 100))
		all.Go(func() {
			defer c.space.Close()
			cutOff := i%5 == 0
			if cutOff { // somebody else closes it, twice, at a random moment
				all.Go(func() {
					time.Sleep(rand.N(2 * time.Second))
					c.space.Close()
					c.space.Close()
				})
			}
			err := c.visit(i%4 == 0)
			switch {
			case err == nil:
				signed.Add(1)
			case cutOff && errors.Is(err, rm.ErrClosed):
				cut.Add(1)
			case !isQuota(err):
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d clients did all that they wanted, %d were closed before", signed.Load(), cut.Load())
	if signed.Load() < clients/2 {
		t.Errorf("only %d of %d clients came to their end", signed.Load(), clients)
	}
	random := b.space(t, 0)
	if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(random); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// visit is what one of many clients does.
func (c *client) visit(signs bool) error {
	for range 3 {
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(c.space); err != nil {
			return err
		}
	}
	if !signs {
		return nil
	}
	if err := c.load(); err != nil {
		return err
	}
	if err := c.sign(); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	return c.signWith(c.session)
}

// isQuota tells whether an error is a quota's: of objects, of sessions, or of a session that was given up for another's.
func isQuota(err error) bool {
	var rc tpm2.TPMRC
	return errors.As(err, &rc) && (rc == 0x000B0902 || rc == 0x000B0903 || rc == tpm2.TPMRCReferenceS0)
}

// Manager and spaces are closed at any time, from anywhere, more than once.
func TestCloseWhileEverybodyWorks(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	s := newStock(t, raw)
	for range 5 {
		m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
		p := &point{TB: t, breaker: &breaker{t: t, m: m}, stock: s}
		var all sync.WaitGroup
		for i := range 30 {
			c := p.client(uint32(i))
			all.Go(func() {
				for {
					if err := c.visit(true); errors.Is(err, rm.ErrClosed) {
						return
					} else if err != nil && !isQuota(err) {
						t.Errorf("client %d: %v", i, err)
						return
					}
				}
			})
		}
		for range 3 {
			all.Go(func() {
				time.Sleep(rand.N(200 * time.Millisecond))
				m.Close()
			})
		}
		all.Wait()
		if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) > 0 {
			t.Fatalf("left on the chip: %x, %v", leaks, err)
		}
	}
}
