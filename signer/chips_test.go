package signer_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// onChip makes a key in a fake chip.
func onChip(t *testing.T, chip *tpmtest.RSAChip, bits int) *signer.Key {
	t.Helper()
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return chip, nil })
	k, err := p.Create("web", provider.Template{Bits: bits})
	if err != nil {
		t.Fatal(err)
	}
	return signer.New(k)
}

var sha2 = []tpm2.TPMAlgID{tpm2.TPMAlgSHA384, tpm2.TPMAlgSHA512}

// Chips that differ, but that have the bare RSA operation: a key there does all that one in software does.
func TestSuiteOnChips(t *testing.T) {
	for name, row := range map[string]struct {
		chip *tpmtest.RSAChip
		bits int
	}{
		"4096 bits":                   {&tpmtest.RSAChip{}, 4096},
		"without 3072 bits":           {&tpmtest.RSAChip{Sizes: []int{2048}}, 2048},
		"longest salt":                {&tpmtest.RSAChip{LongestSalt: true}, 2048},
		"without SHA-384 and SHA-512": {&tpmtest.RSAChip{Lacks: sha2}, 2048},
		"without SHA-1":               {&tpmtest.RSAChip{Lacks: []tpm2.TPMAlgID{tpm2.TPMAlgSHA1}, LongestSalt: true}, 2048},
		"without any hash":            {&tpmtest.RSAChip{Lacks: append(sha2, tpm2.TPMAlgSHA1, tpm2.TPMAlgSHA256)}, 2048},
	} {
		t.Run(name, func(t *testing.T) { runSuite(t, onChip(t, row.chip, row.bits)) })
	}
}

// Handshakes on chips that lack more: what can be works, and what cannot says why.
func TestTLSOnChips(t *testing.T) {
	const (
		works     = ""
		longSalts = "this TPM does not make PSS salts of 32 bytes by itself"
		noHash    = "the TPM does not have this hash"
	)
	for name, row := range map[string]struct {
		chip *tpmtest.RSAChip
		want map[string]string // by handshake
	}{
		"without the bare operation": {&tpmtest.RSAChip{NoRaw: true}, map[string]string{
			"1.3": works, "1.2": works, "1.2, PKCS #1 v1.5": works, "1.2, PKCS #1 v1.5 with SHA-512": works, "1.2, RSA key exchange": works}},
		"without the bare operation, longest salt": {&tpmtest.RSAChip{NoRaw: true, LongestSalt: true}, map[string]string{
			"1.3": longSalts, "1.2": longSalts, "1.2, PKCS #1 v1.5": works, "1.2, PKCS #1 v1.5 with SHA-512": works, "1.2, RSA key exchange": works}},
		"without the bare operation and SHA-512": {&tpmtest.RSAChip{NoRaw: true, Lacks: sha2}, map[string]string{
			"1.3": works, "1.2": works, "1.2, PKCS #1 v1.5": works, "1.2, PKCS #1 v1.5 with SHA-512": noHash, "1.2, RSA key exchange": works}},
		"without the bare operation and SHA-256": {&tpmtest.RSAChip{NoRaw: true, Lacks: []tpm2.TPMAlgID{tpm2.TPMAlgSHA256}}, map[string]string{
			"1.3": noHash, "1.2": noHash, "1.2, PKCS #1 v1.5": noHash, "1.2, PKCS #1 v1.5 with SHA-512": works, "1.2, RSA key exchange": works}},
	} {
		t.Run(name, func(t *testing.T) {
			key := onChip(t, row.chip, 2048)
			for _, h := range handshakes {
				want, ok := row.want[h.name]
				if !ok {
					t.Fatalf("%s is not in the row", h.name)
				}
				err := serve(t, key, h.algorithms, h.config.Clone())
				if (err == nil) != (want == works) || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", h.name, err, want)
				}
			}
		})
	}
}

// handshakes are what a server may be asked for. Go's prefers PSS unless its certificate names other algorithms.
var handshakes = []struct {
	name       string
	algorithms []tls.SignatureScheme
	config     *tls.Config
}{
	{"1.3", nil, &tls.Config{MinVersion: tls.VersionTLS13}},
	{"1.2", nil, &tls.Config{MaxVersion: tls.VersionTLS12}},
	{"1.2, PKCS #1 v1.5", []tls.SignatureScheme{tls.PKCS1WithSHA256}, &tls.Config{MaxVersion: tls.VersionTLS12}},
	{"1.2, PKCS #1 v1.5 with SHA-512", []tls.SignatureScheme{tls.PKCS1WithSHA512}, &tls.Config{MaxVersion: tls.VersionTLS12}},
	{"1.2, RSA key exchange", nil, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}},
}

// serve does one handshake with a server that has the key, and gives the server's error.
func serve(t *testing.T, key *signer.Key, algorithms []tls.SignatureScheme, config *tls.Config) error {
	t.Helper()
	authority, err := rsa.GenerateKey(rand.Reader, 2048) // the key may lack what a certificate needs
	if err != nil {
		t.Fatal(err)
	}
	root := selfSigned(t, authority, x509.SHA256WithRSA)
	template := *root
	template.PublicKey, template.IsCA = nil, false
	der, err := x509.CreateCertificate(rand.Reader, &template, root, key.Public(), authority)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, SupportedSignatureAlgorithms: algorithms}}
	config.RootCAs, config.ServerName = roots, "localhost"
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client := make(chan error, 1)
	go func() { client <- tls.Client(b, config).Handshake() }()
	err = tls.Server(a, config).Handshake()
	a.Close() // the client waits no more
	if clientErr := <-client; err == nil && clientErr != nil {
		return errors.New("the client says: " + clientErr.Error())
	}
	return err
}

// A key is created in a size that the chip has, or not at all.
func TestChipWithout3072(t *testing.T) {
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return &tpmtest.RSAChip{Sizes: []int{2048}}, nil })
	if _, err := p.Create("web", provider.Template{Bits: 3072}); !errors.Is(err, provider.ErrSize) || !strings.Contains(err.Error(), "it has 2048") {
		t.Errorf("%v", err)
	}
}

// Without the bare operation the chip looks at the padding itself: a session key is still a random one when it is wrong, and says nothing.
func TestSessionKeyByChip(t *testing.T) {
	key := onChip(t, &tpmtest.RSAChip{NoRaw: true}, 2048)
	testSessionKey(t, key)
	if _, err := key.Sign(rand.Reader, sum(crypto.SHA256), &rsa.PSSOptions{SaltLength: 8, Hash: crypto.SHA256}); !errors.Is(err, provider.ErrUsage) {
		t.Errorf("a salt that the chip does not make: %v", err)
	}
}
