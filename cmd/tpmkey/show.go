package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"unicode"

	"golang.org/x/crypto/ssh"

	"tpmkey.example/provider"
)

const listDetails = `
One line for each key: name, bits, fingerprint, file, and "imported" or "migratable" for
a key that can be outside of this TPM too, "attestation" for one that only tpmkey attest
uses. Files that are no keys are named on standard error, and the exit code is 1.

  -names        only the names, one a line
  -json         a JSON array of what "tpmkey show -json" prints
`

func listFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.BoolVar(&t.names, "names", false, "")
}

// runList prints what can be used, also when some files cannot.
func runList(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	keys, refused := t.open().AllKeys()
	write := t.printTable
	switch {
	case t.json:
		write = t.printKeysJSON
	case t.names:
		write = t.printNames
	}
	if err := write(keys); err != nil {
		return err
	}
	refused = t.exceptOfServices(refused)
	t.sayNoKeys(len(keys), refused)
	return refused
}

// exceptOfServices only mentions keys of services that this user may not read: it is by design that there are some.
func (t *tool) exceptOfServices(refused error) error {
	if refused == nil || t.dir != "" {
		return refused
	}
	var rest []error
	for _, err := range joined(refused) {
		if ofServices(err) {
			t.say("left out: %v", err)
		} else {
			rest = append(rest, err)
		}
	}
	return errors.Join(rest...)
}

func ofServices(err error) bool {
	var at *os.PathError
	return errors.Is(err, os.ErrPermission) && errors.As(err, &at) && (at.Path == provider.SystemDir || filepath.Dir(at.Path) == provider.SystemDir)
}

// sayNoKeys says why nothing was printed. A directory that is not there is named to programs too: whoever named it may have mistyped it.
func (t *tool) sayNoKeys(keys int, refused error) {
	dirs := provider.DefaultDirs()
	if t.dir != "" {
		dirs = []string{t.dir}
	}
	_, err := os.Stat(dirs[0])
	switch {
	case keys > 0 || refused != nil:
	case t.dir != "" && errors.Is(err, os.ErrNotExist):
		t.say("there is no directory %s", t.dir)
	case !t.json && !t.names:
		t.say("there are no keys in %s; tpmkey new makes one", strings.Join(dirs, " or "))
	}
}

func (t *tool) printNames(keys []*provider.Key) error {
	for _, k := range keys {
		fmt.Fprintln(t.stdout, k.Name())
	}
	return nil
}

func (t *tool) printTable(keys []*provider.Key) error {
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	for _, k := range keys {
		fingerprint, err := fingerprint(k)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s%s\n", k.Name(), k.Public().N.BitLen(), fingerprint, printable(k.Path()), mark(k))
	}
	return w.Flush()
}

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

const pubDetails = `
The form is OpenSSH's, for authorized_keys.

  -pem          as PEM instead (SubjectPublicKeyInfo)
  -tpm          of an attestation key: as PEM of the TPM's own form, which shows that it
                is one; tpmkey verify -ak trusts it
  -json         a JSON object with the first two: name, ssh, pem
`

func pubFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.BoolVar(&t.pem, "pem", false, "")
	f.BoolVar(&t.tpmForm, "tpm", false, "")
}

func runPub(t *tool, args []string) error {
	switch {
	case t.pem && t.json:
		return usageError("-pem and -json are two forms; -json has the PEM in it")
	case t.tpmForm && (t.pem || t.json):
		return usageError("-tpm is a form of its own, without -pem and -json")
	}
	k, err := t.key(args)
	if err != nil {
		return err
	}
	switch {
	case t.json:
		return t.printPublicJSON(k)
	case t.tpmForm:
		return t.printAnchor(k)
	case t.pem:
		text, err := publicPEM(k)
		if err != nil {
			return err
		}
		_, err = t.stdout.Write(text)
		return err
	}
	return t.printPublic(k)
}

func (t *tool) printPublic(k *provider.Key) error {
	line, err := k.AuthorizedKey()
	if err != nil {
		return err
	}
	_, err = t.stdout.Write(line)
	return err
}
