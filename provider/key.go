package provider

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-tpm/tpm2"
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

// SignPKCS1v15 signs a digest with RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). With hash 0, digest is what is padded as it stands: a whole DigestInfo, or
// at most k-11 bytes of any kind.
func (k *Key) SignPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error) {
	if hash == 0 {
		if h, d, ok := parseDigestInfo(digest); ok {
			hash, digest = h, d
		}
	}
	signature, err := k.signPKCS1v15(hash, digest)
	return signature, k.wrap("sign", err)
}

func (k *Key) signPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error) {
	if hash != 0 && len(digest) != hash.Size() {
		return nil, fmt.Errorf("a digest of %d bytes is not one of %v", len(digest), hash)
	}
	if !k.CanSign() {
		return nil, k.cannot("signatures")
	}
	padded, err := padPKCS1v15(hash, digest, k.area.public.Size())
	if err != nil {
		return nil, err
	}
	alg, known := algOf[hash]
	byTPM := known && k.mayUse(tpm2.TPMAlgRSASSA, alg)
	if byTPM && k.refusal(lack{tpm2.TPMAlgRSASSA, alg}) == nil {
		signature, err := k.tpmSign(tpm2.TPMAlgRSASSA, alg, digest)
		if err == nil {
			return k.checked(padded, signature)
		}
		if !refusesHash(err) {
			return nil, err
		}
	}
	if signature, err := k.rawSign(padded); k.hasRaw() {
		return signature, err
	}
	if byTPM {
		return nil, k.refusal(lack{tpm2.TPMAlgRSASSA, alg})
	}
	return nil, k.cannot("RSASSA-PKCS1-v1_5 with %v", nameOf(hash))
}

// nameOf names a hash also where there is none.
func nameOf(hash crypto.Hash) string {
	if hash == 0 {
		return "no hash"
	}
	return hash.String()
}

// SignPSS signs a digest with RSASSA-PSS (RFC 8017, 8.1), MGF1 with the same hash and a salt of saltLength bytes. Chips choose salts of their own
// length, so the padding is done in software where the key allows it.
func (k *Key) SignPSS(hash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	return k.SignPSSWithMGF(hash, hash, digest, saltLength)
}

// SignPSSWithMGF is SignPSS with another hash in MGF1 than that of the data.
func (k *Key) SignPSSWithMGF(hash, mgfHash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	signature, err := k.signPSS(hash, mgfHash, digest, saltLength)
	return signature, k.wrap("sign", err)
}

func (k *Key) signPSS(hash, mgfHash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	if !hash.Available() || !mgfHash.Available() || len(digest) != hash.Size() {
		return nil, fmt.Errorf("a digest of %d bytes is not one of %v", len(digest), hash)
	}
	if !k.CanSign() {
		return nil, k.cannot("signatures")
	}
	encoded, err := encodePSS(hash, mgfHash, digest, saltLength, k.area.public.N.BitLen())
	if err != nil {
		return nil, err
	}
	if signature, err := k.rawSign(encoded); k.hasRaw() {
		return signature, err
	}
	if hash != mgfHash {
		return nil, k.cannot("RSASSA-PSS with two hashes")
	}
	return k.tpmSignPSS(hash, digest, saltLength)
}

// tpmSignPSS gives a signature of the TPM's if its salt has the length that was asked for.
func (k *Key) tpmSignPSS(hash crypto.Hash, digest []byte, saltLength int) ([]byte, error) {
	alg, known := algOf[hash]
	if !known || !k.mayUse(tpm2.TPMAlgRSAPSS, alg) {
		return nil, k.cannot("RSASSA-PSS with %v", hash)
	}
	if err := k.refusal(lack{tpm2.TPMAlgRSAPSS, alg}); err != nil {
		return nil, err
	}
	signature, err := k.tpmSign(tpm2.TPMAlgRSAPSS, alg, digest)
	if err != nil {
		return nil, err
	}
	if rsa.VerifyPSS(k.area.public, hash, digest, signature, &rsa.PSSOptions{SaltLength: saltLength}) != nil {
		return nil, k.cannot("this TPM does not make PSS salts of %d bytes by itself, and the padding cannot be done outside of it", saltLength)
	}
	return signature, nil
}

// algOf are the hashes that TPM2_Sign is asked for.
var algOf = map[crypto.Hash]tpm2.TPMAlgID{
	crypto.SHA1: tpm2.TPMAlgSHA1, crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512,
}

// tpmSign is TPM2_Sign (Part 3, 20.2).
func (k *Key) tpmSign(scheme, hash tpm2.TPMAlgID, digest []byte) (signature []byte, err error) {
	err = k.provider.withKey(k, func(c *connection, key tpm2.AuthHandle) error {
		if isQuick(key) {
			signature, err = c.quickSign(key, scheme, hash, digest)
			return err
		}
		r, err := tpm2.Sign{
			KeyHandle:  key,
			Digest:     tpm2.TPM2BDigest{Buffer: digest},
			InScheme:   tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: hash})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
		}.Execute(c.tpm)
		if err != nil {
			return err
		}
		signature, err = signatureOf(r.Signature)
		return err
	})
	if refusesHash(err) {
		k.learn(lack{scheme, hash}, err)
	}
	return signature, err
}

func signatureOf(s tpm2.TPMTSignature) ([]byte, error) {
	get := s.Signature.RSASSA
	if s.SigAlg == tpm2.TPMAlgRSAPSS {
		get = s.Signature.RSAPSS
	}
	r, err := get()
	if err != nil {
		return nil, err
	}
	return r.Sig.Buffer, nil
}

