package attest

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// The public area of an attestation key shows what a public key cannot, and which signatures it makes.
func TestAnchorArea(t *testing.T) {
	public := tpm2.Marshal(attestationArea(tpm2.TPMAlgRSASSA, tpm2.TPMAlgSHA256))
	sized := append([]byte{byte(len(public) >> 8), byte(len(public))}, public...)
	for name, text := range map[string][]byte{"PEM": FormatAnchor(public), "TPM2B_PUBLIC": sized} {
		a, err := ParseAnchor(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !IsAnchor(text) || !a.Public().Equal(&software().ak.PublicKey) {
			t.Errorf("%s: another key", name)
		}
		if e, err := Verify(good().evidence(t), a, nonce); err != nil || !e.Restricted {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		for _, change := range []func(*maker){func(m *maker) { m.scheme = tpm2.TPMAlgRSAPSS }, func(m *maker) { m.hash = tpm2.TPMAlgSHA512 }} {
			m := good()
			change(m)
			if _, err := Verify(m.evidence(t), a, nonce); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "another scheme") {
				t.Errorf("%s: a signature that this key does not make: %v", name, err)
			}
		}
	}
	pss, err := ParseAnchor(FormatAnchor(tpm2.Marshal(attestationArea(tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA256))))
	if err != nil {
		t.Fatal(err)
	}
	m := good()
	m.scheme = tpm2.TPMAlgRSAPSS
	if _, err := Verify(m.evidence(t), pss, nonce); err != nil {
		t.Errorf("PSS: %v", err)
	}
}

// What cannot be trusted, though it is the public part of a key.
var badAnchors = []struct {
	name   string
	change func(*tpm2.TPMTPublic)
	words  string
}{
	{"an ordinary key", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false }, "could sign forged evidence"},
	{"a storage key", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt, p.ObjectAttributes.Decrypt = false, true }, "could sign forged evidence"},
	{"a key for both", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Decrypt = true }, "could sign forged evidence"},
	{"an imported key", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM, p.ObjectAttributes.FixedParent = false, false }, "outside of its TPM"},
	{"a key with another one's private part", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SensitiveDataOrigin = false }, "outside of its TPM"},
	{"a weak Name", func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA1 }, "hash 0x4"},
	{"a ROCA modulus", func(p *tpm2.TPMTPublic) {
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: rocaModulus().Bytes()})
	}, "ROCA"},
}

func TestBadAnchors(t *testing.T) {
	for _, row := range badAnchors {
		area := attestationArea(tpm2.TPMAlgRSASSA, tpm2.TPMAlgSHA256)
		row.change(&area)
		if a, err := ParseAnchor(FormatAnchor(tpm2.Marshal(area))); !errors.Is(err, ErrAnchor) || !strings.Contains(err.Error(), row.words) || a != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	whole := FormatAnchor(tpm2.Marshal(attestationArea(tpm2.TPMAlgRSASSA, tpm2.TPMAlgSHA256)))
	for name, text := range map[string][]byte{"nothing": nil, "a line": []byte("ssh-rsa AAAA\n"), "half": whole[:len(whole)/2], "words after it": append(bytes.Clone(whole), "x"...),
		"evidence": good().evidence(t), "a size": {0, 0}} {
		if a, err := ParseAnchor(text); !errors.Is(err, ErrAnchor) || a != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := NewAnchor(&rsa.PublicKey{N: rocaModulus(), E: 65537}); !errors.Is(err, ErrAnchor) || a != nil {
		t.Errorf("a public key that can be factored: %v", err)
	}
}
