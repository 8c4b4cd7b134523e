package signer_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"tpmkey.example/signer"
)

// A TLS server whose private key never leaves the TPM, and a client that proves with the same key who it is. The key was made with `tpmkey new web`, its
// certificate with `tpmkey cert`; when that is renewed, the server has the new one with the next connection.
func Example_tlsServer() {
	certificate, err := signer.TLSCertificate("web")
	if err != nil {
		log.Fatal(err)
	}
	defer certificate.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(certificate.TLS().Leaf)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: certificate.GetCertificate,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted, NextProtos: []string{"h2"}})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{}
	go server.Serve(listener)
	defer server.Close()

	client, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: trusted, ServerName: "localhost",
		GetClientCertificate: certificate.GetClientCertificate, NextProtos: []string{"h2"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	state := client.ConnectionState()
	fmt.Println(tls.VersionName(state.Version), state.NegotiatedProtocol)
	// Output: TLS 1.3 h2
}

// A self-signed certificate for a key in the TPM.
func Example_certificate() {
	key, err := signer.Open("web")
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now(),
		NotAfter:     time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(certificate.Subject, "signed with", certificate.SignatureAlgorithm)
	// Output: CN=localhost signed with SHA256-RSA
}

// An SSH client that logs in with a key in the TPM.
func Example_ssh() {
	key, err := signer.Open("web")
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	known, err := knownhosts.New("known_hosts")
	if err != nil {
		log.Fatal(err)
	}
	client, err := ssh.Dial("tcp", os.Getenv("HOST_AND_PORT"), &ssh.ClientConfig{
		User:            "me",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(s)},
		HostKeyCallback: known,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println("logged in as", client.User())
	// Output: logged in as me
}
