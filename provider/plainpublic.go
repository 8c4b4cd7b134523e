package provider

import (
	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// plainPublic reads the public area of an RSA key without a symmetric algorithm or a scheme (TPMT_PUBLIC, Part 2, 12.2.4), which is what nearly all keys are. It
// is for stores of thousands: go-tpm's reflection takes ten times as long. What it does not take, go-tpm may.
func plainPublic(b []byte) (*tpm2.TPMTPublic, bool) {
	s := cryptobyte.String(b)
	var kind, nameAlg, symmetric, scheme, bits uint16
	var attributes, exponent uint32
	var policy, modulus cryptobyte.String
	ok := s.ReadUint16(&kind) && s.ReadUint16(&nameAlg) && s.ReadUint32(&attributes) && s.ReadUint16LengthPrefixed(&policy) &&
		s.ReadUint16(&symmetric) && s.ReadUint16(&scheme) && s.ReadUint16(&bits) && s.ReadUint32(&exponent) &&
		s.ReadUint16LengthPrefixed(&modulus) && s.Empty()
	if !ok || tpm2.TPMAlgID(kind) != tpm2.TPMAlgRSA || tpm2.TPMAlgID(symmetric) != tpm2.TPMAlgNull || tpm2.TPMAlgID(scheme) != tpm2.TPMAlgNull {
		return nil, false
	}
	object, ok := plainAttributes(attributes)
	return &tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgRSA,
		NameAlg:          tpm2.TPMAlgID(nameAlg),
		ObjectAttributes: object,
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, rsaParms(int(bits), exponent)),
		Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: modulus}),
	}, ok
}

// plainAttributes reads a TPMA_OBJECT (Part 2, 8.3). Bits that go-tpm has no name for are left to it.
func plainAttributes(v uint32) (tpm2.TPMAObject, bool) {
	var a tpm2.TPMAObject
	for bit, field := range map[uint]*bool{
		1: &a.FixedTPM, 2: &a.STClear, 4: &a.FixedParent, 5: &a.SensitiveDataOrigin, 6: &a.UserWithAuth, 7: &a.AdminWithPolicy,
		10: &a.NoDA, 11: &a.EncryptedDuplication, 16: &a.Restricted, 17: &a.Decrypt, 18: &a.SignEncrypt,
	} {
		*field = v>>bit&1 == 1
		v &^= 1 << bit
	}
	return a, v == 0
}
