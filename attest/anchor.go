package attest

import (
	"crypto/rsa"
	"encoding/pem"

	"github.com/google/go-tpm/tpm2"
)

// An Anchor is the public part of an attestation key that is trusted.
type Anchor struct {
	public *rsa.PublicKey
	area   *tpm2.TPMTPublic // nil: only the public key is known
}

// ParseAnchor reads the public area of an attestation key: what "tpmkey pub -tpm" prints, or the TPM2B_PUBLIC that tpm2-tools write. The area shows that the key
// signs nothing but what its TPM says, which a public key alone cannot.
func ParseAnchor(text []byte) (*Anchor, error) {
	sized := text
	if block, _ := pem.Decode(text); block != nil {
		b, err := onlyBlock(text, anchorType)
		if err != nil {
			return nil, anchorError(err)
		}
		sized = b
	}
	if len(sized) < 2 || int(sized[0])<<8|int(sized[1]) != len(sized)-2 {
		return nil, reject(ErrAnchor, "neither a PEM block %s nor a TPM2B_PUBLIC", anchorType)
	}
	key, err := parseKey(sized[2:])
	if err != nil {
		return nil, anchorError(err)
	}
	if err := checkAttestationKey(key.area.ObjectAttributes); err != nil {
		return nil, err
	}
	return newAnchor(key.public, key.area)
}

// anchorError keeps the reason.
func anchorError(err error) error { return reject(ErrAnchor, "%v", err) }

// IsAnchor tells whether a text is meant to be what ParseAnchor reads.
func IsAnchor(text []byte) bool {
	block, _ := pem.Decode(text)
	return block != nil && block.Type == anchorType || block == nil && len(text) > 2 && int(text[0])<<8|int(text[1]) == len(text)-2
}

// FormatAnchor writes the public area of an attestation key (TPMT_PUBLIC) for ParseAnchor.
func FormatAnchor(public []byte) []byte {
	sized := append([]byte{byte(len(public) >> 8), byte(len(public))}, public...)
	return pem.EncodeToMemory(&pem.Block{Type: anchorType, Bytes: sized})
}

// NewAnchor trusts a public key. Whoever gives it out vouches for it that its private key is in a TPM, and is restricted there: an ordinary key would sign whatever
// it is told, forged evidence too.
func NewAnchor(public *rsa.PublicKey) (*Anchor, error) { return newAnchor(public, nil) }

func newAnchor(public *rsa.PublicKey, area *tpm2.TPMTPublic) (*Anchor, error) {
	if err := checkStrength(public); err != nil {
		return nil, anchorError(err)
	}
	return &Anchor{public, area}, nil
}

// checkAttestationKey wants a key that was made in its TPM and signs only what begins with TPM_GENERATED_VALUE (Part 1, 25.2.1).
func checkAttestationKey(a tpm2.TPMAObject) error {
	switch {
	case !a.Restricted || !a.SignEncrypt || a.Decrypt:
		return reject(ErrAnchor, "it is not a restricted signing key, and so could sign forged evidence")
	case !isHardware(a):
		return reject(ErrAnchor, "it can have been outside of its TPM")
	}
	return nil
}

// Public is the public key.
func (a *Anchor) Public() *rsa.PublicKey { return a.public }
