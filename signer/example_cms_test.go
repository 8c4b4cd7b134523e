package signer_test

import (
	"fmt"
	"log"
	"os"

	"github.com/smallstep/pkcs7"

	"tpmkey.example/signer"
)

// A detached signature of a file in the CMS form (RFC 5652), as it is used to sign code, firmware and mail. It is checked with
// `openssl cms -verify -binary -inform DER -in program.p7s -content program`.
func Example_codeSigning() {
	certificate, err := signer.TLSCertificate("web")
	if err != nil {
		log.Fatal(err)
	}
	defer certificate.Close()
	program := []byte("#!/bin/sh\necho hello\n")
	signed, err := pkcs7.NewSignedData(program)
	if err != nil {
		log.Fatal(err)
	}
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	pair := certificate.TLS()
	if err := signed.AddSigner(pair.Leaf, pair.PrivateKey, pkcs7.SignerInfoConfig{}); err != nil {
		log.Fatal(err)
	}
	signed.Detach()
	signature, err := signed.Finish()
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range map[string][]byte{"program": program, "program.p7s": signature} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("signed by", pair.Leaf.Subject)
	// Output: signed by CN=localhost
}
