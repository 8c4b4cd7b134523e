package signer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

func certificateFile(t *testing.T, path string, c *x509.Certificate) {
	t.Helper()
	os.Remove(path) // a file system's clock is coarse, but this makes another file
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A server has the new chain with the next handshake, and keeps the old one when the new file is no good.
func TestTLSCertificate(t *testing.T) {
	spec, dir := tpmtest.SWTPM(t), t.TempDir()
	makeKey(t, spec, dir, "")
	options := []signer.Option{signer.WithDevice(spec), signer.WithDirs(dir)}
	if _, err := signer.TLSCertificate("web", options...); !errors.Is(err, provider.ErrNoCertificate) {
		t.Errorf("without a certificate: %v", err)
	}
	key, err := signer.Open("web", options...)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	first, second := selfSigned(t, key, x509.SHA256WithRSA), selfSigned(t, key, x509.SHA256WithRSAPSS)
	key.Close()
	software, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "web.crt")
	certificateFile(t, path, first)
	c, err := signer.TLSCertificate("web", options...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	serves := func(what string, want *x509.Certificate) {
		t.Helper()
		var got *x509.Certificate
		roots := x509.NewCertPool()
		roots.AddCert(want)
		server := &tls.Config{GetCertificate: c.GetCertificate}
		client := &tls.Config{RootCAs: roots, ServerName: "localhost", VerifyConnection: func(s tls.ConnectionState) error {
			got = s.PeerCertificates[0]
			return nil
		}}
		if err := handshake(server, client); err != nil || !got.Equal(want) {
			t.Errorf("%s: another certificate is served, or none: %v", what, err)
		}
	}
	serves("at first", first)
	certificateFile(t, path, second)
	serves("after a change", second)
	if err := c.Err(); err != nil {
		t.Error(err)
	}
	certificateFile(t, path, selfSigned(t, software, x509.SHA256WithRSA))
	serves("with another key's certificate in the file", second)
	if !errors.Is(c.Err(), provider.ErrOtherKey) {
		t.Errorf("with another key's certificate in the file: %v", c.Err())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	serves("without a file", second)
	certificateFile(t, path, first)
	serves("with a file again", first)
}