// rawSign applies the private operation to an encoded message.
func (k *Key) rawSign(encoded []byte) ([]byte, error) {
	signature, err := k.raw(encoded)
	if err != nil {
		return nil, err
	}
	return k.checked(encoded, signature)
}

// checked makes sure that the chip has signed an encoded message right: a faulty signature would give the key away.
func (k *Key) checked(encoded, signature []byte) ([]byte, error) {
	if !bytes.Equal(publicOperation(k.area.public, signature), encoded) {
		return nil, fmt.Errorf("the TPM has computed a wrong signature")
	}
	return signature, nil
}

// RawRSA is the private operation on exactly as many bytes as the modulus has, without any padding.
func (k *Key) RawRSA(in []byte) ([]byte, error) {
	out, err := k.raw(in)
	return out, k.wrap("use", err)
}

func (k *Key) raw(in []byte) ([]byte, error) {
	if len(in) != k.area.public.Size() {
		return nil, fmt.Errorf("%d bytes, the key takes %d", len(in), k.area.public.Size())
	}
	if !k.allowsRaw() {
		return nil, k.cannot("the bare RSA operation")
	}
	if err := k.refusal(lackRaw); err != nil {
		return nil, err
	}
	out, err := k.tpmDecrypt(tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgNull}, in, nil)
	if refusesRaw(err) {
		err = fmt.Errorf("%w: the bare RSA operation, which this TPM does not do: %w", ErrUsage, err)
		k.learn(lackRaw, err)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if len(out) > len(in) {
		return nil, fmt.Errorf("the TPM has computed %d bytes of %d", len(out), len(in))
	}
	return append(make([]byte, len(in)-len(out)), out...), nil
}

// tpmDecrypt is TPM2_RSA_Decrypt (Part 3, 14.3).
func (k *Key) tpmDecrypt(scheme tpm2.TPMTRSADecrypt, ciphertext, label []byte) (plaintext []byte, err error) {
	if !k.CanDecrypt() {
		return nil, k.cannot("decryption")
	}
	err = k.provider.withKey(k, func(c *connection, key tpm2.AuthHandle) error {
		if isQuick(key) && scheme.Scheme == tpm2.TPMAlgNull && len(label) == 0 {
			plaintext, err = c.quickRaw(key, ciphertext)
			return err
		}
		r, err := tpm2.RSADecrypt{KeyHandle: key, CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: ciphertext}, InScheme: scheme, Label: tpm2.TPM2BData{Buffer: label}}.Execute(c.tpm)
		if err == nil {
			plaintext = r.Message.Buffer
		}
		return err
	})
	if errors.Is(err, tpm2.TPMRCValue) && !refusesRaw(err) {
		err = fmt.Errorf("%w: %w", rsa.ErrDecryption, err)
	}
	return plaintext, err
}

// DecryptPKCS1v15 decrypts with RSAES-PKCS1-v1_5 (RFC 8017, 7.2). Whoever lets others see whether it failed has built a padding oracle. Where the key
// allows it the padding is taken off in software: chips differ in what they answer when it is wrong.
func (k *Key) DecryptPKCS1v15(ciphertext []byte) ([]byte, error) {
	plaintext, err := k.decryptPKCS1v15(ciphertext)
	return plaintext, k.wrap("decrypt", err)
}

func (k *Key) decryptPKCS1v15(ciphertext []byte) ([]byte, error) {
	encoded, err := k.raw(ciphertext)
	switch {
	case k.hasRaw() && err != nil:
		return nil, err
	case k.hasRaw():
		return unpadPKCS1v15(encoded)
	case !k.mayUse(tpm2.TPMAlgRSAES, tpm2.TPMAlgNull):
		return nil, k.cannot("RSAES-PKCS1-v1_5")
	}
	return k.tpmDecrypt(tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgRSAES, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAES, &tpm2.TPMSEncSchemeRSAES{})}, ciphertext, nil)
}

// DecryptOAEP decrypts with RSAES-OAEP (RFC 8017, 7.1), the padding in software where the key allows it. A TPM takes one hash for both purposes, and only
// labels that end with a NUL byte, which then belongs to the label.
func (k *Key) DecryptOAEP(hash, mgfHash crypto.Hash, label, ciphertext []byte) ([]byte, error) {
	plaintext, err := k.decryptOAEP(hash, mgfHash, label, ciphertext)
	return plaintext, k.wrap("decrypt", err)
}

func (k *Key) decryptOAEP(hash, mgfHash crypto.Hash, label, ciphertext []byte) ([]byte, error) {
	if !hash.Available() || !mgfHash.Available() {
		return nil, fmt.Errorf("%w: an unknown hash", ErrUsage)
	}
	encoded, err := k.raw(ciphertext)
	switch {
	case k.hasRaw() && err != nil:
		return nil, err
	case k.hasRaw():
		return unpadOAEP(hash, mgfHash, label, encoded)
	}
	return k.tpmDecryptOAEP(hash, mgfHash, label, ciphertext)
}

func (k *Key) tpmDecryptOAEP(hash, mgfHash crypto.Hash, label, ciphertext []byte) ([]byte, error) {
	alg, known := algOf[hash]
	switch {
	case !known || !k.mayUse(tpm2.TPMAlgOAEP, alg):
		return nil, k.cannot("RSAES-OAEP with %v", hash)
	case hash != mgfHash:
		return nil, k.cannot("RSAES-OAEP with two hashes")
	case len(label) > 0 && label[len(label)-1] != 0:
		return nil, k.cannot("RSAES-OAEP with a label that does not end with a NUL byte")
	}
	scheme := tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgOAEP, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgOAEP, &tpm2.TPMSEncSchemeOAEP{HashAlg: alg})}
	return k.tpmDecrypt(scheme, ciphertext, label)
}

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
