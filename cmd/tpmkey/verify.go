package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"

	"golang.org/x/crypto/ssh"
)

const verifyDetails = `
Tells whether SIGNATURE is the key's over FILE, or standard input, without a TPM.
The exit code is 0 if it is, 1 if not, 2 if that could not be tried.

  -pub FILE     the public key, not NAME: OpenSSH's line, PEM, certificate
  -hash NAME    sha256 (the default), sha384, sha512 or sha1
  -scheme NAME  pkcs1 (RSASSA-PKCS1-v1_5, the default) or pss (RSASSA-PSS)
  -salt N       the salt of pss has to have so many bytes (default: any number)
  -digest       the input is the digest already
  -base64       SIGNATURE is base64
With -ak FILE it checks evidence of tpmkey attest, and prints its public key:
  -ak FILE      what tpmkey pub -tpm prints; a mere public key may forge
  -nonce HEX    the evidence was asked for with it; without, it may be old
  -challenge HEX  the key was made with it (tpmkey new -challenge)
  -json         a JSON object: valid, reason (why not), evidence: null, or ssh,
                parentName, challenge, fresh (-nonce), restricted (as above)
`

func verifyFlags(f *flag.FlagSet, t *tool) {
	signatureFlags(f, t)
	jsonFlags(f, t)
	f.StringVar(&t.operation.pub, "pub", "", "")
	f.StringVar(&t.attest.ak, "ak", "", "")
	f.StringVar(&t.attest.nonce, "nonce", "", "")
	f.StringVar(&t.attest.challenge, "challenge", "", "")
}

// What verify says besides success: that it is not valid, or that nobody knows. A script must not take a file that is missing for a forgery.
type (
	invalidError struct{ error }
	untriedError struct{ error }
)

func (e invalidError) Unwrap() error { return e.error }

func runVerify(t *tool, args []string) error {
	err := t.verifyAnything(args)
	switch {
	case err == nil:
		return nil
	case !errors.As(err, new(invalidError)):
		return untriedError{err}
	case t.json:
		return errors.Join(err, t.printJSON(verdictFields{Reason: err.Error()}))
	}
	return err
}

func (t *tool) verifyAnything(args []string) error {
	switch {
	case t.attest.ak != "":
		return t.verifyEvidence(args)
	case t.attest.nonce != "" || t.attest.challenge != "":
		return usageError("-nonce and -challenge go with -ak only")
	}
	hash, err := t.operation.signatureScheme()
	if err != nil {
		return err
	}
	public, rest, err := t.verifier(args)
	if err != nil {
		return err
	}
	signature, file, err := nameAndFile(rest)
	switch {
	case err != nil:
		return usageError("it takes a key, a signature, and at most one file")
	case signature == "-" && file == "-":
		return usageError("the signature and what is signed cannot both come from standard input")
	}
	sig, err := t.decoded(signature)
	if err != nil {
		return err
	}
	digest, err := t.digestOf(file, hash)
	if err != nil {
		return err
	}
	if err := t.operation.verify(public, hash, digest, sig); err != nil {
		return fmt.Errorf("verify %s: %w", signature, err)
	}
	t.say("the signature is good")
	if t.json {
		return t.printJSON(verdictFields{Valid: true})
	}
	return nil
}

// verifier takes the key from the arguments, or from -pub.
func (t *tool) verifier(args []string) (public *rsa.PublicKey, rest []string, err error) {
	if t.operation.pub != "" {
		text, err := t.input(t.operation.pub)
		if err == nil {
			public, err = parsePublic(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("-pub: %w", err)
		}
		return public, args, nil
	}
	if len(args) == 0 {
		return nil, nil, usageError("it takes the name of a key, or -pub FILE")
	}
	k, err := t.open().Key(args[0])
	if err != nil {
		return nil, nil, err
	}
	return k.Public(), args[1:], nil
}

// publicForms are what a public key can be written as, by the type of the PEM block; "" is a line of OpenSSH's.
var publicForms = map[string]func([]byte) (any, error){
	"PUBLIC KEY":     x509.ParsePKIXPublicKey,
	"RSA PUBLIC KEY": func(der []byte) (any, error) { return x509.ParsePKCS1PublicKey(der) },
	"CERTIFICATE": func(der []byte) (any, error) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	},
	"": func(line []byte) (any, error) {
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return nil, errors.New("it is neither PEM nor a public key of OpenSSH's")
		}
		if key, ok := key.(ssh.CryptoPublicKey); ok {
			return key.CryptoPublicKey(), nil
		}
		return nil, fmt.Errorf("it is of type %q", key.Type())
	},
}

func parsePublic(text []byte) (*rsa.PublicKey, error) {
	kind := ""
	if block, _ := pem.Decode(text); block != nil {
		kind, text = block.Type, block.Bytes
	}
	parse := publicForms[kind]
	if parse == nil {
		return nil, fmt.Errorf("it is a %q, not a public key", kind)
	}
	key, err := parse(text)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("it is not an RSA key")
	}
	return public, nil
}

var errBadSignature = invalidError{errors.New("the signature is not this key's over this input, with this scheme and hash")}

func (o operationOptions) verify(public *rsa.PublicKey, hash crypto.Hash, digest, signature []byte) error {
	var err error
	if o.scheme == schemePKCS1 {
		err = rsa.VerifyPKCS1v15(public, hash, digest, signature)
	} else {
		err = o.verifyPSS(public, hash, digest, signature)
	}
	if errors.Is(err, rsa.ErrVerification) {
		return errBadSignature
	}
	return err
}

// verifyPSS finds out how long the salt is: crypto/rsa has no word for "exactly none".
func (o operationOptions) verifyPSS(public *rsa.PublicKey, hash crypto.Hash, digest, signature []byte) error {
	good := func(salt int) error {
		return rsa.VerifyPSS(public, hash, digest, signature, &rsa.PSSOptions{SaltLength: salt, Hash: hash})
	}
	err := good(rsa.PSSSaltLengthAuto)
	if err != nil || o.salt == anySalt {
		return err
	}
	if o.salt > 0 {
		return good(o.salt)
	}
	for salt := 1; salt <= public.Size(); salt++ {
		if good(salt) == nil {
			return rsa.ErrVerification
		}
	}
	return nil
}
