package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// Private keys that are encrypted with a password: EncryptedPrivateKeyInfo (RFC 5958, 3) by PBES2 (RFC 8018, 6.2) with PBKDF2 or scrypt (RFC 7914).

type encryptedKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scryptParams struct {
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

// What a file may cost before it is known to be of any good.
const (
	maxIterations   = 10_000_000
	maxScryptMemory = 1 << 30 // bytes: 128·N·r, and as often as p says; N is 2 at least, so 128·r·p is no more either
	maxScryptP      = 64
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

// pbes2Ciphers are by their OIDs.
var pbes2Ciphers = map[string]struct {
	keySize int
	block   func([]byte) (cipher.Block, error)
}{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// pbkdf2Hashes are of the HMACs that PBKDF2 uses, by their OIDs; "" is the default.
var pbkdf2Hashes = map[string]func() hash.Hash{
	"":                    sha1.New,
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.8":  sha256.New224,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
	"1.2.840.113549.2.12": sha512.New512_224,
	"1.2.840.113549.2.13": sha512.New512_256,
}

var (
	errPassword = errors.New("the password is wrong")
	errDamaged  = errors.New("it is damaged")
)

// parseEncrypted reads the structure, and says of one that nobody here can open what converts it.
func parseEncrypted(der []byte) (*encryptedKeyInfo, error) {
	info := &encryptedKeyInfo{}
	if rest, err := asn1.Unmarshal(der, info); err != nil || len(rest) > 0 {
		return nil, errDamaged
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("it is encrypted in an outdated way (%s); convert it: openssl pkcs8 -topk8 -v2 aes256 -provider default -provider legacy -in FILE -out NEW", info.Algorithm.Algorithm)
	}
	return info, nil
}

// decrypt gives the PrivateKeyInfo. That a password was wrong shows in the padding, or later.
func (e *encryptedKeyInfo) decrypt(password []byte) ([]byte, error) {
	var params pbes2Params
	if rest, err := asn1.Unmarshal(e.Algorithm.Parameters.FullBytes, &params); err != nil || len(rest) > 0 {
		return nil, errDamaged
	}
	c, ok := pbes2Ciphers[params.Cipher.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("it is encrypted with an unknown cipher (%s)", params.Cipher.Algorithm)
	}
	key, err := deriveKey(params.KDF, password, c.keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := c.block(key)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if rest, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil || len(rest) > 0 || len(iv) != block.BlockSize() {
		return nil, errDamaged
	}
	return decryptCBC(block, iv, e.Data)
}

func decryptCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(data) == 0 || len(data)%size != 0 {
		return nil, errDamaged
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	n := int(out[len(out)-1])
	if n == 0 || n > size || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		clear(out)
		return nil, errPassword
	}
	return out[:len(out)-n], nil
}

func deriveKey(kdf pkix.AlgorithmIdentifier, password []byte, size int) ([]byte, error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		return derivePBKDF2(kdf.Parameters.FullBytes, password, size)
	case kdf.Algorithm.Equal(oidScrypt):
		return deriveScrypt(kdf.Parameters.FullBytes, password, size)
	}
	return nil, fmt.Errorf("its password goes through an unknown function (%s)", kdf.Algorithm)
}

func derivePBKDF2(der, password []byte, size int) ([]byte, error) {
	var p pbkdf2Params
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || p.KeyLength != 0 && p.KeyLength != size {
		return nil, errDamaged
	}
	newHash, ok := pbkdf2Hashes[p.PRF.Algorithm.String()]
	switch {
	case !ok:
		return nil, fmt.Errorf("its password goes through an unknown hash (%s)", p.PRF.Algorithm)
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return nil, fmt.Errorf("its password goes through %d iterations of PBKDF2, more than %d", p.Iterations, maxIterations)
	}
	return pbkdf2.Key(newHash, string(password), p.Salt, p.Iterations, size)
}

func deriveScrypt(der, password []byte, size int) ([]byte, error) {
	var p scryptParams
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || p.KeyLength != 0 && p.KeyLength != size {
		return nil, errDamaged
	}
	if p.N < 2 || p.R < 1 || p.P < 1 || p.P > maxScryptP || p.N > maxScryptMemory/128/p.R/p.P {
		return nil, fmt.Errorf("its password goes through scrypt with N=%d r=%d p=%d, which takes too much memory or time", p.N, p.R, p.P)
	}
	return scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
}
