package provider

import (
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// A public area whose key has no bits, and whose modulus has no bytes, is none.
func TestEmptyModulus(t *testing.T) {
	area := tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{}),
	}
	if _, err := parsePublic(tpm2.Marshal(area)); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}
