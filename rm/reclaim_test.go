package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// Clients of before that have gone without a word have left a chip full, where all is ours: what they left makes room.
func TestFullChipOfOurs(t *testing.T) {
	for _, row := range []struct {
		name string
		left func(t *testing.T, raw *tpmtest.Conn) error // one thing more
	}{
		{"objects", func(t *testing.T, raw *tpmtest.Conn) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(raw)
			return err
		}},
		{"loaded sessions", func(t *testing.T, raw *tpmtest.Conn) error {
			_, _, err := tpm2.HMACSession(raw, tpm2.TPMAlgSHA256, 16)
			return err
		}},
		{"saved sessions", func(t *testing.T, raw *tpmtest.Conn) error {
			s, _, err := tpm2.HMACSession(raw, tpm2.TPMAlgSHA256, 16)
			if err == nil {
				saveContext(t, raw, s.Handle())
			}
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
			left := 0
			for row.left(t, raw) == nil {
				left++
			}
			if left < 3 {
				t.Fatalf("only %d are left", left)
			}
			m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
			s, err := m.Open(rm.Options{UID: nobody})
			if err != nil {
				t.Fatal(err)
			}
			k := newKey(t, s, false, "secret")
			k.mustSign(t)
			authSession, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16, tpm2.Auth(k.auth))
			if err != nil {
				t.Fatal(err)
			}
			if err := k.sign(authSession); err != nil {
				t.Error(err)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			m.Close()
			if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) > 0 {
				t.Errorf("left on the chip: %x, %v", leaks, err)
			}
		})
	}
}
