package provider

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// A PIN is the authValue of a key (Part 1, 19.6.4), as it was typed. It reaches the TPM as an HMAC, or encrypted, in a session that is salted to the key's
// parent, and never in clear.

// MaxPIN is the longest PIN in bytes: an authValue is as long as the key's nameAlg at most.
const MaxPIN = sha256.Size

// CheckPIN tells whether a PIN can be one. A TPM does not see zero bytes at the end.
func CheckPIN(pin []byte) error {
	switch {
	case len(pin) > MaxPIN:
		return fmt.Errorf("%w: it has %d bytes, and a PIN has %d at most", ErrPINFormat, len(pin), MaxPIN)
	case bytes.IndexByte(pin, 0) >= 0:
		return fmt.Errorf("%w: there is a zero byte in it", ErrPINFormat)
	}
	return nil
}

// A PINSource is asked for the PIN of a key that has one, outside of all locks. wrong is the error after which it is asked again, which is ErrWrongPIN, nil at
// first. The provider wipes what it gets.
type PINSource func(k *Key, wrong error) ([]byte, error)

// AskPIN names who is asked for PINs that were not given. Without one, an operation that needs a PIN fails with ErrPIN.
func (p *Provider) AskPIN(source PINSource) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.source = source
}

// GivePIN remembers the PIN of a key until ForgetPINs or Close. Whether it is right shows with the key's next use.
func (k *Key) GivePIN(pin []byte) error {
	if err := CheckPIN(pin); err != nil {
		return k.about("the PIN", err)
	}
	k.provider.rememberPIN(k, pin)
	return nil
}

// ForgetPIN wipes what GivePIN gave, and what was loaded with it.
func (k *Key) ForgetPIN() {
	k.provider.mu.Lock()
	defer k.provider.mu.Unlock()
	k.provider.dropPIN(k.identity)
}

// ForgetPINs wipes all PINs, and what was loaded with them.
func (p *Provider) ForgetPINs() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.pins {
		p.dropPIN(id)
	}
}

// rememberPIN keeps a copy.
func (p *Provider) rememberPIN(k *Key, pin []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropPIN(k.identity)
	p.pins[k.identity] = bytes.Clone(pin)
}

// forgetPIN wipes the PIN of a key if it is still the one that was wrong.
func (p *Provider) forgetPIN(k *Key, wrong []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Equal(p.pins[k.identity], wrong) {
		p.dropPIN(k.identity)
	}
}

// dropPIN wipes a PIN, and takes the key off the connection whose session knows it. The caller holds mu.
func (p *Provider) dropPIN(id [sha256.Size]byte) {
	clear(p.pins[id])
	delete(p.pins, id)
	if p.conn != nil {
		p.conn.unload(id)
	}
}

// pinOf gives a copy of a key's PIN, asking for it if need be. asked tells whether somebody can be asked again.
func (p *Provider) pinOf(k *Key, wrong error) (pin []byte, asked bool, err error) {
	if !k.HasPIN() {
		return nil, false, nil
	}
	p.mu.Lock()
	known, given := p.pins[k.identity]
	pin, source := bytes.Clone(known), p.source
	p.mu.Unlock()
	switch {
	case given:
		return pin, false, nil
	case source == nil && wrong != nil:
		return nil, false, wrong
	case source == nil:
		return nil, false, fmt.Errorf("%w, and nobody who could be asked for it", ErrPIN)
	}
	if pin, err = source(k, wrong); err == nil {
		err = CheckPIN(pin)
	}
	if err != nil {
		clear(pin)
		return nil, false, err
	}
	p.rememberPIN(k, pin)
	return pin, true, nil
}

// How often a person is asked for a PIN. With a key whose failures the TPM counts, each is a step towards locking all of it.
const (
	pinTries   = 3
	daPINTries = 1
)

func (k *Key) pinTries() int {
	if k.NoDA() {
		return pinTries
	}
	return daPINTries
}

// isWrongPIN tells whether the TPM refused an authorization.
func isWrongPIN(err error) bool {
	return !errors.Is(err, ErrParentAuth) && (errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth))
}

// withPIN runs work with a key's PIN, nil for a key without one, and asks again for one that was wrong.
func (p *Provider) withPIN(k *Key, work func(pin []byte) error) error {
	var wrong error
	for try := 1; ; try++ {
		pin, asked, err := p.pinOf(k, wrong)
		if err != nil {
			return err
		}
		err = work(pin)
		switch {
		case isWrongPIN(err) && pin == nil:
			return fmt.Errorf("%w, which its file does not say: %w", ErrPIN, err)
		case isWrongPIN(err):
			p.forgetPIN(k, pin)
		}
		clear(pin)
		if !isWrongPIN(err) || !asked || try >= k.pinTries() {
			return err
		}
		wrong = explain(err)
	}
}
