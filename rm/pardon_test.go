package rm_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// Whoever failed is refused until the administrator says otherwise, whatever the chip's counter says; a pardon goes no further than the counter; and the next
// failure is like the first.
func TestPardon(t *testing.T) {
	const tries, refused = 8, 0x000B0921 // two of them are the budget
	var kept rm.Memory
	b := &bench{recorder: tpmtest.Record(tpmtest.Dial(t, tpmtest.SWTPM(t)))}
	b.Manager = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{b.recorder}, nil },
		Remember: func(m rm.Memory) { kept.Lockout = maps.Clone(m.Lockout) }})
	defer b.Close()
	clock := b.SetClock()
	resetLockout(t, b.recorder, tries)
	k := newKey(t, b.space(t, nobody), true, "right")
	if got := b.Pardon(); len(got) > 0 {
		t.Errorf("nobody is refused, and pardoned are %d", got)
	}
	fail := func(what string) {
		t.Helper()
		wantRC(t, what, k.try("wrong"), 0x98E)
		wantRC(t, what+", then again", k.try("wrong"), refused)
		wantRC(t, what+", then the right one", k.try("right"), refused)
	}
	pardon := func() {
		t.Helper()
		if got := b.Pardon(); !slices.Equal(got, []uint32{nobody}) || len(kept.Lockout) > 0 {
			t.Errorf("pardoned %d, and %v is kept", got, kept.Lockout)
		}
	}

	fail("the first failure")
	asLockout(t, b.recorder, tpm2.TPMCCDictionaryAttackLockReset)
	wantRC(t, "a counter of 0 is no pardon", k.try("right"), refused)
	pardon()
	fail("a failure after a pardon")
	pardon()
	fail("the last of the budget")
	pardon()
	wantRC(t, "a pardon without a budget", k.try("wrong"), refused)
	if n := lockoutCounter(t, b.recorder); n != tries/4 {
		t.Errorf("the chip counts %d", n)
	}
	asLockout(t, b.recorder, tpm2.TPMCCDictionaryAttackLockReset)
	if err := k.try("right"); err != nil {
		t.Errorf("pardoned, and with a budget: %v", err)
	}
	wantRC(t, "the last failure", k.try("wrong"), 0x98E)
	clock.Advance(25 * time.Hour)
	if got := b.Pardon(); len(got) > 0 {
		t.Errorf("nobody is refused any more, and pardoned are %d", got)
	}
}
