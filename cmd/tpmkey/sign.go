package main

import (
	"crypto"
	"flag"

	"tpmkey.example/provider"
)

const signDetails = `
Hashes FILE, or standard input, and prints the signature as it is.

  -hash NAME    sha256 (the default), sha384, sha512 or sha1
  -scheme NAME  pkcs1 (RSASSA-PKCS1-v1_5, the default) or pss (RSASSA-PSS)
  -salt N       length of the salt for pss in bytes (default: the hash's)
  -digest       the input is the digest already
  -base64       print one line of base64
  -out FILE     write there: the whole signature, or nothing
  -pin-file FILE
                take the PIN from the first line of a file that nobody else can
                read, or of a descriptor: /dev/fd/N

openssl dgst -sha256 -verify reads such signatures; so does tpmkey verify.
`

func signFlags(f *flag.FlagSet, t *tool) {
	signatureFlags(f, t)
	f.StringVar(&t.operation.out, "out", "", "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
}

func runSign(t *tool, args []string) error {
	name, file, err := nameAndFile(args)
	if err != nil {
		return err
	}
	hash, err := t.operation.signatureScheme()
	if err != nil {
		return err
	}
	if t.operation.out == "" && !t.operation.base64 && t.onTerminal() {
		return usageError(errBinary.Error())
	}
	k, err := t.secretKey(name)
	if err != nil {
		return err
	}
	digest, err := t.digestOf(file, hash)
	if err != nil {
		return err
	}
	signature, err := t.operation.sign(k, hash, digest)
	if err != nil {
		return err
	}
	return t.result(signature, 0o666)
}

func (o operationOptions) sign(k *provider.Key, hash crypto.Hash, digest []byte) ([]byte, error) {
	switch {
	case o.scheme == schemePKCS1:
		return k.SignPKCS1v15(hash, digest)
	case o.salt == anySalt:
		return k.SignPSS(hash, digest, hash.Size())
	}
	return k.SignPSS(hash, digest, o.salt)
}
