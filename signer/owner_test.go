package signer_test

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// A key below a parent that takes the owner's password.
func TestWithOwnerPassword(t *testing.T) {
	spec, dir := tpmtest.SWTPM(t), t.TempDir()
	makeKey(t, spec, dir, "")
	chip := tpmtest.Dial(t, spec)
	if _, err := (tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("owner")}}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	chip.Close()
	sign := func(more ...signer.Option) error {
		key, err := signer.Open("web", append(more, signer.WithDevice(spec), signer.WithDirs(dir))...)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Close()
		digest := sha256.Sum256(nil)
		_, err = key.Sign(nil, digest[:], crypto.SHA256)
		return err
	}
	if err := sign(signer.WithOwnerPassword([]byte("owner"))); err != nil {
		t.Error(err)
	}
	if err := sign(); !errors.Is(err, provider.ErrParentAuth) {
		t.Errorf("without a password: %v", err)
	}
}
