package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// persistDA puts a storage root key on a chip whose failures the chip counts, as tpm2_createprimary makes it.
func persistDA(t *testing.T, raw transport.TPM) tpm2.TPM2BName {
	t.Helper()
	area := tpmtest.SRKTemplate()
	area.ObjectAttributes.NoDA = false
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(area)}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}, PersistentHandle: tpmtest.SRKHandle}).Execute(raw); err != nil {
		t.Fatal(err)
	}
	flush(t, raw, r.ObjectHandle)
	return r.Name
}

// A guess at the storage root key uses the budget up; who has used it with the right password before goes on all the same, and so does everybody else.
func TestGuessesLeaveTheRightPasswordKnown(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone) // three tries, of which one may be used
	name := persistDA(t, b.recorder)
	use := func(uid uint32, password string) error {
		return create(b.space(t, uid), tpm2.AuthHandle{Handle: tpmtest.SRKHandle, Name: name, Auth: tpm2.PasswordAuth([]byte(password))})
	}
	if err := use(1, ""); err != nil {
		t.Fatal(err)
	}
	wantRC(t, "a guess", use(1000, "wrong"), 0x98E)
	for _, uid := range []uint32{1, 2, 1000} {
		if err := use(uid, ""); err != nil {
			t.Errorf("user %d after the guess: %v", uid, err)
		}
	}
	wantRC(t, "another guess", use(1001, "wrong"), refused)
}
