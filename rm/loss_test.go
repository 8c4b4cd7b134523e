package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// losing is a manager on a swtpm that a test can switch off and on.
type losing struct {
	t    *testing.T
	spec string
	raw  *tpmtest.Conn
	m    *rm.Manager
}

func newLosing(t *testing.T) *losing {
	t.Helper()
	l := &losing{t: t, spec: tpmtest.SWTPM(t)}
	l.raw = tpmtest.Dial(t, l.spec)
	l.m = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{l.raw}, nil }})
	t.Cleanup(func() { l.m.Close() })
	return l
}

func (l *losing) open(uid uint32) *rm.Space {
	l.t.Helper()
	s, err := l.m.Open(rm.Options{UID: uid})
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// reset switches the chip off and on, and starts it as a kernel would.
func (l *losing) reset() {
	l.t.Helper()
	tpmtest.PowerCycle(l.t, l.spec)
	tpmtest.Startup(l.t, l.raw)
}

// After a reset of the chip, with every saved context invalid, keys come back from the command that loaded them: loaded ones, saved ones, and one whose
// parent was flushed.
func TestObjectsSurviveAReset(t *testing.T) {
	l := newLosing(t)
	var keys []key
	for uid := range uint32(5) { // more than the chip has slots
		keys = append(keys, newKey(t, l.open(uid), false, ""))
	}
	for range 2 {
		l.reset()
		for _, k := range keys {
			k.mustSign(t)
		}
	}
	fresh := newKey(t, l.open(9), false, "")
	fresh.mustSign(t)
	l.m.Close()
	if leaks, err := tpmtest.Leaks(l.raw); err != nil || len(leaks) > 0 {
		t.Errorf("left on the chip: %x, %v", leaks, err)
	}
}

// A session does not survive: its client is told so, in the TPM's own words, and can start another.
func TestSessionsAreReportedLost(t *testing.T) {
	l := newLosing(t)
	s := l.open(1)
	k := newKey(t, s, false, "1234")
	session, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("1234")))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.sign(session); err != nil {
		t.Fatal(err)
	}
	l.reset()
	wantRC(t, "a lost session", k.sign(session), 0x918)
	wantRC(t, "the same again", k.sign(session), 0x918)
	end()
	k.mustSign(t)
	again, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("1234")))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := k.sign(again); err != nil {
		t.Error(err)
	}
}

// A chip that was cleared makes other primaries: the old keys are gone, which their clients hear, and new ones are made.
func TestClearedChip(t *testing.T) {
	l := newLosing(t)
	s := l.open(1)
	k := newKey(t, s, false, "")
	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(l.raw); err != nil {
		t.Fatal(err)
	}
	wantRC(t, "a key of before", k.sign(tpm2.PasswordAuth(nil)), 0x910)
	newKey(t, s, false, "").mustSign(t)
}

// Something else on the chip flushes what is ours, or loads things of its own: both are survived, and nothing foreign is touched.
func TestForeignFlush(t *testing.T) {
	l := newLosing(t)
	k := newKey(t, l.open(1), false, "")
	handles, err := tpmtest.Leaks(l.raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handles {
		if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(l.raw); err != nil {
			t.Fatal(err)
		}
	}
	k.mustSign(t)
}
