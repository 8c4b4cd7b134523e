package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
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

// What one uid of a user has saved, his other ones see, load and flush; nobody else does, whose uid he is lent or not.
func TestSavedSessionsOfLentUids(t *testing.T) {
	b := &bench{recorder: tpmtest.Record(tpmtest.Dial(t, tpmtest.SWTPM(t)))}
	b.Manager = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{b.recorder}, nil },
		PrincipalOf: func(uid uint32) uint32 { return map[uint32]uint32{1000: 1000, 100000: 1000, 200000: 100000}[uid] }})
	defer b.Close()
	s := b.permissive(t, 200000) // the principal 100000 is somebody else than the user with that uid
	p := policy(t, s)
	save(t, s, p.Handle())
	if _, err := (tpm2.FlushContext{FlushHandle: p.Handle()}).Execute(b.permissive(t, 100000)); err == nil {
		t.Error("a user has flushed the saved session of one whose principal has his uid's number")
	}
	flush(t, s, p.Handle())

	lent := b.permissive(t, 100000)
	q := policy(t, lent)
	save(t, lent, q.Handle())
	flush(t, b.permissive(t, 1000), q.Handle())
}
