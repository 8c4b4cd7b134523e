// Package signer gives Go programs the RSA keys of a TPM as crypto.Signer and crypto.Decrypter: for TLS servers and clients, certificates,
// SSH.
//
//	key, err := signer.Open("web")
//	if err != nil { … }
//	defer key.Close()
//	certificate := tls.Certificate{Certificate: chain, PrivateKey: key}
package signer

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// A Key is a private key in the TPM. It is a crypto.Signer, a crypto.Decrypter and an io.Closer, and safe for concurrent use.
type Key struct {
	key   *provider.Key
	owned *provider.Provider // closed with the key; nil: somebody else's
	ctx   context.Context    // whose end ends waiting; nil: nothing does
}

var (
	_ crypto.Signer    = (*Key)(nil)
	_ crypto.Decrypter = (*Key)(nil)
	_ io.Closer        = (*Key)(nil)
)

// An Option changes where Open looks.
type Option func(*options)

type options struct {
	device string
	dirs   []string
	pin    provider.PINSource
	owner  []byte
}

// WithDevice names the TPM (see rm/device for the forms) instead of searching for one.
func WithDevice(spec string) Option { return func(o *options) { o.device = spec } }

// WithDirs names the key directories instead of provider.DefaultDirs.
func WithDirs(dirs ...string) Option { return func(o *options) { o.dirs = dirs } }

// WithPIN names who is asked for the key's PIN, if it has one. wrong is nil at first, and provider.ErrWrongPIN (for errors.Is) after a PIN that was wrong. What
// ask gives is wiped; an error of its own ends the operation, which returns it. When no more tries are left, and where there is no WithPIN, the operation's error
// is provider.ErrWrongPIN, provider.ErrPIN for a PIN that nobody could be asked for, provider.ErrPINFormat for what cannot be one, or provider.ErrLockout after too
// many that were wrong; then errors.As finds a *provider.LockedError, which says until when.
func WithPIN(ask func(name string, wrong error) (pin []byte, err error)) Option {
	return func(o *options) {
		o.pin = func(k *provider.Key, wrong error) ([]byte, error) { return ask(k.Name(), wrong) }
	}
}

// WithOwnerPassword names the password of the TPM's owner, where there is one and the parent of keys was not made persistent at 0x81000001.
func WithOwnerPassword(password []byte) Option { return func(o *options) { o.owner = password } }

// Open opens the key of a name. The TPM is not touched before the first operation. The errors are provider's, for errors.Is:
// provider.ErrNotFound, provider.ErrName, provider.ErrInsecure, provider.ErrFormat, provider.ErrUsage for an attestation key. Those of operations are, besides what
// WithPIN names, provider.ErrNoTPM, provider.ErrWrongTPM, provider.ErrDenied, provider.ErrParentAuth and provider.ErrUsage; errors.As finds the TPM's own code,
// where there was one, as a tpm2.TPMRC.
func Open(name string, opts ...Option) (*Key, error) {
	o := options{dirs: provider.DefaultDirs()}
	for _, option := range opts {
		option(&o)
	}
	p := provider.Open(o.dirs, func() (transport.TPMCloser, error) { return device.Open(o.device) })
	p.AskPIN(o.pin)
	p.GiveOwnerPassword(o.owner)
	key, err := p.Key(name)
	if err != nil {
		return nil, err
	}
	if key.Attests() {
		return nil, fmt.Errorf("open key %q: %w: it is for %s", name, provider.ErrUsage, key.Purpose())
	}
	return &Key{key: key, owned: p}, nil
}

// New makes a Key of one that a provider has. Closing it leaves the provider open.
func New(key *provider.Key) *Key { return &Key{key: key} }

// Close gives the TPM back. It may be called twice.
func (k *Key) Close() error {
	if k.owned == nil {
		return nil
	}
	return k.owned.Close()
}

// Public is the public key, an *rsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.key.Public() }

