package provider_test

import (
	"bytes"
	"crypto"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// What is written out by hand has the same bytes as what go-tpm makes.
func TestQuickCommands(t *testing.T) {
	recorder := tpmtest.Record(tpmtest.Dial(t, tpmtest.SWTPM(t)))
	k := create(t, provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return closer{recorder}, nil }), "web")
	digest, block := sum(crypto.SHA256), make([]byte, k.Public().Size())
	if _, err := k.SignPKCS1v15(crypto.SHA256, digest); err != nil {
		t.Fatal(err)
	}
	if _, err := k.RawRSA(block); err != nil {
		t.Fatal(err)
	}
	log := recorder.Log()
	quick := log[len(log)-2:]
	loaded := uint32(quick[0].Command[10])<<24 | uint32(quick[0].Command[13])
	key := tpm2.AuthHandle{Handle: tpm2.TPMHandle(loaded), Auth: tpm2.PasswordAuth(nil)}
	tpm2.Sign{KeyHandle: key, Digest: tpm2.TPM2BDigest{Buffer: digest},
		InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}}.Execute(recorder)
	tpm2.RSADecrypt{KeyHandle: key, CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: block}, InScheme: tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgNull}}.Execute(recorder)
	log = recorder.Log()
	for i, slow := range log[len(log)-2:] {
		if !bytes.Equal(quick[i].Command, slow.Command) {
			t.Errorf("%x\n%x", quick[i].Command, slow.Command)
		}
	}
}
