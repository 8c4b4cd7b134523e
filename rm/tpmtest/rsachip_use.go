package tpmtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // the hashes that a chip may have
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"math/big"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// keyFor gives what is loaded at a handle, if it may be used with a scheme.
func (c *RSAChip) keyFor(handle uint32, scheme tpm2.TPMAlgID) (*rsa.PrivateKey, error) {
	c.mu.Lock()
	public, ok := c.loaded[handle]
	c.mu.Unlock()
	if !ok {
		return nil, rcNoKey
	}
	parms, err := public.Parameters.RSADetail()
	if err != nil {
		return nil, rcNoKey
	}
	key, err := c.private(public)
	if own := parms.Scheme.Scheme; err == nil && own != tpm2.TPMAlgNull && own != scheme {
		return nil, rcScheme2
	}
	return key, err
}

// hash gives one that the chip has.
func (c *RSAChip) hash(alg tpm2.TPMAlgID) (crypto.Hash, error) {
	hash, err := alg.Hash()
	if err != nil || slices.Contains(c.Lacks, alg) {
		return 0, rcHash2
	}
	return hash, nil
}

func (c *RSAChip) sign(command []byte) ([]byte, []byte, error) {
	cmd, handle, err := rsaCommand[tpm2.Sign](command, 1)
	if err != nil {
		return nil, nil, err
	}
	key, err := c.keyFor(handle, cmd.InScheme.Scheme)
	if err != nil {
		return nil, nil, err
	}
	signature, err := c.signature(key, cmd.InScheme, cmd.Digest.Buffer)
	if err != nil {
		return nil, nil, err
	}
	parameters, err := rsaParameters(cmd, &tpm2.SignResponse{Signature: signature})
	return nil, parameters, err
}

// signature is in the one structure that both schemes have (Part 2, 11.2.1.3).
func (c *RSAChip) signature(key *rsa.PrivateKey, scheme tpm2.TPMTSigScheme, digest []byte) (tpm2.TPMTSignature, error) {
	of := scheme.Details.RSASSA
	if scheme.Scheme == tpm2.TPMAlgRSAPSS {
		of = scheme.Details.RSAPSS
	}
	details, err := of()
	if err != nil {
		return tpm2.TPMTSignature{}, rcScheme2
	}
	hash, err := c.hash(details.HashAlg)
	if err != nil {
		return tpm2.TPMTSignature{}, err
	}
	var signature []byte
	if scheme.Scheme == tpm2.TPMAlgRSAPSS {
		signature, err = rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: c.salt()})
	} else {
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
	}
	return tpm2.TPMTSignature{SigAlg: scheme.Scheme, Signature: tpm2.NewTPMUSignature(scheme.Scheme,
		&tpm2.TPMSSignatureRSA{Hash: details.HashAlg, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: signature}})}, err
}

func (c *RSAChip) salt() int {
	if c.LongestSalt {
		return rsa.PSSSaltLengthAuto
	}
	return rsa.PSSSaltLengthEqualsHash
}

func (c *RSAChip) rsaDecrypt(command []byte) ([]byte, []byte, error) {
	cmd, handle, err := rsaCommand[tpm2.RSADecrypt](command, 1)
	if err != nil {
		return nil, nil, err
	}
	key, err := c.keyFor(handle, cmd.InScheme.Scheme)
	if err != nil {
		return nil, nil, err
	}
	message, err := c.decrypt(key, cmd)
	if err != nil {
		return nil, nil, err
	}
	parameters, err := rsaParameters(cmd, &tpm2.RSADecryptResponse{Message: tpm2.TPM2BPublicKeyRSA{Buffer: message}})
	return nil, parameters, err
}

//lint:ignore SA1019 a TPM decrypts with PKCS #1 v1.5
var decryptPKCS1v15 = rsa.DecryptPKCS1v15

// decrypt knows the schemes of TPM2_RSA_Decrypt (Part 3, 14.3).
func (c *RSAChip) decrypt(key *rsa.PrivateKey, cmd tpm2.RSADecrypt) (message []byte, err error) {
	switch scheme := cmd.InScheme.Scheme; {
	case scheme == tpm2.TPMAlgNull && !c.NoRaw:
		return rawRSA(key, cmd.CipherText.Buffer)
	case scheme == tpm2.TPMAlgRSAES:
		message, err = decryptPKCS1v15(rand.Reader, key, cmd.CipherText.Buffer)
	case scheme == tpm2.TPMAlgOAEP:
		message, err = c.decryptOAEP(key, cmd)
	default:
		err = rcScheme2
	}
	if errors.Is(err, rsa.ErrDecryption) {
		err = rcCipher
	}
	return message, err
}

func (c *RSAChip) decryptOAEP(key *rsa.PrivateKey, cmd tpm2.RSADecrypt) ([]byte, error) {
	details, err := cmd.InScheme.Details.OAEP()
	if err != nil {
		return nil, rcScheme2
	}
	hash, err := c.hash(details.HashAlg)
	if err != nil {
		return nil, err
	}
	return rsa.DecryptOAEP(hash.New(), rand.Reader, key, cmd.CipherText.Buffer, cmd.Label.Buffer)
}

// rawRSA is RSADP (RFC 8017, 5.1.2).
func rawRSA(key *rsa.PrivateKey, in []byte) ([]byte, error) {
	m := new(big.Int).SetBytes(in)
	if m.Cmp(key.N) >= 0 {
		return nil, rcCipher
	}
	return m.Exp(m, key.D, key.N).FillBytes(make([]byte, key.Size())), nil
}
