package token

import (
	"crypto/rsa"
	"encoding/asn1"
	"encoding/pem"

	"github.com/google/go-tpm/tpm2"
)

// keyFile is a TSS2 key file whose public part is real and whose private part is not.
func keyFile(key *rsa.PrivateKey) []byte {
	public := tpm2.Marshal(tpm2.New2B(tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgRSA,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true, Decrypt: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: tpm2.TPMKeyBits(key.N.BitLen())}),
		Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()}),
	}))
	der, err := asn1.Marshal(struct {
		Type            asn1.ObjectIdentifier
		EmptyAuth       bool `asn1:"explicit,tag:0"`
		Parent          int64
		Public, Private []byte
	}{asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}, true, 0x40000001, public, []byte{0, 1, 0}})
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "TSS2 PRIVATE KEY", Bytes: der})
}
