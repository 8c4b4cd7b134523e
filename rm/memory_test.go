package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// Failures that are no guesses can be had without end, so they are not written to the disk one by one.
func TestWhatIsNoGuessIsNotKept(t *testing.T) {
	kept := 0
	b := &bench{recorder: tpmtest.Record(tpmtest.Dial(t, tpmtest.SWTPM(t)))}
	b.Manager = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{b.recorder}, nil }, Remember: func(rm.Memory) { kept++ }})
	defer b.Close()
	b.SetClock()
	s := b.space(t, 1000)
	k := newKey(t, s, false, "right")
	noGuesses := map[string]func() error{
		"the empty password": func() error { return k.try("") },
		"zeros":              func() error { return k.try("\x00\x00") },
		"the null hierarchy": func() error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHNull, Auth: tpm2.PasswordAuth([]byte("wrong"))},
				InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(s)
			return err
		},
	}
	for what, fail := range noGuesses {
		for range 10 {
			wantRC(t, what, fail(), 0x9A2)
		}
		if kept != 0 {
			t.Errorf("%s: kept %d times", what, kept)
		}
	}
	wantRC(t, "a guess", k.try("wrong"), 0x9A2)
	if kept != 1 {
		t.Errorf("a guess is kept %d times", kept)
	}
}
