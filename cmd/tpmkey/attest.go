package main

import (
	"encoding/hex"
	"flag"
	"fmt"

	"tpmkey.example/provider"
)

const attestDetails = `
Prints evidence that key NAME was made in this TPM and cannot leave it, signed by
AK, an attestation key, which signs nothing else: for tpmkey verify -ak.

  -new AK       make an attestation key, and print its public part, for verifiers
  -ak AK        the attestation key
  -nonce HEX    what the verifier asks for: up to 32 bytes, others each time
  -out FILE     write there: the whole evidence, or nothing
  -pin-file FILE
                take the PIN of AK from the first line of a file
  -pin, -system with -new: as for tpmkey new

It takes a filter that allows it (attest). Whoever gives out AK's public part
vouches for it that AK is in a TPM. A key that tpmkey new -challenge HEX made
proves that it is not older than the challenge.
`

// attestProfile is the part of the filter that lets attestation keys be made and used.
const attestProfile = "attest"

// attestOptions are the flags of attest, and of verify -ak.
type attestOptions struct{ new, ak, nonce, challenge string }

func attestFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.attest.new, "new", "", "")
	f.StringVar(&t.attest.ak, "ak", "", "")
	f.StringVar(&t.attest.nonce, "nonce", "", "")
	f.StringVar(&t.operation.out, "out", "", "")
	f.BoolVar(&t.pin.wanted, "pin", false, "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
	f.BoolVar(&t.new.system, "system", false, "")
}

func runAttest(t *tool, args []string) error {
	t.widened = attestProfile
	switch {
	case (t.attest.new == "") == (t.attest.ak == ""):
		return usageError("it takes either -new AK or -ak AK; run: tpmkey help attest")
	case t.attest.new != "" && (t.attest.nonce != "" || t.operation.out != "" || len(args) > 0):
		return usageError("-new makes a key, and takes neither -nonce nor -out nor another name")
	case t.attest.ak != "" && (t.pin.wanted || t.new.system):
		return usageError("-pin and -system go with -new only")
	case t.attest.new != "":
		return t.explainDenial(t.newAttestationKey(t.attest.new))
	}
	return t.explainDenial(distrusted(t.attestKey(args)))
}

func (t *tool) newAttestationKey(name string) (err error) {
	dirs, err := t.new.dirs(t.dir)
	if err != nil {
		return err
	}
	template := provider.Template{Attestation: true}
	if template.PIN, err = t.firstPIN(name); err != nil {
		return err
	}
	defer clear(template.PIN)
	key, err := t.open(dirs...).Create(name, template)
	if err != nil {
		return err
	}
	t.say("made attestation key %q: what verifiers trust is its public part, as tpmkey pub -tpm prints it", name)
	if err := t.sayWhoCounts(key); err != nil {
		return err
	}
	return t.printAnchor(key)
}

func (t *tool) attestKey(args []string) error {
	name, err := oneName(args)
	if err != nil {
		return err
	}
	nonce, err := nonceOf("nonce", t.attest.nonce)
	if err != nil {
		return err
	}
	keys := t.open()
	keys.AskPIN(t.askAttestationPIN)
	k, err := keys.Key(name)
	if err != nil {
		return err
	}
	ak, err := keys.Key(t.attest.ak)
	if err != nil {
		return err
	}
	evidence, err := k.Attest(ak, nonce)
	if err != nil {
		return err
	}
	return t.result(evidence, 0o666)
}

// askAttestationPIN has a file for one of the two keys.
func (t *tool) askAttestationPIN(k *provider.Key, wrong error) ([]byte, error) {
	if k.Attests() {
		return t.askPIN(k, wrong)
	}
	return t.askPerson(k, wrong, "")
}

// nonceOf reads what a flag says in hexadecimal; nil where it says nothing.
func nonceOf(name, text string) ([]byte, error) {
	nonce, err := hex.DecodeString(text)
	switch {
	case err != nil:
		return nil, usageError(fmt.Sprintf("-%s %.80q: not hexadecimal", name, text))
	case len(nonce) > provider.MaxNonce:
		return nil, usageError(fmt.Sprintf("-%s: %d bytes, more than %d", name, len(nonce), provider.MaxNonce))
	}
	return nonce, nil
}

// printAnchor prints what package attest reads as an anchor.
func (t *tool) printAnchor(k *provider.Key) error {
	text, err := k.Anchor()
	if err != nil {
		return err
	}
	_, err = t.stdout.Write(text)
	return err
}
