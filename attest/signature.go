package attest

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // of Names and signatures
	_ "crypto/sha512"

	"github.com/google/go-tpm/tpm2"
)

// hashes are those that evidence may rest on.
var hashes = map[tpm2.TPMAlgID]crypto.Hash{tpm2.TPMAlgSHA256: crypto.SHA256, tpm2.TPMAlgSHA384: crypto.SHA384, tpm2.TPMAlgSHA512: crypto.SHA512}

func sum(hash crypto.Hash, b []byte) []byte {
	h := hash.New()
	h.Write(b)
	return h.Sum(nil)
}

// checkSignature checks the signature over the statement.
func (a *Anchor) checkSignature(p *Parts) error {
	signature, err := unmarshal[tpm2.TPMTSignature](p.Signature, "signature")
	if err != nil {
		return err
	}
	read := signature.Signature.RSASSA
	if signature.SigAlg == tpm2.TPMAlgRSAPSS {
		read = signature.Signature.RSAPSS
	}
	contents, err := read()
	if err != nil {
		return reject(ErrSignature, "the signature is neither RSASSA-PKCS1-v1_5 nor RSASSA-PSS")
	}
	hash, known := hashes[contents.Hash]
	if !known {
		return reject(ErrSignature, "the signature has hash %#x, and not SHA-256, SHA-384 or SHA-512", contents.Hash)
	}
	if !a.allows(signature.SigAlg, contents.Hash) {
		return reject(ErrSignature, "the signature is of another scheme than the attestation key's own")
	}
	digest := sum(hash, p.Attest)
	if signature.SigAlg == tpm2.TPMAlgRSAPSS {
		err = rsa.VerifyPSS(a.public, hash, digest, contents.Sig.Buffer, nil)
	} else {
		err = rsa.VerifyPKCS1v15(a.public, hash, digest, contents.Sig.Buffer)
	}
	if err != nil {
		return reject(ErrSignature, "the signature is another key's, or what was signed was changed")
	}
	return nil
}

// allows tells whether a scheme is the one that the key is made for (Part 2, 12.2.3.5).
func (a *Anchor) allows(scheme, hash tpm2.TPMAlgID) bool {
	if a.area == nil {
		return true
	}
	parms, err := a.area.Parameters.RSADetail()
	if err != nil || parms.Scheme.Scheme != scheme {
		return false
	}
	if scheme == tpm2.TPMAlgRSAPSS {
		own, err := parms.Scheme.Details.RSAPSS()
		return err == nil && own.HashAlg == hash
	}
	own, err := parms.Scheme.Details.RSASSA()
	return err == nil && own.HashAlg == hash
}
