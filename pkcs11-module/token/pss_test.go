package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"testing"
)

// What crypto/rsa signs verifies for every length of the modulus' first byte, and no encoded message that differs in any byte, or does not have the room, does.
func TestVerifyPSS(t *testing.T) {
	digest := sumOf(crypto.SHA256)
	for bits := 1024; bits < 1033; bits++ {
		k := softwareKey(t, bits)
		signature, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: 7})
		if err != nil {
			t.Fatal(err)
		}
		em := (&operation{public: &k.PublicKey}).publicOperation(signature)
		verify := func(em []byte, salt int) bool {
			return verifyPSS(em, digest, bits-1, crypto.SHA256, crypto.SHA256, salt)
		}
		if !verify(em, 7) {
			t.Errorf("%d bits: not verified", bits)
		}
		for i := range em {
			bad := bytes.Clone(em)
			bad[i] ^= 0x80
			if verify(bad, 7) {
				t.Errorf("%d bits: byte %d can be another", bits, i)
			}
		}
		for _, salt := range []int{0, 6, 8, 94, 95, 96, 97, 1000} {
			if verify(em, salt) {
				t.Errorf("%d bits: verified with a salt of %d bytes", bits, salt)
			}
		}
	}
}
