package provider

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// SignPKCS1v15 signs a digest with RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). With hash 0, digest is what is padded as it stands: a whole DigestInfo, or
// at most k-11 bytes of any kind.
func (k *Key) SignPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error) {
	if hash == 0 {
		if h, d, ok := parseDigestInfo(digest); ok {
			hash, digest = h, d
		}
	}
	signature, err := k.signPKCS1v15(hash, digest)
	return signature, k.wrap("sign", err)
}

func (k *Key) signPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error) {
	if hash != 0 && len(digest) != hash.Size() {
		return nil, fmt.Errorf("a digest of %d bytes is not one of %v", len(digest), hash)
	}
	if !k.CanSign() {
		return nil, k.cannot("signatures")
	}
	padded, err := padPKCS1v15(hash, digest, k.area.public.Size())
	if err != nil {
		return nil, err
	}
	alg, known := algOf[hash]
	byTPM := known && k.mayUse(tpm2.TPMAlgRSASSA, alg)
	if byTPM && k.refusal(lack{tpm2.TPMAlgRSASSA, alg}) == nil {
		signature, err := k.tpmSign(tpm2.TPMAlgRSASSA, alg, digest)
		if err == nil {
			return k.checked(padded, signature)
		}
		if !refusesHash(err) {
			return nil, err
		}
	}
	if signature, err := k.rawSign(padded); k.hasRaw() {
		return signature, err
	}
	if byTPM {
		return nil, k.refusal(lack{tpm2.TPMAlgRSASSA, alg})
	}
	return nil, k.cannot("RSASSA-PKCS1-v1_5 with %v", nameOf(hash))
}

// nameOf names a hash also where there is none.
func nameOf(hash crypto.Hash) string {
	if hash == 0 {
		return "no hash"
	}
	return hash.String()
}

// SignPSS signs a digest with RSASSA-PSS (RFC 8017, 8.1), MGF1 with the same hash and a salt of saltLength bytes. Chips choose salts of their own
// length, so the padding is done in software where the key allows it.
func (k *Key) SignPSS(hash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	return k.SignPSSWithMGF(hash, hash, digest, saltLength)
}

// SignPSSWithMGF is SignPSS with another hash in MGF1 than that of the data.
func (k *Key) SignPSSWithMGF(hash, mgfHash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	signature, err := k.signPSS(hash, mgfHash, digest, saltLength)
	return signature, k.wrap("sign", err)
}

func (k *Key) signPSS(hash, mgfHash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	if !hash.Available() || !mgfHash.Available() || len(digest) != hash.Size() {
		return nil, fmt.Errorf("a digest of %d bytes is not one of %v", len(digest), hash)
	}
	if !k.CanSign() {
		return nil, k.cannot("signatures")
	}
	encoded, err := encodePSS(hash, mgfHash, digest, saltLength, k.area.public.N.BitLen())
	if err != nil {
		return nil, err
	}
	if signature, err := k.rawSign(encoded); k.hasRaw() {
		return signature, err
	}
	if hash != mgfHash {
		return nil, k.cannot("RSASSA-PSS with two hashes")
	}
	return k.tpmSignPSS(hash, digest, saltLength)
}

// tpmSignPSS gives a signature of the TPM's if its salt has the length that was asked for.
func (k *Key) tpmSignPSS(hash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	alg, known := algOf[hash]
	if !known || !k.mayUse(tpm2.TPMAlgRSAPSS, alg) {
		return nil, k.cannot("RSASSA-PSS with %v", hash)
	}
	if err := k.refusal(lack{tpm2.TPMAlgRSAPSS, alg}); err != nil {
		return nil, err
	}
	signature, err := k.tpmSign(tpm2.TPMAlgRSAPSS, alg, digest)
	if err != nil {
		return nil, err
	}
	if rsa.VerifyPSS(k.area.public, hash, digest, signature, &rsa.PSSOptions{SaltLength: saltLength}) != nil {
		return nil, k.cannot("this TPM does not make PSS salts of %d bytes by itself, and the padding cannot be done outside of it", saltLength)
	}
	return signature, nil
}

// algOf are the hashes that TPM2_Sign is asked for.
var algOf = map[crypto.Hash]tpm2.TPMAlgID{
	crypto.SHA1: tpm2.TPMAlgSHA1, crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512,
}

// tpmSign is TPM2_Sign (Part 3, 20.2).
func (k *Key) tpmSign(scheme, hash tpm2.TPMAlgID, digest []byte) (signature []byte, err error) {
	err = k.provider.withKey(k, func(c *connection, key tpm2.AuthHandle) error {
		if isQuick(key) {
			signature, err = c.quickSign(key, scheme, hash, digest)
			return err
		}
		r, err := tpm2.Sign{
			KeyHandle:  key,
			Digest:     tpm2.TPM2BDigest{Buffer: digest},
			InScheme:   tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: hash})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
		}.Execute(c.tpm)
		if err != nil {
			return err
		}
		signature, err = signatureOf(r.Signature)
		return err
	})
	if refusesHash(err) {
		k.learn(lack{scheme, hash}, err)
	}
	return signature, err
}

func signatureOf(s tpm2.TPMTSignature) ([]byte, error) {
	get := s.Signature.RSASSA
	if s.SigAlg == tpm2.TPMAlgRSAPSS {
		get = s.Signature.RSAPSS
	}
	r, err := get()
	if err != nil {
		return nil, err
	}
	return r.Sig.Buffer, nil
}

// rawSign applies the private operation to an encoded message.
func (k *Key) rawSign(encoded []byte) ([]byte, error) {
	signature, err := k.raw(encoded)
	if err != nil {
		return nil, err
	}
	return k.checked(encoded, signature)
}

// checked makes sure that the chip has signed an encoded message right: a faulty signature would give the key away.
func (k *Key) checked(encoded, signature []byte) ([]byte, error) {
	if !bytes.Equal(publicOperation(k.area.public, signature), encoded) {
		return nil, fmt.Errorf("the TPM has computed a wrong signature")
	}
	return signature, nil
}
