package provider

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// What is read without reflection is what go-tpm reads: the same object, and the same bytes again.
func FuzzPlainPublic(f *testing.F) {
	whole := keyTemplate(Template{})
	whole.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: bytes.Repeat([]byte{0xA5}, 256)})
	plain := tpm2.Marshal(whole)
	if _, ok := plainPublic(plain); !ok {
		f.Fatal("a key of ours is not plain")
	}
	migratable := whole
	migratable.AuthPolicy = Template{Migratable: true}.authPolicy()
	for _, seed := range [][]byte{plain, tpm2.Marshal(migratable), plain[:20], append(plain, 0)} {
		f.Add(seed)
	}
	for bit := range 32 { // of the attributes
		seed := bytes.Clone(plain)
		seed[4+bit/8] ^= 1 << (bit % 8)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := plainPublic(b)
		if !ok {
			return
		}
		want, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
		if err != nil {
			t.Fatalf("go-tpm does not take %x: %v", b, err)
		}
		if got.ObjectAttributes != want.ObjectAttributes || !bytes.Equal(tpm2.Marshal(got), b) || !bytes.Equal(tpm2.Marshal(want), b) {
			t.Errorf("%x is read as %+v, not %+v", b, got, want)
		}
	})
}
