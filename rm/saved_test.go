package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
)

// A session whose context was saved is flushed by its handle, as on a chip; but only by its principal, in whatever connection.
func TestFlushSavedSession(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 7)
		p := policy(t, s)
		saved := save(t, s, p.Handle())
		_, err := tpm2.FlushContext{FlushHandle: p.Handle()}.Execute(b.permissive(t, 8))
		wantRC(t, "flush another user's saved session", err, filter.RCNoValue)
		flush(t, b.permissive(t, 7), p.Handle())
		_, err = tpm2.FlushContext{FlushHandle: p.Handle()}.Execute(s)
		wantRC(t, "flush it again", err, filter.RCNoValue)
		_, err = tpm2.ContextLoad{Context: saved}.Execute(s)
		wantRC(t, "load it all the same", err, 0x1CB)
		if leaks, err := tpmtest.Leaks(b.recorder); err != nil || len(leaks) > 0 {
			t.Errorf("left on the chip: %x, %v", leaks, err)
		}
	})
}
