// Crypto11 uses the PKCS #11 module that it is given as programs do that import github.com/ThalesGroup/crypto11. It is a module of its own: tpmkey needs
// nothing of that.
package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/ThalesGroup/crypto11"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "crypto11:", err)
		os.Exit(1)
	}
}

// uses are what the program does with each key. It prints the name of what worked.
var uses = []struct {
	name string
	do   func(*crypto11.Context, crypto11.SignerDecrypter) error
}{
	{"PKCS1v15", signsPKCS1v15},
	{"PSS", signsPSS},
	{"decrypt", decrypts},
	{"OAEP", decryptsOAEP},
	{"TLS", serves},
	{"random", random},
}

func run(module string) error {
	context, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: "tpmkey"})
	if err != nil {
		return err
	}
	for _, key := range []struct {
		name string
		find func() (crypto11.SignerDecrypter, error)
	}{
		{"found", func() (crypto11.SignerDecrypter, error) { return context.FindRSAKeyPair(nil, []byte("demo")) }},
		{"made", func() (crypto11.SignerDecrypter, error) { return made(context) }},
	} {
		found, err := key.find()
		if err != nil || found == nil {
			return fmt.Errorf("no key %s: %v", key.name, err)
		}
		for _, use := range uses {
			if err := use.do(context, found); err != nil {
				return fmt.Errorf("%s, %s: %w", key.name, use.name, err)
			}
			fmt.Println(key.name, use.name)
		}
	}
	return context.Close()
}

// made is a key that is generated, and found again.
func made(context *crypto11.Context) (crypto11.SignerDecrypter, error) {
	key, err := context.GenerateRSAKeyPairWithLabel([]byte{7}, []byte("made"), 2048)
	if err != nil {
		return nil, err
	}
	found, err := context.FindRSAKeyPair([]byte{7}, []byte("made"))
	if err == nil && (found == nil || !key.Public().(*rsa.PublicKey).Equal(found.Public())) {
		err = fmt.Errorf("another key was found")
	}
	return found, err
}

func public(key crypto11.SignerDecrypter) *rsa.PublicKey { return key.Public().(*rsa.PublicKey) }

func signsPKCS1v15(_ *crypto11.Context, key crypto11.SignerDecrypter) error {
	digest := sha256.Sum256([]byte("data"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	return rsa.VerifyPKCS1v15(public(key), crypto.SHA256, digest[:], signature)
}

func signsPSS(_ *crypto11.Context, key crypto11.SignerDecrypter) error {
	digest := sha256.Sum256([]byte("data"))
	options := &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256}
	signature, err := key.Sign(rand.Reader, digest[:], options)
	if err != nil {
		return err
	}
	return rsa.VerifyPSS(public(key), crypto.SHA256, digest[:], signature, options)
}

func decrypts(_ *crypto11.Context, key crypto11.SignerDecrypter) error {
	ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, public(key), []byte("secret"))
	if err != nil {
		return err
	}
	return wants(key, ciphertext, nil)
}

func decryptsOAEP(_ *crypto11.Context, key crypto11.SignerDecrypter) error {
	label := []byte("a label")
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public(key), []byte("secret"), label)
	if err != nil {
		return err
	}
	return wants(key, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: label})
}

func wants(key crypto11.SignerDecrypter, ciphertext []byte, options crypto.DecrypterOpts) error {
	plaintext, err := key.Decrypt(rand.Reader, ciphertext, options)
	if err == nil && !bytes.Equal(plaintext, []byte("secret")) {
		err = fmt.Errorf("decrypted %q", plaintext)
	}
	return err
}

// serves makes a certificate, keeps it on the token, finds it there with its key, and shows it to a client.
func serves(context *crypto11.Context, key crypto11.SignerDecrypter) error {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return err
	}
	id, err := context.GetAttribute(key, crypto11.CkaId)
	if err != nil {
		return err
	}
	if err := context.ImportCertificateWithLabel(id.Value, []byte("certificate"), certificate); err != nil {
		return err
	}
	paired, err := context.FindAllPairedCertificates()
	if err != nil {
		return err
	}
	for _, pair := range paired {
		if pair.Leaf.Equal(certificate) {
			return handshake(pair)
		}
	}
	return fmt.Errorf("the certificate is not among %d", len(paired))
}

func handshake(pair tls.Certificate) error {
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	near, far := net.Pipe()
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})
	served := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("x"))
		served <- err
	}()
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		return err
	}
	return <-served
}

func random(context *crypto11.Context, _ crypto11.SignerDecrypter) error {
	source, err := context.NewRandomReader()
	if err != nil {
		return err
	}
	zeros, got := make([]byte, 32), make([]byte, 32)
	if _, err := io.ReadFull(source, got); err != nil {
		return err
	}
	if bytes.Equal(got, zeros) {
		return fmt.Errorf("only zeros")
	}
	return nil
}
