//go:build check

package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/rogpeppe/go-internal/testscript"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// The programs, and the ways in which each comes by the PIN of the only key there is.
func TestConsumersWithPIN(t *testing.T) {
	tpmtest.Need(t, "bash", "openssl", "pkcs11-tool", "ssh-keygen", "pki", "setsid")
	testscript.Run(t, consumers(t, "testdata/pins", newGuarded))
}

// newGuarded is a user whose key has a PIN.
func newGuarded(t testing.TB) *setting {
	s := newShared(t)
	s.home = t.TempDir()
	p := provider.Open([]string{filepath.Join(s.home, "tpmkey")}, func() (transport.TPMCloser, error) { return device.Open(s.spec) })
	defer p.Close()
	var err error
	if s.key, err = p.Create("guarded", provider.Template{PIN: []byte("hunter22")}); err != nil {
		t.Fatal(err)
	}
	return s
}
