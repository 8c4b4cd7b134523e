package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"tpmkey.example/provider"
	"tpmkey.example/signer"
)

// A sanList is what -san flags name (RFC 5280, 4.2.1.6).
type sanList struct {
	hosts     []string
	addresses []net.IP
	mails     []string
	uris      []*url.URL
}

func (l *sanList) String() string { return "" }

// Set takes one name: what it is shows in its form.
func (l *sanList) Set(name string) error {
	if u, err := url.Parse(name); err == nil && u.Scheme != "" && u.Host != "" {
		l.uris = append(l.uris, u)
		return nil
	}
	if ip := net.ParseIP(name); ip != nil {
		l.addresses = append(l.addresses, ip)
		return nil
	}
	if a, err := mail.ParseAddress(name); err == nil && a.Address == name {
		l.mails = append(l.mails, name)
		return nil
	}
	if !isHost(name) {
		return fmt.Errorf("it is neither a host, nor an address, an e-mail address or a URI")
	}
	l.hosts = append(l.hosts, name)
	return nil
}

// isHost takes names of letters, digits, dashes and dots, with a star in front or not.
func isHost(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return len(name) <= 253
}

// attributes are the parts of a subject that can be named.
var attributes = map[string]func(*pkix.Name, string){
	"CN": func(n *pkix.Name, v string) { n.CommonName = v },
	"O":  func(n *pkix.Name, v string) { n.Organization = append(n.Organization, v) },
	"OU": func(n *pkix.Name, v string) { n.OrganizationalUnit = append(n.OrganizationalUnit, v) },
	"C":  func(n *pkix.Name, v string) { n.Country = append(n.Country, v) },
	"ST": func(n *pkix.Name, v string) { n.Province = append(n.Province, v) },
	"L":  func(n *pkix.Name, v string) { n.Locality = append(n.Locality, v) },
}

// parseSubject reads "CN=host,O=Firm"; a backslash takes its meaning from a comma.
func parseSubject(text string) (name pkix.Name, err error) {
	for _, part := range splitUnescaped(text) {
		attribute, value, ok := strings.Cut(part, "=")
		set := attributes[strings.ToUpper(strings.TrimSpace(attribute))]
		if !ok || set == nil || value == "" {
			return name, usageError(fmt.Sprintf("-subject: %q is not one of CN=…, O=…, OU=…, C=…, ST=…, L=…", part))
		}
		set(&name, value)
	}
	return name, nil
}

// splitUnescaped splits at commas.
func splitUnescaped(text string) []string {
	var parts []string
	var part strings.Builder
	escaped := false
	for _, c := range text {
		switch {
		case c == '\\' && !escaped:
			escaped = true
			continue
		case c == ',' && !escaped:
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteRune(c)
		}
		escaped = false
	}
	return append(parts, part.String())
}

// subject is whose certificate it shall be.
func (t *tool) subject(k *provider.Key) (pkix.Name, error) {
	if t.cert.subject == "" {
		return pkix.Name{CommonName: k.Name()}, nil
	}
	return parseSubject(t.cert.subject)
}

// runCSR prints a request for a certificate.
func runCSR(t *tool, args []string) error {
	keys, k, err := t.keyAmong(args)
	if err != nil {
		return err
	}
	subject, err := t.subject(k)
	if err != nil {
		return err
	}
	keys.AskPIN(t.askPIN)
	names := t.cert.names
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, SignatureAlgorithm: x509.SHA256WithRSA,
		DNSNames: names.hosts, IPAddresses: names.addresses, EmailAddresses: names.mails, URIs: names.uris}, signer.New(k))
	if err != nil {
		return err
	}
	return pem.Encode(t.stdout, &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// selfSign makes a certificate that the key itself signs, and attaches it.
func (t *tool) selfSign(keys *provider.Provider, k *provider.Key) error {
	if t.cert.days < 1 || t.cert.days > 36500 {
		return usageError(fmt.Sprintf("-days %d: a certificate is valid for 1 to 36500", t.cert.days))
	}
	subject, err := t.subject(k)
	if err != nil {
		return err
	}
	keys.AskPIN(t.askPIN)
	names, now := t.cert.names, time.Now()
	template := &x509.Certificate{Subject: subject, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, t.cert.days),
		SignatureAlgorithm: x509.SHA256WithRSA, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, DNSNames: names.hosts, IPAddresses: names.addresses, EmailAddresses: names.mails, URIs: names.uris}
	der, err := certify(template, signer.New(k))
	if err != nil {
		return err
	}
	if err := keys.AttachCertificate(k, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), false); err != nil {
		return err
	}
	return t.sayCertificate(k)
}

func certify(template *x509.Certificate, key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}
