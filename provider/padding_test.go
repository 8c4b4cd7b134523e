package provider

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
	"testing"
)

// rawDecrypt is the private operation of a software key, which stands for the TPM's.
func rawDecrypt(k *rsa.PrivateKey, in []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(in), k.D, k.N).FillBytes(make([]byte, k.Size()))
}

func softwareKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestUnpad(t *testing.T) {
	k := softwareKey(t)
	for _, size := range []int{0, 1, 32, 245} {
		plain := bytes.Repeat([]byte{7}, size)
		ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, &k.PublicKey, plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unpadPKCS1v15(rawDecrypt(k, ciphertext)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("PKCS #1 v1.5, %d bytes: %x, %v", size, got, err)
		}
	}
	label := []byte("label")
	for _, size := range []int{0, 1, 190} {
		plain := bytes.Repeat([]byte{7}, size)
		ciphertext, err := rsa.EncryptOAEPWithOptions(rand.Reader, &k.PublicKey, plain, &rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1, Label: label})
		if err != nil {
			t.Fatal(err)
		}
		em := rawDecrypt(k, ciphertext)
		if got, err := unpadOAEP(crypto.SHA256, crypto.SHA1, label, em); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("OAEP, %d bytes: %x, %v", size, got, err)
		}
		for _, at := range []int{0, 1, 40, 255} {
			bad := slices.Clone(em)
			bad[at] ^= 1
			if _, err := unpadOAEP(crypto.SHA256, crypto.SHA1, label, bad); !errors.Is(err, rsa.ErrDecryption) {
				t.Errorf("OAEP with byte %d changed: %v", at, err)
			}
		}
	}
}

func TestUnpadPKCS1v15Wrong(t *testing.T) {
	good := slices.Concat([]byte{0, 2}, bytes.Repeat([]byte{1}, 8), []byte{0}, make([]byte, 0), []byte("secret"))
	if got, err := unpadPKCS1v15(good); err != nil || string(got) != "secret" {
		t.Fatalf("%q, %v", got, err)
	}
	for name, em := range map[string][]byte{
		"not 0 first":         append([]byte{1}, good[1:]...),
		"a signature's":       append([]byte{0, 1}, good[2:]...),
		"padding too short":   slices.Concat([]byte{0, 2}, bytes.Repeat([]byte{1}, 7), []byte{0}, []byte("secret")),
		"no separator":        slices.Concat([]byte{0, 2}, bytes.Repeat([]byte{1}, 30)),
		"separator at once":   slices.Concat([]byte{0, 2, 0}, bytes.Repeat([]byte{1}, 30)),
		"nothing but the two": {0, 2},
	} {
		if got, err := unpadPKCS1v15(em); !errors.Is(err, rsa.ErrDecryption) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What is padded for the TPM verifies elsewhere, for moduli whose length is no multiple of eight bits too.
func TestEncodePSS(t *testing.T) {
	for _, bits := range []int{2048, 2049, 2055} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		digest := make([]byte, 32)
		for _, salt := range []int{1, 32, (bits-1+7)/8 - 34} {
			em, err := encodePSS(crypto.SHA256, crypto.SHA256, digest, salt, bits)
			if err != nil {
				t.Fatal(err)
			}
			if err := rsa.VerifyPSS(&k.PublicKey, crypto.SHA256, digest, rawDecrypt(k, em), &rsa.PSSOptions{SaltLength: salt}); err != nil {
				t.Errorf("%d bits, salt of %d: %v", bits, salt, err)
			}
		}
	}
}
