// Command tlsserver is the smallest TLS 1.3 server whose private key lives in a
// TPM: it certifies the key by itself, writes the certificate to a file for those
// who shall trust it, and answers each connection with one line.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"

	"tpmkey.example/signer"
)

func main() {
	name := flag.String("key", "", "serve with the key `NAME`")
	listen := flag.String("listen", "127.0.0.1:0", "listen on `HOST:PORT`")
	certificate := flag.String("certificate", "", "write the certificate to `FILE`")
	flag.Parse()
	if *name == "" || *certificate == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*name, *listen, *certificate); err != nil {
		fmt.Fprintln(os.Stderr, "tlsserver: error:", err)
		os.Exit(1)
	}
}

func run(name, listen, file string) error {
	key, err := signer.Open(name)
	if err != nil {
		return err
	}
	defer key.Close()
	der, err := certify(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", listen, serverConfig(der, key))
	if err != nil {
		return err
	}
	fmt.Println("tlsserver: listening on", listener.Addr())
	return serve(listener)
}

// certify has the key sign a certificate of its own for this machine, for one day.
func certify(key crypto.Signer) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "a key in a TPM"},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true,

		BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

func serverConfig(der []byte, key crypto.Signer) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13,
	}
}

// serve answers until the listener fails.
func serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go greet(conn)
	}
}

// greet answers one connection. A client that goes away early is its own affair.
func greet(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, "hello from a key in a TPM\n")
}
