package signer_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"golang.org/x/crypto/acme"

	"tpmkey.example/signer"
)

// A certificate by ACME (RFC 8555) for a key in the TPM. The account has a key of its own there, made with `tpmkey new acme`. The server asks for a token
// at http://localhost/, which is HTTP_ADDRESS here and would be ":80".
func Example_acme() {
	request, err := requestFor("web", "localhost")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	account, err := signer.Open("acme")
	if err != nil {
		log.Fatal(err)
	}
	defer account.Close()
	client := &acme.Client{Key: account, DirectoryURL: os.Getenv("ACME_DIRECTORY")}
	if _, err := client.Register(ctx, &acme.Account{}, acme.AcceptTOS); err != nil {
		log.Fatal(err)
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs("localhost"))
	if err != nil {
		log.Fatal(err)
	}
	for _, url := range order.AuthzURLs {
		if err := proveByHTTP(ctx, client, url); err != nil {
			log.Fatal(err)
		}
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(chain[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a certificate for", certificate.DNSNames, "and a chain of", len(chain))
	// Output: a certificate for [localhost] and a chain of 2
}

// requestFor is the request (PKCS #10) for a certificate of a key.
func requestFor(name, host string) ([]byte, error) {
	key, err := signer.Open(name)
	if err != nil {
		return nil, err
	}
	defer key.Close()
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, key)
}

// proveByHTTP answers the challenge http-01 of an authorization.
func proveByHTTP(ctx context.Context, client *acme.Client, url string) error {
	authorization, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return err
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type != "http-01" {
			continue
		}
		token, err := client.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return err
		}
		answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, token) }
		mux := http.NewServeMux()
		mux.HandleFunc(client.HTTP01ChallengePath(challenge.Token), answer)
		server := &http.Server{Addr: os.Getenv("HTTP_ADDRESS"), Handler: mux}
		go server.ListenAndServe()
		defer server.Close()
		if _, err := client.Accept(ctx, challenge); err != nil {
			return err
		}
		_, err = client.WaitAuthorization(ctx, url)
		return err
	}
	return fmt.Errorf("%s has no challenge http-01", url)
}
