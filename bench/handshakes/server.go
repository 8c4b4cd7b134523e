package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"time"
)

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// A server is both ends of handshakes of one TLS version.
type server struct{ server, client *tls.Config }

// newServer has a software key sign the certificate: how a library signs one is not what is measured.
func newServer(key crypto.Signer, version uint16) (*server, error) {
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, NotBefore: issuer.NotBefore, NotAfter: issuer.NotAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), authority)
	if err != nil {
		return nil, err
	}
	issuer.Raw, err = x509.CreateCertificate(rand.Reader, issuer, issuer, authority.Public(), authority)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(issuer.Raw)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(root)
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if version == tls.VersionTLS12 { // what all libraries can do there
		certificate.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA256}
	}
	return &server{
		&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: version, MaxVersion: version, SessionTicketsDisabled: true},
		&tls.Config{RootCAs: trusted, ServerName: "localhost"},
	}, nil
}

// handshake makes one over a pipe.
func (s *server) handshake() error {
	far, near := net.Pipe()
	defer far.Close()
	defer near.Close()
	done := make(chan error, 1)
	go func() {
		err := tls.Server(far, s.server).Handshake()
		far.Close()
		done <- err
	}()
	err := tls.Client(near, s.client).Handshake()
	near.Close()
	return errors.Join(<-done, err)
}
