package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
)

// startServer serves with a key in software and returns the address and what a
// client needs to trust it.
func startServer(t *testing.T) (string, *tls.Config) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := certify(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig(der, key))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- serve(listener) }()
	t.Cleanup(func() {
		listener.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	trusted := x509.NewCertPool()
	trusted.AddCert(certificate)
	return listener.Addr().String(), &tls.Config{RootCAs: trusted}
}

func TestServe(t *testing.T) {
	address, client := startServer(t)
	for range 2 {
		conn, err := tls.Dial("tcp", address, client)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != "hello from a key in a TPM\n" {
			t.Errorf("%q, error %v", got, err)
		}
		conn.Close()
	}
}

// A client that is no TLS client, or too old a one, must not end the server.
func TestServeAfterBadClients(t *testing.T) {
	address, client := startServer(t)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	conn.Close()
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	old := client.Clone()
	old.MaxVersion = tls.VersionTLS12
	if _, err := tls.Dial("tcp", address, old); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	good, err := tls.Dial("tcp", address, client)
	if err != nil {
		t.Fatal(err)
	}
	good.Close()
}
