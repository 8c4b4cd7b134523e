package rm_test

import (
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// Who makes keys that take ten seconds each makes four at once, and later one every forty seconds. Meanwhile others make theirs, and he signs.
func TestAllowanceForMakingKeys(t *testing.T) {
	const takes = 10 * time.Second
	var clock *rm.Clock
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) {
		return chip{tpmtest.Func(func(command []byte) ([]byte, error) {
			response, err := raw.Send(command)
			if h, _ := wire.ParseHeader(command); h.Code == uint32(tpm2.TPMCCCreate) && len(response) > wire.HeaderSize {
				clock.Advance(takes)
			}
			return response, err
		})}, nil
	}})
	defer m.Close()
	clock = m.SetClock()
	open := func(uid uint32, f *filter.Filter) *rm.Space {
		s, err := m.Open(rm.Options{UID: uid, Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hog, other, root := open(1000, nil), open(1001, nil), open(0, nil)
	for i, want := range []time.Duration{0, 0, 0, 0, 10, 30, 30} {
		k := newKey(t, hog, false, "")
		if waited := clock.Waited().Round(time.Second); waited != want*time.Second {
			t.Errorf("key %d waited for %v, want %v", i+1, waited, want*time.Second)
		}
		k.mustSign(t)
	}
	for range 6 {
		newKey(t, root, false, "")
	}
	newKey(t, other, false, "").mustSign(t)
	if waited := clock.Waited(); waited != 0 {
		t.Errorf("root or another user waited for %v", waited)
	}
	clock.Advance(10 * time.Minute)
	newKey(t, hog, false, "")
	if waited := clock.Waited(); waited != 0 {
		t.Errorf("waited for %v after a pause", waited)
	}
}

// Whoever waits for his allowance returns when he, or the manager, is closed.
func TestCloseEndsAPause(t *testing.T) {
	for _, closes := range []string{"space", "manager"} {
		raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
		m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
		clock := m.SetClock()
		forever := make(chan time.Time)
		waits := clock.WaitFor(forever)
		s, err := m.Open(rm.Options{UID: 1000})
		if err != nil {
			t.Fatal(err)
		}
		k := newKey(t, s, false, "right")
		for range 5 {
			wantRC(t, "a guess", k.try("wrong"), 0x9A2)
		}
		ended := make(chan error)
		go func() { ended <- k.try("wrong") }()
		<-waits
		if closes == "space" {
			s.Close()
		} else {
			m.Close()
		}
		if err := <-ended; err == nil {
			t.Error("a command of a closed client has succeeded")
		}
		m.Close()
		raw.Close()
	}
}
