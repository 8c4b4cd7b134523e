package signer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"sync"
)

// A Certificate is a key in the TPM with its certificate chain, for TLS. It is safe for concurrent use.
type Certificate struct {
	*Key

	mu      sync.Mutex
	file    os.FileInfo // that was read last; nil: there was none
	current *tls.Certificate
	err     error // of the last reading, which then has changed nothing
}

// TLSCertificate opens the key of a name with the chain beside it, NAME.crt (`tpmkey cert` attaches one). It is ready to serve:
//
//	certificate, err := signer.TLSCertificate("web")
//	server := &http.Server{TLSConfig: &tls.Config{GetCertificate: certificate.GetCertificate}}
//
// When the file changes, the next handshake has the new chain. The errors are provider's.
func TLSCertificate(name string, opts ...Option) (*Certificate, error) {
	key, err := Open(name, opts...)
	if err != nil {
		return nil, err
	}
	c := &Certificate{Key: key}
	if c.reload(); c.err != nil {
		key.Close()
		return nil, c.err
	}
	return c, nil
}

// TLS is the certificate as it is now, for tls.Config.Certificates.
func (c *Certificate) TLS() tls.Certificate { return *c.reload() }

// GetCertificate is for tls.Config.GetCertificate of servers. A handshake that is given up does not go on waiting for the TPM.
func (c *Certificate) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.within(hello.Context()), nil
}

// GetClientCertificate is for tls.Config.GetClientCertificate of clients, likewise.
func (c *Certificate) GetClientCertificate(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.within(request.Context()), nil
}

func (c *Certificate) within(ctx context.Context) *tls.Certificate {
	certificate := *c.reload()
	certificate.PrivateKey = c.WithContext(ctx)
	return &certificate
}

// Err tells why the file, as it is now, is not what is served: nil when it is. A chain that is broken, or of another key, does not take the place of a good one.
func (c *Certificate) Err() error {
	c.reload()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// reload reads the chain if its file has changed.
func (c *Certificate) reload() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	file, _ := os.Stat(c.key.CertificatePath()) // without one, reading it tells why
	if c.current != nil && isSame(file, c.file) {
		return c.current
	}
	chain, err := c.key.Chain()
	if c.file, c.err = file, err; err == nil {
		c.current = c.certificate(chain)
	}
	return c.current
}

// isSame tells whether a file is as it was.
func isSame(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func (c *Certificate) certificate(chain []*x509.Certificate) *tls.Certificate {
	t := &tls.Certificate{PrivateKey: c.Key, Leaf: chain[0]}
	for _, one := range chain {
		t.Certificate = append(t.Certificate, one.Raw)
	}
	return t
}
