package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

var encrypted = tpm2.AESEncryption(128, tpm2.EncryptOut)

// Guesses at the auth value that a session is bound by, with commands that name nothing that has one: they count as others do.
func TestBrakeOfABoundSession(t *testing.T) {
	for name, try := range map[string]func(s *rm.Space, bound tpm2.Session) error{
		"a command without authorization": func(s *rm.Space, bound tpm2.Session) error {
			_, err := tpm2.GetRandom{BytesRequested: 8}.Execute(s, bound)
			return err
		},
		"the null hierarchy": func(s *rm.Space, bound tpm2.Session) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHNull, Auth: bound}, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(s)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
			b.SetClock()
			s, err := b.Open(rm.Options{UID: 1000, Filter: named(t, "tss")})
			if err != nil {
				t.Fatal(err)
			}
			parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate()), InSensitive: tpm2.TPM2BSensitiveCreate{
				Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}}}.Execute(s)
			if err != nil {
				t.Fatal(err)
			}
			guess := func(password string) error {
				bound, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16, tpm2.Bound(parent.ObjectHandle, parent.Name, []byte(password)), encrypted)
				if err != nil {
					t.Fatal(err)
				}
				defer end()
				return try(s, bound)
			}
			if err := guess("right"); err != nil {
				t.Errorf("the right one: %v", err)
			}
			for range 20 {
				wantRC(t, "a guess", guess("wrong"), 0x9A2)
			}
			wantRC(t, "the 21st", guess("wrong"), refused)
			if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(s, session(t, s, encrypted)); err != nil {
				t.Errorf("a session that is bound by nothing: %v", err)
			}
		})
	}
}
