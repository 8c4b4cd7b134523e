package tpmtest

import (
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// RSATemplate is a key of the form that the provider makes: it signs and decrypts
// with any padding, and wrong passwords for it are not counted.
func RSATemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgRSA,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true,
			SignEncrypt: true, Decrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048}),
	}
}

// OwnerParent is the parent that TSS2 key files name by the owner hierarchy: the
// standard storage primary.
const OwnerParent = uint32(tpm2.TPMRHOwner)

// KeyFile is a TSS2 key file whose public part is as told, with the public key put
// in, and whose private part no TPM loads.
func KeyFile(t testing.TB, public tpm2.TPMTPublic, key *rsa.PublicKey, parent uint32) []byte {
	t.Helper()
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	return KeyFileOf(t, tpm2.Marshal(public), []byte{0}, parent)
}

// KeyFileOf is a TSS2 key file of a key without a PIN: of the contents of its public
// and its private part.
func KeyFileOf(t testing.TB, public, private []byte, parent uint32) []byte {
	t.Helper()
	sized := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	der, err := asn1.Marshal(struct {
		Type            asn1.ObjectIdentifier
		EmptyAuth       bool `asn1:"explicit,tag:0"`
		Parent          int64
		Public, Private []byte
	}{asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}, true, int64(parent), sized(public), sized(private)})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "TSS2 PRIVATE KEY", Bytes: der})
}
