package provider

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// What is wrong with a certificate, for errors.Is.
var (
	ErrNoCertificate = errors.New("there is no certificate")
	ErrOtherKey      = errors.New("the certificate is of another key")
	ErrValidity      = errors.New("the certificate is not valid now")
)

const certificateSuffix = ".crt"

// CertificatePath is where the key's certificate chain is, if it has one: NAME.crt beside the key file.
func (k *Key) CertificatePath() string { return sibling(k.path, certificateSuffix) }

// Certificate is the first certificate of the key's chain (DER), nil where there is none.
func (k *Key) Certificate() []byte {
	text, err := readRegular(k.CertificatePath(), public)
	if err != nil {
		return nil
	}
	if ders := derOf(text); len(ders) > 0 {
		return ders[0]
	}
	return nil
}

// Chain is the key's certificate chain, the key's own certificate first. errors.Is tells ErrNoCertificate, and ErrOtherKey for one that is not of this key.
func (k *Key) Chain() ([]*x509.Certificate, error) {
	text, err := readRegular(k.CertificatePath(), public)
	if errors.Is(err, os.ErrNotExist) {
		return nil, k.about("the certificate", fmt.Errorf("%w: %s", ErrNoCertificate, k.CertificatePath()))
	}
	if err != nil {
		return nil, k.about("the certificate", err)
	}
	chain, err := k.parseChain(text)
	return chain, k.about("the certificate", err)
}

func (k *Key) isIn(c *x509.Certificate) bool {
	public, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && public.Equal(k.Public())
}

// SelfSigned tells whether the key itself signed its certificate, so that it can make another.
func (k *Key) SelfSigned() bool {
	c, err := x509.ParseCertificate(k.Certificate())
	if err != nil {
		return false
	}
	return k.isIn(c) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// derOf gives the certificates in a PEM text.
func derOf(text []byte) (ders [][]byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			ders = append(ders, block.Bytes)
		}
	}
	return ders
}

// parseChain wants at least one certificate, the first of which is the key's.
func (k *Key) parseChain(text []byte) ([]*x509.Certificate, error) {
	ders := derOf(text)
	if len(ders) == 0 {
		return nil, fmt.Errorf("%w in it; it must be PEM, with the key's own certificate first", ErrNoCertificate)
	}
	chain, err := x509.ParseCertificates(bytes.Join(ders, nil))
	if err != nil {
		return nil, err
	}
	switch own := slices.IndexFunc(chain, k.isIn); {
	case own > 0:
		return nil, fmt.Errorf("%w: %q; the key's own is number %d in it, and must be the first, before whoever signed it", ErrOtherKey, chain[0].Subject, own+1)
	case own < 0:
		return nil, fmt.Errorf("%w: %q", ErrOtherKey, chain[0].Subject)
	}
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return nil, fmt.Errorf("certificate %d of the chain did not sign the one before it: %w", i+2, err)
		}
	}
	return chain, nil
}

// AttachCertificate writes a chain in PEM, the key's own certificate first, beside the key file, in place of one that is there. A certificate of another key is
// refused (ErrOtherKey), and so is, unless anyTime, one that has expired or is not valid yet (ErrValidity).
func (p *Provider) AttachCertificate(k *Key, text []byte, anyTime bool) error {
	chain, err := k.parseChain(text)
	if err == nil && !anyTime {
		err = checkValidity(chain[0], time.Now())
	}
	if err == nil {
		err = writeCertificate(k, chain)
	}
	return k.about("the certificate", err)
}

func checkValidity(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: it expired on %s", ErrValidity, c.NotAfter.Format(time.DateTime))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: it is valid from %s on; is this machine's clock right?", ErrValidity, c.NotBefore.Format(time.DateTime))
	}
	return nil
}

func writeCertificate(k *Key, chain []*x509.Certificate) error {
	var text bytes.Buffer
	for _, c := range chain {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	unlock, err := lockDir(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer unlock()
	file, err := writeTemporary(k.path, text.Bytes(), 0o644)
	if err != nil {
		return err
	}
	return putInPlace(file, k.CertificatePath())
}

// DetachCertificate removes the key's certificate chain.
func (p *Provider) DetachCertificate(k *Key) error {
	unlock, err := lockDir(filepath.Dir(k.path))
	if err == nil {
		defer unlock()
		err = os.Remove(k.CertificatePath())
	}
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %s", ErrNoCertificate, k.CertificatePath())
	}
	return k.about("the certificate", err)
}
