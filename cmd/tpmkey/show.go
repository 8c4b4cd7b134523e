package main

import (
	"crypto/x509"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"golang.org/x/crypto/ssh"

	"tpmkey.example/provider"
)

func fingerprint(k *provider.Key) (string, error) {
	public, err := ssh.NewPublicKey(k.Public())
	if err != nil {
		return "", err
	}
	return ssh.FingerprintSHA256(public), nil
}

// printable keeps what a file says from moving the cursor or looking like another line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func runShow(t *tool, args []string) error {
	k, err := t.key(args)
	if err != nil {
		return err
	}
	if t.json {
		return t.printKeyJSON(k)
	}
	fingerprint, err := fingerprint(k)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	for _, row := range [][2]string{
		{"name", k.Name()},
		{"label", printable(k.Label())},
		{"id", fmt.Sprintf("%x", k.ID())},
		{"file", printable(k.Path())},
		{"key", kind(k)},
		{"fingerprint", fingerprint},
		{"origin", origin(k)},
		{"use", use(k)},
		{"pin", hasPIN(k)},
		{"lockout", lockout(k)},
		{"parent", parent(k)},
		{"certificate", certificate(k)},
	} {
		fmt.Fprintf(w, "%s:\t%s\n", row[0], row[1])
	}
	return w.Flush()
}

// key opens the one key that the arguments name.
func (t *tool) key(args []string) (*provider.Key, error) {
	_, k, err := t.keyAmong(args)
	return k, err
}

// keyAmong also gives the keys among which it is.
func (t *tool) keyAmong(args []string) (*provider.Provider, *provider.Key, error) {
	name, err := oneName(args)
	if err != nil {
		return nil, nil, err
	}
	keys := t.open()
	k, err := keys.Key(name)
	return keys, k, err
}

func kind(k *provider.Key) string {
	kind := fmt.Sprintf("RSA %d", k.Public().N.BitLen())
	if k.ROCA() {
		kind += ", can be factored (ROCA, CVE-2017-15361): make another key, and trust this one no more"
	}
	return kind
}

func use(k *provider.Key) string {
	var uses []string
	if k.CanSign() {
		uses = append(uses, "sign")
	}
	if k.Attests() {
		uses = append(uses, "attest")
	}
	if k.CanDecrypt() {
		uses = append(uses, "decrypt")
	}
	return strings.Join(uses, ", ")
}

func hasPIN(k *provider.Key) string {
	if k.HasPIN() {
		return "set"
	}
	return "none"
}

func lockout(k *provider.Key) string {
	if k.NoDA() {
		return "wrong passwords for this key are not counted"
	}
	return "wrong passwords for this key count towards the lockout of the whole TPM"
}

func parent(k *provider.Key) string {
	text := fmt.Sprintf("0x%08x", k.Parent())
	if name := k.ParentName(); name != nil {
		return fmt.Sprintf("%s, Name %x", text, name)
	}
	return text + ", not pinned"
}

func certificate(k *provider.Key) string {
	der := k.Certificate()
	if der == nil {
		return "none"
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "damaged: " + printable(err.Error())
	}
	if public, ok := c.PublicKey.(interface{ Equal(any) bool }); ok && !public.Equal(k.Public()) {
		return "of another key: " + printable(c.Subject.String())
	}
	return fmt.Sprintf("%s, until %s", printable(c.Subject.String()), c.NotAfter.Format("2006-01-02"))
}
