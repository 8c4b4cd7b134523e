// Package attest checks evidence that an RSA key was made in a TPM 2.0, which it cannot leave. It needs no TPM, and runs on any system: the evidence
// is what "tpmkey attest" has written, and the trust anchor is the public part of an attestation key, a key that signs nothing but what its TPM says.
//
//	anchor, err := attest.ParseAnchor(text) // what "tpmkey pub -tpm" prints
//	if err != nil { … }
//	e, err := attest.Verify(evidence, anchor, nonce)
//	if err != nil { … }
//	enroll(e.Public)
//
// Whether the attestation key is in a TPM, and in whose, is not told by evidence: whoever gives out the anchor vouches for it.
package attest

import (
	"crypto/rsa"
	"errors"
	"fmt"
)

// What callers branch on with errors.Is. Every error of Verify and ParseAnchor is one of them.
var (
	ErrFormat      = errors.New("not evidence of a key that can be read")
	ErrAnchor      = errors.New("not an attestation key to trust")
	ErrSignature   = errors.New("not signed by this attestation key")
	ErrNonce       = errors.New("not made for this nonce")
	ErrStatement   = errors.New("the attestation key says something else")
	ErrNotHardware = errors.New("the key can have been outside of the TPM")
	ErrUse         = errors.New("the key is for other uses")
	ErrWeak        = errors.New("the key is weak")
)

// Evidence is what was proved of a key.
type Evidence struct {
	Public     *rsa.PublicKey
	Sign       bool      // what the key may do
	Decrypt    bool      //
	Name       []byte    // in the TPM: nameAlg and digest of its public area (Part 1, 16)
	Nonce      []byte    // that the evidence was made for
	Creation   *Creation // nil where it says only that the key is in the TPM (TPM2_Certify), from which all of the above follows too
	Restricted bool      // the anchor shows itself that the attestation key signs nothing but what its TPM says
}

// Creation is what the TPM remembered of the moment when it made the key (TPMS_CREATION_DATA, Part 2, 15.1).
type Creation struct {
	ParentName []byte // Name of the storage key that it was made under
	Challenge  []byte // outsideInfo: what its maker was asked to put in, so that the key cannot be older than that
}

// Verify checks evidence against an anchor, and against the nonce that it was asked for with; without a nonce it may be old.
func Verify(text []byte, anchor *Anchor, nonce []byte) (*Evidence, error) {
	parts, err := parseParts(text)
	if err != nil {
		return nil, err
	}
	if err := anchor.checkSignature(parts); err != nil {
		return nil, err
	}
	key, err := parseKey(parts.Public)
	if err != nil {
		return nil, err
	}
	e := &Evidence{Public: key.public, Sign: bool(key.area.ObjectAttributes.SignEncrypt), Decrypt: bool(key.area.ObjectAttributes.Decrypt), Name: key.name,
		Restricted: anchor.area != nil}
	if err := e.readStatement(parts, nonce); err != nil {
		return nil, err
	}
	if err := key.check(); err != nil {
		return nil, err
	}
	return e, nil
}

// reject adds the reason to one of the errors above.
func reject(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))
}
