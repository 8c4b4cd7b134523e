package signer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// A key that only attests is refused when it is opened, and not in the middle of a handshake.
func TestOpenAttestationKey(t *testing.T) {
	spec, dir := tpmtest.SWTPM(t), t.TempDir()
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.OpenWithProfile(spec, "attest") })
	_, err := p.Create("ak", provider.Template{Attestation: true})
	p.Close()
	if err != nil {
		t.Fatal(err)
	}
	if k, err := signer.Open("ak", signer.WithDirs(dir), signer.WithDevice(spec)); !errors.Is(err, provider.ErrUsage) || !strings.Contains(err.Error(), "it is for tpmkey attest") || k != nil {
		t.Errorf("%v, %v", k, err)
	}
}
