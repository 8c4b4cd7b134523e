package provider

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/attest"
)

// MaxNonce is the longest nonce or challenge in bytes. Every TPM takes a hash of SHA-256 there (TPM2B_DATA, Part 2, 10.4.3), and some no more.
const MaxNonce = 32

// attestationScheme is what other verifiers know best.
var attestationScheme = tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}

// isAttestation tells whether a key signs nothing but what the TPM says (Part 1, 25.2.1).
func isAttestation(a tpm2.TPMAObject) bool { return bool(a.Restricted && a.SignEncrypt && !a.Decrypt) }

// Attests tells whether the key is for Attest, and for nothing else. Keys leaves such keys out.
func (k *Key) Attests() bool { return isAttestation(k.area.ObjectAttributes) }

// Anchor is the public part of an attestation key in the form that shows that it is one: package attest's.
func (k *Key) Anchor() ([]byte, error) {
	if !k.Attests() {
		return nil, k.about("the anchor", k.cannot("attestation"))
	}
	return attest.FormatAnchor(k.file.public), nil
}

// Attest gives evidence that the key was made in this TPM and cannot leave it, for package attest: signed by an attestation key of the same provider, and with the
// nonce of whoever shall be convinced. Of a key whose file does not tell how it was made, the evidence is that it is in this TPM, with attributes from which the
// same follows; only that needs the key's PIN. Evidence that would convince nobody is an error of package attest.
func (k *Key) Attest(ak *Key, nonce []byte) ([]byte, error) {
	text, err := k.attest(ak, nonce)
	return text, k.wrapAttest(ak, err)
}

func (k *Key) wrapAttest(ak *Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("attest key %q with key %q: %w", k.name, ak.name, err)
}

func (k *Key) attest(ak *Key, nonce []byte) ([]byte, error) {
	switch {
	case !ak.Attests():
		return nil, ak.cannot("attestation")
	case k.Attests():
		return nil, fmt.Errorf("%w: an attestation key is what verifiers trust without evidence", ErrUsage)
	case len(nonce) > MaxNonce:
		return nil, fmt.Errorf("a nonce of %d bytes, more than %d", len(nonce), MaxNonce)
	}
	parts, err := k.certify(ak, nonce)
	if err != nil {
		return nil, err
	}
	text, err := parts.Format()
	if err != nil {
		return nil, err
	}
	return text, ak.convinces(text, nonce)
}

// convinces looks at evidence as its receiver will.
func (k *Key) convinces(text, nonce []byte) error {
	anchor, err := attest.ParseAnchor(attest.FormatAnchor(k.file.public))
	if err == nil {
		_, err = attest.Verify(text, anchor, nonce)
	}
	return err
}

func (k *Key) certify(ak *Key, nonce []byte) (parts attest.Parts, err error) {
	qualifying := tpm2.TPM2BData{Buffer: nonce}
	if k.file.creation == nil {
		return k.certifyLoaded(ak, qualifying)
	}
	err = k.provider.withKey(ak, func(c *connection, signer tpm2.AuthHandle) (err error) {
		parts, err = c.certifyCreation(k, signer, qualifying)
		return err
	})
	return parts, err
}

// certifyCreation is TPM2_CertifyCreation (Part 3, 18.3). The key is only named there, so its PIN is not needed.
func (c *connection) certifyCreation(k *Key, signer tpm2.AuthHandle, nonce tpm2.TPM2BData) (attest.Parts, error) {
	parts := attest.Parts{Public: k.file.public, Creation: k.file.creation.data}
	hash, err := k.file.creation.hash(k.area.NameAlg)
	if err != nil {
		return parts, err
	}
	err = c.withObject(k, func(_ *parent, object tpm2.NamedHandle) error {
		r, err := tpm2.CertifyCreation{SignHandle: signer, ObjectHandle: object, QualifyingData: nonce, CreationHash: hash,
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, CreationTicket: k.file.creation.ticket}.Execute(c.tpm)
		if err != nil {
			return ticketError(err)
		}
		parts.Attest, parts.Signature = r.CertifyInfo.Bytes(), tpm2.Marshal(r.Signature)
		return nil
	})
	return parts, err
}

// withObject runs work with a key that is loaded for it alone.
func (c *connection) withObject(k *Key, work func(p *parent, object tpm2.NamedHandle) error) error {
	k.provider.mu.Lock() // parents are made and found one at a time
	defer k.provider.mu.Unlock()
	return c.below(k, func(p *parent) error {
		object, err := c.loadBelow(p, k)
		if err != nil {
			return err
		}
		defer c.flush(object.Handle)
		return work(p, object)
	})
}

// ticketError says what a TPM means by a ticket that is none of its own.
func ticketError(err error) error {
	if !errors.Is(err, tpm2.TPMRCTicket) {
		return err
	}
	return fmt.Errorf("%w: this TPM did not make the key as its file says: remove the line %q to have it attested without: %w", ErrFormat, creationLine, err)
}

// certifyLoaded is TPM2_Certify (Part 3, 18.2), which both keys authorize.
func (k *Key) certifyLoaded(ak *Key, nonce tpm2.TPM2BData) (parts attest.Parts, err error) {
	parts.Public = k.file.public
	var failed error // of this key: the attestation key's PIN is not asked for again for it
	err = k.provider.withKey(ak, func(c *connection, signer tpm2.AuthHandle) (wrong error) {
		failed = k.provider.withPIN(k, func(pin []byte) error {
			r, err := c.certifyWithPIN(k, pin, signer, nonce)
			if isOfSession(err, 2) {
				wrong = err
				return nil
			}
			if err == nil {
				parts.Attest, parts.Signature = r.CertifyInfo.Bytes(), tpm2.Marshal(r.Signature)
			}
			return err
		})
		return wrong
	})
	return parts, errors.Join(err, explain(failed))
}

func (c *connection) certifyWithPIN(k *Key, pin []byte, signer tpm2.AuthHandle, nonce tpm2.TPM2BData) (r *tpm2.CertifyResponse, err error) {
	err = c.withObject(k, func(p *parent, object tpm2.NamedHandle) error {
		session, err := c.provingSession(p, pin)
		if err != nil {
			return err
		}
		defer c.flush(session.Handle())
		r, err = tpm2.Certify{ObjectHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: session}, SignHandle: signer, QualifyingData: nonce,
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}}.Execute(c.tpm)
		return err
	})
	return r, err
}

// provingSession is a salted session that proves an authValue and encrypts nothing: a command has one that does, and the attestation key's may be it.
func (c *connection) provingSession(p *parent, auth []byte) (tpm2.Session, error) {
	session, _, err := tpm2.HMACSession(c.tpm, tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(auth), tpm2.Salted(p.handle.Handle, p.public))
	return session, err
}

// isOfSession tells whether an error is about the authorization with a number (Part 2, 6.6.2).
func isOfSession(err error, number tpm2.TPMRC) bool {
	var rc tpm2.TPMRC
	const formatOne, parameter, session = 0x80, 0x40, 0x800
	return errors.As(err, &rc) && rc&(formatOne|parameter|session) == formatOne|session && rc>>8&7 == number
}
