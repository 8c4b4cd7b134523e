package main

import (
	"crypto/rsa"
	"errors"
	"flag"
	"fmt"

	"tpmkey.example/provider"
)

const decryptDetails = `
Decrypts FILE, or standard input, and prints what was encrypted.

  -scheme NAME  oaep (RSAES-OAEP, the default) or pkcs1 (RSAES-PKCS1-v1_5: whoever
                can see whether it fails, and try often, can decrypt)
  -hash NAME    of oaep: sha256 (the default), sha384, sha512 or sha1, which
                openssl takes for rsa_padding_mode:oaep without rsa_oaep_md;
                told no padding mode at all, it takes pkcs1
  -mgf NAME     hash of oaep's mask (default: as -hash)
  -label TEXT   label of oaep (default: none)
  -base64       the input is base64
  -out FILE     write there, for the owner only: all of it, or nothing
  -pin-file FILE
                take the PIN from the first line of a file that nobody else can
                read, or of a descriptor: /dev/fd/N
`

func decryptFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.operation.scheme, "scheme", schemeOAEP, "")
	f.StringVar(&t.operation.hash, "hash", hashNames[0], "")
	f.StringVar(&t.operation.mgf, "mgf", "", "")
	f.StringVar(&t.operation.label, "label", "", "")
	f.BoolVar(&t.operation.base64, "base64", false, "")
	f.StringVar(&t.operation.out, "out", "", "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
}

func runDecrypt(t *tool, args []string) error {
	name, file, err := nameAndFile(args)
	if err != nil {
		return err
	}
	decrypt, err := t.operation.decryption()
	if err != nil {
		return err
	}
	k, err := t.secretKey(name)
	if err != nil {
		return err
	}
	ciphertext, err := t.decoded(file)
	if err != nil {
		return err
	}
	plaintext, err := decrypt(k, ciphertext)
	defer clear(plaintext)
	if err != nil {
		return t.operation.explainDecryption(err)
	}
	t.operation.base64 = false // was the input's
	return t.result(plaintext, 0o600)
}

// explainDecryption names what else it may have been encrypted with.
func (o operationOptions) explainDecryption(err error) error {
	switch {
	case !errors.Is(err, rsa.ErrDecryption):
		return err
	case o.scheme == schemePKCS1:
		return fmt.Errorf("%w; it may be for another key, or encrypted with OAEP: leave -scheme pkcs1 out", err)
	}
	return fmt.Errorf("%w; it may be for another key, or encrypted with another -hash, -mgf or -label, or -scheme: openssl takes sha1 where it is told oaep only, and pkcs1 where it is told nothing", err)
}

// decryption is what the flags ask for.
func (o operationOptions) decryption() (func(*provider.Key, []byte) ([]byte, error), error) {
	if err := checkScheme(o.scheme, schemeOAEP, schemePKCS1); err != nil {
		return nil, err
	}
	if o.scheme == schemePKCS1 {
		if o.mgf != "" || o.label != "" || o.hash != hashNames[0] {
			return nil, usageError("-hash, -mgf and -label go with -scheme oaep only")
		}
		return (*provider.Key).DecryptPKCS1v15, nil
	}
	hash, err := hashOf("hash", o.hash)
	if err != nil {
		return nil, err
	}
	mgf := hash
	if o.mgf != "" {
		if mgf, err = hashOf("mgf", o.mgf); err != nil {
			return nil, err
		}
	}
	return func(k *provider.Key, ciphertext []byte) ([]byte, error) {
		return k.DecryptOAEP(hash, mgf, []byte(o.label), ciphertext)
	}, nil
}
