package main

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"tpmkey.example/attest"
)

// verifyEvidence checks what tpmkey attest has printed, and prints the public key that it is about.
func (t *tool) verifyEvidence(args []string) error {
	if t.operation != (operationOptions{hash: hashNames[0], scheme: schemePKCS1, salt: anySalt, pub: t.operation.pub}) {
		return usageError("-hash, -scheme, -salt, -digest and -base64 are about signatures, and do not go with -ak")
	}
	if len(args) != 1 {
		return usageError(fmt.Sprintf("with -ak it takes one file with evidence, not %s", arguments(len(args))))
	}
	nonce, err := nonceOf("nonce", t.attest.nonce)
	if err != nil {
		return err
	}
	challenge, err := nonceOf("challenge", t.attest.challenge)
	if err != nil {
		return err
	}
	anchor, err := t.anchor()
	if err != nil {
		return err
	}
	text, err := t.input(args[0])
	if err != nil {
		return err
	}
	e, err := attest.Verify(text, anchor, nonce)
	if err == nil {
		err = t.checkEvidence(e, challenge)
	} else {
		err = invalidError{distrusted(err)}
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", printable(args[0]), err)
	}
	return t.printEvidence(e, len(nonce) > 0)
}

// anchor reads the attestation key that -ak names.
func (t *tool) anchor() (anchor *attest.Anchor, err error) {
	text, err := t.input(t.attest.ak)
	switch {
	case err != nil:
	case attest.IsAnchor(text):
		anchor, err = attest.ParseAnchor(text)
	default:
		public, wrong := parsePublic(text)
		if wrong != nil {
			return nil, fmt.Errorf("-ak: %w", wrong)
		}
		anchor, err = attest.NewAnchor(public)
	}
	if err != nil {
		return nil, fmt.Errorf("-ak: %w", distrusted(err))
	}
	return anchor, nil
}

// checkEvidence wants what the flags ask for besides.
func (t *tool) checkEvidence(e *attest.Evidence, challenge []byte) error {
	switch {
	case len(challenge) == 0:
	case e.Creation == nil:
		return invalidError{errors.New("it does not tell how the key was made, and so proves no challenge")}
	case !bytes.Equal(e.Creation.Challenge, challenge):
		return invalidError{fmt.Errorf("the key was not made for this challenge: it has %x in the place of %x", e.Creation.Challenge, challenge)}
	}
	if t.operation.pub == "" {
		return nil
	}
	text, err := t.input(t.operation.pub)
	if err != nil {
		return err
	}
	public, err := parsePublic(text)
	switch {
	case err != nil:
		return fmt.Errorf("-pub: %w", err)
	case !public.Equal(e.Public):
		return invalidError{errors.New("it is about another key than -pub names")}
	}
	return nil
}

// printEvidence says what was proved, and what was not.
func (t *tool) printEvidence(e *attest.Evidence, fresh bool) error {
	public, err := ssh.NewPublicKey(e.Public)
	if err != nil {
		return err
	}
	t.say("the evidence is good: RSA %d key %s was made in a TPM and cannot leave it", e.Public.N.BitLen(), ssh.FingerprintSHA256(public))
	if c := e.Creation; c != nil {
		t.say("it was made under the parent with Name %x", c.ParentName)
		if len(c.Challenge) > 0 {
			t.say("it was made for the challenge %x", c.Challenge)
		}
	}
	if !fresh {
		t.say("the evidence may be old: no -nonce was asked for")
	}
	if !e.Restricted {
		t.say("that the attestation key signs no forged evidence is for you to know: -ak has its public key alone, not what tpmkey pub -tpm prints")
	}
	if t.json {
		fields, err := evidenceOf(e, fresh)
		if err != nil {
			return err
		}
		return t.printJSON(verdictFields{Valid: true, Evidence: fields})
	}
	_, err = t.stdout.Write(ssh.MarshalAuthorizedKey(public))
	return err
}
