package main

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"tpmkey.example/provider"
)

// What sign, verify and decrypt have in common.

// operationOptions are their flags.
type operationOptions struct {
	hash, mgf, scheme string
	salt              int
	label             string
	digest, base64    bool
	out, pub          string
}

// Schemes of RFC 8017 by the names that -scheme takes.
const (
	schemePKCS1 = "pkcs1" // RSASSA-PKCS1-v1_5 (8.2), RSAES-PKCS1-v1_5 (7.2)
	schemePSS   = "pss"   // RSASSA-PSS (8.1)
	schemeOAEP  = "oaep"  // RSAES-OAEP (7.1)
)

// anySalt stands for no -salt flag.
const anySalt = math.MinInt

// hashNames are what -hash and -mgf take, the default first.
var hashNames = []string{"sha256", "sha384", "sha512", "sha1"}

var hashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512, "sha1": crypto.SHA1}

func hashOf(flag, name string) (crypto.Hash, error) {
	if hash, ok := hashes[name]; ok {
		return hash, nil
	}
	return 0, usageError(fmt.Sprintf("-%s %q: it is one of %s", flag, name, strings.Join(hashNames, ", ")))
}

func checkScheme(scheme string, known ...string) error {
	if slices.Contains(known, scheme) {
		return nil
	}
	return usageError(fmt.Sprintf("-scheme %q: it is one of %s", scheme, strings.Join(known, ", ")))
}

func signatureFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.operation.hash, "hash", hashNames[0], "")
	f.StringVar(&t.operation.scheme, "scheme", schemePKCS1, "")
	f.IntVar(&t.operation.salt, "salt", anySalt, "")
	f.BoolVar(&t.operation.digest, "digest", false, "")
	f.BoolVar(&t.operation.base64, "base64", false, "")
}

// signatureScheme checks what the flags of a signature say.
func (o operationOptions) signatureScheme() (crypto.Hash, error) {
	hash, err := hashOf("hash", o.hash)
	if err == nil {
		err = checkScheme(o.scheme, schemePKCS1, schemePSS)
	}
	switch {
	case err != nil:
		return 0, err
	case o.salt != anySalt && o.scheme != schemePSS:
		return 0, usageError("-salt goes with -scheme pss only")
	case o.salt < 0 && o.salt != anySalt:
		return 0, usageError(fmt.Sprintf("-salt %d: a salt has no such length", o.salt))
	}
	return hash, nil
}

// nameAndFile are the arguments of most operations: a key, and a file that may be left out.
func nameAndFile(args []string) (name, file string, err error) {
	switch len(args) {
	case 1:
		return args[0], "-", nil
	case 2:
		return args[0], args[1], nil
	}
	return "", "", usageError(fmt.Sprintf("it takes the name of a key and at most one file, not %s", arguments(len(args))))
}

// secretKey opens a key that may be asked for a PIN.
func (t *tool) secretKey(name string) (*provider.Key, error) {
	keys := t.open()
	keys.AskPIN(t.askPIN)
	return keys.Key(name)
}

// withInput opens a file, or standard input for "-". What is read is the caller's to limit.
func (t *tool) withInput(path string, read func(io.Reader) error) error {
	if path == "-" {
		if err := read(t.stdin); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	return nil
}

// withoutPath is an error that does not name the file once more.
func withoutPath(err error) error {
	var path *os.PathError
	var link *os.LinkError // of a rename
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

const maxInput = 64 << 10 // bytes, of what is not hashed: signatures, ciphertexts, public keys

// input reads a small file.
func (t *tool) input(path string) (text []byte, err error) {
	err = t.withInput(path, func(r io.Reader) error {
		text, err = readAtMost(r, "it", maxInput)
		return err
	})
	return text, err
}

// decoded is the input as it is, or what it says in base64.
func (t *tool) decoded(path string) ([]byte, error) {
	text, err := t.input(path)
	if err != nil || !t.operation.base64 {
		return text, err
	}
	decoded, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
	if err != nil {
		return nil, fmt.Errorf("%s is not base64: %w", path, err)
	}
	return decoded, nil
}

// digestOf hashes the input, or takes it for a digest.
func (t *tool) digestOf(path string, hash crypto.Hash) (digest []byte, err error) {
	if !t.operation.digest {
		h := hash.New()
		err := t.withInput(path, func(r io.Reader) error {
			_, err := io.Copy(h, r)
			return err
		})
		return h.Sum(nil), err
	}
	digest, err = t.input(path)
	if err == nil && len(digest) != hash.Size() {
		err = fmt.Errorf("a digest of %v has %d bytes, as they are and not in hexadecimal; these are %d", hash, hash.Size(), len(digest))
	}
	return digest, err
}

// onTerminal tells whether standard output is a person's.
func (t *tool) onTerminal() bool {
	o, ok := t.stdout.(*output)
	if !ok {
		return false
	}
	f, ok := o.to.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

var errBinary = errors.New("the result is not text and would upset the terminal; use -out FILE, a pipe, or -base64 where there is one")

// result writes what an operation gave: into a file, which is there as a whole or not at all, or to standard output.
func (t *tool) result(data []byte, mode os.FileMode) error {
	if t.operation.base64 {
		data = base64.StdEncoding.AppendEncode(nil, data)
		data = append(data, '\n')
	}
	if t.operation.out != "" {
		return replaceFile(t.interrupts(), t.operation.out, data, mode)
	}
	if t.onTerminal() && !isText(data) {
		return errBinary
	}
	_, err := t.stdout.Write(data)
	return err
}

func isText(data []byte) bool {
	return utf8.Valid(data) && bytes.IndexFunc(data, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) < 0
}
