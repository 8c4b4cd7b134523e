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

	"tpmkey.example/signer"
)

// A TLS server, with HTTP/2, whose private key never leaves the TPM. The key was made with `tpmkey new web`, its certificate with `tpmkey cert`; when that is
// renewed, the server has the new one with the next connection.
func Example_tlsServer() {
	certificate, err := signer.TLSCertificate("web")
	if err != nil {
		log.Fatal(err)
	}
	defer certificate.Close()
	server := &http.Server{Addr: "localhost:8443", TLSConfig: &tls.Config{GetCertificate: certificate.GetCertificate}}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

// A client that proves who it is with a key in the TPM.
func Example_tlsClient() {
	certificate, err := signer.TLSCertificate("me")
	if err != nil {
		log.Fatal(err)
	}
	defer certificate.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{GetClientCertificate: certificate.GetClientCertificate}}}
	response, err := client.Get("https://service.example/")
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
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
	fmt.Printf("%d bytes\n", len(der))
}

// An SSH client that logs in with a key in the TPM.
func Example_ssh() {
	key, err := signer.Open("login")
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(os.Getenv("HOST_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	client, err := ssh.Dial("tcp", "host.example:22", &ssh.ClientConfig{
		User:            "me",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(s)},
		HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		log.Fatal(err)
	}
	client.Close()
}
