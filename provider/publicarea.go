package provider

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// A publicArea is what the file's public part says of the key.
type publicArea struct {
	tpm2.TPMTPublic
	rsa    tpm2.TPMSRSAParms
	public *rsa.PublicKey
}

// parsePublic reads a TPMT_PUBLIC and takes only RSA keys that are meant to sign, decrypt or attest.
func parsePublic(b []byte) (*publicArea, error) {
	area, plain := plainPublic(b)
	if !plain {
		var err error
		if area, err = tpm2.Unmarshal[tpm2.TPMTPublic](b); err != nil || !bytes.Equal(tpm2.Marshal(area), b) {
			return nil, formatError("its public part is damaged")
		}
	}
	if area.Type != tpm2.TPMAlgRSA {
		return nil, formatError("it is not an RSA key")
	}
	parms, err := area.Parameters.RSADetail()
	if err != nil {
		return nil, formatError("its public part is damaged")
	}
	unique, err := area.Unique.RSA()
	if err != nil || len(unique.Buffer) == 0 || len(unique.Buffer)*8 != int(parms.KeyBits) || unique.Buffer[0]&0x80 == 0 {
		return nil, formatError("its modulus is not of the size that it says")
	}
	a := area.ObjectAttributes
	if a.Restricted && !isAttestation(a) || !a.SignEncrypt && !a.Decrypt {
		return nil, formatError("it is a storage key, which signs and decrypts nothing of ours")
	}
	exponent := int(parms.Exponent)
	if exponent == 0 {
		exponent = 65537
	}
	return &publicArea{*area, *parms, &rsa.PublicKey{N: new(big.Int).SetBytes(unique.Buffer), E: exponent}}, nil
}

// defaultID is the CKA_ID of a file that names none: what NSS and Java use.
func defaultID(k *rsa.PublicKey) []byte {
	sum := sha1.Sum(k.N.Bytes())
	return sum[:]
}
