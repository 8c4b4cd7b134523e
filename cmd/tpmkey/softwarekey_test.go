package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// softwareKey puts a key file into a directory whose private part is in no TPM, and gives the key, a certificate of it, and one of another key.
func softwareKey(t *testing.T, dir, name string) (key *provider.Key, own, foreign []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := tpmtest.KeyFile(t, tpmtest.RSATemplate(), &private.PublicKey, tpmtest.OwnerParent)
	if err := os.WriteFile(filepath.Join(dir, name+".pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err = provider.Open([]string{dir}, nil).Key(name); err != nil {
		t.Fatal(err)
	}
	return key, selfSigned(t, private, name), selfSigned(t, other, name)
}

func selfSigned(t *testing.T, key *rsa.PrivateKey, name string) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
