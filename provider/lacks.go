package provider

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Chips lack what TPM 2.0 leaves to their makers: hashes, and some the bare RSA operation. What a chip has refused for a key once it is not asked for again,
// since each command costs tens of milliseconds; the padding is done on the other side then, where that is possible.

// A lack is an operation that the TPM has refused: a scheme with a hash, or without one.
type lack struct{ scheme, hash tpm2.TPMAlgID }

// lackRaw is the bare RSA operation, which is decryption with no scheme.
var lackRaw = lack{tpm2.TPMAlgNull, tpm2.TPMAlgNull}

// refusal is the error of the one time that the chip was asked, nil if it does what it is asked for or was not asked yet.
func (k *Key) refusal(what lack) error {
	err, _ := k.refused.Load(what)
	refused, _ := err.(error)
	return refused
}

func (k *Key) learn(what lack, refusal error) { k.refused.Store(what, refusal) }

// refusesHash tells whether the chip refused a hash, so that the padding has to be done in software.
func refusesHash(err error) bool {
	return errors.Is(err, tpm2.TPMRCHash) || errors.Is(err, tpm2.TPMRCScheme) || errors.Is(err, tpm2.TPMRCValue)
}

// refusesRaw tells whether the chip, or a filter, refused the scheme of TPM2_RSA_Decrypt, its second parameter, and not the number.
func refusesRaw(err error) bool {
	var rc tpm2.TPMRC
	if !errors.As(err, &rc) {
		return false
	}
	return errors.Is(rc, tpm2.TPMRCScheme) || errors.Is(rc, tpm2.TPMRCValue) && rc>>8 == 2 || rc == rcDenied
}

// hasRaw tells whether the bare RSA operation can be had, with which any padding can be done in software.
func (k *Key) hasRaw() bool { return k.allowsRaw() && k.refusal(lackRaw) == nil }

// allowsRaw tells whether the key's maker allows it.
func (k *Key) allowsRaw() bool { return k.CanDecrypt() && k.area.rsa.Scheme.Scheme == tpm2.TPMAlgNull }

// cannot is the error for an operation that neither the TPM does with this key by itself nor the bare operation is there for.
func (k *Key) cannot(format string, args ...any) error {
	return fmt.Errorf("%w: %s; %s", ErrUsage, fmt.Sprintf(format, args...), k.whyNot())
}

func (k *Key) whyNot() string {
	switch {
	case k.refusal(lackRaw) != nil:
		return "this TPM does not do it by itself, nor the bare RSA operation that it could be made of"
	case k.CanSign() && !k.CanDecrypt() && k.area.rsa.Scheme.Scheme == tpm2.TPMAlgNull:
		return "it is for signatures that the TPM makes by itself, since it does not decrypt"
	}
	return "it is for " + k.Purpose()
}

// schemes are what another tool may have restricted a key to.
var schemes = map[tpm2.TPMAlgID]string{
	tpm2.TPMAlgRSASSA: "RSASSA-PKCS1-v1_5", tpm2.TPMAlgRSAPSS: "RSASSA-PSS", tpm2.TPMAlgRSAES: "RSAES-PKCS1-v1_5", tpm2.TPMAlgOAEP: "RSAES-OAEP",
}

// Purpose says what the key is for, as its maker has laid it down: keys of ours are for signatures and decryption.
func (k *Key) Purpose() string {
	purpose := "signatures and decryption"
	if k.Attests() {
		return "tpmkey attest, where it signs what the TPM says of other keys, and nothing else"
	} else if !k.CanDecrypt() {
		purpose = "signatures"
	} else if !k.CanSign() {
		purpose = "decryption"
	}
	if k.area.rsa.Scheme.Scheme == tpm2.TPMAlgNull {
		return purpose
	}
	if hash, ok := k.schemeHash(); ok {
		return fmt.Sprintf("%s by %s with %v only", purpose, schemes[k.area.rsa.Scheme.Scheme], hash)
	}
	return fmt.Sprintf("%s by %s only", purpose, schemes[k.area.rsa.Scheme.Scheme])
}

// schemeHash is the hash of the key's own scheme, if it has one.
func (k *Key) schemeHash() (crypto.Hash, bool) {
	alg := k.schemeAlg()
	for hash, a := range algOf {
		if a == alg {
			return hash, true
		}
	}
	return 0, false
}

// schemeAlg is the hash of the key's own scheme as the TPM calls it; TPM_ALG_NULL where there is none (Part 2, 11.2.4.2).
func (k *Key) schemeAlg() tpm2.TPMAlgID {
	own := k.area.rsa.Scheme
	switch own.Scheme {
	case tpm2.TPMAlgRSASSA:
		if s, err := own.Details.RSASSA(); err == nil {
			return s.HashAlg
		}
	case tpm2.TPMAlgRSAPSS:
		if s, err := own.Details.RSAPSS(); err == nil {
			return s.HashAlg
		}
	case tpm2.TPMAlgOAEP:
		if s, err := own.Details.OAEP(); err == nil {
			return s.HashAlg
		}
	}
	return tpm2.TPMAlgNull
}

// mayUse tells whether the key allows a scheme with a hash.
func (k *Key) mayUse(scheme, hash tpm2.TPMAlgID) bool {
	own := k.area.rsa.Scheme.Scheme
	return own == tpm2.TPMAlgNull || own == scheme && k.schemeAlg() == hash
}
