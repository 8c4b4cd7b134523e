package main

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// What -json prints. Fields are added, and never renamed or taken away; a test holds the help to them.

// keyFields is a key, the same for every verb that prints one.
type keyFields struct {
	Name        string             `json:"name"`
	Label       string             `json:"label"`
	ID          string             `json:"id"`
	File        string             `json:"file"`
	Bits        int                `json:"bits"`
	Fingerprint string             `json:"fingerprint"`
	Sign        bool               `json:"sign"`
	Decrypt     bool               `json:"decrypt"`
	PIN         bool               `json:"pin"`
	Lockout     bool               `json:"lockout"`
	Parent      string             `json:"parent"`
	ParentName  string             `json:"parentName"`
	Origin      string             `json:"origin"`
	Attestation bool               `json:"attestation"`
	Certificate *certificateFields `json:"certificate"`
}

type certificateFields struct {
	Subject  string `json:"subject"`
	NotAfter string `json:"notAfter"`
	Problem  string `json:"problem"`
}

const keyJSONDetails = `
  -json         a JSON object: name, label, id (hex), file, bits, fingerprint;
                sign, decrypt, pin (has one), lockout (wrong PINs count for the whole
                TPM): true or false; parent, parentName (hex; "": not pinned);
                origin: hardware, migratable (can be in other TPMs too) or imported;
                attestation (only tpmkey attest uses it): true or false;
                certificate: null, or subject, notAfter, problem ("": none)
`

// publicFields is a public key.
type publicFields struct {
	Name string `json:"name"`
	SSH  string `json:"ssh"`
	PEM  string `json:"pem"`
}

// deviceFields is a way to a TPM.
type deviceFields struct {
	Device   string `json:"device"`
	Chip     string `json:"chip"`
	Managed  bool   `json:"managed"`
	Boundary bool   `json:"boundary"`
	Filter   string `json:"filter"`
}

func jsonFlags(f *flag.FlagSet, t *tool) { f.BoolVar(&t.json, "json", false, "") }

// printJSON prints a value with nothing in it that moves a cursor: encoding/json lets control characters above U+007F pass.
func (t *tool) printJSON(value any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := t.stdout.Write([]byte(escapeUnprintable(text.String())))
	return err
}

// escapeUnprintable is for JSON, in which such characters stand in strings only.
func escapeUnprintable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func fieldsOf(k *provider.Key) (keyFields, error) {
	fingerprint, err := fingerprint(k)
	return keyFields{
		Name:        k.Name(),
		Label:       k.Label(),
		ID:          hex.EncodeToString(k.ID()),
		File:        k.Path(),
		Bits:        k.Public().N.BitLen(),
		Fingerprint: fingerprint,
		Sign:        k.CanSign(),
		Decrypt:     k.CanDecrypt(),
		PIN:         k.HasPIN(),
		Lockout:     !k.NoDA(),
		Parent:      fmt.Sprintf("0x%08x", k.Parent()),
		ParentName:  hex.EncodeToString(k.ParentName()),
		Origin:      string(k.Origin()),
		Attestation: k.Attests(),
		Certificate: certificateOf(k),
	}, err
}

func certificateOf(k *provider.Key) *certificateFields {
	der := k.Certificate()
	if der == nil {
		return nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return &certificateFields{Problem: "damaged: " + err.Error()}
	}
	fields := &certificateFields{Subject: c.Subject.String(), NotAfter: c.NotAfter.UTC().Format(time.RFC3339)}
	if public, ok := c.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(k.Public()) {
		fields.Problem = "of another key"
	}
	return fields
}

func (t *tool) printKeyJSON(k *provider.Key) error {
	fields, err := fieldsOf(k)
	if err != nil {
		return err
	}
	return t.printJSON(fields)
}

// printKeysJSON prints an array, also of no keys.
func (t *tool) printKeysJSON(keys []*provider.Key) error {
	all := []keyFields{}
	for _, k := range keys {
		fields, err := fieldsOf(k)
		if err != nil {
			return err
		}
		all = append(all, fields)
	}
	return t.printJSON(all)
}

func (t *tool) printPublicJSON(k *provider.Key) error {
	line, err := k.AuthorizedKey()
	if err != nil {
		return err
	}
	text, err := publicPEM(k)
	if err != nil {
		return err
	}
	return t.printJSON(publicFields{k.Name(), strings.TrimSuffix(string(line), "\n"), string(text)})
}

// publicPEM is the public key as a SubjectPublicKeyInfo (RFC 5280, 4.1).
func publicPEM(k *provider.Key) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (t *tool) printDeviceJSON(d *device.Device, chip string) error {
	boundary, filter := d.Boundary()
	return t.printJSON(deviceFields{d.Spec(), chip, d.Managed(), boundary, filter})
}
