package main

import (
	"flag"

	"tpmkey.example/provider"
)

const pubDetails = `
The form is OpenSSH's, for authorized_keys.

  -pem          as PEM instead (SubjectPublicKeyInfo)
  -tpm          of an attestation key: as PEM of the TPM's own form, which shows that it
                is one; tpmkey verify -ak trusts it
  -json         a JSON object with the first two: name, ssh, pem
`

func pubFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.BoolVar(&t.pem, "pem", false, "")
	f.BoolVar(&t.tpmForm, "tpm", false, "")
}

func runPub(t *tool, args []string) error {
	switch {
	case t.pem && t.json:
		return usageError("-pem and -json are two forms; -json has the PEM in it")
	case t.tpmForm && (t.pem || t.json):
		return usageError("-tpm is a form of its own, without -pem and -json")
	}
	k, err := t.key(args)
	if err != nil {
		return err
	}
	switch {
	case t.json:
		return t.printPublicJSON(k)
	case t.tpmForm:
		return t.printAnchor(k)
	case t.pem:
		text, err := publicPEM(k)
		if err != nil {
			return err
		}
		_, err = t.stdout.Write(text)
		return err
	}
	return t.printPublic(k)
}

func (t *tool) printPublic(k *provider.Key) error {
	line, err := k.AuthorizedKey()
	if err != nil {
		return err
	}
	_, err = t.stdout.Write(line)
	return err
}
