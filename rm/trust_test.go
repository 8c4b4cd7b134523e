package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// persistDA puts a storage root key on a chip whose failures the chip counts, as tpm2_createprimary makes it.
func persistDA(t *testing.T, raw transport.TPM) tpm2.TPM2BName { return persistSRK(t, raw, "") }

func persistSRK(t *testing.T, raw transport.TPM, password string) tpm2.TPM2BName {
	t.Helper()
	area := tpmtest.SRKTemplate()
	area.ObjectAttributes.NoDA = false
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(area), InSensitive: tpm2.TPM2BSensitiveCreate{
		Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(password)}}}}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	evict(t, raw, tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name})
	flush(t, raw, r.ObjectHandle)
	return r.Name
}

// evict makes an object persistent as the storage root key, or that one gone.
func evict(t *testing.T, raw transport.TPM, object tpm2.NamedHandle) {
	t.Helper()
	if _, err := (tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &object, PersistentHandle: tpmtest.SRKHandle}).Execute(raw); err != nil {
		t.Fatal(err)
	}
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

// An object that is made again below a parent whose password was empty when it was made first, and is not any more, is no way to have the chip count failures.
func TestLostObjectsBelowAnotherPassword(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t)) // three tries, of which one may be used
	name := persistDA(t, raw)
	below := func() (rm.Chip, error) { return chip{raw}, nil }
	m := contexts(below)
	s := open(t, m, 1000)
	srk := tpm2.NamedHandle{Handle: tpmtest.SRKHandle, Name: name}
	made, err := tpm2.Create{ParentHandle: srk, InPublic: tpm2.New2B(template(false))}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	k := load(t, s, srk, made.OutPrivate, made.OutPublic)
	k.mustSign(t)
	saved := save(t, s, k.handle.Handle)
	m.Close()

	evict(t, raw, srk)
	persistSRK(t, raw, "secret")
	m = contexts(below)
	defer m.Close()
	for uid := range 4 {
		s := open(t, m, 1000)
		r, err := tpm2.ContextLoad{Context: saved}.Execute(s)
		if err != nil {
			t.Fatal(err)
		}
		again := k
		again.tpm, again.handle.Handle = s, r.LoadedHandle
		if err := again.try(""); err == nil {
			t.Errorf("%d: the parent's password is not empty any more", uid)
		}
	}
	if failed := lockoutCounter(t, raw); failed > 1 {
		t.Errorf("the chip counts %d failures", failed)
	}
}
