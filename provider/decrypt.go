package provider

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

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
