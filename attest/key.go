package attest

import (
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"math"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/internal/roca"
)

// A key is a public area that was read (TPMT_PUBLIC).
type key struct {
	area   *tpm2.TPMTPublic
	public *rsa.PublicKey
	hash   crypto.Hash // of nameAlg
	name   []byte
}

// defaultExponent is what a TPM understands by an exponent of 0 (Part 2, 12.2.3.5).
const defaultExponent = 65537

func parseKey(b []byte) (*key, error) {
	area, err := unmarshal[tpm2.TPMTPublic](b, "public area")
	if err != nil {
		return nil, err
	}
	if area.Type != tpm2.TPMAlgRSA {
		return nil, reject(ErrFormat, "the key is of type %#x, not RSA", area.Type)
	}
	hash, known := hashes[area.NameAlg]
	if !known {
		return nil, reject(ErrWeak, "its Name is made with hash %#x, and not SHA-256, SHA-384 or SHA-512", area.NameAlg)
	}
	public, err := rsaKey(area)
	if err != nil {
		return nil, err
	}
	name := append(binary.BigEndian.AppendUint16(nil, uint16(area.NameAlg)), sum(hash, b)...)
	return &key{area, public, hash, name}, nil
}

func rsaKey(area *tpm2.TPMTPublic) (*rsa.PublicKey, error) {
	parms, err := area.Parameters.RSADetail()
	if err != nil {
		return nil, reject(ErrFormat, "the public area is damaged: %v", err)
	}
	unique, err := area.Unique.RSA()
	if err != nil {
		return nil, reject(ErrFormat, "the public area is damaged: %v", err)
	}
	n := new(big.Int).SetBytes(unique.Buffer)
	if len(unique.Buffer)*8 != int(parms.KeyBits) || n.BitLen() != int(parms.KeyBits) {
		return nil, reject(ErrFormat, "the modulus is not of the size that the public area says")
	}
	exponent := parms.Exponent
	if exponent == 0 {
		exponent = defaultExponent
	}
	if exponent > math.MaxInt32 {
		return nil, reject(ErrWeak, "its exponent is %d", exponent)
	}
	return &rsa.PublicKey{N: n, E: int(exponent)}, nil
}

// check tells whether the key is one that only its TPM has, and a good one.
func (k *key) check() error {
	a := k.area.ObjectAttributes
	switch {
	case !isHardware(a):
		return reject(ErrNotHardware, "of the attributes fixedTPM, fixedParent and sensitiveDataOrigin it has only: %s", birthmarks(a))
	case a.Restricted || !a.SignEncrypt && !a.Decrypt:
		return reject(ErrUse, "it is a storage or attestation key, not one that signs or decrypts")
	}
	return checkStrength(k.public)
}

// isHardware tells whether a private key was made in its TPM, and cannot leave it (Part 1, 25.1). The TPM holds no loaded key for which that is said and not true.
func isHardware(a tpm2.TPMAObject) bool {
	return bool(a.FixedTPM && a.FixedParent && a.SensitiveDataOrigin)
}

func birthmarks(a tpm2.TPMAObject) string {
	text := ""
	for _, mark := range []struct {
		set  bool
		name string
	}{{bool(a.FixedTPM), "fixedTPM"}, {bool(a.FixedParent), "fixedParent"}, {bool(a.SensitiveDataOrigin), "sensitiveDataOrigin"}} {
		if mark.set {
			text += " " + mark.name
		}
	}
	if text == "" {
		return "none"
	}
	return text[1:]
}

// checkStrength refuses keys that can be factored, or were never made by a TPM 2.0.
func checkStrength(public *rsa.PublicKey) error {
	switch bits := public.N.BitLen(); {
	case bits != 2048 && bits != 3072 && bits != 4096:
		return reject(ErrWeak, "%d bits; RSA keys of TPMs have 2048, 3072 or 4096", bits)
	case public.N.Bit(0) == 0:
		return reject(ErrWeak, "its modulus is even")
	case public.E < 3 || public.E%2 == 0:
		return reject(ErrWeak, "its exponent is %d", public.E)
	case roca.Has(public.N):
		return reject(ErrWeak, "it can be factored (ROCA, CVE-2017-15361)")
	}
	return nil
}
