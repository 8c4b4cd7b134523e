package provider

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// ChangePIN gives a key another PIN, or none (TPM2_ObjectChangeAuth, Part 3, 12.8), and replaces its file by one that only the new PIN opens. The key that it
// returns takes k's place. Copies of the old file keep working with the old PIN: nothing in a TPM can take that back.
func (p *Provider) ChangePIN(k *Key, pin []byte) (*Key, error) {
	changed, err := p.changePIN(k, pin)
	return changed, k.about("change the PIN", err)
}

func (p *Provider) changePIN(k *Key, pin []byte) (*Key, error) {
	if err := CheckPIN(pin); err != nil {
		return nil, err
	}
	if err := p.store.mayReplace(k); err != nil {
		return nil, err
	}
	file := *k.file
	err := p.withPIN(k, func(old []byte) error {
		return p.withTPM(func(c *connection) error {
			private, err := c.changeAuth(k, old, pin)
			file.private, file.emptyAuth = private, len(pin) == 0
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	changed, err := newKey(p, k.name, k.path, &file)
	if err != nil {
		return nil, err
	}
	return changed, p.store.replace(k, changed)
}

// changeAuth gives the private part with the new authValue, which travels encrypted in a session that proves the old one.
func (c *connection) changeAuth(k *Key, old, pin []byte) (private []byte, err error) {
	err = c.below(k, func(p *parent) error {
		handle, err := c.loadBelow(p, k)
		if err != nil {
			return err
		}
		defer c.flush(handle.Handle)
		session, err := c.saltedSession(p, old)
		if err != nil {
			return err
		}
		defer c.flush(session.Handle())
		r, err := tpm2.ObjectChangeAuth{
			ObjectHandle: tpm2.AuthHandle{Handle: handle.Handle, Name: handle.Name, Auth: session},
			ParentHandle: p.handle,
			NewAuth:      tpm2.TPM2BAuth{Buffer: pin},
		}.Execute(c.tpm)
		if err != nil {
			return fmt.Errorf("change the authValue: %w", err)
		}
		private = r.OutPrivate.Buffer
		return nil
	})
	return private, err
}
