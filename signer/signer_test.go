package signer_test

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/crypto/ssh"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// A private key as the suite uses it.
type private interface {
	crypto.Signer
	crypto.Decrypter
}

// suite is what every private key must be able to do; a key in software shows that the suite itself is right.
var suite = []struct {
	name string
	test func(t *testing.T, key private)
}{
	{"sign", testSign}, {"decrypt", testDecrypt}, {"session key", testSessionKey},
	{"certificate", testCertificate}, {"tls", testTLS}, {"ssh", testSSH}, {"concurrent", testConcurrent},
}

func TestSuite(t *testing.T) {
	t.Run("software", func(t *testing.T) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		runSuite(t, key)
	})
	tpmtest.Emulators(t, func(t *testing.T, spec string) { runSuite(t, newKey(t, spec, "")) })
	t.Run("with a PIN", func(t *testing.T) { runSuite(t, newKey(t, tpmtest.SWTPM(t), "1234")) })
}

func runSuite(t *testing.T, key private) {
	for _, s := range suite {
		t.Run(s.name, func(t *testing.T) { s.test(t, key) })
	}
}

// makeKey makes a key "web" in an emulator.
func makeKey(t testing.TB, spec, dir, pin string) {
	t.Helper()
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	defer p.Close() // swtpm serves one client at a time
	if _, err := p.Create("web", provider.Template{PIN: []byte(pin)}); err != nil {
		t.Fatal(err)
	}
}

// newKey makes a key in an emulator and opens it by its name.
func newKey(t testing.TB, spec, pin string) *signer.Key {
	t.Helper()
	dir := t.TempDir()
	makeKey(t, spec, dir, pin)
	key, err := signer.Open("web", signer.WithDevice(spec), signer.WithDirs(dir), signer.WithPIN(func(name string, wrong error) ([]byte, error) {
		if name != "web" || wrong != nil {
			t.Errorf("asked for the PIN of %q after %v", name, wrong)
		}
		return []byte(pin), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close(); key.Close() })
	return key
}

var message = []byte("what is signed")

func sum(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

func testSign(t *testing.T, key private) {
	public := key.Public().(*rsa.PublicKey)
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		signature, err := key.Sign(rand.Reader, sum(hash), hash)
		if err != nil || rsa.VerifyPKCS1v15(public, hash, sum(hash), signature) != nil {
			t.Errorf("PKCS #1 v1.5 with %v: %v", hash, err)
		}
		for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, rsa.PSSSaltLengthAuto, 8} {
			opts := &rsa.PSSOptions{SaltLength: salt, Hash: hash}
			signature, err := key.Sign(rand.Reader, sum(hash), opts)
			if err != nil || rsa.VerifyPSS(public, hash, sum(hash), signature, opts) != nil {
				t.Errorf("PSS with %v and salt length %d: %v", hash, salt, err)
			}
		}
	}
	if _, err := key.Sign(rand.Reader, message, crypto.SHA256); err == nil {
		t.Error("a digest of the wrong length was signed")
	}
	if _, err := key.Sign(rand.Reader, sum(crypto.SHA256), &rsa.PSSOptions{SaltLength: 1000, Hash: crypto.SHA256}); err == nil {
		t.Error("a salt of 1000 bytes was taken")
	}
}