// Sign signs a digest of the hash that opts names: with RSASSA-PSS when opts is *rsa.PSSOptions, else with RSASSA-PKCS1-v1_5. The randomness
// is the TPM's or the system's; rand is not read.
func (k *Key) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.await(digest, func(digest []byte) ([]byte, error) { return k.sign(digest, opts) })
}

func (k *Key) sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	pss, ok := opts.(*rsa.PSSOptions)
	if !ok {
		return k.key.SignPKCS1v15(opts.HashFunc(), digest)
	}
	salt, err := k.saltLength(pss, opts.HashFunc())
	if err != nil {
		return nil, err
	}
	return k.key.SignPSS(opts.HashFunc(), digest, salt)
}

// saltLength is the number of bytes that the options ask for, by crypto/rsa's rules.
func (k *Key) saltLength(o *rsa.PSSOptions, hash crypto.Hash) (int, error) {
	if !hash.Available() {
		return 0, fmt.Errorf("sign with key %q: PSS needs a hash", k.key.Name())
	}
	switch o.SaltLength {
	case rsa.PSSSaltLengthEqualsHash:
		return hash.Size(), nil
	case rsa.PSSSaltLengthAuto: // as long as fits
		return (k.key.Public().N.BitLen()-1+7)/8 - 2 - hash.Size(), nil
	}
	if o.SaltLength < 0 {
		return 0, fmt.Errorf("sign with key %q: a salt of %d bytes cannot be", k.key.Name(), o.SaltLength)
	}
	return o.SaltLength, nil
}

// Decrypt decrypts with RSAES-OAEP when opts is *rsa.OAEPOptions, and with RSAES-PKCS1-v1_5 when it is nil or *rsa.PKCS1v15DecryptOptions. With a
// SessionKeyLen, wrong padding gives random bytes of that length and no error, so that nobody learns which it was.
func (k *Key) Decrypt(rand io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return k.await(ciphertext, func(ciphertext []byte) ([]byte, error) { return k.decrypt(ciphertext, opts) })
}

func (k *Key) decrypt(ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	switch o := opts.(type) {
	case nil:
		return k.key.DecryptPKCS1v15(ciphertext)
	case *rsa.OAEPOptions:
		mgf := o.MGFHash
		if mgf == 0 {
			mgf = o.Hash
		}
		return k.key.DecryptOAEP(o.Hash, mgf, o.Label, ciphertext)
	case *rsa.PKCS1v15DecryptOptions:
		if o.SessionKeyLen > 0 {
			return k.sessionKey(ciphertext, o.SessionKeyLen)
		}
		return k.key.DecryptPKCS1v15(ciphertext)
	}
	return nil, fmt.Errorf("decrypt with key %q: options of type %T are not known", k.key.Name(), opts)
}

// sessionKey decrypts a key of a known length by the raw operation, and gives a random one, in the same time, when anything about the padding is
// wrong (RFC 5246, 7.4.7.1).
func (k *Key) sessionKey(ciphertext []byte, length int) ([]byte, error) {
	key := make([]byte, length)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	em, err := k.key.RawRSA(ciphertext)
	if errors.Is(err, provider.ErrUsage) {
		return k.sessionKeyByTPM(ciphertext, key)
	}
	if err != nil {
		return nil, err
	}
	if length+11 > len(em) {
		return nil, rsa.ErrDecryption
	}
	separator := len(em) - length - 1
	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeByteEq(em[1], 2) & subtle.ConstantTimeByteEq(em[separator], 0)
	for _, b := range em[2:separator] {
		good &= 1 ^ subtle.ConstantTimeByteEq(b, 0)
	}
	subtle.ConstantTimeCopy(good, key, em[separator+1:])
	return key, nil
}

// sessionKeyByTPM is for keys that do not allow the raw operation: the TPM looks at the padding itself.
func (k *Key) sessionKeyByTPM(ciphertext, key []byte) ([]byte, error) {
	plaintext, err := k.key.DecryptPKCS1v15(ciphertext)
	if err != nil && !errors.Is(err, rsa.ErrDecryption) {
		return nil, err
	}
	if len(plaintext) == len(key) {
		copy(key, plaintext)
	}
	return key, nil
}
