package provider

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"sync"
)

// A Key is an RSA key whose private part only its TPM can use. It is safe for concurrent use.
type Key struct {
	provider *Provider
	name     string
	path     string
	file     *keyFile
	area     *publicArea
	identity [sha256.Size]byte // of public and private part
	refused  sync.Map          // what the TPM does not do: lack
}

// newKey makes a key of what its file says.
func newKey(p *Provider, name, path string, f *keyFile) (*Key, error) {
	area, err := parsePublic(f.public)
	if err != nil {
		return nil, err
	}
	k := &Key{provider: p, name: name, path: path, file: f, area: area}
	k.identity = sha256.Sum256(append(sized(f.public), f.private...))
	return k, nil
}

// Name is the file's name without ".pem".
func (k *Key) Name() string { return k.name }

// Path is where the key file is.
func (k *Key) Path() string { return k.path }

// Label is what the file calls the key, by default its name.
func (k *Key) Label() string {
	if k.file.label == "" {
		return k.name
	}
	return k.file.label
}

// ID identifies the key, its public key and its certificate to PKCS #11 programs: by default the SHA-1 of the modulus.
func (k *Key) ID() []byte {
	if len(k.file.id) == 0 {
		return defaultID(k.area.public)
	}
	return bytes.Clone(k.file.id)
}

// Public is the public key.
func (k *Key) Public() *rsa.PublicKey { return k.area.public }

// Parent is the handle of the key's parent in the file: 0x40000001 for the standard storage primary, or a persistent handle.
func (k *Key) Parent() uint32 { return k.file.parent }

// ParentName is the Name of the parent that the key was made under, nil where the file does not pin it.
func (k *Key) ParentName() []byte { return bytes.Clone(k.file.parentName) }

// CanSign tells whether the key may sign what it is given.
func (k *Key) CanSign() bool { return bool(k.area.ObjectAttributes.SignEncrypt) && !k.Attests() }

// CanDecrypt tells whether the key may decrypt.
func (k *Key) CanDecrypt() bool { return bool(k.area.ObjectAttributes.Decrypt) }

// NoDA tells whether wrong PINs of this key leave the TPM's lockout counter alone.
func (k *Key) NoDA() bool { return bool(k.area.ObjectAttributes.NoDA) }

// HasPIN tells whether the file says that the key has a PIN.
func (k *Key) HasPIN() bool { return !k.file.emptyAuth }

// about names the key in an error that has to do with something of it.
func (k *Key) about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of key %q: %w", what, k.name, err)
}

// wrap names the key in an error of its use.
func (k *Key) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s with key %q: %w", what, k.name, err)
}
