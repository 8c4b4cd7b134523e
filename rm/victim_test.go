//go:build check

package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// A victim is a client with keys and a session, who notices what others do.
type victim struct {
	own, counted key          // the chip counts wrong PINs of the second one
	authSession  tpm2.Session // that lasts
}

func newVictim(t *testing.T, b *hostileBench) *victim {
	t.Helper()
	s, err := b.Open(openAs(victimUID))
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{own: newKey(t, s, false, "victim"), counted: newKey(t, s, true, "victim")}
	v.authSession = session(t, s, tpm2.Auth(v.own.auth))
	v.check(t) // after this the manager knows that the PIN is right
	return v
}

// check uses both keys and the session: whatever others have failed, this works.
func (v *victim) check(t *testing.T) {
	t.Helper()
	v.own.mustSign(t)
	v.counted.mustSign(t)
	if err := v.own.sign(v.authSession); err != nil {
		t.Errorf("the victim's session: %v", err)
	}
}
