package rm_test

import (
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// What keeps a manager from being closed and made again without anybody noticing.
func TestAtRest(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	var clock *rm.Clock
	slow := tpmtest.Func(func(command []byte) ([]byte, error) {
		clock.Advance(time.Second)
		return raw.Send(command)
	})
	b := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{slow}, nil }})
	clock = b.SetClock()
	want := func(rest bool, when string) {
		t.Helper()
		if b.AtRest() != rest {
			t.Errorf("%s: at rest %v", when, !rest)
		}
	}
	want(true, "at first")
	all, err := filter.Named("all")
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Open(rm.Options{UID: nobody, Filter: all})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(s); err != nil {
		t.Fatal(err)
	}
	want(true, "with a client that holds nothing")
	parent := primary(t, s)
	want(false, "with a key")
	tpm2.FlushContext{FlushHandle: parent.Handle}.Execute(s)
	want(false, "with a part of an allowance used")
	clock.Advance(time.Hour)
	want(true, "with all of it back")
	session, _, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.ContextSave{SaveHandle: session.Handle()}).Execute(s); err != nil {
		t.Fatal(err)
	}
	s.Close()
	want(false, "with a session that somebody has saved")
	b.Close()
	want(false, "closed")
}

// A failed authorization is held against somebody until it is forgotten, whether it is remembered from this life or an earlier one.
func TestNotAtRestAfterFailures(t *testing.T) {
	for name, m := range map[string]rm.Memory{
		"of a user":      {Principals: map[uint32]*rm.Brake{1000: {Failures: 3, Last: time.Now()}}},
		"of a key":       {Keys: map[string]*rm.Brake{"ab": {Failures: 3, Last: time.Now()}}},
		"on hierarchies": {Hierarchies: map[uint32]*rm.Brake{1000: {Failures: 3, Last: time.Now()}}},
		"of everybody":   {Everybody: rm.Brake{Failures: 3, Last: time.Now()}},
		"of a lockout":   {Lockout: map[uint32]time.Time{1000: time.Now().Add(time.Hour)}},
	} {
		manager := rm.New(rm.Config{Memory: m})
		clock := manager.SetClock()
		if manager.AtRest() {
			t.Errorf("%s: at rest", name)
		}
		if clock.Advance(1000 * time.Hour); !manager.AtRest() {
			t.Errorf("%s: never at rest", name)
		}
		manager.Close()
	}
}
