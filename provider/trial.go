package provider

import (
	"crypto"
	"crypto/rsa"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// trialName is how errors call a key that is in no file.
const trialName = "trial"

// Trial makes a key that is in no file, to see whether the TPM does its work: nobody finds it again.
func (p *Provider) Trial() (*Key, error) {
	file := &keyFile{label: trialName, emptyAuth: true, parent: ownerParent}
	if err := p.withTPM(func(c *connection) error { return c.create(Template{}, file) }); err != nil {
		return nil, fmt.Errorf("make a trial key: %w", err)
	}
	k, err := newKey(p, trialName, "", file)
	if err == nil {
		err = k.checkROCA()
	}
	if err != nil {
		return nil, fmt.Errorf("make a trial key: %w", err)
	}
	return k, nil
}

// TryLoad loads the key and takes it off again. That needs no PIN, and tells whether this is the key's TPM.
func (k *Key) TryLoad() error {
	return k.wrap("load", k.provider.withTPM(func(c *connection) error {
		return c.below(k, func(p *parent) error {
			key, err := c.loadBelow(p, k)
			if err == nil {
				c.flush(key.Handle)
			}
			return err
		})
	}))
}

// ChipSalt tells how long a salt the TPM itself takes for RSASSA-PSS. The length is not ours to choose (Part 1, B.7), and SignPSS does not depend on it
// where the key allows the bare RSA operation.
func (k *Key) ChipSalt(hash crypto.Hash) (int, error) {
	alg, known := algOf[hash]
	if !known || !k.mayUse(tpm2.TPMAlgRSAPSS, alg) {
		return 0, k.wrap("sign", k.cannot("RSASSA-PSS with %v", hash))
	}
	digest := hash.New().Sum(nil)
	signature, err := k.tpmSign(tpm2.TPMAlgRSAPSS, alg, digest)
	if err != nil {
		return 0, k.wrap("sign", err)
	}
	length, err := saltOf(k.area.public, hash, digest, signature)
	return length, k.wrap("sign", err)
}

// saltOf finds out how long the salt of a signature is. crypto/rsa takes a length of 0 for any.
func saltOf(public *rsa.PublicKey, hash crypto.Hash, digest, signature []byte) (int, error) {
	verify := func(length int) error {
		return rsa.VerifyPSS(public, hash, digest, signature, &rsa.PSSOptions{SaltLength: length})
	}
	if err := verify(rsa.PSSSaltLengthAuto); err != nil {
		return 0, err
	}
	for length := 1; length < public.Size(); length++ {
		if verify(length) == nil {
			return length, nil
		}
	}
	return 0, nil
}
