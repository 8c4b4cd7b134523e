package main

import (
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"

	"tpmkey.example/internal/prompt"
	"tpmkey.example/provider"
)

const importDetails = `
FILE has an RSA key as PKCS #1, PKCS #8, encrypted PKCS #8 or OpenSSH's, PEM or DER;
- is standard input. It stays where it is: delete it if only the TPM shall have it.

  -password-file FILE
                take the password of FILE from the first line of a private file
  -label, -id, -pin, -pin-file, -system, -json
                as for tpmkey new
  -parent HEX   go below no parent key but the one with this Name (tpmkey show tells
                that of other keys), so that nobody on the bus can pass for the TPM

The key counts as imported for ever, never as born in hardware, and cannot be moved on.
It takes a filter that lets TPM2_Import through: the profile rsa+import.
`

// importProfile is the part of the filter that lets keys in.
const importProfile = "rsa+import"

type importOptions struct {
	passwordFile string
	parent       string
}

func importFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.imported.passwordFile, "password-file", "", "")
	f.StringVar(&t.imported.parent, "parent", "", "")
	f.StringVar(&t.new.label, "label", "", "")
	f.StringVar(&t.new.id, "id", "", "")
	f.BoolVar(&t.pin.wanted, "pin", false, "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
	f.BoolVar(&t.new.system, "system", false, "")
	jsonFlags(f, t)
}

func runImport(t *tool, args []string) error {
	if len(args) != 2 {
		return usageError(fmt.Sprintf("it takes a file and the name of the new key, not %s", arguments(len(args))))
	}
	file, name := args[0], args[1]
	template, err := t.importTemplate()
	if err != nil {
		return err
	}
	dirs, err := t.new.dirs(t.dir)
	if err != nil {
		return err
	}
	t.widened = importProfile
	keys := t.open(dirs...)
	private, err := t.privateKey(file)
	if err != nil {
		return err
	}
	if template.PIN, err = t.firstPIN(name); err != nil {
		return err
	}
	defer clear(template.PIN)
	key, err := keys.Import(name, private, template)
	if err != nil {
		return t.explainDenial(err)
	}
	return t.introduceArrived(key, fmt.Sprintf("%s is a working copy as before: whoever has it needs no TPM.", sourceName(file)))
}

func sourceName(file string) string {
	if file == "-" {
		return "What was read"
	}
	return printable(file)
}

func (t *tool) importTemplate() (provider.Template, error) {
	t.new.bits = provider.DefaultBits // the key decides
	template, err := t.new.template()
	if err != nil {
		return template, err
	}
	if template.ParentName, err = hex.DecodeString(t.imported.parent); err != nil {
		return template, usageError(fmt.Sprintf("-parent %q: not hexadecimal", t.imported.parent))
	}
	if t.imported.parent == "" {
		template.ParentName = nil
	}
	return template, nil
}

// privateKey reads a key file, and asks for its password if it has one.
func (t *tool) privateKey(file string) (*rsa.PrivateKey, error) {
	text, err := t.input(file)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	locked, err := parsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", printable(file), err)
	}
	key, err := t.unlock(locked, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", printable(file), err)
	}
	private, err := rsaOf(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", printable(file), err)
	}
	return private, nil
}

// passwordTries is how often a person is asked.
const passwordTries = 3

func (t *tool) unlock(locked lockedKey, file string) (any, error) {
	if !locked.needsPassword {
		return locked.open(nil)
	}
	again := ""
	for try := 1; ; try++ {
		password, err := t.password(file, again)
		if err != nil {
			return nil, err
		}
		key, err := locked.open(password)
		clear(password)
		if !errors.Is(err, errPassword) || t.imported.passwordFile != "" || try >= passwordTries {
			return key, err
		}
		again = err.Error()
	}
}

func (t *tool) password(file, again string) ([]byte, error) {
	if t.imported.passwordFile == "" {
		return t.ask(prompt.Question{File: file, Again: again, Instead: "say -password-file FILE"})
	}
	password, err := readPIN(t.imported.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("the password: %w", err)
	}
	return password, nil
}

// introduceArrived prints the public part of a key that came from elsewhere, and says what became of it, and of where it came from.
func (t *tool) introduceArrived(key *provider.Key, rest string) error {
	fingerprint, err := fingerprint(key)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.stderr, "Imported RSA %d key %q, %s\n", key.Public().N.BitLen(), key.Name(), fingerprint)
	fmt.Fprintf(t.stderr, "Its file is %s: %s\n", printable(key.Path()), ofUse(key))
	fmt.Fprintln(t.stderr, rest)
	t.warnOfTwins(key)
	if err := t.sayWhoCounts(key); err != nil {
		return err
	}
	if t.json {
		return t.printKeyJSON(key)
	}
	return t.printPublic(key)
}

// sayWhoCounts says of a key with a PIN who counts wrong ones.
func (t *tool) sayWhoCounts(key *provider.Key) error {
	switch {
	case !key.HasPIN() && !key.NoDA():
		fmt.Fprintln(t.stderr, "It has no PIN yet that could be wrong: tpmkey pin gives it one.")
		return nil
	case !key.HasPIN():
		return nil
	}
	counts, err := t.whoCounts(key)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.stderr, counts)
	return nil
}