func testDecrypt(t *testing.T, key private) {
	public := key.Public().(*rsa.PublicKey)
	for _, opts := range []*rsa.OAEPOptions{{Hash: crypto.SHA256}, {Hash: crypto.SHA256, Label: []byte("label")}, {Hash: crypto.SHA1, MGFHash: crypto.SHA256}} {
		ciphertext, err := rsa.EncryptOAEPWithOptions(rand.Reader, public, message, opts)
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := key.Decrypt(rand.Reader, ciphertext, opts); err != nil || !bytes.Equal(plaintext, message) {
			t.Errorf("OAEP with %+v: %q, %v", opts, plaintext, err)
		}
	}
	ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, public, message)
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range []crypto.DecrypterOpts{nil, &rsa.PKCS1v15DecryptOptions{}} {
		if plaintext, err := key.Decrypt(rand.Reader, ciphertext, opts); err != nil || !bytes.Equal(plaintext, message) {
			t.Errorf("PKCS #1 v1.5 with %+v: %q, %v", opts, plaintext, err)
		}
	}
	if _, err := key.Decrypt(rand.Reader, ciphertext, crypto.SHA256); err == nil {
		t.Error("options of an unknown type were taken")
	}
}

// A wrong ciphertext gives a random session key and no error: there is nothing for an attacker to see.
func testSessionKey(t *testing.T, key private) {
	public := key.Public().(*rsa.PublicKey)
	secret := bytes.Repeat([]byte{7}, 48)
	opts := &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(secret)}
	ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, public, secret)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := key.Decrypt(rand.Reader, ciphertext, opts); err != nil || !bytes.Equal(plaintext, secret) {
		t.Errorf("right ciphertext: %x, %v", plaintext, err)
	}
	short, err := rsa.EncryptPKCS1v15(rand.Reader, public, secret[1:])
	if err != nil {
		t.Fatal(err)
	}
	last := len(ciphertext) - 1
	for name, bad := range map[string][]byte{"shorter secret": short, "damaged": append(ciphertext[:last:last], ciphertext[last]^1)} {
		if plaintext, err := key.Decrypt(rand.Reader, bad, opts); err != nil || len(plaintext) != len(secret) || bytes.Equal(plaintext, secret) {
			t.Errorf("%s: %x, %v", name, plaintext, err)
		}
	}
}

func selfSigned(t testing.TB, key crypto.Signer, algorithm x509.SignatureAlgorithm) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: algorithm,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func testCertificate(t *testing.T, key private) {
	for _, algorithm := range []x509.SignatureAlgorithm{x509.SHA256WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS} {
		certificate := selfSigned(t, key, algorithm)
		if err := certificate.CheckSignatureFrom(certificate); err != nil {
			t.Errorf("%v: %v", algorithm, err)
		}
	}
}

func testTLS(t *testing.T, key private) {
	certificate := selfSigned(t, key, x509.SHA256WithRSA)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	own := []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}
	for _, row := range []struct {
		name    string
		version uint16
		ciphers []uint16
	}{
		{"1.3", tls.VersionTLS13, nil},
		{"1.2, ECDHE", tls.VersionTLS12, nil},
		{"1.2, RSA key exchange", tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		server := &tls.Config{Certificates: own, MinVersion: row.version, MaxVersion: row.version, CipherSuites: row.ciphers,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
		client := &tls.Config{Certificates: own, RootCAs: roots, ServerName: "localhost", CipherSuites: row.ciphers}
		if err := handshake(server, client); err != nil {
			t.Errorf("TLS %s: %v", row.name, err)
		}
	}
}

func handshake(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		s := tls.Server(a, server)
		io.Copy(s, s)
	}()
	c := tls.Client(b, client)
	if _, err := c.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(message)))
	return err
}

func testSSH(t *testing.T, key private) {
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512} {
		signature, err := s.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, message, algorithm)
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
		} else if err := s.PublicKey().Verify(message, signature); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

func testConcurrent(t *testing.T, key private) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			signature, err := key.Sign(rand.Reader, sum(crypto.SHA256), crypto.SHA256)
			if err != nil || rsa.VerifyPKCS1v15(key.Public().(*rsa.PublicKey), crypto.SHA256, sum(crypto.SHA256), signature) != nil {
				t.Errorf("sign: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestOpenUnknown(t *testing.T) {
	if _, err := signer.Open("nothing", signer.WithDirs(t.TempDir())); err == nil {
		t.Error("a key that is not there was opened")
	}
}
