package main

import (
	"log"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A chip of several services, one after the other, that share a state.
type sweptChip struct {
	t    *testing.T
	raw  tpmtest.Sender
	kept state
	log  *journal
}

// Close: the next service opens it again.
func (s *sweptChip) Close() error { return nil }

func (s *sweptChip) Send(command []byte) ([]byte, error) { return s.raw.Send(command) }

// service gives the chips as a new service has them, and a client's space.
func (s *sweptChip) service() (*chips, *rm.Space) {
	s.t.Helper()
	l := log.New(s.log, "", 0)
	c := &chips{named: []rm.Config{{Sharing: rm.Shared, Open: func() (rm.Chip, error) { return s, nil }}}, complete: s.kept.complete(l), left: s.kept.leftClean}
	space, err := c.open(grant{chip: anyChip}, rm.Options{UID: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return c, space.Space
}

func (s *sweptChip) wantOnIt(want int) {
	s.t.Helper()
	if there, err := tpmtest.Leaks(s.raw); err != nil || len(there) != want {
		s.t.Errorf("on the chip: %x, %v; want %d", there, err, want)
	}
}

// What a service that was killed has left is swept by the next one, before its first command; what others left after one that ended well, or before the machine
// was started anew, is not.
func TestKilledServiceIsSwept(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	s := &sweptChip{t: t, raw: tpmtest.Dial(t, spec), kept: state{t.TempDir()}, log: &journal{}}
	hold := func(tpm tpmtest.Sender) {
		t.Helper()
		if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
	}
	use := func(tpm tpmtest.Sender) {
		t.Helper()
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
	}
	hold(s.raw) // somebody else's
	clean, space := s.service()
	use(space)
	s.wantOnIt(1)
	if err := clean.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.kept.inUsePath(0)); !os.IsNotExist(err) {
		t.Errorf("after a good end it is said to be in use: %v", err)
	}
	s.wantOnIt(1)
	_, space = s.service() // killed: nobody closes it
	use(space)
	hold(s.raw) // as if the client had it
	s.wantOnIt(2)
	next, space := s.service()
	use(space)
	s.wantOnIt(0)
	s.log.await(t, "chip 0: 2 keys and sessions of a service that was killed are off it")
	hold(s.raw)
	if err := os.WriteFile(s.kept.inUsePath(0), []byte("another boot"), 0o600); err != nil {
		t.Fatal(err)
	}
	booted, space := s.service()
	use(space)
	s.wantOnIt(1)
	for _, c := range []*chips{next, booted} {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}
