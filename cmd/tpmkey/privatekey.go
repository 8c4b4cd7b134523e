package main

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// A lockedKey is a private key in a file that may need a password.
type lockedKey struct {
	needsPassword bool
	open          func(password []byte) (any, error) // errPassword: another one may be right
}

// privateKeyForms are by the type of the PEM block.
var privateKeyForms = map[string]func(*pem.Block) (lockedKey, error){
	"RSA PRIVATE KEY":       pkcs1Form,
	"PRIVATE KEY":           pkcs8Form,
	"ENCRYPTED PRIVATE KEY": encryptedForm,
	"OPENSSH PRIVATE KEY":   opensshForm,
	"EC PRIVATE KEY":        refused("it is an elliptic curve key; only RSA keys can be imported"),
	"DSA PRIVATE KEY":       refused("it is a DSA key; only RSA keys can be imported"),
	"TSS2 PRIVATE KEY":      refused("it is a key of a TPM already: put it into the key directory, or if tpmkey migrate export wrote it, use tpmkey migrate import"),
}

// foreignForms are beginnings of files that other programs convert.
var foreignForms = []struct{ begin, advice string }{
	{"PuTTY-User-Key-File-", "it is a key of PuTTY; convert it: puttygen FILE -O private-openssh-new -o NEW"},
	{"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY", "it is a key of ssh.com; convert it: ssh-keygen -i -f FILE"},
}

// parsePrivateKey finds the private key in a file: PEM, maybe with other blocks around it, or DER.
func parsePrivateKey(text []byte) (lockedKey, error) {
	others := ""
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if form := privateKeyForms[block.Type]; form != nil {
			return form(block)
		}
		others = block.Type
	}
	for _, f := range foreignForms {
		if bytes.HasPrefix(text, []byte(f.begin)) {
			return lockedKey{}, errors.New(f.advice)
		}
	}
	if others != "" {
		return lockedKey{}, fmt.Errorf("there is a %q in it, but no private key", others)
	}
	return derForm(text)
}

// derForm tries what the structures without a name can be.
func derForm(der []byte) (lockedKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return unlocked(key, nil)
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return unlocked(key, nil)
	}
	if _, err := parseEncrypted(der); err == nil || !errors.Is(err, errDamaged) {
		return encryptedForm(&pem.Block{Bytes: der})
	}
	return lockedKey{}, errors.New("it is no private key in a form that is known here (PKCS #1, PKCS #8, OpenSSH), or it is damaged")
}

func refused(why string) func(*pem.Block) (lockedKey, error) {
	return func(*pem.Block) (lockedKey, error) { return lockedKey{}, errors.New(why) }
}

// unlocked is a key that is there already.
func unlocked(key any, err error) (lockedKey, error) {
	if err != nil {
		return lockedKey{}, unusable(err)
	}
	return lockedKey{open: func([]byte) (any, error) { return key, nil }}, nil
}

func unusable(err error) error { return fmt.Errorf("it cannot be used: %w", err) }

// pkcs1Form is RSAPrivateKey (RFC 8017, A.1.2). Its encryption, of RFC 1423, hashes the password with MD5 once, and does not tell whether it was right.
func pkcs1Form(block *pem.Block) (lockedKey, error) {
	if block.Headers["DEK-Info"] != "" {
		return lockedKey{}, errors.New("it is encrypted in an outdated way; convert it: openssl pkey -aes256 -in FILE -out NEW")
	}
	return unlocked(x509.ParsePKCS1PrivateKey(block.Bytes))
}

func pkcs8Form(block *pem.Block) (lockedKey, error) {
	return unlocked(x509.ParsePKCS8PrivateKey(block.Bytes))
}

func encryptedForm(block *pem.Block) (lockedKey, error) {
	info, err := parseEncrypted(block.Bytes)
	if err != nil {
		return lockedKey{}, err
	}
	return lockedKey{needsPassword: true, open: func(password []byte) (any, error) {
		der, err := info.decrypt(password)
		if err != nil {
			return nil, err
		}
		defer clear(der)
		var whole asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &whole); err != nil || len(rest) > 0 { // one wrong password in 256 leaves something like a padding
			return nil, errPassword
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, unusable(err)
		}
		return key, nil
	}}, nil
}

// opensshForm is that of OpenSSH's PROTOCOL.key.
func opensshForm(block *pem.Block) (lockedKey, error) {
	text := pem.EncodeToMemory(block)
	key, err := ssh.ParseRawPrivateKey(text)
	if !errors.As(err, new(*ssh.PassphraseMissingError)) {
		return unlocked(key, err)
	}
	if err := checkRounds(block.Bytes); err != nil {
		return lockedKey{}, err
	}
	return lockedKey{needsPassword: true, open: func(password []byte) (any, error) {
		key, err := ssh.ParseRawPrivateKeyWithPassphrase(text, password)
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, errPassword
		}
		if err != nil {
			return nil, unusable(err)
		}
		return key, nil
	}}, nil
}

const opensshMagic = "openssh-key-v1\x00"

// maxRounds is what ssh-keygen -a may have been told; it takes 16 by itself. Each takes some 10 ms.
const maxRounds = 5000

// checkRounds refuses a file that would keep its reader busy for ever: the package ssh takes any number.
func checkRounds(contents []byte) error {
	var head struct {
		Cipher, KDF, Options string
		Rest                 []byte `ssh:"rest"`
	}
	var options struct {
		Salt   string
		Rounds uint32
	}
	text, ok := bytes.CutPrefix(contents, []byte(opensshMagic))
	if !ok || ssh.Unmarshal(text, &head) != nil || ssh.Unmarshal([]byte(head.Options), &options) != nil {
		return errDamaged
	}
	if options.Rounds > maxRounds {
		return fmt.Errorf("its password goes through %d rounds of bcrypt, more than %d", options.Rounds, maxRounds)
	}
	return nil
}

// rsaOf is the key if it is an RSA one.
func rsaOf(key any) (*rsa.PrivateKey, error) {
	if private, ok := key.(*rsa.PrivateKey); ok {
		return private, nil
	}
	return nil, errors.New("it is not an RSA key, and only those can be imported")
}
