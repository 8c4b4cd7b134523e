package main

import (
	"context"
	"crypto"
	"io"
	"os"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm-tools/client"
	legacy "github.com/google/go-tpm/legacy/tpm2"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
	"github.com/google/go-tpm/tpmutil"
	"go.step.sm/crypto/kms/apiv1"
	kms "go.step.sm/crypto/kms/tpmkms"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/signer"
)

func tpmkey(socket string) (crypto.Signer, error) {
	dir, err := os.MkdirTemp("", "handshakes-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open("unix:" + socket) })
	key, err := p.Create("web", provider.Template{})
	if err != nil {
		return nil, err
	}
	return signer.New(key), nil
}

// goTPMTools has keys of one scheme each. That of TLS 1.3 is RSASSA-PSS.
func goTPMTools(socket string) (crypto.Signer, error) {
	scheme := legacy.AlgRSASSA
	if os.Args[2] == "1.3" {
		scheme = legacy.AlgRSAPSS
	}
	var rw io.ReadWriter = tpmutil.NewEmulatorReadWriteCloser(socket)
	key, err := client.NewKey(rw, legacy.HandleOwner, legacy.Public{
		Type: legacy.AlgRSA, NameAlg: legacy.AlgSHA256,
		Attributes:    legacy.FlagSign | legacy.FlagUserWithAuth | legacy.FlagSensitiveDataOrigin | legacy.FlagFixedTPM | legacy.FlagFixedParent,
		RSAParameters: &legacy.RSAParams{KeyBits: 2048, Sign: &legacy.SigScheme{Alg: scheme, Hash: legacy.AlgSHA256}},
	})
	if err != nil {
		return nil, err
	}
	return key.GetSigner()
}

// kept is a connection that a library closes after each signature.
type kept struct{ transport.TPMCloser }

func (kept) Close() error { return nil }

func goTPMKeyfiles(socket string) (crypto.Signer, error) {
	tpm, err := linuxudstpm.Open(socket)
	if err != nil {
		return nil, err
	}
	key, err := keyfile.NewLoadableKey(tpm, tpm2.TPMAlgRSA, 2048, nil)
	if err != nil {
		return nil, err
	}
	nothing := func() ([]byte, error) { return nil, nil }
	return keyfile.NewTPMKeySigner(key, nothing, func() transport.TPMCloser { return kept{tpm} },
		func(*keyfile.TPMKey) ([]byte, error) { return nil, nil }), nil
}

func tpmkms(socket string) (crypto.Signer, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "handshakes-")
	if err != nil {
		return nil, err
	}
	k, err := kms.New(ctx, apiv1.Options{Type: apiv1.TPMKMS, URI: "tpmkms:device=" + socket + ";storage-directory=" + dir})
	if err != nil {
		return nil, err
	}
	made, err := k.CreateKey(&apiv1.CreateKeyRequest{Name: "tpmkms:name=web", SignatureAlgorithm: apiv1.SHA256WithRSA, Bits: 2048})
	if err != nil {
		return nil, err
	}
	return k.CreateSigner(&made.CreateSignerRequest)
}
