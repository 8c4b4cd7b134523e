package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tpmkey.example/internal/shell"
	"tpmkey.example/provider"
)

const newDetails = `
NAME is USER@HOST when it is left out and free.

  -bits N       2048 (the default), 3072 or 4096, of which a TPM has some
  -exponent N   the public exponent: 65537 (the default), or what the TPM takes
  -label TEXT   what programs call the key (default: NAME)
  -id HEX       the key's CKA_ID (default: SHA-1 of the modulus)
  -pin          ask for a PIN, without which the key cannot be used
  -pin-file FILE
                its first line is the PIN; nobody else may read it; or /dev/fd/N
  -da           let wrong PINs count towards the lockout of the whole TPM
  -challenge HEX  a verifier's: the key is not older than it (tpmkey attest)
  -migratable   let it be moved to other TPMs: it is not bound to this one then
  -system       make it in /etc/tpmkey/keys, for services
  -json         print what "tpmkey show -json" does, instead of the public key

The public key goes to standard output. The private one never leaves the TPM: if
the TPM is cleared or breaks, the key is lost, so have another way in.
`

type newOptions struct {
	bits      int
	exponent  int
	label, id string
	da        bool
	system    bool

	migratable bool

	challenge string
}

func newFlags(f *flag.FlagSet, t *tool) {
	f.IntVar(&t.new.bits, "bits", provider.DefaultBits, "")
	f.IntVar(&t.new.exponent, "exponent", 0, "")
	f.StringVar(&t.new.label, "label", "", "")
	f.StringVar(&t.new.id, "id", "", "")
	f.BoolVar(&t.pin.wanted, "pin", false, "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
	f.BoolVar(&t.new.da, "da", false, "")
	f.BoolVar(&t.new.migratable, "migratable", false, "")
	f.StringVar(&t.new.challenge, "challenge", "", "")
	f.BoolVar(&t.new.system, "system", false, "")
	jsonFlags(f, t)
}

// keySizes are what a TPM may have.
var keySizes = []int{2048, 3072, 4096}

func runNew(t *tool, args []string) error {
	template, err := t.new.template()
	if err != nil {
		return err
	}
	dirs, err := t.new.dirs(t.dir)
	if err != nil {
		return err
	}
	if t.new.migratable {
		t.widened = migrateProfile
	}
	keys := t.open(dirs...)
	name, err := newName(keys, args)
	if err != nil {
		return err
	}
	if template.PIN, err = t.firstPIN(name); err != nil {
		return err
	}
	defer clear(template.PIN)
	key, err := keys.Create(name, template)
	if err != nil {
		return t.explainDenial(err)
	}
	return t.introduce(key)
}

func (o newOptions) template() (provider.Template, error) {
	challenge, err := nonceOf("challenge", o.challenge)
	if err != nil {
		return provider.Template{}, err
	}
	id, err := hex.DecodeString(o.id)
	switch {
	case err != nil:
		return provider.Template{}, usageError(fmt.Sprintf("-id %q: not hexadecimal", o.id))
	case !slices.Contains(keySizes, o.bits):
		return provider.Template{}, usageError(fmt.Sprintf("-bits %d: a key has 2048, 3072 or 4096", o.bits))
	}
	return provider.Template{Bits: o.bits, Exponent: o.exponent, Label: o.label, ID: id, DA: o.da, Migratable: o.migratable, Challenge: challenge}, nil
}

// dirs are where to make the key. A user without a home does not get it into the system's directory instead.
func (o newOptions) dirs(named string) ([]string, error) {
	switch {
	case o.system && named != "":
		return nil, usageError("-system and -dir name two directories")
	case o.system:
		return []string{provider.SystemDir}, nil
	case named != "":
		return nil, nil
	}
	dir, err := provider.UserDir()
	return []string{dir}, err
}

// introduce prints the new key's public part, and says what to do with it.
func (t *tool) introduce(key *provider.Key) error {
	fingerprint, err := fingerprint(key)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.stderr, "Made RSA %d key %q, %s\n", key.Public().N.BitLen(), key.Name(), fingerprint)
	fmt.Fprintf(t.stderr, "Its file is %s: %s\n", printable(key.Path()), ofUse(key))
	fmt.Fprintf(t.stderr, "If the TPM is cleared or breaks, %s\n", lossOf(key))
	t.warnOfTwins(key)
	if key.Origin() == provider.OriginMigratable {
		fmt.Fprintln(t.stderr, mayLeave(key))
	}
	if err := t.sayWhoCounts(key); err != nil {
		return err
	}
	fmt.Fprintln(t.stderr)
	fmt.Fprintln(t.stderr, nextSteps(key.Path(), closedToOthers(filepath.Dir(provider.SystemDir), provider.SystemDir)))
	if t.json {
		return t.printKeyJSON(key)
	}
	return t.printPublic(key)
}

// closedToOthers are the directories that not everybody may enter, as somebody may have made them before.
func closedToOthers(dirs ...string) []string {
	return slices.DeleteFunc(dirs, func(dir string) bool {
		info, err := os.Stat(dir)
		return err != nil || info.Mode()&0o001 != 0
	})
}

// nextSteps are what to do with a new key: one of the system's is for a service, which some directories may keep out, others mostly for ssh.
func nextSteps(path string, closed []string) string {
	file := printable(shell.Word(path))
	if filepath.Dir(path) == provider.SystemDir {
		steps := fmt.Sprintf("To let a service use it, whose group is GROUP:\n  chgrp GROUP %s\n  chmod 640 %s\n", file, file)
		if len(closed) > 0 {
			steps += "  chmod 755 " + strings.Join(closed, " ") + "\n"
		}
		return steps
	}
	public := printable(shell.Word(strings.TrimSuffix(path, ".pem") + ".pub"))
	return "To log in with it over ssh:\n" +
		"  ssh-copy-id -f -i " + public + " USER@HOST\n" +
		"  ssh -o PKCS11Provider=" + shell.Word(moduleLine()) + " USER@HOST\n" +
		"or, for every ssh, this line in ~/.ssh/config, which \"tpmkey ssh\" writes:\n" +
		"  PKCS11Provider " + moduleLine() + "\n"
}

// moduleLine is the module's path for ssh's configuration.
func moduleLine() string {
	value, err := configValue(modulePath())
	if err != nil {
		return modulePath()
	}
	return value
}

const moduleName = "tpmkey-pkcs11.so"

// modulePath finds the PKCS #11 module that was installed, or built, with this program.
func modulePath() string {
	program, err := os.Executable()
	if err != nil {
		return moduleName
	}
	dir := filepath.Dir(program)
	for _, pattern := range []string{"../lib/*/pkcs11", "../lib64/pkcs11", "../lib/pkcs11", "."} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern, moduleName)) // the patterns are well-formed
		if len(found) > 0 {
			return found[0]
		}
	}
	return moduleName
}
